"""`predict` feeds the network as training and `evaluate` did: on the same files, the same scores."""

from pathlib import Path
from typing import Any

import pytest
import torch

import crosstask
from crosstask.cli import main
from crosstask.data import FolderDataset
from crosstask.data.transforms import evaluation
from crosstask.engine.places import find
from crosstask.engine.runs import Run
from crosstask.predict.model import SceneModel
from crosstask.recipes.resolving import resolve
from fakes import untrained
from fakes.folder import scene_of
from fakes.png import write_npy, write_png

TASKS = ("segmentation", "depth", "normals", "edges")
SHAPES = [(60, 80), (80, 60), (60, 80), (60, 100)]
SIZE = "32x64"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of several aspects, each with all labels and its own camera."""
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "intrinsics").mkdir()
    for index, size in enumerate(SHAPES):
        scene, name = scene_of(index, size), f"photo_{index}"
        write_png(folder / "images" / f"{name}.png", scene.image)
        write_png(folder / "segmentation" / f"{name}.png", scene.regions.astype("uint8"))
        write_npy(folder / "depth" / f"{name}.npy", scene.depth)
        camera = f"60 58 {size[1] / 2} {size[0] / 2}"
        (folder / "intrinsics" / f"{name}.txt").write_text(camera)
    (folder / "classes.txt").write_text("sky\nground\nleft wall\nfar wall\nbox\nright wall\n")
    (folder / "splits").mkdir()
    names = "".join(f"photo_{index}\n" for index in range(len(SHAPES)))
    for split in ("train", "val"):
        (folder / "splits" / f"{split}.txt").write_text(names)
    return folder


def scores_of_predictions(model: SceneModel, root: Path, size: Any = None) -> dict[str, float]:
    """The files' own labels against what `predict` says of the files."""
    data = FolderDataset(root, "val", TASKS, far=80.0)
    metrics = {task.name: task.metric() for task in model.tasks}
    for index, frame in enumerate(data.frames):
        sample = data[index]
        found = model.predict(frame.files["image"], sample["intrinsics"], size=size)
        for name, metric in metrics.items():
            metric.update(found[name][None], sample[name][None])
    return {
        f"{name}/{key}": float(value)
        for name, metric in metrics.items()
        for key, value in metric.compute().items()
    }


@pytest.mark.parametrize(
    "options",
    [{"val_batch_size": 3}, {"fit": "squeeze"}, {"resize": "48x96"}],
    ids=str,
)
def test_evaluate_and_predict_agree_on_the_same_files(
    root: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    run = untrained.write(tmp_path / "run", root, **options)
    scores = crosstask.evaluate(run)
    assert 0.001 < scores["segmentation/miou"] < 0.9 and 0.001 < scores["edges/f1"] < 0.9
    model = crosstask.load(run)
    size = options.get("resize", SIZE)
    for found in (
        scores_of_predictions(model, root),
        scores_of_predictions(model, root, tuple(map(int, size.split("x")))),
    ):
        for key, value in found.items():
            assert value == pytest.approx(scores[key], abs=1e-3, nan_ok=True), key


def test_a_model_without_the_record_is_fed_as_before(root: Path, tmp_path: Path) -> None:
    """In the image's own aspect, with as many pixels as training's size; `--size` as it is."""
    description, _ = find(untrained.write(tmp_path / "run", root))
    del description["feeding"]
    model = SceneModel(torch.nn.Identity(), (), description)
    assert model.place(60, 80).content == model.place(60, 80).canvas == (39, 52)
    assert model.place(60, 80, (40, 40)).content == (40, 40)
    assert model.place(60, 80, "native").content == (60, 80)
    assert SceneModel(torch.nn.Identity(), (), {}).place(60, 80).content == (60, 80)


def test_runs_from_before_keep_squeezing(root: Path, tmp_path: Path) -> None:
    run = Run(untrained.write(tmp_path / "run", root, fit="squeeze", score_at="resized"))
    text = run.config_file.read_text()
    run.config_file.write_text(text.replace("fit: squeeze\n", ""))
    assert run.read_config()["fit"] == "squeeze"
    assert text != run.config_file.read_text()


def test_what_is_far_from_training_is_told_once(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = untrained.write(tmp_path / "run", root)
    for index in range(2):
        write_png(tmp_path / "in" / f"tall_{index}.png", scene_of(index, (96, 32)).image)
    out = tmp_path / "out"
    assert main(["predict", str(run), str(tmp_path / "in"), "--output", str(out)]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "aspect" in line]
    assert len(told) == 1 and "0.33" in told[0] and "0.75 to 1.67" in told[0]
    assert "aspect" in (out / "tall_1.json").read_text()
    near = str(root / "images" / "photo_0.png")
    assert main(["predict", str(run), near, "--output", str(tmp_path / "near")]) == 0
    assert "aspect" not in capsys.readouterr().err


def test_training_cuts_and_zooms_at_the_scale_of_validation(root: Path) -> None:
    """With the aspect kept, zoom 1 is the scale at which validation sees the image."""
    options = {"root": str(root), "tasks": "segmentation,depth", "size": SIZE, "pretrained": False}
    options |= {
        "architecture": "densemtl",
        "encoder": "resnet10t",
        "width": 0.125,
        "zoom_min": 1.0,
        "zoom_max": 1.0,
    }
    function, resolved = resolve("folder.supervised", options)
    experiment = function(**resolved)
    train, val = experiment.train_data()[0], experiment.val_data()[0]
    assert train["intrinsics"][0, 0] == pytest.approx(float(val["intrinsics"][0, 0]))
    assert train["image"].shape == val["image"].shape == (3, 32, 64)
    assert val["placed"].tolist() == [32, 43]
    assert val["segmentation"].shape == (60, 80)  # scored as stored
    whole = FolderDataset(root, "val", ("segmentation",), evaluation((32, 64), fit="keep"))[0]
    assert (whole["segmentation"][:, 43:] == 255).all() and (whole["image"][:, :, 43:] == 0).all()
