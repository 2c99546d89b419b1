"""Trained models for other programs: ONNX, torch.export (.pt2) and OpenVINO, compared with eager."""

import io
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crosstask.deploy.comparison import Comparison, Run, compare, inputs_of
from crosstask.deploy.graph import Graph
from crosstask.deploy.interface import FORMATS, ExportError, Interface
from crosstask.deploy.metadata import metadata
from crosstask.deploy.quantization import quantize
from crosstask.deploy.tracing import trace, translations
from crosstask.media.files import naming_full_disk, write_bytes
from crosstask.media.progress import QUIET, Progress
from crosstask.models.networks.scene_network import SMALLEST, SceneNetwork
from crosstask.predict.model import SceneModel

DEFAULT_SIZE = (128, 256)


def export(
    model: SceneModel,
    path: Path,
    kind: str,
    size: tuple[int, int] | None = None,
    interface: Interface | None = None,
    *,
    calibration: Iterable[Mapping[str, Any]] = (),
    samples: Iterable[Mapping[str, Any]] = (),
    progress: Progress = QUIET,
) -> Comparison:
    """Writes the model and compares it with eager at several sizes and batches, all on the CPU.

    Args:
        kind: "onnx", "pt2" or "openvino" (a pair of files, PATH and its .bin).
        size: height and width of the example; the training's if left out.
        interface: what the file takes and gives; decoded outputs by default.
        calibration: samples whose images int8 is calibrated on.
        samples: labelled ones, on whose metrics model and file are compared.
        progress: told which of the steps runs.

    Raises:
        ExportError: unknown format, a combination that the format has not, no calibration images,
            or a part that cannot be exported.
    """
    interface = interface or Interface()
    images = list(calibration)
    _check(kind, interface, len(images))
    graph = Graph(model, interface)
    eager = Graph(model, interface, traced=False)
    height, width = size or model.description.get("size") or DEFAULT_SIZE
    # no size at which two axes of anything inside happen to be equal
    aside = (0, 0) if interface.size == "native" else (height // 4 + 5, width // 3 + 7)
    example = graph.example((height + aside[0], width + aside[1]))
    if interface.precision == "fp16":
        graph.half()
    with progress.during("export, step 1 of 3: trace the network"):
        program = trace(graph, example)
    facts = metadata(model, graph)
    feeds = [inputs_of(sample, graph) for sample in images]
    with progress.during(f"export, step 2 of 3: translate and write {path.name}"):
        if kind == "pt2":
            run = _write_pt2(program, facts, path)
        else:
            run = _write_onnx(program, graph, facts, path, feeds, kind)
    noise, labelled = _noise(eager, height, width), list(samples)
    compared: Iterator[Any] = iter([*noise, *labelled])
    title = "export, step 3 of 3: compare with the model"
    counted = progress.each(compared, len(noise) + len(labelled), title)
    return compare(eager, run, islice(counted, len(noise)), counted)


def _check(kind: str, interface: Interface, images: int) -> None:
    if kind not in FORMATS:
        raise ExportError(f"`format` is {kind!r}; expected one of {', '.join(FORMATS)}")
    if kind == "pt2" and interface.precision == "int8":
        raise ExportError(
            "`format` pt2 has no int8 here; export ONNX or OpenVINO, or pt2 in fp16 or float32"
        )
    if interface.precision == "int8" and not images:
        raise ExportError(
            "int8 needs calibration images and there are none; give `--calibration` a folder of images "
            "like those of use, or a run with a dataset"
        )


def _noise(graph: Graph, height: int, width: int) -> list[tuple[Tensor, ...]]:
    """Inputs at the example's size and, where sizes are free, at others and in another batch."""
    if graph.interface.image_size is not None:
        return [graph.example((height, width))]
    network = graph.network
    step = network.multiple if isinstance(network, SceneNetwork) else SMALLEST
    sizes = [(1, height, width), (2, height + step, width), (1, height, width + 2 * step)]
    return [graph.example((h, w), batch) for batch, h, w in sizes]


def _write_pt2(program: Any, facts: dict[str, str], path: Path) -> Run:
    archive = io.BytesIO()  # torch ends the process where a disk is full
    torch.export.save(program, archive, extra_files=facts)
    write_bytes(path, archive.getvalue())
    with path.open("rb") as file:
        module = torch.export.load(file).module()

    def run(*inputs: Tensor) -> Sequence[Tensor]:
        try:
            return module(*inputs)
        except AssertionError as error:  # a condition on sizes that tracing found
            path.unlink()
            raise ExportError(
                f"as .pt2 this model takes no images of {tuple(inputs[0].shape)}; give `--size`, or "
                f"export ONNX ({str(error).partition(chr(10))[0][:200]})"
            ) from error

    return run


def _write_onnx(
    program: Any,
    graph: Graph,
    facts: dict[str, str],
    path: Path,
    feeds: Sequence[tuple[Tensor, ...]],
    kind: str,
) -> Run:
    """Writes an ONNX file, or what OpenVINO makes of it, and opens it."""
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ImportError('ONNX needs an extra: pip install "crosstask[export]"') from error
    names = ("image", "focal") if graph.takes_focal else ("image",)
    made = torch.onnx.export(
        program,
        dynamo=True,
        input_names=list(names),
        output_names=list(graph.names),
        opset_version=graph.interface.opset,
        custom_translation_table=translations(),
        verbose=False,
    )
    assert made is not None
    content = made.model_proto
    if graph.interface.precision == "int8":
        content = _quantized(content, [_arrays(names, given) for given in feeds])
    _name_axes(content, graph)
    del content.graph.value_info[:]  # named as the tracer named the axes
    onnx.helper.set_model_props(content, facts)
    if kind == "openvino":
        from crosstask.deploy.openvino import write

        return write(content, graph, facts, path)
    write_bytes(path, content.SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(*inputs: Tensor) -> list[Tensor]:
        found = session.run(list(graph.names), _arrays(names, inputs))
        return [torch.from_numpy(x) for x in found]

    return run


def _quantized(content: Any, feeds: Sequence[dict[str, np.ndarray]]) -> Any:
    """An int8 copy, by way of files, which is what onnxruntime takes."""
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        with naming_full_disk(file, content.ByteSize()):
            onnx.save(content, str(file))
            quantize(file, file, feeds)
        return onnx.load(str(file))


def _arrays(names: Sequence[str], inputs: Sequence[Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in zip(names, inputs, strict=True)}


def _name_axes(content: Any, graph: Graph) -> None:
    """`batch`, `height` and `width` in place of the tracer's names, of inputs and outputs."""
    image = content.graph.input[0].type.tensor_type.shape.dim
    first = 1 if graph.interface.input == "uint8" else 2
    axes = {0: "batch", first: "height", first + 1: "width"}
    names = {image[axis].dim_param: name for axis, name in axes.items() if image[axis].dim_param}
    for value in (*content.graph.input, *content.graph.output):
        dims = value.type.tensor_type.shape.dim
        for axis, dim in enumerate(dims):
            if dim.dim_param:
                last = {0: "batch", len(dims) - 2: "height", len(dims) - 1: "width"}
                dim.dim_param = names.get(dim.dim_param) or last.get(axis, dim.dim_param)
