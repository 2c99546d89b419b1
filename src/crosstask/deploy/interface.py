"""What an exported file takes and gives, and what its outputs are called."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from crosstask.models.networks.scene_network import SMALLEST
from crosstask.tasks import Task
from crosstask.tasks.camera import UP_TO_SCALE

FORMATS = ("pt2", "onnx", "openvino")
PRECISIONS = ("float32", "fp16", "int8")


class ExportError(ValueError):
    """A model cannot be exported as asked; says what to do."""


@dataclass(frozen=True, kw_only=True)
class Interface:
    """What an exported file takes and gives.

    Args:
        outputs: "decoded" (class indices, metres, unit vectors, probabilities), or "raw".
        input: "float" (batch, 3, height, width) RGB in [0, 1], or "uint8" (batch, height, width, 3).
        size: (height, width) at which the network runs, whatever the image's size; "dynamic" is the
            training's area in the image's shape; "native" the image's own size.
        image_size: (height, width) of the images, one at a time, for devices that need every shape
            fixed; None for images and batches of any size.
        focal: of a camera-aware model: "input" (focal length in pixels, an input of the file), a
            number of pixels for one camera, or "none" (depth is then up to scale and named so).
        precision: "float32", "fp16" (inside; inputs and outputs stay float32) or "int8".
        opset: of ONNX.
    """

    outputs: str = "decoded"
    input: str = "float"
    size: tuple[int, int] | str = "dynamic"
    image_size: tuple[int, int] | None = None
    focal: str | float = "input"
    precision: str = "float32"
    opset: int = 18

    def __post_init__(self) -> None:
        for name, known in (
            ("outputs", ("decoded", "raw")),
            ("input", ("float", "uint8")),
            ("precision", PRECISIONS),
        ):
            # Fields of this class.
            value = getattr(self, name)
            if value not in known:
                raise ExportError(f"`{name}` is {value!r}; expected one of {', '.join(known)}")
        for name, words in (("size", ("dynamic", "native")), ("image_size", (None,))):
            # Fields of this class.
            value = getattr(self, name)
            if value not in words and (isinstance(value, str) or min(value) < SMALLEST):
                raise ExportError(
                    f"`{name}` is {value}; expected height and width of at least {SMALLEST} pixels"
                )
        if isinstance(self.focal, str) and self.focal not in ("input", "none"):
            raise ExportError(f"`focal` is {self.focal!r}; expected input, none or pixels")
        if not isinstance(self.focal, str) and not 0 < self.focal < float("inf"):
            raise ExportError(f"`focal` is {self.focal}; expected pixels above 0")
        if not 18 <= self.opset <= 23:
            raise ExportError(
                f"`opset` is {self.opset}; expected 18 (the first that resizes as in training) to 23"
            )


def output_names(tasks: Sequence[Task], interface: Interface) -> dict[str, tuple[str, ...]]:
    """{task: names of its outputs}, with `_up_to_scale` where lengths are no metres.

    Raises:
        ExportError: a task does not say how a file decodes it.
    """
    if interface.outputs == "raw":
        return {task.name: (task.name,) for task in tasks}
    names: dict[str, tuple[str, ...]] = {}
    for task in tasks:
        if not task.decodes_in_graph:
            raise ExportError(
                f"task `{task.name}` ({type(task).__name__}) has no `decode_in_graph`, which says how "
                "a file decodes its output; write that method, or export with `--outputs raw`"
            )
        endings = task.decode_in_graph(torch.zeros(1, task.channels, 2, 2))
        names[task.name] = tuple(f"{base_name(task, interface)}{ending}" for ending in endings)
    return names


def base_name(task: Task, interface: Interface) -> str:
    """What a task's output is called: its lengths are metres under its own name only."""
    metric = task.holds_for_one_camera or (task.camera_aware and interface.focal != "none")
    lengths = task.is_depth and not metric
    return f"{task.name}_{UP_TO_SCALE.replace(' ', '_')}" if lengths else task.name
