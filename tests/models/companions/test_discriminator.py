import pytest
import torch
from torch import nn

from crosstask.models.companions.discriminator import PatchDiscriminator


@pytest.mark.parametrize(("channels", "count"), [(1, 2_762_689), (8, 2_769_857), (16, 2_778_049)])
def test_published_parameter_counts(channels: int, count: int) -> None:
    discriminator = PatchDiscriminator(channels)
    assert sum(p.numel() for p in discriminator.parameters()) == count


@pytest.mark.parametrize(
    ("size", "patches"), [((32, 64), (1, 2)), ((64, 128), (2, 4)), ((128, 96), (4, 3))]
)
def test_every_patch_covers_32_pixels(size: tuple[int, int], patches: tuple[int, int]) -> None:
    logits = PatchDiscriminator(2, width=4)(torch.rand(3, 2, *size))
    assert logits.shape == (3, 1, *patches)


def test_spectral_norm_of_every_layer_is_one() -> None:
    discriminator = PatchDiscriminator(3, width=8)
    with torch.no_grad():
        for layer in discriminator.layers:
            layer.parametrizations.weight.original.mul_(50)  # the norm must take this back
        for _ in range(200):  # power iterations
            discriminator(torch.rand(1, 3, 32, 32))
        discriminator.eval()
        for layer in discriminator.layers:
            largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
            assert float(largest) == pytest.approx(1.0, abs=1e-2)


def test_mirror_shows_the_mirror_image() -> None:
    discriminator = PatchDiscriminator(1, width=4).eval()
    maps = torch.rand(2, 1, 32, 64)
    torch.testing.assert_close(discriminator(maps, mirror=True), discriminator(maps.flip(-1)))
    assert not torch.allclose(discriminator(maps, mirror=True), discriminator(maps))


def test_it_can_tell_two_textures_apart() -> None:
    discriminator = PatchDiscriminator(1, width=8)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=3e-3, betas=(0.9, 0.99))
    loss = nn.BCEWithLogitsLoss()
    for _ in range(60):
        smooth, rough = torch.rand(4, 1, 1, 1).expand(-1, -1, 32, 64), torch.rand(4, 1, 32, 64)
        a, b = discriminator(smooth), discriminator(rough)
        total = loss(a, torch.zeros_like(a)) + loss(b, torch.ones_like(b))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    with torch.no_grad():
        rough = discriminator(torch.rand(4, 1, 32, 64))
        smooth = discriminator(torch.full((1, 1, 32, 64), 0.4))
    assert bool((rough > 0).all()) and bool((smooth < 0).all())


def test_too_small_a_map_is_an_error() -> None:
    with pytest.raises(ValueError, match="16x64; expected at least 32x32"):
        PatchDiscriminator(1, width=4)(torch.rand(1, 1, 16, 64))
    with pytest.raises(ValueError, match="`channels` is 0"):
        PatchDiscriminator(0)
