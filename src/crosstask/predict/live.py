"""A live source through a model: newest frames, results written as they come."""

import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from crosstask.engine.interruption import Stopped
from crosstask.media.files import write_json
from crosstask.media.images import StoredImage
from crosstask.media.live import is_live, open_source
from crosstask.media.video import video_orientation
from crosstask.predict.camera import camera_of_image, check_focal
from crosstask.predict.engine import load_runtime
from crosstask.predict.model import SceneModel
from crosstask.predict.prediction import Prediction
from crosstask.predict.sinks import FORMATS, FrameFiles, FrameVideos
from crosstask.predict.views import point_cloud, save_cloud

STEM = "stream"


@dataclass(frozen=True)
class LiveSettings:
    """How a source is read and what is written.

    Attributes:
        output: folder; None writes nothing.
        video: "side-by-side", "per-task" or "files", as for `crosstask predict`.
        cloud: a point cloud (.ply) of every so manieth predicted frame; 0 for none.
        fx: focal length in pixels of the frames.
        fov: their horizontal field of view in degrees, in place of it.
        size: (height, width) at which the network runs.
        waiting: most frames that wait for the network; older ones are dropped.
        keep_all: predict every frame, as fast as they can be read (files).
        stall: seconds without a frame after which the source counts as lost.
        frames: end after so many predictions; None goes on.
    """

    output: Path | None = None
    video: str = "side-by-side"
    cloud: int = 0
    fx: float | None = None
    size: tuple[int, int] | None = None
    waiting: int = 1
    keep_all: bool = False
    stall: float = 5.0
    frames: int | None = None
    fov: float | None = None

    def __post_init__(self) -> None:
        check_focal(None, self.fx, self.fov)
        if self.video not in FORMATS:
            raise ValueError(f"`video` is {self.video!r}; expected one of {', '.join(FORMATS)}")
        if self.waiting < 1 or not self.stall > 0:
            raise ValueError(
                f"`waiting`, `stall` are {self.waiting}, {self.stall}; expected 1 or more, above 0"
            )
        if self.cloud and self.output is None:
            raise ValueError("`cloud` needs `output`, the folder for its files")


@dataclass
class Watched:
    """What came of a source: counts, times, files, and why it ended if something was wrong."""

    predicted: int = 0
    dropped: int = 0
    latencies: list[float] = field(default_factory=list)
    fps: float = 0.0
    depth_kind: str | None = None
    focal: str = ""
    files: list[Path] = field(default_factory=list)
    defect: str | None = None

    def facts(self) -> dict[str, Any]:
        """JSON values."""
        median = statistics.median(self.latencies) if self.latencies else None
        return {
            "frames": self.predicted,
            "dropped": self.dropped,
            "fps": self.fps,
            "median_latency_ms": median,
            "depth_kind": self.depth_kind,
            "focal": self.focal or None,
            "defect": self.defect,
        }


def watch(
    model: SceneModel,
    source: str,
    settings: LiveSettings,
    tell: Callable[[dict[str, float]], None] = lambda _: None,
) -> Watched:
    """Predicts a source until it ends, is lost, or the user stops it; keeps what was written.

    Args:
        source: see `open_source`.
        tell: called with `frame`, `latency_ms`, `fps` and `dropped` of every prediction.

    Raises:
        DataError: the source cannot be opened.
        KeyboardInterrupt, Stopped: by the user, once everything is written.
    """
    runtime = load_runtime()
    rate, frames = open_source(source, settings.stall, paced=not settings.keep_all)
    turned = 1 if is_live(source) else video_orientation(Path(source))
    found = Watched()
    stop: BaseException | None = None
    with ExitStack() as stack:
        sink = _sink(model, settings, rate, stack)
        try:
            for number, prediction in _predictions(
                model, frames, turned, settings, found, tell, runtime
            ):
                if sink is not None:
                    sink.write(number, prediction)
                _cloud(model, number, prediction, settings, found)
        except runtime.SourceLost as error:
            found.defect = str(error)
        except (KeyboardInterrupt, Stopped) as ended:
            stop = ended
    if sink is not None and settings.output is not None:
        found.files = [file for file in sink.files if file.exists()] + found.files
        sheet = settings.output / f"{STEM}.json"
        write_json(sheet, {"source": source, "rate": rate, **found.facts(), **sink.facts()})
        found.files.append(sheet)
    if stop is not None:
        raise stop
    return found


def _sink(model: SceneModel, settings: LiveSettings, rate: float, stack: ExitStack) -> Any:
    if settings.output is None:
        return None
    if settings.video == "files":
        return FrameFiles(model, settings.output, STEM)
    joined = settings.video == "side-by-side"
    return FrameVideos(model, settings.output, STEM, rate, joined, stack, numbered=True)


def _predictions(
    model: SceneModel,
    frames: Iterator[UInt8[np.ndarray, "h w 3"]],
    turned: int,
    settings: LiveSettings,
    found: Watched,
    tell: Callable[[dict[str, float]], None],
    runtime: Any,
) -> Iterator[tuple[int, Prediction]]:
    """(number of the upright frame, its prediction), counted in `found`.

    Args:
        turned: how the stored frames were turned; a field of view is across them.
    """
    pace = runtime.live.Pace()
    arrivals = runtime.live.newest(
        frames, waiting=settings.waiting, stall=settings.stall, keep_all=settings.keep_all
    )
    for arrival in arrivals:
        image = torch.from_numpy(arrival.frame).permute(2, 0, 1)[None]
        known = camera_of_image(StoredImage(image[0], turned), None, settings.fx, settings.fov)
        (prediction,) = model.predict_batch(
            image, known.matrix, source=known.source, size=settings.size
        )
        facts = pace.done(arrival.arrived)
        found.predicted, found.dropped = found.predicted + 1, arrival.dropped
        found.latencies.append(facts["latency_ms"])
        found.fps, found.depth_kind = facts["fps"], prediction.depth_kind
        found.focal = prediction.focal_told
        tell({"frame": arrival.number, "dropped": arrival.dropped, **facts})
        yield arrival.number, prediction
        if settings.frames is not None and found.predicted >= settings.frames:
            arrivals.close()
            return


def _cloud(
    model: SceneModel, number: int, prediction: Prediction, settings: LiveSettings, found: Watched
) -> None:
    """The point cloud of a frame whose turn it is."""
    if settings.output is None or not settings.cloud or (found.predicted - 1) % settings.cloud:
        return
    file = settings.output / f"{STEM}_{number:06d}.ply"
    save_cloud(str(file), point_cloud(prediction, model.tasks))
    found.files.append(file)
