"""Window self-attention against plain attention."""

import pytest
import torch
from torch import nn

from crosstask.models.layers.window_self_attention import WindowAttentionBlock, WindowSelfAttention


def test_window_attention_equals_plain_attention_on_one_window() -> None:
    block = WindowAttentionBlock(12, 3, window=4).eval()
    nn.init.normal_(block.position_bias)
    x = torch.randn(2, 4, 4, 12)
    query, key, value = block.qkv(block.norm(x)).view(2, 16, 3, 3, 4).permute(2, 0, 3, 1, 4)
    bias = torch.zeros(3, 16, 16)
    for p in range(16):
        for r in range(16):
            offset = (p // 4 - r // 4 + 3) * 7 + (p % 4 - r % 4 + 3)
            bias[:, p, r] = block.position_bias[offset]
    weights = (query @ key.transpose(2, 3) / 2 + bias).softmax(3)
    out = (weights @ value).transpose(1, 2).reshape(2, 4, 4, 12)
    torch.testing.assert_close(block(x), x + block.projection(out), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("shift", "reach"), [(0, range(7, 14)), (3, range(10, 14))])
def test_windows_keep_to_themselves_and_shifted_ones_do_not_wrap_around(shift, reach) -> None:
    block = WindowAttentionBlock(4, 2, window=7, shift=shift).eval()
    x = torch.randn(1, 14, 14, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(block(x)[0, 13, 13].sum(), x)
    seen = gradient[0].abs().sum(2) > 1e-12
    expected = torch.zeros(14, 14, dtype=torch.bool)
    expected[reach.start :, reach.start :] = True
    assert torch.equal(seen, expected)


def test_self_attention_takes_any_size_and_drops_only_its_last_block() -> None:
    module = WindowSelfAttention(12)
    assert module(torch.randn(2, 12, 5, 9)).shape == (2, 12, 5, 9)
    assert [block.drop_path.drop_prob for block in module.blocks] == [0.0, 0.2]
    assert [block.shift for block in module.blocks] == [0, 3]
    with pytest.raises(ValueError, match="multiple of the 6 heads"):
        WindowSelfAttention(16)
