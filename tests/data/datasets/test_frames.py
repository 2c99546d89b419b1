"""Frames without labels: folders, folders of folders and videos, and what is wrong with them."""

from pathlib import Path

import pytest
import torch
from torchvision.io import write_png

from crosstask.data.datasets.frames import FrameFolder
from crosstask.data.sample import DataError, check_sample
from crosstask.data.sequences import gaps, natural_order
from crosstask.media.video import frame_times, read_frames, write_video

CAMERA = (60.0, 61.0, 31.5, 20.0)


def image(i: int, size: tuple[int, int] = (32, 48), channels: int = 3) -> torch.Tensor:
    return torch.full((channels, *size), 10 * i, dtype=torch.uint8)


def write_frames(folder: Path, numbers: range | list[int], name: str = "{:06d}") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in numbers:
        write_png(image(i), str(folder / f"{name.format(i)}.png"))
    return folder


def value(sample: dict, key: str) -> list[int]:
    return [round(float(v) * 25.5) for v in sample[key].reshape(-1, 3, 32, 48)[:, 0, 0, 0]]


def test_neighbours_are_the_frames_before_and_after(tmp_path: Path) -> None:
    data = FrameFolder(write_frames(tmp_path, range(6)), "all", intrinsics=CAMERA)
    assert [data[i]["name"] for i in range(len(data))] == ["000001", "000002", "000003", "000004"]
    sample = data[1]
    check_sample(sample, ("neighbours",))
    assert value(sample, "image") == [2] and value(sample, "neighbours") == [1, 3]
    assert sample["intrinsics"].tolist() == [[60, 0, 31.5], [0, 61, 20], [0, 0, 1]]
    wide = FrameFolder(tmp_path, "all", intrinsics=CAMERA, offsets=(-2, 1, 2))
    assert value(wide[0], "image") == [2] and value(wide[0], "neighbours") == [0, 3, 4]
    kept = FrameFolder(tmp_path, "all", intrinsics=CAMERA, missing_neighbours="repeat")
    assert len(kept) == 6 and value(kept[0], "neighbours") == [0, 1]


def test_names_without_leading_zeros_are_in_temporal_order(tmp_path: Path) -> None:
    data = FrameFolder(write_frames(tmp_path, range(8, 13), "frame{}"), "all", intrinsics=CAMERA)
    by_name = {data[i]["name"]: value(data[i], "neighbours") for i in range(len(data))}
    assert by_name == {"frame9": [8, 10], "frame10": [9, 11], "frame11": [10, 12]}
    assert natural_order("a2b") < natural_order("a10")


def test_a_missing_frame_cuts_the_sequence(tmp_path: Path) -> None:
    data = FrameFolder(write_frames(tmp_path, [0, 1, 2, 5, 6, 7]), "all", intrinsics=CAMERA)
    assert [data[i]["name"] for i in range(len(data))] == ["000001", "000006"]
    assert data.describe()["cuts"] == 1
    assert gaps(["0", "5", "10", "15"]) == () and gaps(["a", "b"]) == ()
    assert gaps(["x10", "x11", "x12", "x20", "x21"]) == (3,)
    assert gaps(["0", "33", "67", "100", "133", "267", "300"]) == (
        5,
    )  # milliseconds at 30 a second
    assert gaps(["0", "331", "664", "1000", "1329", "2000"]) == (5,)  # no step is frequent


def test_train_and_val_parts_share_no_frame_not_even_as_neighbours(tmp_path: Path) -> None:
    write_frames(tmp_path, range(20))
    used = {}
    for split in ("train", "val"):
        data = FrameFolder(tmp_path, split, intrinsics=CAMERA)
        used[split] = sorted(
            {v for s in data for k in ("image", "neighbours") for v in value(s, k)}
        )
    assert used == {"train": list(range(16)), "val": list(range(16, 20))}


def test_folders_of_sequences_each_with_its_own_camera(tmp_path: Path) -> None:
    for name, focal in (("a", 50), ("b", 70)):
        write_frames(tmp_path / name / "image_0", range(3))
        (tmp_path / name / "intrinsics.txt").write_text(f"{focal} {focal} 24 16\n")
    data = FrameFolder(tmp_path, "all")
    assert [(s["name"], float(s["intrinsics"][0, 0])) for s in data] == [
        ("a/image_0/000001", 50.0),
        ("b/image_0/000001", 70.0),
    ]


def test_targets_are_void_and_poses_are_refused(tmp_path: Path) -> None:
    write_frames(tmp_path, range(3))
    data = FrameFolder(tmp_path, "all", ("depth", "segmentation", "neighbours"), intrinsics=CAMERA)
    assert not data[0]["depth"].any() and (data[0]["segmentation"] == 255).all()
    with pytest.raises(DataError, match="poses"):
        FrameFolder(tmp_path, "all", ("poses",), intrinsics=CAMERA)


def test_grey_frames_have_three_equal_channels(tmp_path: Path) -> None:
    for i in range(3):
        write_png(torch.randint(0, 255, (1, 32, 48), dtype=torch.uint8), str(tmp_path / f"{i}.png"))
    image = FrameFolder(tmp_path, "all", intrinsics=CAMERA)[0]["image"]
    assert image.shape == (3, 32, 48) and torch.equal(image[0], image[2]) and image.std() > 0.1


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([], "png, jpg"),
        ([4], "at least 3 frames in a row"),
        ([4, 5], "at least 3"),
        ([1, 2, 9, 10], "in a row"),
    ],
)
def test_too_few_frames(tmp_path: Path, numbers: list[int], message: str) -> None:
    write_frames(tmp_path / "frames", numbers)
    with pytest.raises(DataError, match=message):
        FrameFolder(tmp_path / "frames", "all", intrinsics=CAMERA)


def test_intrinsics_are_asked_for_and_checked(tmp_path: Path) -> None:
    write_frames(tmp_path, range(4))
    with pytest.raises(DataError, match=r"give `intrinsics` as fx,fy,cx,cy.*intrinsics\.txt"):
        FrameFolder(tmp_path, "all")
    with pytest.raises(DataError, match="focal lengths in pixels, above 0"):
        FrameFolder(tmp_path, "all", intrinsics=(0.0, 1.0, 2.0, 3.0))
    (tmp_path / "intrinsics.txt").write_text("1 2 3")
    with pytest.raises(DataError, match="3 numbers; expected fx fy cx cy"):
        FrameFolder(tmp_path, "all")
    (tmp_path / "intrinsics.txt").write_text("1, 2, 3, 4")
    assert FrameFolder(tmp_path, "all")[0]["intrinsics"][1, 2] == 4


def test_frames_of_another_size_or_kind_are_named(tmp_path: Path) -> None:
    write_frames(tmp_path, range(3))
    write_png(image(3, (32, 50)), str(tmp_path / "000003.png"))
    with pytest.raises(DataError, match=r"000003\.png is 50x32.*000000\.png is 48x32"):
        FrameFolder(tmp_path, "all", intrinsics=CAMERA)
    write_png(image(3, channels=1), str(tmp_path / "000003.png"))
    with pytest.raises(DataError, match=r"000003\.png is grey.*colour"):
        FrameFolder(tmp_path, "all", intrinsics=CAMERA)
    (tmp_path / "000003.png").write_bytes(b"no image")
    opened = FrameFolder(tmp_path, "all", intrinsics=CAMERA)  # so that the others can be used
    with pytest.raises(DataError, match=r"000003\.png"):
        opened[1]
    assert opened[0]["name"] == "000001"


def test_a_video_gives_the_same_frames(tmp_path: Path) -> None:
    pytest.importorskip("av")
    shades = [torch.full((3, 32, 48), 8 * i + 16, dtype=torch.uint8) for i in range(24)]
    assert write_video(tmp_path / "drive.mp4", shades, rate=12) == 24
    data = FrameFolder(tmp_path / "drive.mp4", "all", intrinsics=CAMERA)
    assert len(data) == 22 and data[0]["name"] == "drive/000001"
    for i in (0, 13, 21):  # not in order: every frame is found from its own key frame
        sample = data[i]
        check_sample(sample, ("neighbours",))
        found = [
            float(p.mean()) * 255
            for p in (sample["neighbours"][0], sample["image"], sample["neighbours"][1])
        ]
        assert found == pytest.approx([8 * (i + k) + 16 for k in (0, 1, 2)], abs=2.5)
    (tmp_path / "intrinsics.txt").write_text("60 61 31.5 20")
    beside = FrameFolder(tmp_path)  # a folder that holds a video
    assert beside[0]["name"] == "drive.mp4/000001" and float(beside[0]["intrinsics"][0, 0]) == 60


def test_video_of_odd_size_is_padded_by_one(tmp_path: Path) -> None:
    pytest.importorskip("av")
    write_video(tmp_path / "odd.mkv", [torch.full((3, 33, 47), 90, dtype=torch.uint8)] * 3)
    times = frame_times(tmp_path / "odd.mkv")
    assert len(times) == 3
    assert read_frames(tmp_path / "odd.mkv", times[1:2])[0].shape == (3, 34, 48)
    with pytest.raises(ValueError, match="one size"):
        write_video(
            tmp_path / "two.mp4",
            [torch.zeros(3, 32, 48, dtype=torch.uint8), torch.zeros(3, 32, 32, dtype=torch.uint8)],
        )
    with pytest.raises(ValueError, match="empty"):
        write_video(tmp_path / "none.mp4", [])


def test_a_video_that_cannot_be_decoded(tmp_path: Path) -> None:
    pytest.importorskip("av")
    (tmp_path / "broken.mp4").write_bytes(b"this is not a video" * 100)
    with pytest.raises(ValueError, match=r"broken\.mp4.*cannot be decoded.*ffmpeg"):
        FrameFolder(tmp_path / "broken.mp4", "all", intrinsics=CAMERA)
    noise = [torch.randint(0, 255, (3, 64, 64), dtype=torch.uint8) for _ in range(12)]
    write_video(tmp_path / "cut.mkv", noise)
    data = FrameFolder(tmp_path / "cut.mkv", "all", intrinsics=CAMERA)
    content = (tmp_path / "cut.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 3])  # damaged after it was indexed
    with pytest.raises(ValueError, match=r"damaged or missing|cannot be decoded"):
        data[9]


def test_distortion_of_the_camera_file_is_told(tmp_path: Path) -> None:
    write_frames(tmp_path, range(4))
    camera = tmp_path / "camera.json"
    camera.write_text('{"fx": 40, "fy": 40, "cx": 23.5, "cy": 15.5, "D": [0.1, 0, 0, 0]}')
    with pytest.warns(RuntimeWarning, match=r"camera\.json has the distortion 0\.1.*not applied"):
        FrameFolder(tmp_path, "all", (), intrinsics=str(camera))
