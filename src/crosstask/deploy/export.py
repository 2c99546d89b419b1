"""Trained models for other programs: torch.export (.pt2) and ONNX, compared with eager."""

import copy
import json
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from timm.layers import to_2tuple
from timm.layers.pool2d_same import AvgPool2dSame
from torch import Tensor, nn
from torch.fx.experimental import _config as symbolic
from torch.nn import functional as F

from crosstask.media.files import atomic_path
from crosstask.models.layers.window_self_attention import WindowAttentionBlock
from crosstask.models.networks.scene_network import SceneNetwork
from crosstask.predict.model import SceneModel

FORMATS = ("pt2", "onnx")


class ExportError(ValueError):
    """A model cannot be exported as asked; says what to do."""


class Flat(nn.Module):
    """Image -> a tuple of final raw outputs, in the order of the tasks."""

    def __init__(self, network: nn.Module, tasks: Sequence[str]) -> None:
        super().__init__()
        self.network, self.tasks = network, tuple(tasks)
        if isinstance(network, SceneNetwork):
            network.final_only = True

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network(image)
        return tuple(outputs[task][-1] for task in self.tasks)


class EvenSamePool(nn.Module):
    """timm's AvgPool2dSame where sizes are multiples of its stride, as inside our networks.

    Its padding then is a constant, so that no symbolic rounding reaches the exported graph.
    """

    def __init__(self, pool: AvgPool2dSame) -> None:
        super().__init__()
        self.kernel, self.stride = to_2tuple(pool.kernel_size), to_2tuple(pool.stride)
        self.counts_padding = pool.count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        (height, width), (down, right) = self.kernel, self.stride
        rows, columns = max(height - down, 0), max(width - right, 0)
        pad = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
        padded = F.pad(x, pad)
        return F.avg_pool2d(padded, self.kernel, self.stride, 0, False, self.counts_padding)


def with_even_pools(network: nn.Module) -> nn.Module:
    """A copy of the network with every AvgPool2dSame replaced by `EvenSamePool`."""
    network = copy.deepcopy(network)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, AvgPool2dSame):
                setattr(parent, name, EvenSamePool(child))
    return network


def metadata(model: SceneModel) -> dict[str, str]:
    """What a user of the exported file needs: outputs in order, classes, units, normalisation."""
    network = model.network
    facts = {
        "library": "crosstask",
        "input": "image: (batch, 3, height, width) float32 RGB in [0, 1]; normalised inside",
        "outputs": [task.name for task in model.tasks],
        "tasks": [task.to_spec() for task in model.tasks],
        "units": model.description.get("units", {}),
        "camera": model.description.get("camera", ""),
        "multiple": network.multiple if isinstance(network, SceneNetwork) else 32,
    }
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()
    }


def export(
    model: SceneModel, path: Path, kind: str, size: tuple[int, int] = (128, 256)
) -> dict[str, float]:
    """Writes the model and compares it with eager at three sizes and batches, all on the CPU.

    Args:
        kind: "pt2" or "onnx".
        size: height and width of the example.

    Returns:
        {task: largest absolute difference to eager, relative to the largest eager value; infinite
        where either is not finite}.

    Raises:
        ExportError: unknown format, or a part that cannot be exported.
    """
    if kind not in FORMATS:
        raise ExportError(f"`format` is {kind!r}; expected one of {', '.join(FORMATS)}")
    names = [task.name for task in model.tasks]
    flat = Flat(with_even_pools(model.network), names).cpu().eval()
    eager = Flat(copy.deepcopy(model.network), names).cpu().eval()
    multiple = int(metadata(model)["multiple"])
    height, width = (-(-x // multiple) * multiple for x in size)
    example = torch.rand(2, 3, height, width)
    auto = torch.export.Dim.AUTO
    dynamic = {"image": {0: auto, 2: auto, 3: auto}}
    try:
        with torch.no_grad(), _sizes(flat):
            program = torch.export.export(flat, (example,), dynamic_shapes=dynamic, strict=False)
    except Exception as error:
        raise ExportError(
            f"this model has a part that torch.export cannot take ({type(error).__name__}: "
            f"{str(error).partition(chr(10))[0]}); export another architecture, or report it"
        ) from error
    if kind == "pt2":
        run = _write_pt2(program, model, path)
    else:
        run = _write_onnx(program, model, path, names)
    sizes = [(1, height, width), (2, height + multiple, width), (1, height, width + 2 * multiple)]
    return _compare(eager, run, names, sizes)


def _sizes(network: nn.Module) -> AbstractContextManager[object]:
    """How sizes are traced.

    A coarse map of the example may be a single window of attention. With such attention, sizes are
    not asked whether they are 0 or 1, or the answer for the example would hold for every image.
    """
    windows = any(isinstance(module, WindowAttentionBlock) for module in network.modules())
    if not windows:
        return nullcontext()
    return symbolic.patch(backed_size_oblivious=True)  # type: ignore[attr-defined, no-any-return]


def _write_pt2(program: Any, model: SceneModel, path: Path) -> Any:
    with atomic_path(path) as temporary:
        archive = temporary.with_suffix(".pt2")
        try:
            torch.export.save(program, archive, extra_files=metadata(model))
            archive.replace(temporary)
        finally:
            archive.unlink(missing_ok=True)
    with path.open("rb") as file:
        module = torch.export.load(file).module()
    return lambda image: module(image)


def _write_onnx(program: Any, model: SceneModel, path: Path, names: Sequence[str]) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError('ONNX needs an extra: pip install "crosstask[export]"') from error
    onnx_program = torch.onnx.export(
        program, dynamo=True, input_names=["image"], output_names=list(names), verbose=False
    )
    assert onnx_program is not None
    onnx_program.model.metadata_props.update(metadata(model))
    with atomic_path(path) as temporary:
        onnx_program.save(str(temporary))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(image: Tensor) -> list[Tensor]:
        return [torch.from_numpy(x) for x in session.run(list(names), {"image": image.numpy()})]

    return run


@torch.no_grad()
def _compare(
    flat: nn.Module, run: Any, names: Sequence[str], sizes: Sequence[tuple[int, int, int]]
) -> dict[str, float]:
    worst = dict.fromkeys(names, 0.0)
    for batch, height, width in sizes:
        image = torch.rand(batch, 3, height, width)
        for name, expected, found in zip(names, flat(image), run(image), strict=True):
            difference = float(
                (expected - found).abs().max() / expected.abs().max().clamp(min=1e-6)
            )
            worst[name] = max(worst[name], difference if math.isfinite(difference) else math.inf)
    return worst
