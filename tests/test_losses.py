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
