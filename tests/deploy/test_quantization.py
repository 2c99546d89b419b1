"""What computes in 8 bits and what does not."""

from pathlib import Path

import pytest

from crosstask.deploy.quantization import surroundings

onnx = pytest.importorskip("onnx")


def test_feeding_and_decoding_stay_in_floats(tmp_path: Path) -> None:
    """Between the first and the last convolution only, whatever the kind of node."""
    make = onnx.helper
    value = make.make_tensor_value_info
    nodes = [
        make.make_node("Relu", ["image"], ["fed"], name="feeding"),
        make.make_node("Conv", ["fed", "w"], ["a"], name="first"),
        make.make_node("Relu", ["a"], ["b"], name="inside"),
        make.make_node("Conv", ["b", "w"], ["c"], name="last"),
        make.make_node("Add", ["c", "a"], ["depth"], name="decoding"),
    ]
    shape = [1, 1, 4, 4]
    graph = make.make_graph(
        nodes,
        "g",
        [value("image", onnx.TensorProto.FLOAT, shape)],
        [value("depth", onnx.TensorProto.FLOAT, shape)],
        [make.make_tensor("w", onnx.TensorProto.FLOAT, [1, 1, 1, 1], [2.0])],
    )
    onnx.save(make.make_model(graph), str(tmp_path / "m.onnx"))
    assert surroundings(tmp_path / "m.onnx") == ["feeding", "decoding"]
