"""ATRC's exchange: each ordered pair of tasks, a task with itself included, has its own context.

Source: Bruggemann et al., "Exploring relational context for multi-task dense prediction", ICCV
2021.
"""

from collections.abc import Mapping
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from crosstask.models.exchanges.base import Exchange
from crosstask.models.exchanges.label_context import LabelContext, LocalContext
from crosstask.models.layers.linear_attention import LinearCrossAttention, pointwise

CONTEXTS = ("none", "global", "local", "target_label", "source_label")
Genotype = Mapping[str, Mapping[str, str]]


class RelationalExchange(Exchange):
    """Every task reads every task (itself too) through the context that the genotype names.

    ``out_i = ReLU(BN(W [f_i, BN(V [context_ij(f_i, f_j) for j])]))``; the batch norm after V starts
    with a zero scale, so that training starts without exchange. A task whose row is all "none" is
    left as it is.

    Args:
        genotype: ``{target: {source: context}}``; the targets are the tasks, in order. Contexts
            are "none", "global" (linear attention over all positions), "local" (softmax over a
            neighbourhood), "target_label" and "source_label" (softmax over one token per label of
            the target's or source's auxiliary head).
        channels: width of every map.
        inner: width of the attentions.
        neighbourhood: side of the local context's window.

    Raises:
        ValueError: fewer than two tasks, an incomplete genotype, an unknown context.
    """

    has_attention = True

    def __init__(
        self, genotype: Genotype, channels: int, inner: int, neighbourhood: int = 9
    ) -> None:
        super().__init__(tuple(genotype))
        check_genotype(genotype, self.tasks)
        self.genotype = {target: dict(row) for target, row in genotype.items()}
        self.contexts = nn.ModuleDict()
        self.gather = nn.ModuleDict()
        self.merge = nn.ModuleDict()
        for target in self.tasks:
            sources = self.sources(target)
            if not sources:
                continue
            self.contexts[target] = nn.ModuleDict(
                {
                    source: _context(genotype[target][source], channels, inner, neighbourhood)
                    for source in sources
                }
            )
            self.gather[target] = pointwise(inner * len(sources), channels, relu=False)
            norm = cast(nn.Sequential, self.gather[target])[1]
            nn.init.zeros_(cast(Tensor, norm.weight))
            self.merge[target] = pointwise(2 * channels, channels)

    def sources(self, target: str) -> list[str]:
        """The tasks that a target reads, in order; perhaps itself among them."""
        return [source for source in self.tasks if self.genotype[target][source] != "none"]

    def labelled_tasks(self) -> list[str]:
        """The tasks whose labels some context needs, in order."""
        needed = {
            target if kind == "target_label" else source
            for target, row in self.genotype.items()
            for source, kind in row.items()
            if kind in ("target_label", "source_label")
        }
        return [task for task in self.tasks if task in needed]

    def forward(
        self,
        features: dict[str, Float[Tensor, "b c h w"]],
        labels: dict[str, Float[Tensor, "b _ h w"]] | None = None,
    ) -> dict[str, Float[Tensor, "b c h w"]]:
        """Same keys, same shapes; ``labels`` are the logits of the auxiliary heads."""
        out = dict(features)
        for target in self.contexts:
            reads = []
            for source in self.sources(target):
                read = self._read(features, labels or {}, target, source)
                reads.append(self.knock_out(read, source, target) if source != target else read)
            gathered = self.gather[target](torch.cat(reads, 1))
            out[target] = self.merge[target](torch.cat([features[target], gathered], 1))
        return out

    def _read(
        self, features: dict[str, Tensor], labels: dict[str, Tensor], target: str, source: str
    ) -> Tensor:
        context = cast(nn.ModuleDict, self.contexts[target])[source]
        kind = self.genotype[target][source]
        if kind in ("target_label", "source_label"):
            owner = target if kind == "target_label" else source
            return context(features[target], features[source], labels[owner])
        return context(features[target], features[source])

    def check_read(self, source: str, target: str) -> None:
        """A context that attends to positions; a task may read itself."""
        kind = self.genotype.get(target, {}).get(source, "none")
        if kind not in ("global", "local"):
            raise ValueError(
                f"direction {source!r} to {target!r} is {kind!r}, which has no attention over "
                "positions; ask for a 'global' or 'local' one."
            )

    def attention_row(
        self, features: dict[str, Tensor], target: str, source: str, pixel: tuple[int, int]
    ) -> Float[Tensor, "b hs ws"]:
        context = cast(
            LinearCrossAttention | LocalContext, cast(nn.ModuleDict, self.contexts[target])[source]
        )
        return context.row(features[target], features[source], pixel)


def _context(kind: str, channels: int, inner: int, neighbourhood: int) -> nn.Module:
    if kind == "global":
        return LinearCrossAttention(inner, channels, channels)
    if kind == "local":
        return LocalContext(channels, inner, neighbourhood)
    return LabelContext(channels, inner)


def check_genotype(genotype: Genotype, tasks: tuple[str, ...]) -> None:
    """Every ordered pair of tasks has a known context."""
    for target in tasks:
        row = genotype.get(target, {})
        for source in tasks:
            if row.get(source) not in CONTEXTS:
                raise ValueError(
                    f"the context of target {target!r} and source {source!r} is "
                    f"{row.get(source)!r}; expected one of {CONTEXTS}."
                )
