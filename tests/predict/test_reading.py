"""Prediction reads images as training did: turned with their camera, by the same range of values."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from crosstask.cli import main
from crosstask.data import FolderDataset
from crosstask.data.combine.mixture import Mixture
from crosstask.data.combine.pairs import DomainPairs
from crosstask.engine.recording import trained_range
from crosstask.media.images import StoredImage
from crosstask.predict.model import SceneModel, load
from crosstask.predict.streams import Settings, batches, predict_images
from fakes.png import write_png
from fakes.scenes import scene_tasks
from fakes.served import camera_aware_tasks, tiny_model

CAMERA = torch.tensor([[60.0, 0, 20], [0, 50, 10], [0, 0, 1]])
TURNED = [[50, 0, 21], [0, 60, 20], [0, 0, 1]]  # of 32 x 48, a quarter clockwise


class Red(nn.Module):
    """Depth is the image's red value."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))

    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        return {"depth": [image[:, :1]]}


def turned(path: Path, orientation: int) -> Path:
    exif = Image.Exif()
    exif[274] = orientation
    Image.new("RGB", (48, 32), (10, 20, 30)).save(path, exif=exif)
    return path


def test_the_camera_of_the_stored_image_turns_with_it(tmp_path: Path) -> None:
    model = SceneModel(Red(), scene_tasks(("depth",)), {"size": None})
    file = turned(tmp_path / "a.png", 6)
    for image in (file, Image.open(file)):
        found = model.predict(image, CAMERA)
        assert found.image.shape == (3, 48, 32)
        assert found.intrinsics is not None and found.intrinsics.tolist() == TURNED
    as_given = model.predict(torch.rand(3, 32, 48), CAMERA).intrinsics
    assert as_given is not None and torch.equal(as_given, CAMERA)


def test_images_that_were_turned_otherwise_share_no_batch(tmp_path: Path) -> None:
    """Same shape, another turn, another camera."""
    items = [(k, StoredImage(torch.zeros(3, 4, 4), turn)) for k, turn in enumerate((1, 1, 3, 1))]
    assert [[key for key, _ in batch] for batch in batches(items, 4)] == [[0, 1], [2], [3]]
    model = tiny_model(tasks=camera_aware_tasks())
    files = [(f"p{turn}", turned(tmp_path / f"{turn}.png", turn)) for turn in (6, 8)]
    done = list(predict_images(model, files, tmp_path / "out", Settings(intrinsics=CAMERA)))
    assert [outcome.defect for _, outcome in done] == [None, None]
    cameras = [json.loads((tmp_path / "out" / f"p{turn}.json").read_text()) for turn in (6, 8)]
    assert [c["intrinsics"][0][2] for c in cameras] == [21, 10]


@pytest.mark.filterwarnings("ignore:.*grey levels.*:RuntimeWarning")
def test_training_and_prediction_see_the_same_pixels(tmp_path: Path) -> None:
    """Every odd kind of image through the dataset and through the model."""
    folder = tmp_path / "images"
    folder.mkdir()
    grey = np.tile(np.linspace(29000, 31000, 48).astype(np.uint16), (32, 1))
    write_png(folder / "thermal.png", grey)
    write_png(folder / "deep.png", np.repeat(grey[..., None], 3, axis=2))
    colour = np.random.default_rng(0).integers(0, 255, (32, 48, 4), dtype=np.uint8)
    Image.fromarray(colour).save(folder / "rgba.png")
    Image.fromarray(colour[..., :3]).convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(colour[..., :3]).convert("P").save(folder / "palette.png", transparency=3)
    Image.fromarray(colour[..., :2]).save(folder / "grey_alpha.png")
    turned(folder / "turned.jpg", 8)
    model = SceneModel(Red(), scene_tasks(("depth",)), {"size": None})
    data = FolderDataset(tmp_path, "all", ())
    for index, frame in enumerate(data.frames):
        found = model.predict(frame.files["image"], size="native").image
        assert torch.equal(found, data[index]["image"]), frame.name


@pytest.mark.filterwarnings("ignore:.*grey levels.*:RuntimeWarning")
def test_the_range_of_values_travels_with_the_model(tmp_path: Path) -> None:
    root, run = tmp_path / "data", tmp_path / "run"
    for number in range(4):
        grey = np.tile(np.linspace(0, 4095, 64).astype(np.uint16), (32, 1))
        write_png(root / "images" / f"{number}.png", grey)
        write_png(root / "segmentation" / f"{number}.png", (grey > 2000).astype(np.uint8))
    (root / "classes.txt").write_text("low\nhigh\n")
    command = ["train", "folder.supervised", "--root", str(root), "--run", str(run)]
    command += [
        "--steps",
        "1",
        "--tasks",
        "segmentation",
        "--architecture",
        "single_task",
        "--value-range",
        "0..4095",
    ]
    command += ["--size", "32x64", "--encoder", "resnet10t", "--no-pretrained", "--width", "0.0625"]
    assert main([*command, "--batch-size", "2", "--workers", "0", "--quiet"]) == 0
    for place in (run, load(run).save_pretrained(tmp_path / "saved")):
        model = load(place)
        assert model.value_range == (0.0, 4095.0)
        image = model.predict(root / "images" / "0.png").image
        assert image.amin() == 0 and image.amax() == 1
    assert load(run).description["value_range"] == "0..4095"


def test_images_of_several_ranges_leave_prediction_to_the_data_type(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_png(tmp_path / name / "images" / "0.png", np.zeros((32, 48), np.uint16))

    def part(name: str, value_range: str) -> tuple[FolderDataset, float]:
        return FolderDataset(tmp_path / name, "all", (), value_range=value_range), 1.0

    alike = Mixture([part("a", "0..4095"), part("b", "0..4095")], modalities=())
    assert trained_range(alike) == "0..4095"
    with pytest.warns(UserWarning, match=r"several value ranges \(0\.\.4095, auto\)"):
        mixed = Mixture([part("a", "0..4095"), part("b", "auto")], modalities=())
        assert trained_range(mixed) == "auto"
    source, target = part("a", "auto")[0], part("b", "0..4095")[0]
    assert trained_range(DomainPairs(source, target)) == "0..4095"  # predicts the target's images
