"""EXIF orientation: how a camera held its sensor, and how an image is turned upright."""

from jaxtyping import Shaped
from torch import Tensor

ORIENTATION_TAG = 0x0112
# What has been done to a video is stored as a counter-clockwise angle; as EXIF orientations:
_BY_QUARTERS = (1, 8, 3, 6)
INVERSE = {6: 8, 8: 6}  # what turns an upright image back; the other orientations are their own


def swaps_sides(orientation: int) -> bool:
    """Whether the upright image is as wide as the stored one is high."""
    return orientation in (5, 6, 7, 8)


def stored_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """(height, width) of the stored image, from those of the upright one; and the other way."""
    return (size[1], size[0]) if swaps_sides(orientation) else (size[0], size[1])


def of_quarter_turns(turns: int) -> int:
    """The EXIF orientation of an image that is to be turned counter-clockwise this often."""
    return _BY_QUARTERS[turns % 4]


def upright(image: Shaped[Tensor, "*c h w"], orientation: int) -> Shaped[Tensor, "*c h2 w2"]:
    """A stored image as it is to be seen. Values that EXIF does not know count as 1: as stored."""
    if swaps_sides(orientation):
        image = image.transpose(-1, -2)
    axes = {2: (-1,), 3: (-1, -2), 4: (-2,), 6: (-1,), 7: (-1, -2), 8: (-2,)}.get(orientation)
    return image if axes is None else image.flip(axes)
