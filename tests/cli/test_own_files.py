"""Files of a user's own from training to every command; files of a stranger, which do not run."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

import crosstask
from crosstask.cli import main
from crosstask.plugins.trust import TrustError
from crosstask.recipes.reopen import reopen

MINE = '''
from dataclasses import dataclass

import torch
from torch import nn

from crosstask.balancing import Balancer
from crosstask.models import Network
from crosstask.models.architectures.densemtl import create_decoders
from crosstask.recipes.procedural import supervised
from crosstask.tasks import Depth


class MeanExchange(nn.Module):
    def __init__(self, tasks, channels, level, gain=1.0):
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels, 1, 1), gain * level))

    def forward(self, features):
        mean = torch.stack(list(features.values())).mean(0)
        return {task: feature + self.scale * mean for task, feature in features.items()}


def net(encoder, tasks, width=1.0, gain=1.0):
    """Tasks that share a mean."""
    decoders = create_decoders(encoder, tasks, width)
    widths = next(iter(decoders.values())).widths
    return Network(encoder, decoders, {2: MeanExchange(tuple(tasks), widths[2], 2, gain)})


class Geometric(Balancer):
    def __init__(self, floor=1e-6):
        super().__init__()
        self.floor = floor

    def combine(self, losses):
        return torch.stack([x.clamp(min=self.floor).log() for x in losses.values()]).mean().exp()


@dataclass(frozen=True, kw_only=True)
class StreetDepth(Depth):
    near: float = 1.0
    far: float = 80.0

    def __init__(self, **options):
        super().__init__(**({"near": 1.0, "far": 80.0} | options))


def by_hand(seed: int = 0, width: float = 0.0625):
    """A network that `create_model` did not make.

    Args:
        seed: of weights.
        width: of decoders.
    """
    made = supervised(tasks="segmentation,depth", size="32x64", width=width, steps=1, seed=seed,
                      train_length=4, val_length=2, workers=0)
    plain = made.regime.network
    exchange = MeanExchange(("segmentation", "depth"), plain.decoders["depth"].widths[1], 1)
    made.regime.network = Network(plain.encoder, dict(plain.decoders), {1: exchange})
    return made
'''
TINY = [
    "--size",
    "32x64",
    "--width",
    "0.0625",
    "--steps",
    "1",
    "--train-length",
    "4",
    "--val-length",
    "2",
    "--workers",
    "0",
]
LOOP = ["--quiet", "--accelerator", "cpu", "--precision", "32"]
CASES = {
    "parts": [
        "procedural.supervised", *TINY, "--tasks", "segmentation,mine.py:StreetDepth",
        "--options.exchange", "mine.py:MeanExchange", "--options.exchange_options", '{"gain": 0.5}',
        "--balancing", "mine.py:Geometric:floor=0.001",
    ],
    "architecture": [
        "procedural.supervised", *TINY, "--tasks", "segmentation,depth",
        "--architecture", "mine.py:net", "--options.gain", "0.25",
    ],
    "recipe": ["mine.py:by_hand"],
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with mine.py, an image, and a run of each case."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(MINE)
    Image.new("RGB", (64, 32), (90, 120, 30)).save(folder / "photo.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, words in CASES.items():
            assert main(["train", *words, "--run", name, *LOOP]) == 0
    return folder


@pytest.mark.parametrize("name", CASES)
def test_a_run_with_own_files_loads_where_it_is_trusted(
    name: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)  # not where it was trained
    run, photo = trained / name, str(trained / "photo.png")
    predict = ["predict", str(run), photo, "--output", str(tmp_path / "out"), "--device", "cpu"]
    assert main(predict) == 2
    told = capsys.readouterr().err
    assert f"{trained}/mine.py" in told and "--trust" in told
    with pytest.raises(TrustError, match="trust=True"):
        crosstask.load(run)
    assert main([*predict, "--trust"]) == 0 and (tmp_path / "out" / "photo_panel.png").is_file()
    model = crosstask.load(run, trust=True)
    assert [task.name for task in model.tasks] == ["segmentation", "depth"]
    # what `evaluate` makes again from config.yaml computes the same
    experiment = crosstask.recipes.reopen.open_run(run, trust=trained / "mine.py")
    image = torch.rand(1, 3, 32, 64)
    again = experiment.regime.inference_network().eval()(image)
    for task, outputs in model(image).items():
        assert torch.allclose(outputs[-1], again[task][-1], atol=1e-5)
    folder = model.save_pretrained(tmp_path / "model")
    with pytest.raises(TrustError):
        crosstask.load(folder)
    assert crosstask.load(folder, trust=True)(image)["depth"][-1].shape == (1, 1, 32, 64)


def test_every_other_command_works_with_trust(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    run = str(trained / "architecture")
    assert main(["evaluate", run, "--json", "--device", "cpu", "--trust"]) == 0
    scores = json.loads(capsys.readouterr().out)
    stored = json.loads((trained / "architecture" / "metrics.json").read_text())
    assert scores["score"] == pytest.approx(stored["score"], abs=1e-4)
    assert main(["table", run, "--baseline", "none", "--trust"]) == 0
    assert "mine.py:net gain=0.25" in capsys.readouterr().out
    assert main(["report", run, "--output", "r.html", "--device", "cpu", "--trust"]) == 0
    export = ["export", run, "--format", "pt2", "--output", "m.pt2", "--trust"]
    subprocess.run([sys.executable, "-m", "crosstask", *export], check=True)  # without type checks
    compare = ["compare", run, "--images", "--output", "c.png", "--device", "cpu"]
    assert main([*compare, "--trust-file", str(trained / "mine.py")]) == 0


def test_a_file_that_moved_or_changed(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained / "architecture", run)
    text = (run / "model.json").read_text().replace(str(trained), "/gone")
    for name in ("best.ckpt", "last.ckpt"):
        checkpoint = torch.load(run / "checkpoints" / name, weights_only=True)
        checkpoint["model_description"] = text
        torch.save(checkpoint, run / "checkpoints" / name)
    with pytest.raises(TrustError, match="not there any more"):
        crosstask.load(run, trust=True)
    copy = tmp_path / "mine.py"
    copy.write_text(MINE)
    assert crosstask.load(run, trust=copy).description["model"]["architecture"] == f"{copy}:net"
    changed = tmp_path / "other" / "mine.py"
    changed.parent.mkdir()
    changed.write_text(MINE + "\n")
    with pytest.warns(UserWarning, match="has changed since"):
        crosstask.load(run, trust=changed)


def test_resume_by_the_same_command(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Naming the file again is trust; another path to it is the same recipe."""
    monkeypatch.chdir(trained.parent)
    words = [w.replace("mine.py", f"{trained.name}/mine.py") for w in CASES["parts"]]
    assert main(["train", *words, "--run", str(trained / "parts"), *LOOP, "--resume"]) == 0


def test_a_network_that_nobody_could_load_is_not_trained(tmp_path: Path) -> None:
    from crosstask.models import Network
    from crosstask.recipes.procedural import supervised

    made = supervised(size="32x64", width=0.0625, steps=1, train_length=4, val_length=2, workers=0)
    plain: Any = made.regime.network
    made.regime.network = Network(plain.encoder, dict(plain.decoders))
    with pytest.raises(ValueError, match=r"--architecture mine\.py:net"):
        crosstask.train(made, tmp_path / "run", accelerator="cpu", progress=False)
    assert not (tmp_path / "run").exists()

    class Local(torch.nn.Module):
        def __init__(self, tasks: Any, channels: int, level: int) -> None:
            super().__init__()

        def forward(self, features: Any) -> Any:
            return features

    options = {"exchange": Local}
    made = supervised(size="32x64", width=0.0625, steps=1, options=options)
    with pytest.raises(ValueError, match=r"Local was defined in no file.*crosstask\.register"):
        crosstask.train(made, tmp_path / "run", accelerator="cpu", progress=False)
    assert not (tmp_path / "run").exists()


ROOMS = """

from crosstask.data import Frame, SceneDataset
from crosstask.tasks import ClassTable
import numpy as np
from PIL import Image


class Rooms(SceneDataset):
    source = "rooms"
    supported = ("segmentation", "heat")
    tree = "root/SPLIT/NAME.png"

    def index(self):
        found = sorted((self.root / self.split).glob("*.png"))
        return [Frame(p.stem, {"image": p, "segmentation": p, "heat": p}) for p in found]

    @property
    def classes(self):
        return ClassTable(names=("dark", "bright"), colors=((0, 0, 0), (255, 255, 255)))

    def red(self, frame):
        return torch.from_numpy(np.array(Image.open(frame.files["image"]))[..., 0])

    def load_segmentation(self, frame):
        return (self.red(frame) > 127).to(torch.uint8)

    def load_heat(self, frame):
        return self.red(frame)[None] / 255.0
"""


def test_a_task_of_a_new_kind_on_a_dataset_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Both in one file; nothing of this package knows either."""
    import fakes.heat_map

    monkeypatch.chdir(tmp_path)
    Path("rooms.py").write_text(Path(fakes.heat_map.__file__).read_text() + ROOMS)
    for number, split in enumerate(("train", "train", "val")):
        (tmp_path / "data" / split).mkdir(parents=True, exist_ok=True)
        noise = torch.randint(0, 255, (32, 64, 3), dtype=torch.uint8).numpy()
        Image.fromarray(noise).save(tmp_path / "data" / split / f"{number}.png")
    for command in ("check", "stats", "preview"):
        words = ["data", command, "rooms.py:Rooms", "--root", "data"]
        assert main([*words, *(["--output", "sheets"] if command == "preview" else [])]) == 0
    assert sorted(p.name for p in Path("sheets").glob("*.png")) == [
        "rooms_train.png",
        "rooms_val.png",
    ]
    small = "--size 32x64 --width 0.0625 --steps 1 --workers 0 --encoder resnet10t --no-pretrained"
    words = ["train", "folder.supervised", "--dataset", "rooms.py:Rooms", "--root", "data"]
    words += ["--tasks", "segmentation,rooms.py:HeatMap", "--run", "run", *small.split(), *LOOP]
    assert main(words) == 0
    capsys.readouterr()
    predict = ["predict", "run", "data/val/2.png", "--output", "out", "--device", "cpu"]
    assert main(predict) == 2 and "rooms.py" in capsys.readouterr().err
    assert main([*predict, "--trust"]) == 0 and Path("out/2_heat.npy").is_file()
    capsys.readouterr()
    assert main(["evaluate", "run", "--device", "cpu", "--json", "--trust"]) == 0
    assert "heat/spread" in json.loads(capsys.readouterr().out)
    for option in (["--depth-scale", "500"], ["--masks", "colors"]):
        assert main([*words, *option, "--run", "other"]) == 2
        assert "which Rooms has no option for" in capsys.readouterr().err


# ---- a stranger's run ---------------------------------------------------------------------------

EVIL = """
from pathlib import Path
Path({marker!r}).write_text("ran")

def go(**options):
    raise SystemExit("stolen")

class Task: ...
"""
HIDDEN_IN_CONFIG: dict[str, Callable[[dict[str, Any], str], None]] = {
    "recipe": lambda c, evil: c.update(recipe=f"{evil}:go"),
    "architecture": lambda c, evil: c.update(architecture=f"{evil}:go"),
    "balancing": lambda c, evil: c.update(balancing=f"{evil}:go:a=1"),
    "tasks": lambda c, evil: c.update(tasks=f"segmentation,{evil}:go"),
    "tasks as a set": lambda c, evil: c.update(tasks={f"{evil}:go"}),
    "exchange": lambda c, evil: c.update(
        architecture="densemtl", options={"exchange": f"{evil}:go"}
    ),
}
HIDDEN_IN_MODEL: dict[str, Callable[[dict[str, Any], str], None]] = {
    "architecture": lambda m, evil: m["model"].update(architecture=f"{evil}:go"),
    "exchange": lambda m, evil: m["model"]["options"].update(exchange=f"{evil}:go"),
    "recipe": lambda m, evil: m["model"].update(recipe=f"{evil}:go", recipe_options={}),
    "task": lambda m, evil: m["tasks"][0].update(type=f"{evil}:Task"),
}


@pytest.fixture(scope="module")
def innocent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("innocent") / "run"
    words = ["procedural.supervised", *TINY, "--tasks", "segmentation,depth"]
    assert main(["train", *words, "--run", str(run), *LOOP]) == 0
    return run


@pytest.fixture
def stranger(innocent: Path, tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """(run, marker): a copy of a run that names evil.py, and what evil.py would write."""

    def make(config: Any = None, model: Any = None) -> tuple[Path, Path]:
        run, marker = tmp_path / "run", tmp_path / "marker"
        shutil.copytree(innocent, run)
        evil = run / "evil.py"
        evil.write_text(EVIL.format(marker=str(marker)))
        if config is not None:
            content = yaml.safe_load((run / "config.yaml").read_text())
            config(content, str(evil))
            (run / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        if model is not None:
            content = json.loads((run / "model.json").read_text())
            model(content, str(evil))
            (run / "model.json").write_text(json.dumps(content))
            for file in (run / "checkpoints").glob("*.ckpt"):
                checkpoint = torch.load(file, weights_only=True)
                checkpoint["model_description"] = json.dumps(content)
                torch.save(checkpoint, file)
        return run, marker

    return make


REOPENING = {
    "evaluate": ["evaluate", "RUN", "--device", "cpu"],
    "report": ["report", "RUN", "--device", "cpu"],
    "knockout": ["knockout", "RUN", "--device", "cpu"],
    "attention": ["attention", "RUN", "--device", "cpu"],
    "compare": ["compare", "RUN", "--images", "--device", "cpu"],
}
LOADING = {
    "predict": ["predict", "RUN", "photo.png", "--output", "out", "--device", "cpu"],
    "attention": ["attention", "RUN", "photo.png", "--device", "cpu"],
    "export": ["export", "RUN", "--format", "pt2", "--output", "m.pt2"],
    "serve": ["serve", "RUN", "--port", "0", "--device", "cpu"],
    "table": ["table", "RUN", "--baseline", "none"],
    "compare without images": ["compare", "RUN", "--baseline", "none"],
}


def refused(words: list[str], run: Path, marker: Path, capsys: Any) -> None:
    words = [str(run) if word == "RUN" else word for word in words]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert "evil.py" in told and "--trust" in told and "Traceback" not in told
    assert not marker.exists(), words


@pytest.mark.parametrize("command", REOPENING)
@pytest.mark.parametrize("place", HIDDEN_IN_CONFIG)
def test_a_strangers_config_runs_nothing(
    command: str, place: str, stranger: Any, capsys: Any
) -> None:
    run, marker = stranger(config=HIDDEN_IN_CONFIG[place])
    refused(REOPENING[command], run, marker, capsys)


@pytest.mark.parametrize("command", LOADING)
@pytest.mark.parametrize("place", HIDDEN_IN_MODEL)
def test_a_strangers_model_runs_nothing(
    command: str,
    place: str,
    stranger: Any,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("crosstask.web.server.load_gradio", lambda: None)
    shutil.copy(trained / "photo.png", tmp_path)
    run, marker = stranger(model=HIDDEN_IN_MODEL[place])
    refused(LOADING[command], run, marker, capsys)
    with pytest.raises(TrustError):
        crosstask.load(run)
    with pytest.raises(TrustError):
        crosstask.load(run, trust=trained / "mine.py")  # another file is not permission
    assert not marker.exists()


def test_with_trust_the_file_runs(stranger: Any, capsys: Any) -> None:
    """What the tests above would see if it did: the marker."""
    run, marker = stranger(config=HIDDEN_IN_CONFIG["recipe"])
    with pytest.raises(TrustError):
        crosstask.evaluate(run)
    with pytest.raises(TrustError):
        reopen(crosstask.engine.runs.Run(run))
    assert not marker.exists()
    main(["evaluate", str(run), "--trust"])
    assert marker.exists()


def test_training_on_a_strangers_files_runs_nothing(
    stranger: Any, tmp_path: Path, capsys: Any
) -> None:
    """`--resume`, `--init-from`, `--config` and a study's list read, and do not run."""
    run, marker = stranger(
        config=HIDDEN_IN_CONFIG["architecture"], model=HIDDEN_IN_MODEL["architecture"]
    )
    words = ["train", "procedural.supervised", *TINY, "--tasks", "segmentation,depth", *LOOP]
    assert main([*words, "--run", str(run), "--resume"]) == 2  # other settings
    assert "started with other settings" in capsys.readouterr().err
    assert main([*words, "--run", str(tmp_path / "new"), "--init-from", str(run)]) == 0
    config = tmp_path / "theirs.yaml"
    config.write_text(f"architecture: {run}/evil.py:go\n")
    for command in (words[:2], ["info", "procedural.supervised"]):
        run_at = ["--run", str(tmp_path / "x")] if command[0] == "train" else []
        refused([*command, *run_at, "--config", str(config)], run, marker, capsys)
    study = ["study", "table4a", *TINY[:4], "--output", str(tmp_path / "s"), "--seeds", "0"]
    planned = tmp_path / "s" / "densemtl.S-D-N.seed0"
    shutil.copytree(run, planned)
    assert main([*study, "--list"]) == 2
    assert "holds a run with other settings" in capsys.readouterr().err
    assert not marker.exists()
