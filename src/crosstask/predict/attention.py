"""Cross-task attention made visible: where each target task looks in each source task.

A network keeps no attention matrix; one row of it, for one pixel, is computed on demand from the
features that an exchange reads (`streams`), which `AttentionReader` keeps for one image.
"""

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from crosstask.media.colormap import scale_colors
from crosstask.models.exchanges.base import Exchange
from crosstask.models.networks.scene_network import SceneNetwork


@dataclass(frozen=True)
class AttentionMap:
    """Where one target, at one pixel, looks in one source.

    Attributes:
        weights: over the cells of the attention grid; None where `reason` says why there are none.
        heat: `weights` at the size of the network's image; each pixel has its cell's weight.
        alpha: mean absolute learned scale of what is read; None where nothing is scaled.
        reason: why this direction has no attention over positions.
    """

    target: str
    source: str
    weights: Float[Tensor, "hs ws"] | None
    heat: Float[Tensor, "h w"] | None
    alpha: float | None = None
    reason: str = ""

    @property
    def share(self) -> float:
        """Sum of the weights: 1, or less where sources compete in one softmax."""
        return 0.0 if self.weights is None else float(self.weights.sum())

    @property
    def cells_of_half(self) -> tuple[int, int]:
        """The fewest cells that hold half of the weight, and the number of all cells."""
        if self.weights is None:
            return 0, 0
        falling = self.weights.flatten().sort(descending=True).values.cumsum(0)
        return int((falling < falling[-1] / 2).sum()) + 1, len(falling)


class AttentionReader:
    """The features of one image before the exchanges, kept so that a click costs little.

    Args:
        network: any network of this package.
        image: RGB in [0,1], as the network saw it.
        content: height and width, at the top left, of the part that the image fills; all of it if
            left out.

    Attributes:
        levels: those that can be read, finest first; empty for a network without attention.
    """

    def __init__(
        self,
        network: nn.Module,
        image: Float[Tensor, "3 h w"],
        content: tuple[int, int] | None = None,
    ) -> None:
        self.network = network
        self.size = content or (image.shape[-2], image.shape[-1])
        self.levels = network.attention_levels() if isinstance(network, SceneNetwork) else ()
        self._features: dict[int, dict[str, Tensor]] = {}
        with torch.inference_mode():
            for level in self.levels:
                device = next(network.parameters()).device
                self._features[level] = cast(SceneNetwork, network).streams(
                    image[None].to(device), level
                )

    def exchange(self, level: int) -> Exchange:
        """The exchange of a level."""
        if level not in self.levels:
            raise ValueError(f"`level` is {level}; expected one of {self.levels}")
        return cast(Exchange, cast(SceneNetwork, self.network).exchanges[str(level)])

    @torch.inference_mode()
    def read(self, row: int, column: int, level: int | None = None) -> list[AttentionMap]:
        """All directions at one pixel, target by target, in the order of the tasks.

        Args:
            row, column: in the image that the reader was given.
            level: of the exchange; the finest by default.

        Raises:
            ValueError: no such level, or a pixel outside of the image.
        """
        level = self.levels[0] if level is None and self.levels else level
        exchange = self.exchange(cast(int, level))
        if not (0 <= row < self.size[0] and 0 <= column < self.size[1]):
            raise ValueError(f"pixel {row}, {column} lies outside of an image of {self.size}")
        return [
            self._direction(exchange, cast(int, level), target, source, (row, column))
            for target in exchange.tasks
            for source in exchange.tasks
            if source != target
        ]

    def _direction(
        self, exchange: Exchange, level: int, target: str, source: str, pixel: tuple[int, int]
    ) -> AttentionMap:
        features = self._features[level]
        cell = (pixel[0] // 2**level, pixel[1] // 2**level)
        try:
            weights = exchange.attention(features, target, source, cell)[0].float().cpu()
        except ValueError as error:
            return AttentionMap(target, source, None, None, None, str(error))
        covered = (features[source].shape[-2], features[source].shape[-1])
        heat = spread(weights, covered, level, self.size)
        scale = exchange.alphas().get((source, target))
        alpha = None if scale is None else float(scale.float().abs().mean())
        return AttentionMap(target, source, weights, heat, alpha)


def spread(
    weights: Float[Tensor, "hs ws"], covered: tuple[int, int], level: int, size: tuple[int, int]
) -> Float[Tensor, "h w"]:
    """A map over cells as a map over pixels.

    Args:
        weights: one number a cell.
        covered: height and width of the features that the cells divide, in positions; they cover
            the padded image.
        level: log2 of the image's pixels a position.
        size: of the image, which lies at the top left of the padded one.
    """
    wide = weights
    for axis in (0, 1):
        pixels = _cell(covered[axis], weights.shape[axis]) * 2**level
        wide = wide.repeat_interleave(pixels, dim=axis)
    return wide[: size[0], : size[1]]


def _cell(positions: int, cells: int) -> int:
    """Positions along a cell's side; grids are pooled by powers of two wherever that fits."""
    smallest = -(-positions // cells)
    power = 1 << (smallest - 1).bit_length()
    return power if -(-positions // power) == cells else smallest


def heat_image(image: Float[Tensor, "3 h w"], heat: Float[Tensor, "_ _"]) -> UInt8[Tensor, "3 h w"]:
    """The image in dim grey, brightened where the weights are high.

    Bright yellow is the largest weight, dark none; an even attention is bright everywhere.

    Args:
        heat: weights over the same image at any size.
    """
    top = float(heat.max())
    relative = (heat / top if top > 0 else heat).clamp(0, 1)
    relative = F.interpolate(relative[None, None], size=image.shape[-2:], mode="nearest")[0, 0]
    grey = image.float().mean(0, keepdim=True) * 255
    warm = scale_colors(1 - relative).float()
    strength = 0.25 + 0.5 * relative
    return (grey * 0.8 * (1 - strength) + warm * strength).round().to(torch.uint8)


def why_no_attention(network: nn.Module) -> str:
    """A sentence for a network whose attention cannot be shown."""
    if not isinstance(network, SceneNetwork):
        return f"{type(network).__name__} is a network of its own kind, without attention to show."
    name = network.spec.get("architecture", type(network).__name__)
    if not len(network.exchanges):
        return f"The architecture {name} has no exchange between tasks, so no cross-task attention."
    return f"The exchange of the architecture {name} has no attention over positions to show."
