"""Files for OpenVINO (extra `openvino`): an .xml and its .bin, made from the ONNX graph."""

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crosstask.deploy.comparison import Run
from crosstask.deploy.graph import Graph
from crosstask.media.files import atomic_path


def write(content: Any, graph: Graph, facts: dict[str, str], path: Path) -> Run:
    """Writes PATH and its .bin, the facts as `rt_info/crosstask/...`, and opens them on the CPU.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise ImportError('OpenVINO needs an extra: pip install "crosstask[openvino]"') from error
    model = openvino.convert_model(io.BytesIO(content.SerializeToString()))
    for key, value in facts.items():
        model.set_rt_info(value, ["crosstask", key])
    half = graph.interface.precision == "fp16"
    with atomic_path(path) as temporary, atomic_path(path.with_suffix(".bin")) as weights:
        written = temporary.with_suffix(".xml")
        openvino.save_model(model, str(written), compress_to_fp16=half)
        written.replace(temporary)
        written.with_suffix(".bin").replace(weights)
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(*inputs: Tensor) -> list[Tensor]:
        found = compiled([value.numpy() for value in inputs])
        return [torch.from_numpy(found[k].copy()) for k in range(len(graph.names))]

    return run
