"""What is known of an architecture, as fields of one object beside its function."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from crosstask.models.decoders.densemtl import Decoder
from crosstask.models.encoders.encoder import Encoder, create_encoder

Kinds = Mapping[str, Any]
# What the papers of SCA-MTL, MTI-Net and ATRC train with: L1 for depth and vectors, one edge logit.
L1_LOSSES: Mapping[str, Kinds] = {
    "Depth": {"loss": "l1"},
    "Normals": {"objective": "l1"},
    "Edges": {"logits": 1},
}


@dataclass(frozen=True, kw_only=True)
class PaperSetting:
    """What an architecture's paper sets on one dataset, where it is more than the fields below.

    Attributes:
        dataset: name of the dataset, as in its recipe.
        kinds: task classes, sorted, of the whole set that it holds for; None is any set.
        encoder: what the encoder's name begins with; empty is any encoder.
        epochs: passes over the training split, or
        steps: optimiser steps.
        batch_size: images a step.
        weights: {task class: weight of its loss}, where they are not `family_weights`.
        losses: {task class: options of its loss}, on top of the architecture's.
        lr: rate, where it is not the architecture's.
        options: options of the architecture.
        weighted_auxiliary: whether its option `auxiliary_weights` is `family_weights`.
    """

    dataset: str
    kinds: tuple[str, ...] | None = None
    encoder: str = ""
    epochs: int = 0
    steps: int = 0
    batch_size: int = 8
    weights: Mapping[str, float] = field(default_factory=dict)
    losses: Mapping[str, Kinds] = field(default_factory=dict)
    lr: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    weighted_auxiliary: bool = False


@dataclass(frozen=True)
class Architecture:
    """One architecture: how it is built, and what its paper says of training it.

    Task classes stand for themselves by name ("Depth"), and optimisers as plain data, because
    networks hold neither task objects nor trainers.

    Attributes:
        build: ``(encoder, tasks: {name: channels}, width, **options) -> module``; its keyword
            arguments are the architecture's options, and if it takes any (``**decoder``), those of
            `Decoder` too.
        encoder: name of its own encoder.
        create_encoder: makes the encoder: ``(name, pretrained, normalization, output_stride=)``.
        levels: how the losses of its supervised levels combine: mean, sum or last.
        optimizer: its paper's, where it is not DenseMTL's: fields of `OptimizerSettings`.
        losses: {task class: options of its loss}, where they are not DenseMTL's.
        papers: what its paper sets by dataset; the first that fits counts.
        nearest_bin: metres; depth is told apart in bins from there, or from the task's least
            depth, to its largest: options `near` and `far`. None has no bins.
        separate: one whole network for each task, nothing shared: what the gain of a multi-task
            network is measured against.
        control: DenseMTL's decoders without an exchange: what a network with one must beat.
        probe: linear heads on a frozen encoder: what it is worth by itself.
    """

    build: Callable[..., nn.Module]
    encoder: str = "resnet101"
    create_encoder: Callable[..., Encoder] = create_encoder
    levels: Literal["mean", "sum", "last"] = "mean"
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    losses: Mapping[str, Kinds] = field(default_factory=dict)
    papers: tuple[PaperSetting, ...] = ()
    nearest_bin: float | None = None
    separate: bool = False
    control: bool = False
    probe: bool = False

    @property
    def name(self) -> str:
        """That of its function."""
        return self.build.__name__

    @property
    def summary(self) -> str:
        """The first line of its function's docstring."""
        return (self.build.__doc__ or "").strip().partition("\n")[0]

    def options(self) -> list[str]:
        """Names of its options: its own, and its decoder's where it passes them on."""
        parameters = inspect.signature(self.build).parameters.values()
        known = [p.name for p in list(parameters)[2:] if p.kind is not p.VAR_KEYWORD]
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            known += list(inspect.signature(Decoder).parameters)[3:]
        return [key for key in dict.fromkeys(known) if key != "width"]

    def paper_on(
        self, dataset: str, kinds: Sequence[str], encoder: str | None = None
    ) -> PaperSetting | None:
        """What its paper sets on a dataset; None where nothing is known.

        Args:
            kinds: task classes of the whole set.
            encoder: name; None is its own.
        """
        chosen = encoder or self.encoder
        return next(
            (
                paper
                for paper in self.papers
                if paper.dataset == dataset
                and paper.kinds in (None, tuple(sorted(kinds)))
                and chosen.startswith(paper.encoder)
            ),
            None,
        )
