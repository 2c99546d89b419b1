"""Colours and noise of one image given to another."""

import torch

from crosstask.regimes.adaptation.appearance import match_colors, match_noise, noise_level


def test_noise_is_measured_and_matched() -> None:
    torch.manual_seed(0)
    ramp = torch.linspace(0.3, 0.7, 64).expand(2, 3, 64, 64)
    assert float(noise_level(ramp).max()) < 1e-6  # a gradient is not noise
    noisy = ramp + 0.05 * torch.randn(2, 3, 64, 64)
    assert noisy.shape == (2, 3, 64, 64)
    torch.testing.assert_close(
        noise_level(noisy), torch.full((2, 3, 1, 1), 0.05), atol=4e-3, rtol=0
    )
    quiet = ramp + 0.02 * torch.randn(2, 3, 64, 64)
    matched = match_noise(quiet, noisy)
    torch.testing.assert_close(noise_level(matched), noise_level(noisy), atol=5e-3, rtol=0)
    assert torch.equal(match_noise(noisy.clamp(0, 1), ramp), noisy.clamp(0, 1))


def test_noise_is_the_same_under_autocast() -> None:
    torch.manual_seed(0)
    image = (torch.linspace(0.3, 0.7, 64) + 1e-3 * torch.randn(1, 3, 64, 64)).clamp(0, 1)
    exact = noise_level(image)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(noise_level(image), exact)


def test_colours_take_over_mean_and_spread() -> None:
    image, like = torch.rand(2, 3, 16, 16) * 0.3 + 0.3, torch.rand(2, 3, 16, 16) * 0.4 + 0.2
    moved = match_colors(image, like)
    torch.testing.assert_close(moved.mean((2, 3)), like.mean((2, 3)), atol=1e-3, rtol=0)
    torch.testing.assert_close(moved.std((2, 3)), like.std((2, 3)), atol=1e-2, rtol=0)
