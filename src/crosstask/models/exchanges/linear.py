"""An exchange whose cost grows linearly with the number of tasks."""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from crosstask.models.exchanges.directions import Exchange, sums_of_others
from crosstask.models.exchanges.xtam import enlarge, pool
from crosstask.models.layers.full_precision import full_precision

MIXINGS = ("conv", "separable", "pointwise")
ATTENTIONS = ("linear", "shared", None)


class LinearExchange(Exchange):
    """Tasks talk over a common bus: each one writes once and reads once, whatever their number.

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

        self.extractors = each(_mixer, mixing, channels, channels, True)
        self.gates = each(_Gate, mixing, channels, half) if gate else None
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
        attend = self._linear if self.kind == "linear" else self._shared
        result = {}
        for task, x in attend(queries, keys, values).items():
            if task in self.alpha:
                x = x * self.alpha[task].view(1, -1, 1, 1)
            result[task] = self.outputs[task](x)
        return result

    def _linear(
        self, queries: dict[str, Tensor], keys: dict[str, Tensor], values: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        first = queries[self.tasks[0]]
        with full_precision(first.device):
            kernels = {t: functional.elu(_float(self._heads(keys[t]))) + 1 for t in self.tasks}
            contexts = {
                t: kernels[t].transpose(-1, -2) @ _float(self._heads(values[t])) for t in self.tasks
            }
            sums = {t: kernels[t].sum(-2) for t in self.tasks}
            context = self._sum_others(contexts, "context", positions=False)
            normaliser = self._sum_others(sums, "normaliser", positions=False)
            result = {}
            for task in self.tasks:
                query = functional.elu(_float(self._heads(queries[task]))) + 1
                weight = query @ normaliser[task].unsqueeze(-1)
                attended = (query @ context[task]) / weight.clamp(min=1e-6)
                result[task] = attended.transpose(-1, -2).reshape(first.shape).to(first.dtype)
        return result

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
            attended = functional.scaled_dot_product_attention(_tokens(query.relu()), key, value)
            result[task] = attended.squeeze(1).transpose(1, 2).reshape(query.shape)
        return result

    def _heard_by(
        self, target: str, maps: dict[str, Tensor], part: str
    ) -> Float[Tensor, "b 1 n c"]:
        """The shared map as `target` reads it: contributions whose direction is cut are replaced."""
        return _sum_of_all(
            {t: x if t == target else self.knock_out(x, t, target, part) for t, x in maps.items()}
        )

    def _heads(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b heads n d"]:
        batch, channels = x.shape[:2]
        return x.reshape(batch, self.heads, channels // self.heads, -1).transpose(-1, -2)

    def attention(
        self,
        features: dict[str, Float[Tensor, "b c h w"]],
        target: str,
        source: str,
        pixel: tuple[int, int],
    ) -> Float[Tensor, "b hs ws"]:
        """One row of the attention, which is never stored: where `target` looks in `source`.

        With ``"linear"``: phi(q) . phi(k_p) over its sum over the positions p of this source, mean
        over the heads; how the sources share the target is not in it. With ``"shared"``: the
        softmax over the one map that all tasks make, the same row for every source.

        Args:
            features: what the exchange reads (before the exchange).
            pixel: row and column, in pixels of these features.

        Returns:
            weights over the attention grid, which sum to 1.

        Raises:
            ValueError: unknown task, target equal to source, or an exchange without attention.
        """
        self.check_direction(source, target)
        if self.kind is None:
            raise ValueError("this exchange has no attention over positions; see `attention`.")
        s = self.downscale
        grid = self.queries[target](pool(features[target], s, "nearest"))
        row, column = pixel[0] // s, pixel[1] // s
        query = grid[..., row : row + 1, column : column + 1]
        if self.kind == "linear":
            weights = self._kernel_row(query, self._key(features, source))
        else:
            key = _sum_of_all({task: self._key(features, task) for task in self.tasks})
            logits = _tokens(query.relu()) @ key.transpose(-1, -2) / grid.shape[1] ** 0.5
            weights = logits.softmax(-1).flatten(1)
        return weights.view(-1, *grid.shape[-2:])

    def _key(self, features: dict[str, Tensor], task: str) -> Float[Tensor, "b c hs ws"]:
        """What a task contributes to the keys, on the attention grid."""
        extracted = self.extractors[task](features[task]).relu()
        return self.keys[task](pool(extracted, self.downscale, "max"))

    def _kernel_row(
        self, query: Float[Tensor, "b c 1 1"], key: Float[Tensor, "b c hs ws"]
    ) -> Float[Tensor, "b n"]:
        """Weights of one query over the positions of one source, mean over the heads."""
        with full_precision(query.device):
            phi, kernel = (functional.elu(_float(self._heads(x))) + 1 for x in (query, key))
            weights = (phi @ kernel.transpose(-1, -2)).squeeze(-2)
            return (weights / weights.sum(-1, keepdim=True).clamp(min=1e-6)).mean(1)

    def alphas(self) -> dict[tuple[str, str], Tensor]:
        """One vector per target, given for each of its sources."""
        if self.kind is None:
            return {}
        return {
            (source, target): cast(Tensor, self.alpha[target]).detach()
            for target in self.tasks
            if target in self.alpha
            for source in self.others(target)
        }


class _Gate(nn.Module):
    """A feature map times the sigmoid of a mask; both from one mixer."""

    def __init__(self, mixing: str, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mixer = _mixer(mixing, inputs, 2 * outputs, False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        feature, mask = self.mixer(x).chunk(2, dim=1)
        return feature * mask.sigmoid()


def _mixer(mixing: str, inputs: int, outputs: int, bias: bool) -> nn.Module:
    if mixing == "conv":
        return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
    pointwise = nn.Conv2d(inputs, outputs, 1, bias=bias)
    if mixing == "pointwise":
        return pointwise
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False), pointwise
    )


def _pointwise(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, bias=False)


def _sum_of_all(maps: dict[str, Float[Tensor, "b c h w"]]) -> Float[Tensor, "b 1 n c"]:
    """One map of what every task contributes, as tokens."""
    return _tokens(torch.stack(list(maps.values())).sum(0).relu())


def _tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2).contiguous().unsqueeze(1)


def _float(x: Tensor) -> Tensor:
    """At least float32."""
    return x if x.dtype == torch.float64 else x.float()
