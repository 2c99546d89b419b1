"""A graph as torch.export's program, and what its translation to ONNX lacks."""

import builtins
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental import _config as symbolic

from crosstask.deploy.graph import Graph
from crosstask.deploy.interface import ExportError
from crosstask.models.layers.window_self_attention import WindowAttentionBlock


def trace(graph: Graph, example: tuple[Tensor, ...]) -> Any:
    """The graph as torch.export's program, for images and batches of any size where none is fixed.

    Raises:
        ExportError: a part cannot be exported.
    """
    auto = torch.export.Dim.AUTO
    first = 1 if graph.interface.input == "uint8" else 2  # the axis of the height
    axes: list[Mapping[int, Any] | None] = [{0: auto, first: auto, first + 1: auto}, {0: auto}]
    if graph.interface.image_size is not None:
        axes = [None, None]
    shapes = dict(zip(("image", "focal"), axes[: len(example)], strict=False))
    try:
        with torch.no_grad(), _sizes(graph.network):
            return torch.export.export(graph, example, dynamic_shapes=shapes, strict=False)
    except Exception as error:
        raise ExportError(
            f"this model has a part that torch.export cannot take ({type(error).__name__}: "
            f"{str(error).partition(chr(10))[0]}); export another architecture, or report it"
        ) from error


def _sizes(network: nn.Module) -> AbstractContextManager[object]:
    """How sizes are traced.

    A coarse map of the example may be a single window of attention. With such attention, sizes are
    not asked whether they are 0 or 1, or the answer for the example would hold for every image.
    """
    windows = any(isinstance(module, WindowAttentionBlock) for module in network.modules())
    if not windows:
        return nullcontext()
    return symbolic.patch(backed_size_oblivious=True)  # type: ignore[attr-defined, no-any-return]


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Operations on sizes that torch's translation to ONNX lacks."""
    from onnxscript import INT64
    from onnxscript import opset18 as operators

    def rounded(value: Any, digits: Any = None) -> Any:
        return operators.Cast(operators.Round(value), to=INT64.dtype)

    return {builtins.round: rounded}
