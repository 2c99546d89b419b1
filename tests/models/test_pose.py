"""The pose network: published sizes, direction of time, start near rest."""

import pytest
import torch

from crosstask.models.pose import PoseNetwork


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_resnet18_has_the_published_size() -> None:
    with torch.device("meta"):
        network = PoseNetwork("resnet18", pretrained=False)
    assert count(network.encoder) == 11_185_920
    assert count(network.head) == 1_314_572


def test_it_starts_near_rest_and_every_parameter_learns() -> None:
    network = PoseNetwork("resnet10t", pretrained=False, hidden=16, motions=1)
    first, second = torch.rand(2, 3, 33, 47), torch.rand(2, 3, 33, 47)
    rotation, translation = network(first, second)
    assert rotation.shape == translation.shape == (2, 3)
    assert rotation.detach().abs().max() < 0.05 and translation.detach().abs().max() < 0.05
    (rotation.sum() + (translation**2).sum()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_the_order_of_frames_matters_and_nothing_mixes_inside_a_batch() -> None:
    network = PoseNetwork("resnet10t", pretrained=False, hidden=16, motions=1).eval()
    first, second = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    both = torch.cat(network(first, second), dim=1)
    assert not torch.allclose(both, torch.cat(network(second, first), dim=1))
    alone = torch.cat(network(first[1:], second[1:]), dim=1)
    torch.testing.assert_close(both[1:], alone, atol=1e-6, rtol=1e-4)


def test_both_frames_are_normalised_alike() -> None:
    network = PoseNetwork("resnet10t", pretrained=False, normalization="released")
    assert network.mean.flatten().tolist() == pytest.approx([0.45] * 6)
    assert network.deviation.flatten().tolist() == pytest.approx([0.225] * 6)
    with pytest.raises(ValueError, match="normalization"):
        PoseNetwork("resnet10t", pretrained=False, normalization="none")
