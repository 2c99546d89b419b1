"""int8 by onnxruntime's static quantisation, per channel, calibrated on images as the file takes them."""

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crosstask.deploy.interface import ExportError

OPERATORS = ("Conv", "Gemm", "MatMul", "Add", "Concat", "Clip", "Relu", "MaxPool", "AveragePool")
"""What computes in 8 bits: the rest (softmax, resizing, decoding) stays in float32."""

Feeds = Sequence[Mapping[str, np.ndarray]]


def quantize(source: Path, target: Path, calibration: Feeds) -> None:
    """Writes an int8 copy of an ONNX file.

    Weights per channel and activations, as pairs of QuantizeLinear and DequantizeLinear, which every
    runtime reads. Scales are the least and largest values on the calibration images.

    Args:
        calibration: inputs of the file by name, of real images.

    Raises:
        ExportError: onnxruntime refuses the file.
    """
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.feeds: Iterator[Mapping[str, np.ndarray]] = iter(calibration)

        def get_next(self) -> Mapping[str, np.ndarray] | None:
            return next(self.feeds, None)

    with tempfile.TemporaryDirectory() as folder:
        folded = Path(folder) / "folded.onnx"
        before = logging.root.level
        logging.root.setLevel(logging.ERROR)  # it recommends what is done here
        try:
            quantization.quant_pre_process(str(source), str(folded), skip_symbolic_shape=True)
            quantization.quantize_static(
                str(folded),
                str(target),
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                op_types_to_quantize=list(OPERATORS),
                nodes_to_exclude=surroundings(folded),
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
            )
        except Exception as error:
            raise ExportError(
                f"onnxruntime cannot quantise this model ({type(error).__name__}: "
                f"{str(error).partition(chr(10))[0]}); export it as float32 or fp16"
            ) from error
        finally:
            logging.root.setLevel(before)


def surroundings(path: Path) -> list[str]:
    """Nodes before the first and after the last convolutions: feeding and decoding, in float32."""
    import onnx

    graph: Any = onnx.load(str(path), load_external_data=False).graph
    heavy = {"Conv", "Gemm", "MatMul"}
    after: set[str] = set()  # values that a heavy node leads to
    for node in graph.node:  # what a node reads is made before it
        if node.op_type in heavy or any(name in after for name in node.input):
            after.update(node.output)
    before: set[str] = set()  # values that lead to a heavy node
    for node in reversed(graph.node):
        if node.op_type in heavy or any(name in before for name in node.output):
            before.update(node.input)
    between = after & before
    return [
        node.name
        for node in graph.node
        if node.op_type not in heavy and not any(name in between for name in node.output)
    ]
