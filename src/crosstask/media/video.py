"""Reading and writing video files through PyAV (the optional extra ``crosstask[video]``)."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from crosstask.media.orientation import of_quarter_turns, upright
from crosstask.media.reading import DataError, check_file

MOST_VIDEO = 2**42  # bytes: videos are read piece by piece
# What a file may be, whatever its name: a list of other files or addresses (HLS, concat) is none of them.
_CONTAINERS = "mov,mp4,matroska,webm,avi,mpeg,mpegts,mpegvideo"
_OPTIONS = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi", ".mov", ".webm", ".m4v", ".mpg", ".mpeg")


def load_av() -> ModuleType:
    """The `av` module.

    Raises:
        ModuleNotFoundError: it is not installed; says how to.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'video files need PyAV; install it with: pip install "crosstask[video]"'
        ) from error
    return av


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A container; whatever cannot be decoded of it is an error that names the file."""
    av = load_av()
    check_file(path, MOST_VIDEO)
    try:
        with av.open(str(path), options=_OPTIONS) as container:
            yield container
    except (av.error.FFmpegError, IndexError) as error:
        raise _unreadable(path, error) from error


def frame_times(path: Path) -> list[int]:
    """Time stamps of all frames, in order, in units of the stream; reads packets, decodes none.

    Raises:
        DataError: the file is not a video that can be read.
    """
    with _opened(path) as container:
        stream = container.streams.video[0]
        times = sorted({p.pts for p in container.demux(stream) if p.pts is not None and p.size})
    if not times:
        raise _unreadable(path, ValueError("no frames"))
    return times


def read_frames(path: Path, times: list[int]) -> list[UInt8[Tensor, "3 h w"]]:
    """RGB frames at the given time stamps (ascending), upright, found from the key frame before.

    Cost: decoding from that key frame on.

    Raises:
        DataError: a frame cannot be decoded.
    """
    wanted = list(times)
    found: list[Tensor] = []
    with _opened(path) as container:
        stream = container.streams.video[0]
        container.seek(wanted[0], stream=stream, backward=True)
        for frame in container.decode(stream):
            if len(found) < len(wanted) and frame.pts == wanted[len(found)]:
                found.append(_upright(frame))
            if len(found) == len(wanted):
                break
    if len(found) < len(wanted):
        missing = ValueError(f"frame at time stamp {wanted[len(found)]} is damaged or missing")
        raise _unreadable(path, missing)
    return found


class VideoDefect(DataError):
    """A video could be decoded up to a place and not beyond; names the frame."""


def frame_rate(path: Path) -> float:
    """Frames a second that the file states; 25 where it states none.

    Raises:
        DataError: the file is not a video that can be read.
    """
    with _opened(path) as container:
        stream = container.streams.video[0]
        return float(stream.average_rate or stream.guessed_rate or 25)


def frame_size(path: Path) -> tuple[int, int]:
    """Height and width that the file's header states, before turning; decodes nothing.

    Raises:
        DataError: the file is not a video that can be read.
    """
    with _opened(path) as container:
        context = container.streams.video[0].codec_context
        return int(context.height), int(context.width)


def frame_count(path: Path) -> int | None:
    """Frames that the file's header promises (from its duration if need be), or None."""
    try:
        with _opened(path) as container:
            stream = container.streams.video[0]
            if stream.frames:
                return int(stream.frames)
            if container.duration and stream.average_rate:
                seconds = container.duration / load_av().time_base
                return round(seconds * float(stream.average_rate))
    except DataError:
        return None
    return None


def stream_frames(
    path: Path, every: int = 1, most_pixels: int | None = None
) -> Iterator[tuple[int, UInt8[Tensor, "3 h w"]]]:
    """(number, RGB frame) of every `every`-th frame, upright, one at a time in memory.

    Args:
        most_pixels: a frame with more is not decoded, and counts as damaged.

    Raises:
        VideoDefect: damaged or cut at a frame; everything before it has been yielded.
        DataError: not a video at all.
    """
    if every < 1:
        raise ValueError(f"`every` is {every}; expected 1 (each frame) or more")
    av, number = load_av(), 0
    promised = frame_count(path)
    check_file(path, MOST_VIDEO)
    try:
        with av.open(str(path), options=_OPTIONS) as container:
            stream = container.streams.video[0]
            options = {"err_detect": "explode"}  # no invented pixels
            if most_pixels is not None:
                options["max_pixels"] = str(most_pixels)
            stream.codec_context.options = options
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise _defect(path, number, "its data are damaged")
                if number % every == 0:
                    yield number, _upright(frame)
                number += 1
    except (av.error.FFmpegError, IndexError) as error:
        if number == 0:
            raise _unreadable(path, error) from error
        raise _defect(path, number, str(error)) from error
    if number == 0:
        raise _unreadable(path, ValueError("no frames"))
    if promised is not None and number < 0.97 * promised - 2:
        raise _defect(path, number, f"the file ends early: its header promises {promised} frames")


def video_orientation(path: Path) -> int:
    """How the frames are turned upright (display matrix), as an EXIF orientation; 1 is not at all.

    Cost: decodes the first frame.

    Raises:
        DataError: not a video that can be read.
    """
    with _opened(path) as container:
        for frame in container.decode(container.streams.video[0]):
            return _turned(frame)
    raise _unreadable(path, ValueError("no frames"))


def _turned(frame: Any) -> int:
    """Telephones store images lying down, and how often to turn them beside."""
    # Older releases of PyAV lack the attribute.
    return of_quarter_turns(round(getattr(frame, "rotation", 0) / 90))


def _upright(frame: Any) -> UInt8[Tensor, "3 h w"]:
    image = torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)
    return upright(image, _turned(frame)).contiguous()


def _defect(path: Path, number: int, reason: str) -> VideoDefect:
    return VideoDefect(
        f"{path} is damaged at frame {number} ({reason}); the {number} frames before it are kept"
    )


class VideoWriter:
    """Takes RGB frames of one size one by one and writes H.264 (a player anywhere shows it).

    An odd last row or column is repeated once: the format stores colour at half size.

    Args:
        path: of the file.
        rate: frames a second.
        container: format, where the file's name does not tell it.
    """

    def __init__(
        self, path: Path | str, rate: float | int = 10.0, container: str | None = None
    ) -> None:
        self._av = load_av()
        self._container = self._av.open(str(path), mode="w", format=container)
        self._rate = Fraction(rate).limit_denominator(1000)
        self._stream = self._container.add_stream("libx264", rate=self._rate)
        self._stream.pix_fmt = "yuv420p"
        self._size: tuple[int, ...] | None = None
        self.count = 0

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, *_: object) -> None:
        if self.count:
            self._container.mux(self._stream.encode())
        self._container.close()

    def write(self, frame: UInt8[Tensor, "3 h w"], number: int | None = None) -> None:
        """Appends a frame.

        Args:
            number: its time, in frames of the rate; larger than all before. The next one if left out.

        Raises:
            ValueError: it differs in size from the first.
        """
        if self._size is None:
            self._size = tuple(frame.shape)
            self._stream.height, self._stream.width = (n + n % 2 for n in frame.shape[1:])
        elif tuple(frame.shape) != self._size:
            raise ValueError(
                f"`frames` has a frame of {tuple(frame.shape)} after {self._size}; "
                "expected one size; resize them first"
            )
        drawn = frame.permute(1, 2, 0).cpu().numpy()
        odd = [(0, n % 2) for n in frame.shape[1:]]
        drawn = np.ascontiguousarray(np.pad(drawn, (*odd, (0, 0)), mode="edge"))
        image = self._av.VideoFrame.from_ndarray(drawn, format="rgb24")
        if number is not None:
            image.pts, image.time_base = number, 1 / self._rate
        self._container.mux(self._stream.encode(image))
        self.count += 1


def write_video(
    path: Path | str, frames: Iterable[UInt8[Tensor, "3 h w"]], rate: float | int = 10.0
) -> int:
    """Writes RGB frames of one size with `VideoWriter`; returns their number.

    Raises:
        ValueError: there are no frames, or they differ in size.
    """
    with VideoWriter(path, rate) as writer:
        for frame in frames:
            writer.write(frame)
    if not writer.count:
        raise ValueError(
            "`frames` is empty; expected at least one frame; give the sequence's frames"
        )
    return writer.count


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"`{path}` cannot be decoded as a video ({error}); expected a file such as mp4, mkv or webm; "
        "convert it with ffmpeg, or give a folder of its frames"
    )
