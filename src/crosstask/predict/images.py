"""What prediction takes as an image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from crosstask.media.images import StoredImage, from_pil, read_upright
from crosstask.media.value_range import ValueRange

ImageLike = Path | str | np.ndarray | Tensor | Image.Image


def to_image(image: ImageLike, value_range: ValueRange | None = None) -> StoredImage:
    """(3,H,W) RGB, or (C,H,W) of an array or a tensor, upright.

    Args:
        value_range: of files and Pillow images, see `crosstask.media.value_range`.
    """
    if isinstance(image, str | Path):
        return read_upright(image, value_range)
    if isinstance(image, Image.Image):
        return from_pil(image, value_range)
    if isinstance(image, np.ndarray):
        if image.dtype == np.uint8 and image.ndim == 3:
            return StoredImage(torch.from_numpy(image.copy()).permute(2, 0, 1), 1)
        raise ValueError(f"`image` is {image.dtype} {image.shape}; expected uint8 (H, W, 3) RGB")
    if image.ndim != 3 or not image.is_floating_point():
        raise ValueError(
            f"`image` is {image.dtype} {tuple(image.shape)}; expected float (3, H, W) RGB in [0, 1]"
        )
    return StoredImage(image.detach().float().cpu(), 1)


def wrong_channels(found: int, names: Sequence[str]) -> str:
    """What to say of an image that has not the model's channels."""
    return (
        f"the image has {found} channel{'s' * (found != 1)}; this model takes {len(names)}: "
        f"{', '.join(names)}. Give an image of these, in this order, or take a model of other channels"
    )
