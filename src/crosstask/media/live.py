"""Cameras, network streams and video files as one iterator of frames, through PyAV."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from crosstask.media.reading import DataError
from crosstask.media.video import frame_rate, load_av, stream_frames

SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp", "srt")
_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}
_EXPECTED = "expected the index of a camera (0), an address (rtsp://...), or a video file"
LIVE_RATE = 25.0
"""Frames a second of a source that names no rate."""

Frames = Iterator[UInt8[np.ndarray, "h w 3"]]


def is_live(source: str) -> bool:
    """Whether a source is a camera (its index) or an address, and no file."""
    return source.isdecimal() or source.partition("://")[0] in SCHEMES


def open_source(source: str, stall: float = 5.0, paced: bool = True) -> tuple[float, Frames]:
    """(frames a second, frames RGB) of a camera index, an address or a video file.

    Args:
        stall: seconds after which an address that answers nothing counts as lost.
        paced: a file gives its frames at its own rate, as a camera would; else as fast as it can.

    Raises:
        DataError: there is no such camera, address or video.
    """
    if not is_live(source):
        if not Path(source).is_file():
            raise DataError(f"`source` is {source}, and there is no such file; {_EXPECTED}")
        rate = frame_rate(Path(source))
        return rate, _of_file(Path(source), rate if paced else None)
    av = load_av()
    try:
        container = _open(av, source, stall)
        video = container.streams.video[0]
    except av.error.ExitError as error:
        raise DataError(
            f"`source` {source} answered nothing within {stall:g} seconds; is it on, and is the address "
            "right? `--stall` waits longer"
        ) from error
    except (av.error.FFmpegError, OSError, IndexError, ValueError) as error:
        raise DataError(f"`source` {source} cannot be opened ({error}); {_EXPECTED}") from error
    rate = float(video.average_rate or video.guessed_rate or LIVE_RATE)
    return rate, _of_container(container, source)


def _open(av: Any, source: str, stall: float) -> Any:
    if not source.isdecimal():
        options = {"rtsp_transport": "tcp"} if source.startswith("rtsp") else {}
        return av.open(source, options=options, timeout=stall)
    if sys.platform not in _CAMERAS:
        raise DataError(
            f"`source` is the camera {source}; on this system give an address or a video file"
        )
    kind, name = _CAMERAS[sys.platform]
    return av.open(name.format(source), format=kind)


def _of_container(container: Any, source: str) -> Frames:
    with container:
        for frame in container.decode(container.streams.video[0]):
            yield frame.to_ndarray(format="rgb24")
    if source.isdecimal() or source.startswith("rtsp"):  # an address of a file may end
        raise DataError(f"{source} gives no more frames; was the camera taken away?")


def _of_file(path: Path, rate: float | None) -> Frames:
    started = time.monotonic()
    for number, frame in stream_frames(path):
        if rate is not None:
            time.sleep(max(0.0, started + number / rate - time.monotonic()))
        yield np.ascontiguousarray(frame.permute(1, 2, 0).numpy())
