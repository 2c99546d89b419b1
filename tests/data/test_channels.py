"""Images of one channel, of colours and depth, of many bands."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crosstask.data import FolderDataset
from crosstask.data.channels import Channels
from crosstask.data.sample import DataError, check_sample
from crosstask.data.transforms import evaluation, training
from fakes.png import write_npy, write_png

RGBD = "red,green,blue,depth=0..5"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two colour images with the depth of a sensor, and a mask."""
    random = np.random.default_rng(0)
    for index in range(2):
        colours = random.integers(0, 255, (40, 48, 3)).astype(np.uint8)
        write_png(tmp_path / "images" / f"{index}.png", colours)
        metres = np.tile(np.linspace(0, 10, 48), (40, 1))
        metres[0] = 0
        write_png(
            tmp_path / "depth_input" / f"{index}.png", np.round(metres * 1000).astype(np.uint16)
        )
        write_png(
            tmp_path / "segmentation" / f"{index}.png", (colours[..., 0] > 99).astype("uint8")
        )
    (tmp_path / "classes.txt").write_text("dark\nlight\n")
    return tmp_path


def test_names_and_values() -> None:
    assert Channels.parse("red,green,blue") == Channels()
    assert Channels.parse(RGBD).ranges == {"depth": (0.0, 5.0)}
    assert Channels.parse("red,green,blue,depth").ranges == {"depth": (0.0, 10.0)}
    assert Channels.parse(["thermal"]).of_image == ("thermal",)
    assert not Channels.parse("b1,b2,b3,b4").is_photograph


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "names"),
        ("red,red", "once"),
        ("depth,red,green,blue", "colours first"),
        ("red,green", "colours first"),
        ("depth", "one at least"),
        ("red,green,blue,thermal=9..3", "value_range"),
    ],
)
def test_channels_that_cannot_be_are_named(given: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Channels.parse(given)


def test_colours_and_depth(root: Path) -> None:
    data = FolderDataset(root, "all", ("segmentation",), channels=RGBD)
    sample = data[0]
    check_sample(sample, ("segmentation",))
    plain = FolderDataset(root, "all", ("segmentation",))[0]
    assert torch.equal(sample["image"][:3], plain["image"])
    metres = sample["image"][3] * 5
    assert float(metres[0].max()) == 0  # unknown
    assert float(metres[5, 12]) == pytest.approx(10 * 12 / 47, abs=1e-3)
    assert float(metres[5, 40]) == 5.0  # beyond
    assert data.channels == ("red", "green", "blue", "depth")
    assert "depth from depth_input/, 0..5" in data.read_as()["image"]
    assert not data.unread()
    fed = FolderDataset(
        root, "all", ("segmentation",), evaluation((32, 32)), channels=RGBD, depth_scale=500.0
    ).feeding()
    assert fed is not None and fed.channels == data.channels and fed.depth_scale == 500.0
    assert fed.ranges == {"depth": (0.0, 5.0)}


def test_the_folder_may_say_it(root: Path) -> None:
    (root / "folder.yaml").write_text("channels: red,green,blue,depth\n")
    assert FolderDataset(root, "all", ())[0]["image"].shape == (4, 40, 48)


def test_jitter_changes_colours_alone(root: Path) -> None:
    def image(jitter: float) -> torch.Tensor:
        names = ("red", "green", "blue", "depth")
        change = training((40, 48), flip=0.0, jitter=jitter, channels=names)
        return FolderDataset(root, "all", ("segmentation",), change, channels=RGBD)[0]["image"]

    before, after = image(0.0), image(1.0)
    assert torch.equal(before[3], after[3])
    assert not torch.allclose(before[:3], after[:3], atol=0.01)
    with pytest.raises(DataError, match="`jitter`"):
        training((40, 48), jitter=0.5, channels=("thermal",))


def test_one_grey_channel_of_sixteen_bits(tmp_path: Path) -> None:
    values = np.linspace(29000, 31000, 40 * 48).reshape(40, 48).astype(np.uint16)
    write_png(tmp_path / "images" / "a.png", values)
    data = FolderDataset(tmp_path, "all", (), channels="thermal", value_range="29000..31000")
    image = data[0]["image"]
    assert image.shape == (1, 40, 48)
    assert float(image.min()) == 0 and float(image.max()) == pytest.approx(1.0, abs=1e-3)


def test_bands_of_an_array(tmp_path: Path) -> None:
    bands = np.random.default_rng(0).random((40, 48, 6)).astype(np.float32)
    write_npy(tmp_path / "images" / "a.npy", bands)
    names = "b1,b2,b3,b4,b5,b6"
    image = FolderDataset(tmp_path, "all", (), channels=names)[0]["image"]
    assert np.array_equal(image.permute(1, 2, 0).numpy(), bands)


def test_what_does_not_fit_is_named(root: Path, tmp_path: Path) -> None:
    def first(**options: Any) -> Any:
        return FolderDataset(root, "all", (), **options)[0]

    with pytest.raises(
        DataError, match=r"is a colour image .3 channels.*expected one channel, thermal"
    ):
        first(channels="thermal")
    with pytest.raises(DataError, match="has 3 channels; expected 4"):
        first(channels="b1,b2,b3,b4")
    write_png(root / "depth_input" / "0.png", np.full((40, 40), 900, np.uint16))
    with pytest.raises(DataError, match="is 40x40, but"):
        first(channels=RGBD)
    (root / "depth_input" / "0.png").unlink()
    with pytest.raises(DataError, match="has no depth, which is a channel of the input"):
        first(channels=RGBD)
    with pytest.raises(DataError, match=r"has no heat, .*heat_input/"):
        first(channels="red,green,blue,heat=0..9")
