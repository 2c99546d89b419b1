"""Reading and writing video files through PyAV (the optional extra ``crosstask[video]``)."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import torch
from jaxtyping import UInt8
from torch import Tensor

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


def frame_times(path: Path) -> list[int]:
    """Time stamps of all frames, in order, in units of the stream; reads packets, decodes none.

    Raises:
        ValueError: the file is not a video that can be read.
    """
    av = load_av()
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            times = sorted({p.pts for p in container.demux(stream) if p.pts is not None and p.size})
    except (av.error.FFmpegError, IndexError) as error:
        raise _unreadable(path, error) from error
    if not times:
        raise _unreadable(path, ValueError("no frames"))
    return times


def read_frames(path: Path, times: list[int]) -> list[UInt8[Tensor, "3 h w"]]:
    """RGB frames at the given time stamps (ascending), found from the key frame before the first.

    Cost: decoding from that key frame on.

    Raises:
        ValueError: a frame cannot be decoded.
    """
    av = load_av()
    wanted, found = list(times), []
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            container.seek(wanted[0], stream=stream, backward=True)
            for frame in container.decode(stream):
                if len(found) < len(wanted) and frame.pts == wanted[len(found)]:
                    array = frame.to_ndarray(format="rgb24")
                    found.append(torch.from_numpy(array).permute(2, 0, 1).contiguous())
                if len(found) == len(wanted):
                    break
    except (av.error.FFmpegError, IndexError) as error:
        raise _unreadable(path, error) from error
    if len(found) < len(wanted):
        missing = ValueError(f"frame at time stamp {wanted[len(found)]} is damaged or missing")
        raise _unreadable(path, missing)
    return found


def write_video(
    path: Path | str, frames: Iterable[UInt8[Tensor, "3 h w"]], rate: float | int = 10.0
) -> int:
    """Writes RGB frames of one size as H.264 (a player anywhere shows it); returns their number.

    An odd last row or column is repeated once: the format stores colour at half size.

    Raises:
        ValueError: there are no frames, or they differ in size.
    """
    av = load_av()
    count, size = 0, None
    with av.open(str(path), mode="w") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1000))
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            if size is None:
                size = frame.shape
                stream.height, stream.width = (side + side % 2 for side in size[1:])
            elif frame.shape != size:
                raise ValueError(
                    f"`frames` has a frame of {tuple(frame.shape)} after {tuple(size)}; "
                    "expected one size; resize them first"
                )
            picture = frame.permute(1, 2, 0).cpu().numpy()
            rows, columns = size[1] % 2, size[2] % 2
            if rows or columns:
                import numpy as np

                picture = np.pad(picture, ((0, rows), (0, columns), (0, 0)), mode="edge")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            count += 1
        if count:
            container.mux(stream.encode())
    if not count:
        raise ValueError(
            "`frames` is empty; expected at least one frame; give the sequence's frames"
        )
    return count


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"`{path}` cannot be decoded as a video ({error}); expected a file such as mp4, mkv or webm; "
        "convert it with ffmpeg, or give a folder of its frames"
    )
