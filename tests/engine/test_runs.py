"""The run directory: atomic writes, locks."""

import ast
import errno
import math
import shutil
from pathlib import Path

import pytest

from crosstask.engine import environment
from crosstask.engine.runs import Run, RunError
from crosstask.media.files import atomic_path, write_json


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "x.json"
    write_json(target, {"a": 1})
    before = target.read_text()
    with pytest.raises(OSError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert target.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """/dev/full fails like a full disk; the error must arrive before anything is replaced."""
    target = tmp_path / "x"
    target.write_text("old")
    with pytest.raises(OSError), atomic_path(target) as _, Path("/dev/full").open("w") as full:
        full.write("x" * 100_000)
        full.flush()
    assert target.read_text() == "old"


def test_two_processes_cannot_hold_one_run(tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    with run.lock(), pytest.raises(RunError, match="another process"), Run(tmp_path / "r").lock():
        pass
    with run.lock():
        pass  # released


def test_a_folder_that_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no config\.yaml"):
        Run(tmp_path).read_config()
    with pytest.raises(RunError, match="not finished"):
        Run(tmp_path).read_metrics()


CONFIG = {
    "recipe": "procedural.supervised",
    "seed": 3,
    "tasks": "segmentation,depth",
    "x": "y" * 60,
}


@pytest.mark.parametrize(
    "text", [b"", b"a: [1", b"- a\n", b"1: a\n", b"depth\n", b"a: \xff\n", b"null\n"]
)
def test_a_damaged_config_is_named(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "config.yaml").write_bytes(text)
    with pytest.raises(RunError, match=r"config\.yaml is damaged.*delete the directory"):
        Run(tmp_path).read_config()


def test_a_config_that_lost_its_end_is_not_taken_for_whole(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_config(CONFIG)
    assert run.read_config("recipe", "seed") == CONFIG
    whole = run.config_file.read_text()
    run.config_file.write_text(whole[:100])
    with pytest.raises(RunError, match=r"config\.yaml is cut off"):
        run.read_config()
    run.config_file.write_text("recipe: procedural.supervised\n")  # cut between two lines
    assert run.read_config()["recipe"] == "procedural.supervised"
    with pytest.raises(RunError, match=r"config\.yaml has no `seed`"):
        run.read_config("recipe", "seed")


def test_runs_of_old_read_a_folder_as_they_did(tmp_path: Path) -> None:
    """They wrote down usual values, which did not count before `folder.yaml`."""
    run, old = Run(tmp_path), {"depth_scale": 1000.0, "masks": "auto", "void": 7}
    run.write_config({**CONFIG, **old})  # from before `depth_kind` and `channels`
    left_out = {"depth_scale": None, "masks": None, "depth_kind": None, "channels": None}
    assert run.read_config() == {**CONFIG, **left_out, "void": 7}
    new = {**left_out, "depth_scale": 1000.0, "void": 255}
    run.write_config({**CONFIG, **new})
    assert run.read_config() == {**CONFIG, **new}


@pytest.mark.parametrize("text", ["null", "{}", "[]", '{"score": null}', '{"score": true}', '{"sc'])
def test_damaged_metrics_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(RunError, match=r"metrics\.json is damaged.*train .*--resume"):
        Run(tmp_path).read_metrics()


def test_metrics_may_be_no_number_at_all(tmp_path: Path) -> None:
    """A task without labels in the validation split."""
    write_json(tmp_path / "metrics.json", {"score": 1, "depth/rmse": float("nan")})
    metrics = Run(tmp_path).read_metrics()
    assert metrics["score"] == 1 and math.isnan(metrics["depth/rmse"])


@pytest.mark.parametrize("text", ["null", '{"data": null}', '{"data": {"train": null}}', "{"])
def test_a_damaged_environment_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "env.json").write_text(text)
    with pytest.raises(RunError, match=r"env\.json is damaged.*train .*--resume"):
        Run(tmp_path).read_environment()


def test_the_environment_of_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no env\.json"):
        Run(tmp_path).read_environment()
    environment = {"code": "c0ffee", "data": {"train": {"size": 4}}}
    write_json(tmp_path / "env.json", environment)
    assert Run(tmp_path).read_environment() == environment


def test_the_code_version_follows_what_numbers_depend_on(tmp_path: Path) -> None:
    package = tmp_path / "crosstask"
    shutil.copytree(
        Path(environment.__file__).parents[1], package, ignore=shutil.ignore_patterns("*.pyc")
    )
    before = environment.code_version(package)
    assert before == environment.code_version() and len(before) == 12
    (package / "cli/train.py").write_text("")
    (package / "cli/main.py").write_text("")
    (package / "experiments/studies/paper.py").write_text("")
    assert environment.code_version(package) == before
    losses = package / "losses.py"
    losses.write_bytes(losses.read_bytes().replace(b"\n", b"\r\n"))
    assert environment.code_version(package) == before  # a checkout with other line ends
    losses.write_text(losses.read_text() + "\nEPSILON = 1\n")
    assert environment.code_version(package) != before


@pytest.mark.parametrize(
    "name", ["recipes/supervised.py", "engine/callbacks/checkpoints.py", "engine/checkpoints.py"]
)
def test_the_code_version_knows_how_a_run_is_put_together(tmp_path: Path, name: str) -> None:
    package = tmp_path / "crosstask"
    shutil.copytree(
        Path(environment.__file__).parents[1], package, ignore=shutil.ignore_patterns("*.pyc")
    )
    (package / name).write_text((package / name).read_text() + "\nEXTRA = ()\n")
    assert environment.code_version(package) != environment.code_version()


def imported(root: Path, start: list[Path]) -> set[str]:
    """Files of the package that `start` import, directly or not, from their syntax trees."""
    found: set[str] = set()
    waiting = list(start)
    while waiting:
        file = waiting.pop()
        name = file.relative_to(root).as_posix()
        if name in found or name == "__init__.py":
            continue
        found.add(name)
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("cross"):
                continue
            place = root.joinpath(*(node.module or "").split(".")[1:])
            places = [place, *(place / alias.name for alias in node.names)]
            waiting += [
                p for q in places for p in (q.with_suffix(".py"), q / "__init__.py") if p.is_file()
            ]
    return found


def test_the_code_version_leaves_out_only_what_shows_numbers_or_words_errors() -> None:
    """A new file that training imports must be put on one side or the other."""
    root = Path(environment.__file__).parents[1]
    start = [root / "engine/training.py", *(root / "recipes").glob("*.py")]
    counted = {file.relative_to(root).as_posix() for file in environment.number_files(root)}
    assert imported(root, start) - counted == {
        "drawing/__init__.py",
        "drawing/legends.py",
        "drawing/panels.py",
        "engine/cores.py",
        "engine/description.py",
        "engine/environment.py",
        "engine/interruption.py",
        "engine/limits.py",
        "engine/metrics_file.py",
        "engine/runs.py",
        "engine/storing.py",
        "engine/threads.py",
        "evaluation/finite.py",
        "media/colormap.py",
        "media/files.py",
        "plugins/files.py",
        "plugins/find.py",
        "plugins/own/__init__.py",
        "plugins/trust.py",
        "suggest.py",
    }
