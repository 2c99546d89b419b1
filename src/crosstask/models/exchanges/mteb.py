"""mTEB: the multi-task exchange block of DenseMTL (Lopes et al., WACV 2023, section 3.2; Eq. 5).

Eqs. 1 to 4, one direction between two tasks, are in `crosstask.models.exchanges.xtam`.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from crosstask.models.exchanges.base import Exchange
from crosstask.models.exchanges.xtam import CrossTaskAttention
from crosstask.models.layers.norm_folding import added, folds, scale_and_shift
from crosstask.models.layers.recompute import run

DOWNSCALES = {4: 1, 3: 1, 2: 2, 1: 4, 0: 8}
FUSIONS = ("add", "product", "concat")


class TaskExchange(Exchange):
    """Every task reads every other task through xTAM and fuses what it read (Eq. 5).

    r_i = ReLU(BN(W_i [f_{j->i} for j != i])), and f_i + r_i (``add``), f_i * r_i (``product``) or,
    with f_i in front of the concatenation, r_i itself (``concat``). All directions read the
    features before the exchange; sources are in the order of the tasks.

    Any height and width: cells of the attention grid that the border cuts are pooled over the
    pixels they have, and what is enlarged is cropped. Cost grows with n(n-1) directions and with
    the square of the grid's positions; parameters n(n-1)(22.5 C^2 + 10 C) + n((n-1) C^2 + 2C).

    Attributes:
        economical: the extractors that read one source run as one convolution, gate and mask as
            another, and the correlation is projected on the attention grid; see `Exchange`.

    Args:
        tasks: names, in order; at least two.
        channels: C, of every task's features.
        downscale: s, see `CrossTaskAttention`; `DOWNSCALES` has the released one for each level.
        fusion: ``"add"``, ``"product"`` or ``"concat"``.
        options: of `CrossTaskAttention`.

    Raises:
        ValueError: fewer than two tasks, or an unknown choice.
    """

    has_attention = True
    recomputes_parts = True

    def __init__(
        self,
        tasks: Sequence[str],
        channels: int,
        downscale: int = 4,
        fusion: str = "add",
        **options: Any,
    ) -> None:
        super().__init__(tasks)
        if fusion not in FUSIONS:
            raise ValueError(f"`fusion` is {fusion!r}; expected one of {FUSIONS}.")
        self.channels = channels
        self.fusion = fusion
        self.directions = nn.ModuleDict(
            {
                target: nn.ModuleDict(
                    {
                        source: self.create_direction(downscale, **options)
                        for source in self.tasks
                        if source != target
                    }
                )
                for target in self.tasks
            }
        )
        inputs = channels * (len(tasks) - 1 + int(fusion == "concat"))
        self.fusions = nn.ModuleDict(
            {target: nn.Conv2d(inputs, channels, 1, bias=False) for target in self.tasks}
        )
        self.norms = nn.ModuleDict({target: nn.BatchNorm2d(channels) for target in self.tasks})

    def create_direction(self, downscale: int, **options: Any) -> CrossTaskAttention:
        """The module of one direction; another kind of attention overrides this."""
        return CrossTaskAttention(self.channels, downscale, **options)

    def direction(self, source: str, target: str) -> CrossTaskAttention:
        """The module of one direction."""
        return cast(CrossTaskAttention, cast(nn.ModuleDict, self.directions[target])[source])

    def forward(
        self, features: dict[str, Float[Tensor, "b c h w"]]
    ) -> dict[str, Float[Tensor, "b c h w"]]:
        sums: dict[str, Tensor] = {}
        if self.fusion == "concat":
            for task in self.tasks:
                sums[task] = self._fuse(task, 0, features[task])
        for source in self.tasks:
            targets = self.others(source)
            for target, extracted in zip(targets, self._extract(source, features), strict=True):
                part = run(
                    self, self.recompute, self._part, source, target, features[target], extracted
                )
                sums[target] = added(sums[target], part) if target in sums else part
        return {
            task: self._merge(features[task], self._normalised(task, sums[task]).relu_())
            for task in self.tasks
        }

    def _normalised(self, task: str, x: Tensor) -> Tensor:
        """The batch norm of a target, unless the fusion projection has already applied it."""
        return x if self._folds(task) else self.norms[task](x)

    def _folds(self, task: str) -> bool:
        return self.economical and folds(self.norms[task])

    def _extract(self, source: str, features: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """The extracted source, once for each of its targets."""
        layers = [self.direction(source, target).extractor for target in self.others(source)]
        if not self.economical:
            return tuple(layer(features[source]).relu() for layer in layers)
        weight = torch.cat([layer.weight for layer in layers])
        bias = torch.cat([cast(Tensor, layer.bias) for layer in layers])
        merged = functional.conv2d(features[source], weight, bias, padding=1).relu_()
        return merged.chunk(len(layers), dim=1)

    def _part(self, source: str, target: str, feature: Tensor, extracted: Tensor) -> Tensor:
        """What `source` adds to the fused feature of `target`."""
        slot = self.others(target).index(source) + int(self.fusion == "concat")
        return self._fuse(target, slot, self._read(source, target, feature, extracted))

    def _read(self, source: str, target: str, feature: Tensor, extracted: Tensor) -> Tensor:
        read = self.direction(source, target).combine(feature, extracted, self.economical)
        return self.knock_out(read, source, target)

    def _fuse(self, target: str, slot: int, x: Tensor) -> Tensor:
        """The part of the fusion projection that reads the slot-th feature of the concatenation.

        Summed over slots it is the convolution of the concatenation, which is never stored.
        """
        weight = cast(Tensor, self.fusions[target].weight)
        weight, bias = weight[:, slot * self.channels : (slot + 1) * self.channels], None
        if self._folds(target):
            scale, shift = scale_and_shift(self.norms[target])
            weight, bias = weight * scale[:, None, None, None], shift if slot == 0 else None
        return functional.conv2d(x, weight, bias)

    def _merge(self, feature: Tensor, read: Tensor) -> Tensor:
        """f_i and r_i of Eq. 5."""
        if self.fusion == "add":
            return feature + read
        return feature * read if self.fusion == "product" else read

    def attention_row(
        self, features: dict[str, Tensor], target: str, source: str, pixel: tuple[int, int]
    ) -> Float[Tensor, "b hs ws"]:
        direction = self.direction(source, target)
        if direction.correlation is None:
            raise ValueError("this exchange has no attention over positions; see `correlation`.")
        extracted = direction.extractor(features[source]).relu()
        return direction.correlation.row(features[target], extracted, pixel)

    def alphas(self) -> dict[tuple[str, str], Float[Tensor, " c"]]:
        """The alpha of Eq. 4 of each (source, target), detached."""
        found = {}
        for target in self.tasks:
            for source in self.others(target):
                correlation = self.direction(source, target).correlation
                if correlation is not None and correlation.alpha is not None:
                    found[source, target] = correlation.alpha.detach()
        return found
