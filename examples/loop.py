"""The loop that all cameras here share: newest frames through an exported model, without torch."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from crosstask_runtime import Scene, SourceLost, load, watch


def run(
    model: Path | str,
    frames: Iterable[np.ndarray],
    fx: float | None,
    handle: Callable[[Scene], None],
    stall: float = 5.0,
) -> int:
    """Hands every prediction to `handle`; returns an exit code.

    Args:
        model: what `crosstask export` wrote.
        frames: (H,W,3) uint8 RGB; blocks until there is one.
        fx: focal length in pixels of the frames.
        stall: seconds without a frame after which the camera counts as lost.
    """
    try:
        for scene in watch(load(model), frames, fx=fx, stall=stall):
            handle(scene)
    except SourceLost as error:
        print(f"error: {error}")
        return 2
    return 0


def show(scene: Scene) -> None:
    """One line: the nearest thing in the middle of the image, and how fast this goes."""
    height, width = scene.image.shape[:2]
    middle = scene["depth"][0, height // 3 : 2 * height // 3, width // 3 : 2 * width // 3]
    facts = scene.facts
    print(
        f"nearest {middle.min():.2f} ({scene.kinds['depth']})  {facts['latency_ms']:.0f} ms  "
        f"{facts['fps']:.1f} frames/s  {facts['dropped']:.0f} dropped",
        flush=True,
    )
