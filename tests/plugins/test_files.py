"""A user's own file: run once, found by other processes, errors that name the line."""

import hashlib
import pickle
import subprocess
import sys
from dataclasses import is_dataclass
from pathlib import Path

import pytest

from crosstask.plugins.files import OwnFileError, digest, load, load_module, parse, reference_of

OWN = """
from __future__ import annotations
from dataclasses import dataclass
import inspect
RUNS = []
RUNS.append(1)

@dataclass(frozen=True)
class Weight:
    value: "float" = 1.0

def double(x: int) -> int:
    return 2 * x
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my file-1.py"
    path.write_text(OWN)
    return path


def test_references() -> None:
    found = parse(" a b/mine.py:Net ")
    assert found is not None and (str(found.file), found.name, found.rest) == (
        "a b/mine.py",
        "Net",
        "",
    )
    options = parse("mine.py:Geometric:floor=0.1,x=2")
    assert options is not None and options.rest == "floor=0.1,x=2"
    assert str(options) == "mine.py:Geometric:floor=0.1,x=2"
    for text in (
        "segmentation",
        "mine.py",
        "mine.py:",
        "mine.py:a b",
        ":x",
        "a,b.py:x",
        "a.py:b.py:c!",
        None,
        3,
    ):
        assert parse(text) is None, text


def test_one_module_of_a_file_however_it_is_named(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load_module(file)
    monkeypatch.chdir(file.parent)
    link = file.parent / "link.py"
    link.symlink_to(file)
    assert load_module(Path(file.name)) is module is load_module(link)
    assert module.RUNS == [1] and is_dataclass(module.Weight)
    assert sys.modules[module.__name__] is module
    assert not list(file.parent.glob("__pycache__"))


def test_what_is_in_a_file_is_pickled_into_another_process(file: Path, tmp_path: Path) -> None:
    """As a loader's workers do it where processes are not forked."""
    weight = load(parse(f"{file}:Weight"), "task")(3.0)  # type: ignore[arg-type]
    (tmp_path / "weight.pickle").write_bytes(pickle.dumps(weight))
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).value)"
    command = [sys.executable, "-c", code, str(tmp_path / "weight.pickle")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "3.0\n"


def test_references_of_things(file: Path) -> None:
    import torch

    from crosstask.tasks import Depth

    module = load_module(file)
    assert reference_of(module.Weight) == f"{file}:Weight" == reference_of(module.Weight())
    assert reference_of(Depth) is None
    assert reference_of(lambda: 0) == "<no file>:test_references_of_things.<locals>.<lambda>"
    assert str(reference_of(torch.nn.Identity)).endswith("linear.py:Identity")


def test_the_digest_is_of_what_ran(file: Path) -> None:
    ran = hashlib.sha256(file.read_bytes()).hexdigest()
    load_module(file)
    file.write_text("changed = 1\n")
    assert digest(file) == ran
    other = file.with_name("other.py")
    other.write_text("x = 1\n")
    assert digest(other) == hashlib.sha256(b"x = 1\n").hexdigest()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def broken(:\n", "line 1: SyntaxError"),
        ("x = 1\n\ny = z\n", "line 3: NameError: name 'z' is not defined"),
        ("import nowhere_at_all\n", "line 1: ModuleNotFoundError"),
        ("def f():\n    raise RuntimeError('no')\nf()\n", "line 2: RuntimeError: no"),
        ("import sys\nsys.exit(3)\n", "line 2: it ends the program"),
    ],
)
def test_an_error_inside_names_the_line(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text(text)
    with pytest.raises(OwnFileError, match=words) as error:
        load_module(file)
    assert str(file) in str(error.value)
    file.write_text("x = 1\n")  # mended: a failed run leaves nothing behind
    assert load_module(file).x == 1


def test_missing_files_and_names(file: Path) -> None:
    with pytest.raises(OwnFileError, match="there is no file nowhere"):
        load_module(Path("nowhere.py"))
    with pytest.raises(OwnFileError, match=r"unknown task in .*did you mean Weight"):
        load(parse(f"{file}:Wieght"), "task")  # type: ignore[arg-type]
