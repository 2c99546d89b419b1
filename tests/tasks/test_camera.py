"""In which sense lengths are metres: for any camera, for the one of training, or up to scale."""

import math

import pytest
import torch
from torch import Tensor

from crosstask.tasks import Depth, Normals, SelfSupervisedDepth, Task, TrainingCamera
from crosstask.tasks.camera import focal_lengths, known


def camera(fx: float, fy: float | None = None) -> Tensor:
    return torch.tensor([[[fx, 0.0, 10.0], [0.0, fy or fx, 5.0], [0.0, 0.0, 1.0]]])


OWN = TrainingCamera(700.0, 700.0)
AWARE, PLAIN = Depth(canonical_focal=500), Depth()
VIDEO, MEASURED = SelfSupervisedDepth(), SelfSupervisedDepth(kind="metric")
METRIC, OURS, UP_TO_SCALE = "metric", "metric for the training camera", "up to scale"


@pytest.mark.parametrize(
    ("task", "none", "own", "other", "unrecorded"),
    [
        (AWARE, UP_TO_SCALE, METRIC, METRIC, METRIC),
        (PLAIN, UP_TO_SCALE, OURS, UP_TO_SCALE, UP_TO_SCALE),
        (MEASURED, UP_TO_SCALE, OURS, UP_TO_SCALE, UP_TO_SCALE),
        (VIDEO, UP_TO_SCALE, UP_TO_SCALE, UP_TO_SCALE, UP_TO_SCALE),
        (Normals(), "", "", "", ""),
    ],
)
def test_the_kinds(task: Task, none: str, own: str, other: str, unrecorded: str) -> None:
    assert task.kind_of(None, OWN) == task.kind_of(camera(0.0), OWN) == none
    assert task.kind_of(camera(700.0), OWN) == own
    assert task.kind_of(camera(900.0), OWN) == other
    assert task.kind_of(camera(700.0), None) == unrecorded
    for given, trained in ((None, OWN), (camera(700.0), OWN), (camera(900.0), OWN), (None, None)):
        up_to_scale = task.kind_of(given, trained) == UP_TO_SCALE
        assert bool(task.kind_note(given, trained)) == up_to_scale  # what is missing is told


def test_another_focal_length_is_told_with_both_numbers() -> None:
    assert PLAIN.kind_note(camera(900.0), OWN) == (
        "the focal length is 900 pixels; metres hold for the training camera only, 700 pixels at "
        "this image size; things look as large as in training where the network runs at a `size` "
        "0.78 times as large"
    )
    assert "give `fx` (pixels)" in PLAIN.kind_note(None, OWN)
    assert "does not name it" in PLAIN.kind_note(camera(900.0))


def test_five_percent_are_the_same_camera() -> None:
    assert OWN.fits(camera(700 * 1.049)) and OWN.fits(camera(700 / 1.049))
    assert not OWN.fits(camera(700 * 1.06)) and not OWN.fits(camera(700 / 1.06))
    both = torch.cat([camera(700.0), camera(900.0)])
    assert not OWN.fits(both) and TrainingCamera(700, 900).fits(both)


def test_resizing_does_not_make_another_camera() -> None:
    """1920 x 1080 with fx 1400, trained at 512 x 1024: the same area, a changed aspect."""
    trained = camera(1400 * 1024 / 1920, 1400 * 512 / 1080)
    seen = TrainingCamera(*2 * (float(focal_lengths(trained)),))
    factor = math.sqrt(1920 * 1080 / (512 * 1024))
    assert seen.resized(factor).fits(camera(1400.0))
    assert str(seen.resized(factor)) == "1400"
    assert not seen.resized(factor / 2).fits(camera(1400.0))  # it was trained on halves of images


def test_a_camera_travels_in_json() -> None:
    several = TrainingCamera(500.0, 900.0)
    assert TrainingCamera.from_spec(several.to_spec()) == several and str(several) == "500 to 900"
    assert TrainingCamera.from_spec(None) is None
    with pytest.raises(ValueError, match="0 < low <= high"):
        TrainingCamera(0.0, 3.0)
    assert not known(None) and not known(camera(math.nan)) and known(camera(3.0))


def test_the_rule_of_model_json() -> None:
    assert "canonical" in AWARE.camera_rule(OWN)
    assert "focal length 700 pixels" in PLAIN.camera_rule(OWN)
    assert "not recorded" in PLAIN.camera_rule(None)
    assert "up to scale" in VIDEO.camera_rule(OWN)
    assert Normals().camera_rule(OWN) == ""
