"""An exchange whose cost grows linearly with the number of tasks."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from crosstask.models.exchanges.base import Exchange
from crosstask.models.layers.attention_grid import attend, enlarge, pool, tokens
from crosstask.models.layers.full_precision import full_precision
from crosstask.models.layers.kernel_attention import (
    feature_map,
    kernel_row,
    read_summary,
    split_heads,
)
from crosstask.models.layers.mixer import MIXINGS, MixedGate, create_mixer
from crosstask.models.layers.sums_of_others import sums_of_others

ATTENTIONS = ("linear", "shared", None)


class LinearExchange(Exchange):
    """A common bus: every task writes once and reads once, whatever their number.

    Every source j is read by one extractor g_j = ReLU(E_j f_j), gated (as Eq. 3 of DenseMTL) and
    written to the bus as w_j = P_j gate(g_j). Every target i takes the sum of what the others
    wrote, adds the result of one attention over all other sources, scaled by its alpha, and
    keeps f_i + ReLU(BN(sum)). Sums over the others are formed from partial sums from the left and
    from the right, so that no operation but additions sees pairs of tasks.

    The attention is one of

    * ``"linear"``: kernel attention (Katharopoulos et al. 2020) with phi(x) = elu(x) + 1. Each
      source is summed up once as sum_p phi(k_p) v_p^T and sum_p phi(k_p); a target adds up the
      summaries of the others. Linear in pixels too. Computed in float32.
    * ``"shared"``: softmax attention over one key map and one value map, to which every task
      contributes (its own too); the N x N matrix is never stored. A target into which a
      direction is cut gets maps of its own, without what the cut source contributes.
    * None: no attention, the bus alone.

    Args:
        tasks: names, in order.
        channels: C, of every task's features.
        downscale: pixels of the level per cell of the attention grid.
        mixing: what the extractor and the gate are made of: 3x3 depthwise and 1x1
            (``"separable"``), 3x3 convolutions (``"conv"``), or 1x1 convolutions (``"pointwise"``).
        gate: the gate; without it the extracted features are written as they are.
        attention: see above.
        heads: of the linear attention; divides the channels.
        alpha: scale the attention by a learned vector that starts at 0.

    Raises:
        ValueError: an unknown choice, or heads that do not divide the channels.
    """

    has_attention = True

    def __init__(
        self,
        tasks: Sequence[str],
        channels: int,
        downscale: int = 4,
        mixing: str = "separable",
        gate: bool = True,
        attention: str | None = "linear",
        heads: int = 4,
        alpha: bool = True,
    ) -> None:
        super().__init__(tasks)
        if mixing not in MIXINGS:
            raise ValueError(f"`mixing` is {mixing!r}; expected one of {MIXINGS}.")
        if attention not in ATTENTIONS:
            raise ValueError(f"`attention` is {attention!r}; expected one of {ATTENTIONS}.")
        if heads < 1 or channels % heads:
            raise ValueError(f"`heads` is {heads}; expected a divisor of {channels} channels.")
        self.downscale, self.heads, self.kind = downscale, heads, attention
        half = channels // 2

        def each(make: type[nn.Module] | object, *args: object) -> nn.ModuleDict:
            return nn.ModuleDict({task: make(*args) for task in self.tasks})  # type: ignore[operator]

        self.extractors = each(create_mixer, mixing, channels, channels, True)
        self.gates = each(MixedGate, mixing, channels, half) if gate else None
        self.writers = each(_pointwise, half if gate else channels, channels)
        self.norms = each(nn.BatchNorm2d, channels)
        if attention is not None:
            self.queries = each(_pointwise, channels, channels)
            self.keys = each(_pointwise, channels, channels)
            self.values = each(_pointwise, channels, channels)
            self.outputs = each(_pointwise, channels, channels)
            self.alpha = nn.ParameterDict(
                {task: nn.Parameter(torch.zeros(channels)) for task in self.tasks} if alpha else {}
            )

    def forward(
        self, features: dict[str, Float[Tensor, "b c h w"]]
    ) -> dict[str, Float[Tensor, "b c h w"]]:
        written: dict[str, Tensor] = {}
        small: dict[str, Tensor] = {}
        for task in self.tasks:  # one after the other: few maps of full size exist at a time
            extracted = self.extractors[task](features[task]).relu_()
            if self.kind is not None:
                small[task] = pool(extracted, self.downscale, "max")
            written[task] = self._write(task, extracted)
            del extracted
        attended = self._attend(features, small) if self.kind is not None else {}
        read = self._sum_others(written, "written")
        return {task: self._take_in(task, features[task], read, attended) for task in self.tasks}

    def _write(self, task: str, extracted: Tensor) -> Tensor:
        gated = extracted if self.gates is None else self.gates[task](extracted)
        return self.writers[task](gated)

    def _take_in(
        self, task: str, feature: Tensor, read: dict[str, Tensor], attended: dict[str, Tensor]
    ) -> Tensor:
        """f_i + ReLU(BN(sum)); takes what it uses out of `read`."""
        total = read.pop(task)
        if task in attended:
            size = (feature.shape[-2], feature.shape[-1])
            total = total + enlarge(attended[task], self.downscale, size, "nearest")
        return feature + self.norms[task](total).relu_()

    def _sum_others(
        self, maps: dict[str, Tensor], part: str, positions: bool = True
    ) -> dict[str, Tensor]:
        """What each task receives: the sum of the others, less the directions that are cut.

        The dictionary is emptied. `part` and `positions` are those of `knock_out`.
        """
        cut = {
            target: torch.stack(
                [self.knock_out(maps[s], s, target, part, positions) for s in self.others(target)]
            ).sum(0)
            for target in self.singled_out()
        }
        sums = sums_of_others([maps.pop(task) for task in self.tasks])
        return dict(zip(self.tasks, sums, strict=True)) | cut

    def _attend(self, features: dict[str, Tensor], small: dict[str, Tensor]) -> dict[str, Tensor]:
        """What each task attends to, on the attention grid."""
        keys = {task: self.keys[task](x) for task, x in small.items()}
        values = {task: self.values[task](x) for task, x in small.items()}
        queries = {
            task: self.queries[task](pool(features[task], self.downscale, "nearest"))
            for task in self.tasks
        }
        attention = self._linear if self.kind == "linear" else self._shared
        result = {}
        for task, x in attention(queries, keys, values).items():
            if task in self.alpha:
                x = x * self.alpha[task].view(1, -1, 1, 1)
            result[task] = self.outputs[task](x)
        return result

    def _linear(
        self, queries: dict[str, Tensor], keys: dict[str, Tensor], values: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        with full_precision(queries[self.tasks[0]].device):
            kernels = {t: feature_map(keys[t], self.heads) for t in self.tasks}
            contexts = {
                t: kernels[t].transpose(-1, -2) @ split_heads(values[t], self.heads)
                for t in self.tasks
            }
            sums = {t: kernels[t].sum(-2) for t in self.tasks}
            context = self._sum_others(contexts, "context", positions=False)
            normaliser = self._sum_others(sums, "normaliser", positions=False)
            return {t: read_summary(queries[t], context[t], normaliser[t]) for t in self.tasks}

    def _shared(
        self, queries: dict[str, Tensor], keys: dict[str, Tensor], values: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        common = _sum_of_all(keys), _sum_of_all(values)
        apart = self.singled_out()
        result = {}
        for task, query in queries.items():
            key, value = (
                (self._heard_by(task, keys, "key"), self._heard_by(task, values, "value"))
                if task in apart
                else common
            )
            result[task] = attend(query.relu(), key, value)
        return result

    def _heard_by(
        self, target: str, maps: dict[str, Tensor], part: str
    ) -> Float[Tensor, "b 1 n c"]:
        """The shared map as `target` reads it: contributions whose direction is cut are replaced."""
        return _sum_of_all(
            {t: x if t == target else self.knock_out(x, t, target, part) for t, x in maps.items()}
        )

    def attention_row(
        self, features: dict[str, Tensor], target: str, source: str, pixel: tuple[int, int]
    ) -> Float[Tensor, "b hs ws"]:
        """One row, of a single source with ``"linear"``.

        With ``"linear"`` phi(q) . phi(k_p) over its sum over the positions p of this source, mean
        over the heads; how the sources share the target is not in it. With ``"shared"`` the softmax
        over the one map that all tasks make, the same row for every source.
        """
        if self.kind is None:
            raise ValueError("this exchange has no attention over positions; see `attention`.")
        s = self.downscale
        grid = self.queries[target](pool(features[target], s, "nearest"))
        row, column = pixel[0] // s, pixel[1] // s
        query = grid[..., row : row + 1, column : column + 1]
        if self.kind == "linear":
            weights = kernel_row(query, self._key(features, source), self.heads)
        else:
            key = _sum_of_all({task: self._key(features, task) for task in self.tasks})
            logits = tokens(query.relu()) @ key.transpose(-1, -2) / grid.shape[1] ** 0.5
            weights = logits.softmax(-1).flatten(1)
        return weights.view(-1, *grid.shape[-2:])

    def _key(self, features: dict[str, Tensor], task: str) -> Float[Tensor, "b c hs ws"]:
        """What a task contributes to the keys, on the attention grid."""
        extracted = self.extractors[task](features[task]).relu()
        return self.keys[task](pool(extracted, self.downscale, "max"))

    def alphas(self) -> dict[tuple[str, str], Float[Tensor, " c"]]:
        """One vector per target, given for each of its sources."""
        return self.alphas_by_target(self.alpha) if self.kind else {}


def _pointwise(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, bias=False)


def _sum_of_all(maps: dict[str, Float[Tensor, "b c h w"]]) -> Float[Tensor, "b 1 n c"]:
    """One map of what every task contributes, as tokens."""
    return tokens(torch.stack(list(maps.values())).sum(0).relu())
