"""What an exported file computes, without tracing whole networks."""

import pytest
import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn

from crosstask.data import labels
from crosstask.data.feeding import Feeding
from crosstask.deploy.graph import EvenSameConv, Graph, with_even_padding
from crosstask.deploy.interface import Interface
from crosstask.deploy.metadata import metadata
from crosstask.models import create_model
from crosstask.models.layers import sizes
from crosstask.predict.model import SceneModel
from crosstask.tasks import Depth, Edges, Segmentation


def test_the_graph_takes_the_channels_of_the_model() -> None:
    network = create_model(
        "multi_task", {"depth": 1}, "test_resnet", False, width=0.0625, in_channels=4
    )
    channels = ("red", "green", "blue", "depth")
    feeding = Feeding(size=(32, 64), fit="keep", channels=channels, ranges={"depth": (0.0, 9.0)})
    model = SceneModel(network, (Depth(),), {"feeding": feeding.to_spec(), "model": {}})
    graph = Graph(model, Interface())
    assert graph.example((40, 50))[0].shape == (2, 4, 40, 50)
    image = torch.rand(1, 4, 40, 50)
    with torch.no_grad():
        (found,) = graph(image)
    assert torch.allclose(found, model.predict_batch(image)[0]["depth"][None], atol=1e-4)
    assert (
        "(batch, 4, height, width) float32 (red, green, blue, depth)"
        in metadata(model, graph)["input"]
    )


def operators(interface: Interface) -> set[str]:
    """Names of the operators of an exported program."""
    tasks = (Segmentation(classes=labels.CAMVID_11), Edges())
    outputs = {task.name: task.channels for task in tasks}
    network = create_model("multi_task", outputs, "test_resnet", False, width=0.0625)
    model = SceneModel(
        network, tasks, {"feeding": Feeding(size=(32, 64), fit="keep").to_spec(), "model": {}}
    )
    graph = Graph(model, interface).eval()
    with torch.no_grad():
        program = torch.export.export(graph, graph.example((32, 64), batch=1))
    return {str(node.target) for node in program.graph.nodes if node.op == "call_function"}


def test_a_file_of_one_size_neither_gathers_pixels_nor_resizes_what_has_its_size() -> None:
    found = operators(Interface(size=(32, 64), image_size=(32, 64)))
    assert not [name for name in found if "index_select" in name or "softmax" in name]
    assert not [name for name in found if "antialias" in name or "_aa" in name]
    resized = operators(Interface(size=(32, 64), image_size=(40, 80)))
    assert [name for name in resized if "_aa" in name]


def test_decoding_in_the_graph_is_decoding() -> None:
    torch.manual_seed(0)
    for logits in (1, 2):
        task = Edges(logits=logits)
        output = 30 * torch.randn(2, logits, 5, 7)
        assert torch.allclose(task.decode_in_graph(output)[""], task.decode(output), atol=1e-6)
    segmentation = Segmentation(classes=labels.CAMVID_11)
    output = 30 * torch.randn(2, 11, 5, 7)
    probability = segmentation.decode_in_graph(output)["_probability"]
    assert torch.allclose(probability, output.softmax(1).amax(1), atol=1e-6)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 2), (3, 1), (1, 2)])
def test_even_padding_is_the_same_padding(kernel: int, stride: int) -> None:
    network = nn.Sequential(Conv2dSame(3, 4, kernel, stride, bias=True))
    image = torch.rand(2, 3, 32, 48)
    wanted = network(image)
    assert torch.equal(with_even_padding(network)(image), wanted)
    assert isinstance(network[0], EvenSameConv)


def test_sizes_of_five_strides_stay_short_in_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """They nested from stride to stride, and tracing `fast` took an hour."""
    # the original's annotations are checked here, and a symbol is no int
    monkeypatch.setattr(sizes, "cell_count", lambda length, side: (length + side - 1) // side)
    convolutions = [Conv2dSame(3, 3, 3, 2) for _ in range(5)]
    network = with_even_padding(nn.Sequential(*convolutions))

    class Padded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: Tensor) -> Tensor:
            return self.network(sizes.pad_to_multiple(image, 32))

    auto = torch.export.Dim.AUTO
    example = (torch.rand(1, 3, 70, 100),)
    program = torch.export.export(Padded(), example, dynamic_shapes=({2: auto, 3: auto},))
    (output,) = [node for node in program.graph.nodes if node.op == "output"]
    height = str(output.args[0][0].meta["val"].shape[-2])
    assert len(height) <= len("((s123 + 31)//32)"), height
