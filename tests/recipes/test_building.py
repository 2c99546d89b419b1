"""What recipes have in common: the augmentation."""

import pytest
import torch

from crosstask.data.sample import intrinsics_matrix
from crosstask.recipes.building import training_transform
from crosstask.recipes.settings import TrainingSettings
from crosstask.tasks import Depth, Edges, Normals, Task


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    ("tasks", "metres", "focal"),
    [
        ((Edges(), Depth()), 3.0, 50.0),  # one camera: what looks larger is nearer
        ((Depth(canonical_focal=80.0), Normals()), 6.0, 100.0),  # the camera is known: exact
        ((Edges(),), 6.0, 100.0),  # nothing is measured
    ],
)
def test_a_zoom_fits_what_the_task_of_depth_knows_of_the_camera(
    tasks: tuple[Task, ...], metres: float, focal: float, cached: bool
) -> None:
    training = TrainingSettings(
        steps=1, batch_size=1, **({"cache_features": "x", "cache_views": 2} if cached else {})
    )
    changed = training_transform(training, (32, 64), tasks, scale=(2.0, 2.0), flip=0.0)
    sample = {
        "image": torch.rand(3, 32, 64),
        "depth": torch.full((1, 32, 64), 6.0),
        "intrinsics": intrinsics_matrix(50.0, 50.0, 31.5, 15.5),
    }
    torch.manual_seed(3)
    found = [changed(sample) for _ in range(20)] if cached else [changed(sample)]
    zoomed = [s for s in found if float(s["image"].sum()) != float(sample["image"].sum())]
    assert zoomed
    for result in zoomed:
        torch.testing.assert_close(result["depth"], torch.full((1, 32, 64), metres))
        assert float(result["intrinsics"][0, 0]) == pytest.approx(focal)
