"""The four maps that the multi-scale networks work on."""

import torch
from torch import nn

from crosstask.models import create_model
from crosstask.models.encoders.pyramid_maps import fit_output


def test_an_output_of_a_padded_image_lies_where_it_belongs() -> None:
    # a ramp over 96 pixels, seen in cells of 32; the image is the first 80 pixels
    cells = (torch.arange(3.0) * 32 + 15.5).expand(1, 1, 3, 3)
    fitted = fit_output(cells, 32, (96, 80))
    assert fitted.shape == (1, 1, 3, 3)
    full = nn.functional.interpolate(fitted, size=(96, 80), mode="bilinear")
    torch.testing.assert_close(full[0, 0, 48, 40:66], torch.arange(40.0, 66.0))
    assert torch.equal(fit_output(cells, 32, (64, 32)), cells[..., :2, :1])


def test_side_outputs_of_an_image_that_ends_inside_a_cell_lie_where_it_does() -> None:
    """72 x 104 is padded to 96 x 128; a side output of stride 16 ends in the middle of a cell."""
    network = create_model(
        "densemtl",
        {"segmentation": 5, "depth": 1},
        encoder="resnet10t",
        pretrained=False,
        width=0.0625,
        prediction_levels=(4, 2, 0),
    ).eval()
    size = (72, 104)
    features = network.encode(torch.rand(2, 3, *size))
    whole, cut = network.decode(features), network.decode(features, size)
    for task in network.tasks:
        assert [x.shape[-2:] for x in cut[task]] == [(5, 7), (18, 26), size]
        for level, padded, output in zip((4, 2, 0), whole[task], cut[task], strict=True):
            torch.testing.assert_close(output, fit_output(padded, 2**level, size))
    assert not torch.equal(cut["depth"][0], whole["depth"][0][..., :5, :7])
    assert torch.equal(cut["depth"][1], whole["depth"][1][..., :18, :26])
