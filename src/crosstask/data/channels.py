"""What an image of one's own consists of: colours, one grey channel, colours and depth, N bands.

    channels = Channels.parse("red,green,blue,depth=0..5")

Channels with values of their own (`NAME=LOW..HIGH`: what becomes 0 and 1) come from files of their own,
`NAME_input/`; `depth` is in metres, unknown is 0. All others are the image file's, in its order. Colours
come first, and augmentation of colours changes them alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from crosstask.data.feeding import RGB, Feeding
from crosstask.data.folder.depth_maps import SUFFIXES as DEPTH_SUFFIXES
from crosstask.data.folder.depth_maps import read_depth
from crosstask.data.sample import DataError
from crosstask.media.images import (
    SUFFIXES,
    StoredImage,
    as_float,
    image_facts,
    read_map,
    read_upright,
)
from crosstask.media.npy import read_npy
from crosstask.media.value_range import ValueRange, parse_value_range, scale

DEPTH = "depth"
DEPTH_RANGE = (0.0, 10.0)  # metres, of sensors indoors
ENDING = "_input"


@dataclass(frozen=True)
class Channels:
    """The channels of a network's input.

    Attributes:
        names: in order.
        ranges: {channel with a file of its own: values that become 0 and 1}.

    Raises:
        DataError: no channel, one twice, or colours that are not the first three.
    """

    names: tuple[str, ...] = RGB
    ranges: Mapping[str, ValueRange] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = self.names
        if not names or len(set(names)) < len(names) or not all(n.isidentifier() for n in names):
            raise DataError(
                f"`channels` is {','.join(names)!r}; expected names, each once, such as "
                "red,green,blue,depth or thermal"
            )
        if set(RGB) & set(names) and names[:3] != RGB:
            raise DataError(
                f"`channels` is {','.join(names)}; expected the colours first, red,green,blue"
            )
        if not self.of_image:
            raise DataError(
                f"`channels` is {','.join(names)}, all with values of their own; expected one at least "
                "in images/: leave out its range, and give `value_range`"
            )

    @classmethod
    def parse(cls, given: str | Sequence[str]) -> "Channels":
        """ "red,green,blue,depth=0..5": names, with values where a channel has a file of its own."""
        names, ranges = [], {}
        for entry in given.split(",") if isinstance(given, str) else given:
            name, equals, values = (part.strip() for part in entry.partition("="))
            names.append(name)
            if name == DEPTH or equals:
                found = parse_value_range(values) if equals else DEPTH_RANGE
                ranges[name] = found or DEPTH_RANGE
        return cls(tuple(names), ranges)

    @classmethod
    def of_feeding(cls, feeding: Feeding | None) -> "Channels":
        """Those of a model; colours where it does not say."""
        return cls() if feeding is None else cls(feeding.channels, feeding.ranges)

    @property
    def of_image(self) -> tuple[str, ...]:
        """Channels of the image file."""
        return tuple(name for name in self.names if name not in self.ranges)

    @property
    def is_photograph(self) -> bool:
        """Whether the image file is colour, or grey, as photographs are; else it holds bands of data."""
        return self.of_image == RGB or len(self.of_image) == 1

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Endings of the image file."""
        return SUFFIXES if self.is_photograph else (*SUFFIXES, ".npy")

    def read(
        self,
        path: Path,
        others: Mapping[str, Path],
        value_range: ValueRange | None = None,
        depth_scale: float | None = 1000.0,
    ) -> StoredImage:
        """An image with all of its channels.

        Args:
            path: of the image.
            others: {channel: its file}, of the channels in `ranges`.
            value_range: of the image file, see `crosstask.media.value_range`.
            depth_scale: units a metre of depth stored as integers.

        Raises:
            DataError: a missing file, another number of channels, or another size.
        """
        image = self._read_image(path, value_range)
        if not self.ranges:
            return image
        size = (int(image.pixels.shape[-2]), int(image.pixels.shape[-1]))
        planes = dict(zip(self.of_image, as_float(image.pixels), strict=True))
        for name in self.ranges:
            if name not in others:
                raise DataError(
                    f"{path} has no {name}, which is a channel of the input "
                    f"({', '.join(self.names)}); give its file ({name}{ENDING}/ in a dataset, "
                    f"`--channel {name}=FILE` in prediction)"
                )
            planes[name] = self._plane(name, others[name], depth_scale, path, size)
        return replace(image, pixels=torch.stack([planes[name] for name in self.names]))

    def _read_image(self, path: Path, value_range: ValueRange | None) -> StoredImage:
        if not self.is_photograph:
            return StoredImage(self._bands(path, value_range), 1)
        image = read_upright(path, value_range)
        if len(self.of_image) == 3:
            return image
        if not image_facts(path).grey:
            raise DataError(
                f"{path} is a colour image (3 channels); expected one channel, {self.of_image[0]}; "
                "give `channels` red,green,blue, or convert it to grey"
            )
        return replace(image, pixels=image.pixels[:1].clone())

    def _bands(self, path: Path, value_range: ValueRange | None) -> Float[Tensor, "c h w"]:
        number = len(self.of_image)
        if path.suffix.lower() == ".npy":
            array = read_npy(path)
            array = array.transpose(2, 0, 1) if array.ndim == 3 else array[None]
        else:
            array = read_map(path)
        if array.ndim != 3 or len(array) != number:
            raise DataError(
                f"{path} has {len(array) if array.ndim == 3 else array.shape} channels; expected "
                f"{number} ({', '.join(self.of_image)}): a .npy array (H, W, {number}), or an image "
                "file with as many; or state what it has in `channels`"
            )
        return scale(array, value_range, str(path))

    def _plane(
        self, name: str, path: Path, depth_scale: float | None, image: Path, size: tuple[int, int]
    ) -> Float[Tensor, "h w"]:
        low, high = self.ranges[name]
        values = read_depth(path, depth_scale).metres if name == DEPTH else _one_channel(path)
        found = (int(values.shape[0]), int(values.shape[1]))
        plane = torch.from_numpy(np.ascontiguousarray(values, np.float32))
        if found != size:
            alike = abs(found[1] * size[0] / (found[0] * size[1]) - 1) <= 0.01
            if not alike or found[0] > size[0]:
                raise DataError(
                    f"{path} is {found[0]}x{found[1]}, but {image} is {size[0]}x{size[1]} (height x "
                    "width); expected the same size, or a smaller one of the same aspect"
                )
            plane = functional.interpolate(plane[None, None], size, mode="nearest-exact")[0, 0]
        return ((plane - low) / (high - low)).nan_to_num(0.0).clamp(0, 1)


def _one_channel(path: Path) -> np.ndarray:
    array = read_npy(path) if path.suffix.lower() == ".npy" else read_map(path)
    array = array.squeeze()
    if array.ndim != 2:
        raise DataError(f"{path} has the shape {array.shape}; expected one channel, (H, W)")
    return array


def plane_suffixes(name: str) -> tuple[str, ...]:
    """Endings of a channel's own files."""
    return DEPTH_SUFFIXES if name == DEPTH else (*SUFFIXES, ".npy")
