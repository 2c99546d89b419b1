"""Videos of telephones: stored lying down, with a matrix that says how to turn them."""

import struct
from pathlib import Path

import pytest
import torch

from crosstask.data.datasets.frames import FrameFolder
from crosstask.media.reading import DataError
from crosstask.media.video import (
    frame_times,
    read_frames,
    stream_frames,
    video_orientation,
    write_video,
)

pytest.importorskip("av")
QUARTER_CLOCKWISE = (0, 1, 0, -1, 0, 0, 0, 0, 16384)  # in units of 1 / 65536, the last of 2^-30


def turn(path: Path) -> None:
    """Writes a display matrix into the track header of an mp4 file."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    matrix = [n if k == 8 else n << 16 for k, n in enumerate(QUARTER_CLOCKWISE)]
    matrix[8] = 1 << 30
    data[place : place + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(data)


def halves(number: int) -> list[torch.Tensor]:
    """The left half white."""
    frame = torch.zeros(3, 32, 48, dtype=torch.uint8)
    frame[:, :, :24] = 255
    return [frame] * number


def test_training_and_prediction_turn_a_video_and_its_camera(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, halves(6))
    assert video_orientation(path) == 1
    turn(path)
    assert video_orientation(path) == 6
    streamed = next(stream_frames(path))[1]
    read = read_frames(path, frame_times(path)[:1])[0]
    assert torch.equal(streamed, read) and read.shape == (3, 48, 32)
    assert int(read[:, 4].min()) > 200 and int(read[:, -4].max()) < 50  # left is up now
    sample = FrameFolder(path, "all", intrinsics=(60, 50, 20, 10))[0]
    assert sample["image"].shape == (3, 48, 32)
    assert sample["intrinsics"].tolist() == [[50, 0, 21], [0, 60, 20], [0, 0, 1]]


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "endless.mp4").symlink_to("/dev/zero")
    with pytest.raises(DataError, match="is a device"):
        frame_times(tmp_path / "endless.mp4")
