"""Losses against numbers worked out by hand, and over two processes."""

import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from crosstask import losses


def row(*values):
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1)


def everywhere(field):
    return torch.ones_like(field[:, :1], dtype=torch.bool)


def test_berhu_by_hand():
    prediction = row(0, 0, 0, 0)
    target = row(1, 2, 3, 10)
    total, weight = losses.berhu(prediction, target, everywhere(target))
    # c = 2: 1, 2, (9 + 4) / 4 = 3.25, (100 + 4) / 4 = 26
    assert (total.item(), weight.item()) == (pytest.approx(32.25), 4)
    assert losses.mean((total, weight)).item() == pytest.approx(8.0625)


def test_berhu_is_continuous_with_slope_one_at_its_threshold():
    error = torch.tensor([1.999, 2.0, 2.001]).view(1, 1, 1, 3).requires_grad_()
    zero = torch.zeros(1, 1, 1, 3)
    total, _ = losses.berhu(error, zero, everywhere(zero), threshold=2.0)
    total.backward()
    assert total.item() == pytest.approx(6.0, abs=1e-3)
    assert torch.allclose(error.grad, torch.ones(1, 1, 1, 3), atol=1e-3)


def test_berhu_threshold_looks_at_valid_pixels_and_passes_no_gradient():
    prediction = row(1, 0, 0).requires_grad_()
    target = row(0, 10, 1000)
    valid = torch.tensor([True, True, False]).view(1, 1, 1, 3)
    total, _ = losses.berhu(prediction, target, valid)
    total.backward()
    # c = 2: the gradient of (e^2 + c^2) / 2c is e / c = 5; through c it would differ
    assert prediction.grad.flatten().tolist() == [1.0, -5.0, 0.0]


def test_threshold_of_nothing_is_the_floor():
    assert losses.berhu_threshold(torch.zeros(3)).item() == pytest.approx(1e-6)
    assert losses.berhu_threshold(torch.zeros(0)).item() == pytest.approx(1e-6)


def test_mean_of_nothing_is_zero():
    assert losses.mean((torch.tensor(0.0), torch.tensor(0.0))).item() == 0


def test_balanced_cross_entropy_by_hand():
    logits, target = row(0, 0, 0, 0), row(1, 0, 0, 0)
    # share of negatives 3/4: (3/4 + 3 * 1/4) ln 2 / 4
    terms = losses.balanced_cross_entropy(logits, target, everywhere(target))
    assert losses.mean(terms).item() == pytest.approx(1.5 * math.log(2) / 4)


def test_absolute_and_cosine_by_hand():
    a = torch.tensor([1.0, 2.0, 2.0]).view(1, 3, 1, 1)
    b = torch.tensor([2.0, 0.0, 0.0]).view(1, 3, 1, 1)
    assert losses.absolute(a, b, everywhere(a))[0].item() == 5
    # cos = 1/3
    assert losses.cosine_distance(a, b, everywhere(a))[0].item() == pytest.approx(2 / 3)


def test_cosine_of_a_zero_vector_has_a_finite_gradient():
    zero = torch.zeros(1, 3, 1, 1, requires_grad=True)
    target = torch.tensor([0.0, 0.0, -1.0]).view(1, 3, 1, 1)
    losses.cosine_distance(zero, target, everywhere(zero))[0].backward()
    assert torch.isfinite(zero.grad).all()


def _threshold_of_rank(rank: int, address: str, folder: str) -> None:
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    error = torch.tensor([1.0, [5.0, 40.0][rank]])
    Path(folder, str(rank)).write_text(str(losses.berhu_threshold(error).item()))
    dist.destroy_process_group()


def test_threshold_is_that_of_all_processes(tmp_path):
    address = f"file://{tmp_path}/store"
    mp.start_processes(_threshold_of_rank, (address, str(tmp_path)), nprocs=2, start_method="fork")
    assert [float((tmp_path / str(rank)).read_text()) for rank in (0, 1)] == [8.0, 8.0]


LABELS = torch.tensor([[[0, 1, 255, 2]]])


@pytest.mark.parametrize("name", losses.SEGMENTATION)
def test_segmentation_losses_leave_void_out_and_have_a_gradient(name: str) -> None:
    loss = losses.SEGMENTATION[name]
    logits = torch.randn(1, 3, 1, 4, requires_grad=True)
    total, weight = loss(logits, LABELS)
    assert weight == 3 and total > 0
    total.backward()
    assert logits.grad is not None and bool((logits.grad[..., 2] == 0).all())
    assert bool((logits.grad[..., [0, 1, 3]] != 0).any())
    changed = logits.detach().clone()
    changed[..., 2] = 9.0
    torch.testing.assert_close(loss(changed, LABELS)[0], total.detach())
    right = 40 * torch.nn.functional.one_hot(LABELS.clamp(max=2), 3).permute(0, 3, 1, 2).float()
    assert loss(right, LABELS)[0] == pytest.approx(0, abs=1e-5)
    # An image without a label is no image; a step without one gives a zero that has a gradient.
    void = torch.full_like(LABELS, 255)
    both = loss(torch.cat([logits, logits]).detach(), torch.cat([LABELS, void]))
    torch.testing.assert_close(both, loss(logits.detach(), LABELS))
    empty, nothing = loss(logits, void)
    empty.backward()
    assert empty == 0 and nothing == 0


def test_focal_and_class_weights_by_hand() -> None:
    """Two pixels with p = 1/2 and p = 3/4 of the right class; gamma 2."""
    logits = torch.tensor([[0.0, 0.0], [0.0, math.log(3)]])[None, :, None]
    target, weights = torch.tensor([[[0, 1]]]), torch.tensor([1.0, 4.0])
    half, most = math.log(2), math.log(4 / 3)
    total, weight = losses.focal(logits, target)
    assert (float(total), float(weight)) == pytest.approx((half / 4 + most / 16, 2.0))
    total, weight = losses.cross_entropy(logits, target, weights=weights)
    assert (float(total), float(weight)) == pytest.approx((half + 4 * most, 5.0))
    total, weight = losses.focal(logits, target, weights=weights)
    assert (float(total), float(weight)) == pytest.approx((half / 4 + 4 * most / 16, 5.0))


def test_focal_by_hand():
    target = torch.tensor([[[0, 1, 255]]])
    total, weight = losses.focal(torch.zeros(1, 2, 1, 3), target)
    # both classes at 0.5: (1 - 0.5)^2 log 2 of each labelled pixel
    assert (total.item(), weight.item()) == (pytest.approx(2 * 0.25 * math.log(2)), 2)


def test_dice_by_hand():
    """Classes 0, 1, 1, 1 where 0, 0, 1, 1 is true; a void pixel and a void image count for nothing."""
    logits = torch.full((2, 2, 1, 5), -50.0)
    for column, found in enumerate((0, 1, 1, 1, 0)):
        logits[:, found, 0, column] = 50.0
    target = torch.tensor([[[0, 0, 1, 1, 255]], [[255] * 5]])
    terms = losses.dice(logits, target)
    # 2 |A B| / (|A| + |B|): class 0 has 2/3, class 1 has 4/5
    assert losses.mean(terms).item() == pytest.approx((1 / 3 + 1 / 5) / 2, abs=1e-4)
    assert terms[1].item() == 4 and terms[0].item() == pytest.approx(
        4 * (1 / 3 + 1 / 5) / 2, abs=1e-3
    )
    both, number = losses.cross_entropy_dice(logits, target)
    # the wrong pixel has the log-odds 100
    assert number.item() == 4 and (both - terms[0]).item() == pytest.approx(100.0, abs=1e-3)
    nothing, none = losses.dice(logits.requires_grad_(), torch.full_like(target, 255))
    assert losses.mean((nothing, none)).item() == 0
    nothing.backward()
