"""Plain transformers and their pyramid."""

import pytest
import torch

from crosstask.models.encoders.encoder import create_encoder
from crosstask.models.encoders.plain_transformer import PlainTransformer, SimplePyramid
from models.encoders.test_encoders_any import SMALL_VIT, encoder


def test_a_transformer_of_another_patch_sees_a_resized_image() -> None:
    """A shift by one cell of 16 pixels is a shift by one patch of 14."""
    module = encoder("dinov2")
    seen = []
    backbone = module.backbone
    assert isinstance(backbone, PlainTransformer)
    backbone.transformer.patch_embed.register_forward_hook(
        lambda _, args, out: seen.append((args[0], out))
    )
    module(torch.rand(1, 3, 64, 96))
    assert seen[0][0].shape[-2:] == (4 * 14, 6 * 14)
    assert encoder("vit16").backbone.patch == 16


def test_registers_and_the_class_token_are_read_but_not_returned() -> None:
    module = encoder("dinov2_registers").eval()
    transformer = module.backbone.transformer
    assert transformer.num_prefix_tokens == 5
    image = torch.rand(1, 3, 32, 32)
    before = module(image)[2]
    assert before.shape[-2:] == (2, 2)
    with torch.no_grad():
        transformer.reg_token.normal_()
    assert not torch.equal(before, module(image)[2])


def test_four_depths_are_tapped_evenly_or_as_asked() -> None:
    assert encoder("vit16").backbone.depths == (0, 1, 2, 3)
    deep = create_encoder("vit_tiny_patch16_224", False, **{**SMALL_VIT, "depth": 12})
    assert deep.backbone.depths == (2, 5, 8, 11)
    deep = create_encoder(
        "vit_tiny_patch16_224", False, **{**SMALL_VIT, "depth": 12}, depths=(0, 3, 6, 9)
    )
    assert deep.backbone.depths == (0, 3, 6, 9)
    with pytest.raises(ValueError, match="`depths` is"):
        create_encoder("vit_tiny_patch16_224", False, **SMALL_VIT, depths=(3, 2, 1, 0))


def test_simple_pyramid_by_hand() -> None:
    pyramid = SimplePyramid(8)
    assert pyramid.channels == (2, 4, 8, 8)
    x = torch.randn(1, 8, 4, 4)
    fine = pyramid([x, x, x, x])
    assert [tuple(y.shape[1:]) for y in fine] == [(2, 16, 16), (4, 8, 8), (8, 4, 4), (8, 2, 2)]
    # the coarsest map is the maximum of each 2x2 cell, normalised over channels
    pooled = x.view(1, 8, 2, 2, 2, 2).amax((3, 5))
    mean, deviation = pooled.mean(1, keepdim=True), pooled.std(1, keepdim=True, unbiased=False)
    torch.testing.assert_close(fine[3], (pooled - mean) / deviation, atol=1e-4, rtol=1e-3)
