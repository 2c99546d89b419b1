"""N-to-one attention: each target attends once to the positions of all other tasks together."""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from crosstask.models.exchanges.base import Exchange
from crosstask.models.exchanges.xtam import SpatialGate
from crosstask.models.layers.attention_grid import attend, enlarge, pool, tokens
from crosstask.models.layers.projection import projection


class NToOneExchange(Exchange):
    """One softmax per target over all positions of all sources, which therefore compete.

    Each source is read once: extractor (3x3, ReLU), gate (Eq. 3 of DenseMTL), key and value with a
    learned tag of the task on the keys. Each target has one query, and the fusion projection reads
    its attended map and the gated maps of the others: f_i + ReLU(BN(W_i [...])). The projection of
    the attended map runs on the attention grid. Convolutions are linear in the number of tasks n,
    the attention costs n(n-1) times that of one direction.

    Args:
        tasks: names, in order.
        channels: of every task's features.
        downscale: pixels of the level per cell of the attention grid.
        alpha: scale the attended map by a learned vector that starts at 0.
    """

    has_attention = True

    def __init__(
        self, tasks: Sequence[str], channels: int, downscale: int = 4, alpha: bool = True
    ) -> None:
        super().__init__(tasks)
        self.channels, self.downscale = channels, downscale
        self.extractors = nn.ModuleDict(
            {task: nn.Conv2d(channels, channels, 3, padding=1) for task in self.tasks}
        )
        self.gates = nn.ModuleDict({t: SpatialGate(channels, channels // 2) for t in self.tasks})
        self.queries, self.keys, self.values = (
            nn.ModuleDict({task: projection(channels, channels) for task in self.tasks})
            for _ in range(3)
        )
        self.tags = nn.Parameter(torch.zeros(len(self.tasks), channels))
        self.alpha = nn.ParameterDict(
            {task: nn.Parameter(torch.zeros(channels)) for task in self.tasks} if alpha else {}
        )
        inputs = channels + (len(self.tasks) - 1) * (channels // 2)
        self.fusions = nn.ModuleDict(
            {task: nn.Conv2d(inputs, channels, 1, bias=False) for task in self.tasks}
        )
        self.norms = nn.ModuleDict({task: nn.BatchNorm2d(channels) for task in self.tasks})

    def forward(
        self, features: dict[str, Float[Tensor, "b c h w"]]
    ) -> dict[str, Float[Tensor, "b c h w"]]:
        gated, keys, values = {}, {}, {}
        for index, task in enumerate(self.tasks):
            extracted = self.extractors[task](features[task]).relu()
            gated[task] = self.gates[task](extracted)
            small = pool(extracted, self.downscale, "max")
            keys[task] = self.keys[task](small) + self.tags[index].view(1, -1, 1, 1)
            values[task] = self.values[task](small)
        return {
            task: features[task] + self._read(task, features[task], gated, keys, values)
            for task in self.tasks
        }

    def _read(
        self,
        task: str,
        feature: Tensor,
        gated: dict[str, Tensor],
        keys: dict[str, Tensor],
        values: dict[str, Tensor],
    ) -> Tensor:
        weight = cast(Tensor, self.fusions[task].weight)
        attended = functional.conv2d(
            self._attend(task, feature, keys, values), weight[:, : self.channels]
        )
        size = (feature.shape[-2], feature.shape[-1])
        total = enlarge(attended, self.downscale, size, "nearest")
        others = [self.knock_out(gated[s], s, task, "gated") for s in self.others(task)]
        total = total + functional.conv2d(torch.cat(others, 1), weight[:, self.channels :])
        return self.norms[task](total).relu()

    def _attend(
        self, task: str, feature: Tensor, keys: dict[str, Tensor], values: dict[str, Tensor]
    ) -> Tensor:
        query = self.queries[task](pool(feature, self.downscale, "nearest"))
        others = self.others(task)
        key = torch.cat([tokens(self.knock_out(keys[s], s, task, "key")) for s in others], 2)
        value = torch.cat([tokens(self.knock_out(values[s], s, task, "value")) for s in others], 2)
        attended = attend(query, key, value)
        if task in self.alpha:
            attended = attended * self.alpha[task].view(1, -1, 1, 1)
        return attended

    def attention_row(
        self, features: dict[str, Tensor], target: str, source: str, pixel: tuple[int, int]
    ) -> Float[Tensor, "b hs ws"]:
        """The softmax runs over all sources, so the weights in one sum to its share, less than 1."""
        s = self.downscale
        query = self.queries[target](pool(features[target], s, "nearest"))
        cell = query[..., pixel[0] // s, pixel[1] // s]
        logits = []
        for other in self.others(target):
            small = pool(self.extractors[other](features[other]).relu(), s, "max")
            key = self.keys[other](small) + self.tags[self.tasks.index(other)].view(1, -1, 1, 1)
            logits.append(torch.einsum("bc,bchw->bhw", cell, key) / key.shape[1] ** 0.5)
        weights = torch.stack(logits, 1)
        weights = weights.flatten(1).softmax(1).view(weights.shape)
        return weights[:, self.others(target).index(source)]

    def alphas(self) -> dict[tuple[str, str], Float[Tensor, " c"]]:
        """One vector per target, given for each of its sources."""
        return self.alphas_by_target(self.alpha)
