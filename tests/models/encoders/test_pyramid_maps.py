"""The four maps that the multi-scale networks work on."""

import torch
from torch import nn

from crosstask.models.encoders.pyramid_maps import fit_output


def test_an_output_of_a_padded_image_lies_where_it_belongs() -> None:
    # a ramp over 96 pixels, seen in cells of 32; the image is the first 80 pixels
    cells = (torch.arange(3.0) * 32 + 15.5).expand(1, 1, 3, 3)
    fitted = fit_output(cells, 32, (96, 80))
    assert fitted.shape == (1, 1, 3, 3)
    full = nn.functional.interpolate(fitted, size=(96, 80), mode="bilinear")
    torch.testing.assert_close(full[0, 0, 48, 40:66], torch.arange(40.0, 66.0))
    assert torch.equal(fit_output(cells, 32, (64, 32)), cells[..., :2, :1])
