"""Which kind of depth a model says that it predicts."""

import pytest
import torch

from crosstask.models import create_model
from crosstask.predict.model import SceneModel
from crosstask.tasks import Depth


def test_the_size_of_the_network_decides_with_the_camera() -> None:
    """Trained at 32 x 64 with focal length 40; twice that camera is the same at half the size."""
    network = create_model("multi_task", {"depth": 1}, "test_resnet", False, width=0.0625)
    described = {"size": [32, 64], "training_camera": {"focal": [40.0, 40.0]}}
    model = SceneModel(network, (Depth(),), described)
    image = torch.rand(3, 64, 128)  # the network sees a half of it, with half the focal length
    assert model.predict(image, fx=80.0).depth_kind == "metric for the training camera"
    other = model.predict(image, fx=160.0)
    assert other.depth_kind == "up to scale" and "160 pixels" in other.notes["depth"]
    assert "80 pixels at this image size" in other.notes["depth"]
    assert "0.50 times as large" in other.notes["depth"]
    assert model.predict(image, fx=40.0, size="native").depth_kind == (
        "metric for the training camera"
    )


@pytest.mark.parametrize("fx", [float("nan"), float("inf"), 0.0, -60.0])
def test_an_impossible_camera_is_an_error(fx: float) -> None:
    network = create_model("multi_task", {"depth": 1}, "test_resnet", False, width=0.0625)
    model, image = SceneModel(network, (Depth(),), {}), torch.rand(3, 32, 64)
    with pytest.raises(ValueError, match="`fx`"):
        model.predict(image, fx=fx)
    with pytest.raises(ValueError, match="`intrinsics`"):
        model.predict(image, torch.tensor([[fx, 0, 31], [0, fx, 15], [0, 0, 1]]))
    with pytest.raises(ValueError, match="divided by the size"):
        model.predict(image, torch.tensor([[0.5, 0, 0.5], [0, 0.9, 0.5], [0, 0, 1]]))
