"""The pose network: published sizes, direction of time, start near rest."""

import pytest
import torch

from crosstask.models.companions.correlation_pose import CorrelationPoseNetwork, correlation
from crosstask.models.companions.pose import PoseNetwork


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


def test_a_correlation_finds_where_a_patch_went() -> None:
    first, second = torch.zeros(1, 2, 5, 7), torch.zeros(1, 2, 5, 7)
    first[0, :, 2, 3] = torch.tensor([3.0, 4.0])
    second[0, :, 1, 5] = torch.tensor([6.0, 8.0])  # one row up, two columns right; another length
    values = correlation(first - first.mean((2, 3), True), second, (1, 2))
    assert values.shape == (1, 15, 5, 7)
    assert int(values[0, :, 2, 3].argmax()) == (1 - 1) * 5 + (2 + 2)
    assert float(values[0, 4, 2, 3]) == pytest.approx(1.0, abs=1e-4)
    assert values[0, :, 0, 0].reshape(3, 5)[0].abs().max() == 0.0  # above the image


def test_the_correlating_network_keeps_the_same_promises() -> None:
    network = CorrelationPoseNetwork("test_resnet", pretrained=False, hidden=8)
    first, second = torch.rand(2, 3, 33, 47), torch.rand(2, 3, 33, 47)
    rotation, translation = network(first, second)
    assert rotation.shape == translation.shape == (2, 3)
    assert rotation.detach().abs().max() < 0.05
    (rotation.sum() + (translation**2).sum()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    network.eval()
    both = torch.cat(network(first, second), dim=1)
    torch.testing.assert_close(torch.cat(network(first[1:], second[1:]), dim=1), both[1:])
    assert not torch.allclose(both, torch.cat(network(second, first), dim=1))
