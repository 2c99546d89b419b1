"""How images are brought to the network's input: one rule for datasets and prediction."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from crosstask.data import transforms
from crosstask.data.feeding import Feeding, Fit, Place, feed

SIZE = (32, 64)


def keep(**options: Any) -> Feeding:
    return Feeding(size=SIZE, fit="keep", **options)


def test_keep_fits_the_image_into_the_input() -> None:
    assert keep().place((96, 128)) == Place((32, 43), SIZE)
    assert keep().place((128, 96)) == Place((32, 24), SIZE)
    assert keep().place((10, 80)) == Place((8, 64), SIZE)
    assert keep().place((64, 128)) == Place(SIZE, SIZE)
    assert keep().place((96, 128), (64, 64)) == Place((48, 64), (64, 64))


def test_squeeze_distorts_as_training_did_and_not_more() -> None:
    """Trained on 4:3 and 3:4 alike: these fill the input; what is wider is stretched as 4:3 was."""
    size = (64, 128)
    squeezed = Feeding(size=size, fit="squeeze", aspects=(0.75, 4 / 3))
    for image in ((96, 128), (128, 96), (100, 100), (300, 404)):
        assert squeezed.place(image) == Place(size, size)
    height, width = squeezed.place((100, 200)).content
    assert width / height == pytest.approx(2 * 2 / (4 / 3), rel=0.05)
    assert height * width == pytest.approx(64 * 128, rel=0.05)
    assert squeezed.place((100, 200), (40, 50)) == Place((40, 50), (40, 50))


def test_a_model_that_was_not_squeezed_keeps_the_aspect_of_other_images() -> None:
    """Trained on 2:1 at 2:1: a photograph of 4:3 keeps its shape, with as many pixels."""
    squeezed = Feeding(size=SIZE, fit="squeeze", aspects=(2.0, 2.0))
    height, width = squeezed.place((300, 400)).content
    assert width / height == pytest.approx(4 / 3, rel=0.05)


def test_an_aspect_far_from_training_is_told_in_one_line() -> None:
    feeding = keep(aspects=(4 / 3, 1.5))
    assert feeding.note((96, 128)) is None
    assert feeding.note((100, 170)) is None
    told = feeding.note((128, 72))
    assert told is not None and "0.56" in told and "1.33 to 1.50" in told and "\n" not in told
    assert keep().note((1, 1000)) is None  # what was trained is not known


def test_the_record_survives_json() -> None:
    feeding = Feeding(
        size=SIZE,
        fit="keep",
        aspects=(1.25, 1.5),
        channels=("red", "green", "blue", "depth"),
        ranges={"depth": (0.0, 10.0)},
    )
    assert Feeding.from_spec(json.loads(json.dumps(feeding.to_spec()))) == feeding
    assert Feeding.from_spec(None) is None


@pytest.mark.parametrize("wrong", [{"size": (0, 3)}, {"aspects": (2.0, 1.0)}, {"aspects": (0, 1)}])
def test_an_impossible_record_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Feeding(**{"size": SIZE, "fit": "keep", **wrong})


def as_bytes(image: Tensor) -> Tensor:
    return (image * 255).round().to(torch.uint8)


@pytest.mark.parametrize("fit", ["keep", "squeeze"])
@pytest.mark.parametrize("shape", [(48, 64), (64, 48), (20, 90), (32, 64), (150, 131)])
@pytest.mark.parametrize("kind", [as_bytes, torch.clone])
def test_prediction_feeds_to_the_last_bit_what_evaluation_does(
    fit: Fit, shape: tuple[int, int], kind: Callable[[Tensor], Tensor]
) -> None:
    image = kind(torch.rand(3, *shape))
    transform = transforms.evaluation(SIZE, fit=fit)
    assert not transform.takes_bytes  # so datasets give it floats
    given = image.float() / 255 if image.dtype == torch.uint8 else image
    sample = {"image": given, "intrinsics": torch.eye(3), "name": "a", "source": "b"}
    seen = transform(sample)["image"]
    feeding = transform.feeding
    assert feeding is not None
    aspect = shape[1] / shape[0]
    place = Feeding(size=SIZE, fit=fit, aspects=(aspect, aspect)).place(shape)
    assert torch.equal(feed(image[None], place)[0], seen)
    assert feeding.place(shape).canvas == place.canvas or fit == "squeeze"
