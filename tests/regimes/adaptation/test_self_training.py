"""Pseudo labels and mixtures, by hand."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from crosstask.geometry.pinhole import edges_from_labels
from crosstask.regimes.adaptation import self_training as st
from crosstask.tasks import Depth, Edges, Normals, Segmentation

SEGMENTATION, DEPTH = Segmentation(3), Depth(near=0.5, far=50.0, loss="l1")
NORMALS, EDGES = Normals(), Edges()
SIZE = (32, 48)


def raw_depth(metres: float) -> Tensor:
    return torch.full((1, 1, 2, 2), math.log(math.expm1(metres)))  # softplus gives metres


def test_confidence_of_each_task_by_hand() -> None:
    logits = torch.log(torch.tensor([0.7, 0.2, 0.1])).view(1, 3, 1, 1).expand(-1, -1, 2, 2)
    other = torch.log(torch.tensor([0.5, 0.3, 0.2])).view(1, 3, 1, 1).expand(-1, -1, 2, 2)
    label, confidence = st.pseudo_label(SEGMENTATION, logits, other, None)
    assert bool((label == 0).all()) and float(confidence[0, 0, 0, 0]) == pytest.approx(0.6)

    label, confidence = st.pseudo_label(DEPTH, raw_depth(10.0), raw_depth(8.0), None)
    assert float(label.mean()) == pytest.approx(9.0, rel=1e-3)
    assert float(confidence.mean()) == pytest.approx(0.8, rel=1e-4)
    _, confidence = st.pseudo_label(DEPTH, raw_depth(70.0), raw_depth(70.0), None)
    assert float(confidence.max()) == 0.0  # at the far end: nobody knows how far

    turned = torch.tensor([math.sin(0.3), 0.0, -math.cos(0.3)]).view(1, 3, 1, 1)
    front = torch.tensor([0.0, 0.0, -2.0]).view(1, 3, 1, 1)
    _, confidence = st.pseudo_label(NORMALS, front, turned, None)
    assert float(confidence) == pytest.approx(math.cos(0.3), rel=1e-5)

    odds = torch.tensor([0.0, math.log(4.0)]).view(1, 2, 1, 1)
    label, confidence = st.pseudo_label(EDGES, odds, odds, None)
    assert float(label) == 1.0 and float(confidence) == pytest.approx(0.8, rel=1e-5)


def test_labels_are_in_correct_units_under_the_released_protocol() -> None:
    released = Depth(near=0.5, far=50.0, loss="l1", protocol="released")
    label, _ = st.pseudo_label(released, raw_depth(9.0), raw_depth(9.0), None)
    assert float(label.mean()) == pytest.approx(9.0, rel=1e-3)  # decode alone says 8.01


def test_the_teacher_sees_the_mirror_image_and_answers_in_the_images_frame() -> None:
    class Teacher(nn.Module):
        """Depth and the normals' x are the column number of the image it is shown."""

        def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
            column = image[:, :1]
            x = torch.cat([column - 1.5, torch.zeros_like(column), -torch.ones_like(column)], 1)
            return {"depth": [column], "normals": [x]}

    columns = torch.arange(4.0).expand(1, 3, 2, 4).clone()
    labels = st.teach(Teacher(), (DEPTH, NORMALS), columns, None)
    depth, confidence = labels["depth"]
    assert torch.allclose(depth, torch.nn.functional.softplus(columns[:, :1]), atol=1e-5)
    assert float(confidence.min()) == pytest.approx(1.0)
    # a network that does not turn x when the image turns contradicts itself, most at the sides
    assert float(labels["normals"][1][0, 0, 0, 0]) < 0.5


def test_untrusted_pixels_become_void() -> None:
    label = torch.tensor([[[0, 1], [2, 1]]])
    confidence = torch.tensor([[[[0.95, 0.2], [0.9, 0.89]]]])
    target = st.void_untrusted(SEGMENTATION, (label, confidence), 0.9)
    assert target.tolist() == [[[0, 255], [2, 255]]]
    normals = st.void_untrusted(NORMALS, (torch.ones(1, 3, 2, 2), confidence), 0.9)
    assert normals[0, :, 0, 1].tolist() == [0, 0, 0] and normals[0, :, 0, 0].tolist() == [1, 1, 1]
    assert float(st.trusted_share(SEGMENTATION, target)) == 0.5


def test_half_of_the_classes_are_pasted_whole_and_void_never() -> None:
    labels = torch.zeros(64, 4, 4, dtype=torch.int64)
    labels[:, 1], labels[:, 2], labels[:, 3] = 5, 7, 255
    labels[:32, 2] = 5  # two classes in the first half of the batch, three in the second
    mask = st.class_mask(labels, 9)
    assert not bool(mask[:, :, 3].any())
    rows = mask[:, 0].all(2)
    assert torch.equal(rows, mask[:, 0].any(2))  # whole classes
    assert rows[:32, :2].sum(1).tolist() == [1] * 32
    assert torch.equal(rows[:32, 2], rows[:32, 1])
    assert rows[32:].sum(1).tolist() == [2] * 32
    assert 4 <= int(rows[:32, 0].sum()) <= 28  # drawn, not fixed
    assert not bool(st.class_mask(torch.full((1, 2, 2), 255), 3).any())


def test_boxes_cover_half_of_the_image() -> None:
    mask = st.box_mask(20, (40, 60))
    assert mask.shape == (20, 1, 40, 60)
    assert bool(((mask.float().mean((1, 2, 3)) - 0.5).abs() < 0.03).all())


def test_the_most_confident_share_of_each_class_counts_below_the_threshold() -> None:
    label = torch.tensor([[[0, 0, 0, 0], [1, 1, 2, 2]]])
    confidence = torch.tensor([[[[0.95, 0.91, 0.5, 0.4], [0.3, 0.2, 0.1, 0.15]]]])
    target = st.void_untrusted(SEGMENTATION, (label, confidence), 0.9, least_share=0.5)
    assert target.tolist() == [[[0, 0, 255, 255], [1, 255, 255, 2]]]
    depth = st.void_untrusted(DEPTH, (torch.ones(1, 1, 2, 4), confidence), 0.99, least_share=0.25)
    assert depth[0, 0].tolist() == [[1, 1, 0, 0], [0, 0, 0, 0]]
    with pytest.raises(ValueError, match="least_share"):
        st.SelfTrainingSettings(least_share=1.5)


def a_batch() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 3, (2, *SIZE), generator=generator)
    return {
        "image": torch.full((2, 3, *SIZE), 0.25),
        "target_image": torch.full((2, 3, *SIZE), 0.75),
        "segmentation": labels,
        "depth": torch.full((2, 1, *SIZE), 10.0),
        "normals": torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(2, 3, *SIZE),
        "edges": edges_from_labels(labels),
        "intrinsics": torch.tensor([[60.0, 0, 20], [0, 60, 15], [0, 0, 1]]).expand(2, 3, 3),
        "target_intrinsics": torch.tensor([[30.0, 0, 20], [0, 30, 15], [0, 0, 1]]).expand(2, 3, 3),
    }


def pseudo() -> dict[str, tuple[Tensor, Tensor]]:
    sure = torch.ones(2, 1, *SIZE)
    return {
        "segmentation": (torch.full((2, *SIZE), 1), sure),
        "depth": (torch.full((2, 1, *SIZE), 20.0), sure),
        "normals": (torch.tensor([0.0, 1, 0]).view(1, 3, 1, 1).expand(2, 3, *SIZE), sure),
        "edges": (torch.zeros(2, 1, *SIZE), sure),
    }


def test_image_and_all_targets_change_at_the_same_pixels() -> None:
    batch = a_batch()
    mask = st.class_mask(batch["segmentation"], 3)
    tasks = (SEGMENTATION, DEPTH, NORMALS)
    mixed = st.mix(tasks, batch, pseudo(), mask, {})
    pasted = mixed["image"][:, :1] == 0.25
    assert torch.equal(pasted, mask) and bool(pasted.any()) and not bool(pasted.all())
    assert torch.equal(mixed["depth"] == 10.0, pasted)  # the focal lengths differ: metres stay
    assert torch.equal(mixed["normals"][:, :1] == 1.0, pasted)
    assert torch.equal(mixed["segmentation"][mask[:, 0]], batch["segmentation"][mask[:, 0]])
    assert bool((mixed["segmentation"][~mask[:, 0]] == 1).all())


def test_a_camera_aware_depth_goes_over_to_the_target_camera() -> None:
    aware = Depth(near=0.5, far=50.0, canonical_focal=40.0)
    mask = torch.zeros(2, 1, *SIZE, dtype=torch.bool)
    mask[..., :10] = True
    mixed = st.mix((aware,), a_batch(), pseudo(), mask, {})
    assert float(mixed["depth"][0, 0, 0, 0]) == pytest.approx(5.0)  # 10 m x 30 / 60
    assert float(mixed["depth"][0, 0, 0, 20]) == 20.0


def test_edges_run_along_the_border_where_classes_differ() -> None:
    batch = a_batch()
    batch["segmentation"] = torch.zeros(2, *SIZE, dtype=torch.int64)
    batch["segmentation"][:, 16:] = 1  # below, both sides are class 1
    batch["edges"] = torch.zeros(2, 1, *SIZE)
    mask = torch.zeros(2, 1, *SIZE, dtype=torch.bool)
    mask[..., :10] = True
    edges = st.mix((SEGMENTATION, EDGES), batch, pseudo(), mask, {})["edges"][0, 0]
    assert edges[4, 8:12].tolist() == [0, 1, 1, 0] and edges[30, 8:12].tolist() == [0, 0, 0, 0]
    edges = st.mix((EDGES,), batch, pseudo(), mask, {})["edges"][0, 0]
    assert edges[4, 8:12].tolist() == [0, 255, 255, 0]  # without classes nobody knows


def test_recoloured_images_differ_unless_the_strength_is_zero() -> None:
    image = torch.rand(2, 3, 16, 16) * 0.3 + 0.3
    torch.manual_seed(0)
    changed = st.recolor(image, 0.3)
    assert changed.shape == image.shape and not torch.allclose(changed, image)
    assert st.recolor(image, 0.0) is image


def test_what_nobody_knows_is_no_label_however_large_the_share() -> None:
    """Four fifths of the pixels are to count, and half lie at the far end (confidence 0)."""
    depth = torch.tensor([10.0, 20.0, 50.0, 50.0]).view(1, 1, 2, 2)
    confidence = torch.tensor([0.9, 0.2, 0.0, 0.0]).view(1, 1, 2, 2)
    kept = st.void_untrusted(DEPTH, (depth, confidence), 0.95, 0.8)
    assert kept.flatten().tolist() == [10.0, 20.0, 0.0, 0.0]
