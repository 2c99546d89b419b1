"""The table of keys and its guard."""

import pytest
import torch

from crosstask.data.sample import (
    DataError,
    check_sample,
    unknown_intrinsics,
    void_target,
)
from crosstask.tasks import declared

TARGETS = ("segmentation", "human_parts", "depth", "normals", "edges", "saliency")


def legal() -> dict:
    return {
        "image": torch.rand(3, 4, 6),
        "segmentation": torch.zeros(4, 6, dtype=torch.int64),
        "depth": torch.ones(1, 4, 6),
        "normals": torch.tensor([0.0, 0.0, -1.0]).view(3, 1, 1).expand(3, 4, 6).clone(),
        "edges": torch.zeros(1, 4, 6),
        "intrinsics": unknown_intrinsics(),
        "name": "a",
        "source": "test",
    }


def test_legal_sample_passes() -> None:
    check_sample(legal(), ("segmentation", "depth", "normals", "edges"))


@pytest.mark.parametrize("key", TARGETS)
def test_void_targets_are_legal_and_void(key: str) -> None:
    value = void_target(key, (4, 6))
    check_sample(legal() | {key: value})
    assert bool((value == declared()[key].void).all())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": torch.full((3, 4, 6), 1.5)}, r"image.*\[0, 1\]"),
        ({"image": torch.zeros(3, 4, 6, dtype=torch.uint8)}, "image.*uint8"),
        ({"segmentation": torch.zeros(4, 5, dtype=torch.int64)}, "segmentation.*shape"),
        ({"segmentation": torch.full((4, 6), 70_000)}, "segmentation.*0 to 65535"),
        ({"depth": torch.full((1, 4, 6), -1.0)}, "depth.*metres"),
        ({"depth": torch.full((1, 4, 6), float("nan"))}, "depth.*finite"),
        ({"normals": torch.full((3, 4, 6), 0.9)}, "unit"),
        ({"edges": torch.full((1, 4, 6), 0.5)}, "edges.*0, 1"),
        ({"intrinsics": torch.eye(4)}, "intrinsics.*shape"),
    ],
)
def test_illegal_sample_is_named(change: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_sample(legal() | change)


def test_missing_key() -> None:
    sample = legal()
    del sample["depth"]
    with pytest.raises(DataError, match="has no 'depth'"):
        check_sample(sample, ("depth",))
