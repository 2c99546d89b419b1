"""Metrics of an export are those of evaluation, whatever part of the input an image fills."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crosstask.data import FolderDataset
from crosstask.data.feeding import Feeding
from crosstask.data.transforms import evaluation
from crosstask.deploy.comparison import compare
from crosstask.deploy.graph import Graph
from crosstask.deploy.interface import Interface
from crosstask.engine import rebuilding
from crosstask.evaluation.evaluate import Evaluator, batch_of_one
from crosstask.models import create_model
from crosstask.predict.model import SceneModel
from crosstask.tasks import Segmentation
from fakes.png import write_png
from fakes.scenes import CLASSES

SIZE = (48, 96)


class OfColour(nn.Module):
    """Knows the class of a pixel by its colour."""

    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        colours = torch.tensor(CLASSES.colors, dtype=torch.float32)[None, ..., None, None] / 255
        return {"segmentation": [-100 * (image[:, None] - colours).abs().sum(dim=2)]}


def fed(root: Path, labels: np.ndarray) -> dict[str, Any]:
    """An image of the classes' colours, fed with its aspect kept, and its label as stored."""
    write_png(root / "images/a.png", np.array(CLASSES.colors, np.uint8)[labels])
    write_png(root / "segmentation/a.png", labels)
    change = evaluation(SIZE, fit="keep", targets="native")
    return FolderDataset(root, "all", ("segmentation",), change, classes=CLASSES)[0]


@pytest.fixture(params=[(60, 90), (96, 40), (48, 96)], ids=str)
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Ground, a wall and a box that touches the right border."""
    height, width = request.param
    labels = np.ones((height, width), np.uint8)
    labels[height // 2 :] = 0
    labels[height // 4 : -height // 4, -width // 3 :] = 2
    return fed(tmp_path, labels)


@pytest.fixture
def model() -> SceneModel:
    tasks, feeding = (Segmentation(classes=CLASSES),), Feeding(size=SIZE, fit="keep").to_spec()
    network = create_model("multi_task", tasks, encoder="resnet10t", pretrained=False, width=0.0625)
    described = rebuilding.describe(network, tasks, size=list(SIZE), feeding=feeding)
    return SceneModel(network, tasks, described)


@pytest.mark.parametrize("size", [None, (64, 64), (96, 192)], ids=str)
def test_what_fills_the_input_is_not_scored(
    model: SceneModel, sample: dict[str, Any], size: tuple[int, int] | None
) -> None:
    """Labels as stored show the image alone; also where the file takes another size."""
    graph = Graph(model, Interface(image_size=size), traced=False)
    graph.network = OfColour()
    found = compare(graph, graph, [graph.example(SIZE)], [sample])
    ours, file = found.metrics["segmentation/miou"]
    assert ours == file

    batch = batch_of_one(sample, "cpu")
    scored = Evaluator(model.tasks)
    scored.update(OfColour()(batch["image"]), batch)
    evaluated = scored.compute()["segmentation/miou"]
    assert evaluated > 0.99
    coarse = size == (64, 64)  # 13 columns are left of an upright image
    assert ours == pytest.approx(evaluated, abs=0.1 if coarse else 0.02)


def test_labels_smaller_than_the_input_are_compared_at_the_centre_of_their_pixels(
    model: SceneModel, tmp_path: Path
) -> None:
    """A third of the input's size: the border of each pixel is blurred, its centre is not."""
    labels = np.random.default_rng(0).integers(0, len(CLASSES), (16, 24)).astype(np.uint8)
    graph = Graph(model, Interface(), traced=False)
    graph.network = OfColour()
    found = compare(graph, graph, [graph.example(SIZE)], [fed(tmp_path, labels)])
    assert found.metrics["segmentation/miou"] == (1.0, 1.0)


def test_raw_outputs_are_compared_and_not_scored(model: SceneModel, sample: dict[str, Any]) -> None:
    graph = Graph(model, Interface(outputs="raw"), traced=False)
    found = compare(graph, graph, [graph.example(SIZE)], [sample])
    assert found.images == 1 and found.metrics == {}
    assert set(found.means) == set(graph.names) and not any(found.means.values())
