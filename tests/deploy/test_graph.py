"""What an exported file computes, without tracing it."""

import torch

from crosstask.data.feeding import Feeding
from crosstask.deploy.graph import Graph
from crosstask.deploy.interface import Interface
from crosstask.deploy.metadata import metadata
from crosstask.models import create_model
from crosstask.predict.model import SceneModel
from crosstask.tasks import Depth


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
