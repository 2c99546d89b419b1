"""SCA-MTL's attention across scales."""

import torch

from crosstask.models.exchanges.sca_scale import ScaleAttention


def test_scales_read_coarser_ones_only() -> None:
    module = ScaleAttention((6, 8, 10)).eval()
    maps = [torch.randn(1, c, s, s, requires_grad=True) for c, s in ((6, 8), (8, 4), (10, 2))]
    out = module(maps)
    assert out[2] is maps[2]
    assert [x.shape[1] for x in out] == [24, 16, 10]
    torch.testing.assert_close(out[0][:, :6], maps[0])
    torch.testing.assert_close(out[0][:, 12:18], maps[0])
    read = module.attention["0"](maps[0], module.adapt["2_to_0"](maps[2]))
    torch.testing.assert_close(out[0][:, 18:], read)
    gradients = torch.autograd.grad(out[1].sum(), maps, allow_unused=True)
    assert gradients[0] is None and gradients[2].abs().sum() > 0
