"""The convolutional encoders: taps, dilation, normalisation, and errors that say what to do."""

import pytest
import torch

from crosstask.models.encoders.encoder import Encoder, create_encoder


def test_resnet101_is_the_papers():
    with torch.device("meta"):
        encoder = create_encoder("resnet101", pretrained=False)
    assert encoder.channels == (64, 256, 512, 1024, 2048)
    assert encoder.strides == (2, 4, 8, 16, 16)
    assert sum(p.numel() for p in encoder.parameters()) == 42_500_160
    assert [m.dilation[0] for n, m in encoder.named_modules() if n.endswith("layer4.2.conv2")] == [
        2
    ]
    shapes = [tuple(f.shape[1:]) for f in encoder(torch.empty(1, 3, 64, 128, device="meta"))]
    assert shapes == [(64, 32, 64), (256, 16, 32), (512, 8, 16), (1024, 4, 8), (2048, 4, 8)]


def test_strides_on_request():
    assert create_encoder("resnet10t", False, output_stride=32).strides == (2, 4, 8, 16, 32)
    assert create_encoder("resnet10t", False, out_indices=(1, 3)).strides == (4, 16)
    assert create_encoder("test_convnext.r160_in1k", False).strides == (4, 8, 16, 16)
    hrnet = create_encoder("hrnet_w18_small", False)  # cannot dilate: its own stride
    assert max(hrnet.strides) == 32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "hrnet_w18_small", "output_stride": 16}, "works at stride 32"),
        ({"name": "resnet18", "output_stride": 8}, "expected 16, 32 or None"),
        ({"name": "resnet1010"}, "did you mean resnet101"),
        ({"name": "zzzzqqqq"}, r"does not have; `timm\.list_models\(\)` in Python"),
        ({"name": "resnet10t", "normalization": "paper"}, "imagenet"),
    ],
)
def test_wrong_requests_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        create_encoder(pretrained=False, **options)


@pytest.mark.parametrize(
    ("normalization", "expected"),
    [("imagenet", [(0.5 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.5 - 0.406) / 0.225]),
     ("released", [0.05 / 0.225] * 3)],
)  # fmt: skip
def test_normalisation_by_hand(normalization, expected):
    class Same(torch.nn.Module):
        def forward(self, x):
            return [x]

    encoder = Encoder(Same(), [3], [1], normalization)
    (x,) = encoder(torch.full((1, 3, 2, 2), 0.5))
    assert torch.allclose(x[0, :, 0, 0], torch.tensor(expected))
    assert not encoder.state_dict()


def test_strides_run_from_fine_to_coarse():
    with pytest.raises(ValueError, match="fine to coarse"):
        Encoder(torch.nn.Identity(), (1, 1), (8, 4))
