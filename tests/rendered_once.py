"""Small scenes are rendered once a process: hundreds of tests train on the same four of them."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from crosstask.data.streets.renderer import Renderer

SCENES = 1000  # kept; a pixel takes 61 bytes with its two neighbours
PIXELS = 64 * 128  # of a scene, at most

_kept: OrderedDict[Any, dict[str, Tensor]] = OrderedDict()
_render = Renderer._render


def render(
    self: Renderer, seeds: Tensor, offsets: Sequence[int], time: int, motion: bool
) -> dict[str, Tensor]:
    """In place of `Renderer._render`: the same, from memory where it was rendered before."""
    if self.device.type != "cpu" or len(seeds) > 1 or self.size[0] * self.size[1] > PIXELS:
        return _render(self, seeds, offsets, time, motion)
    look = (repr(self.style), self.size, self.far, self._grid.views)
    key = (*look, int(seeds[0]), tuple(offsets), time, motion)
    if key not in _kept:
        _kept[key] = _render(self, seeds, offsets, time, motion)
        if len(_kept) > SCENES:
            _kept.popitem(last=False)
    return {name: value.clone() for name, value in _kept[key].items()}
