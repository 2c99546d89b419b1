"""The camera that model.json records is that of the training samples."""

from typing import Any

import pytest
import torch

from crosstask.engine.training_camera import training_camera
from crosstask.tasks import Depth, SelfSupervisedDepth, Task, TrainingCamera


class Samples:
    """Focal lengths and whether there is depth; half of the images twice as large by chance."""

    def __init__(self, *frames: tuple[float, bool], zoom: bool = False) -> None:
        self.frames, self.zoom = frames, zoom

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> dict[str, Any]:
        focal, labelled = self.frames[index]
        if self.zoom:
            focal *= 1 + float(torch.rand(()))
        camera = torch.tensor([[focal, 0.0, 2.0], [0.0, focal, 1.0], [0.0, 0.0, 1.0]])
        depth = torch.full((1, 2, 4), 3.0 if labelled else 0.0)
        return {"image": torch.rand(3, 2, 4), "depth": depth, "intrinsics": camera}


def test_one_camera() -> None:
    assert training_camera((Depth(),), Samples((70.0, True), (70.0, True))) == TrainingCamera(
        70, 70
    )


def test_several_cameras_and_random_zoom_are_a_range() -> None:
    several = Samples((70.0, True), (90.0, True), (80.0, True))
    assert training_camera((Depth(),), several) == TrainingCamera(70, 90)
    state = torch.get_rng_state()
    zoomed = training_camera((Depth(),), Samples(*8 * [(70.0, True)], zoom=True))
    assert zoomed is not None and 70 < zoomed.low < 90 < zoomed.high < 140
    assert torch.equal(state, torch.get_rng_state())  # training is not changed by having looked


def test_images_without_depth_do_not_count_beside_labelled_ones() -> None:
    mixture = Samples((70.0, True), (300.0, False), (0.0, True))
    assert training_camera((Depth(),), mixture) == TrainingCamera(70, 70)


@pytest.mark.parametrize(
    ("task", "found"),
    [
        (Depth(canonical_focal=100), None),  # any camera will do
        (SelfSupervisedDepth(), None),  # metres for none
        (SelfSupervisedDepth(kind="metric"), TrainingCamera(70, 70)),  # needs no label
    ],
)
def test_who_asks(task: Task, found: TrainingCamera | None) -> None:
    assert training_camera((task,), Samples((70.0, False))) == found


def test_no_camera_in_the_data() -> None:
    assert training_camera((Depth(),), Samples((0.0, True))) is None
