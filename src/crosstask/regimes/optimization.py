"""Optimisers, parameter groups and learning-rate schedules, all counted in optimiser steps."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import nn

from crosstask.models.architectures.multi_task import BASELINE_OPTIMIZER
from crosstask.models.architectures.sca_mtl import SCA_MTL
from crosstask.models.registry import Given, find_architecture


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """How parameters move. Rates are per group: the encoder's, and everything else's.

    Attributes:
        name: "adam", "adamw" or "sgd".
        lr: rate of decoders, exchanges and heads.
        encoder_lr: rate of the encoder.
        betas: of Adam and AdamW.
        momentum: of SGD.
        weight_decay: applied to weights only where `decay_norms` is False.
        decay_norms: also decay biases and normalisation parameters (what the research code does).
        schedule: "constant"; "step": times 0.1 at 75 % of the steps (the paper: at 30k of 40k);
            "poly": times (1 - step / steps) ** 0.9; "cosine".
        warmup: steps of linear growth from zero.
    """

    name: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = 3e-4
    encoder_lr: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.98)
    momentum: float = 0.9
    weight_decay: float = 0.0
    decay_norms: bool = True
    schedule: Literal["constant", "step", "poly", "cosine"] = "step"
    warmup: int = 0

    def __post_init__(self) -> None:
        if self.name not in ("adam", "adamw", "sgd"):
            raise ValueError(f"`name` is {self.name!r}; expected adam, adamw or sgd")
        if not 0 < self.lr < math.inf or not 0 <= self.encoder_lr < math.inf:
            raise ValueError(
                f"`lr` is {self.lr}, `encoder_lr` is {self.encoder_lr}; expected finite positive rates"
            )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


PRESETS: dict[str, Callable[[], OptimizerSettings]] = {
    "paper": OptimizerSettings,
    "paper_cityscapes": lambda: OptimizerSettings(lr=1e-4, encoder_lr=1e-5),
    "paper_baseline": lambda: OptimizerSettings(**BASELINE_OPTIMIZER),
    "paper_self_supervised": lambda: OptimizerSettings(
        lr=5e-5, encoder_lr=1e-5, betas=(0.9, 0.999)
    ),
    "sca_mtl": lambda: OptimizerSettings(**SCA_MTL.optimizer),
    "matched": lambda: OptimizerSettings(
        name="adamw",
        lr=2e-3,
        encoder_lr=2e-3,
        betas=(0.9, 0.999),
        weight_decay=1e-2,
        decay_norms=False,
        schedule="poly",
        warmup=25,
    ),
}


def optimizer_settings(
    preset: str, architecture: Given, lr: float | None = None, encoder_lr: float | None = None
) -> OptimizerSettings:
    """The settings behind `--optimizer`.

    "paper" is the architecture's own paper's (`Architecture.optimizer`): Adam for DenseMTL and its
    ablations, SGD for the light baselines (spec: the paper trains "our MTL models" with Adam, "other
    models" with SGD), and what SCA-MTL, MTI-Net and ATRC publish. "matched" is the same AdamW for
    every architecture, for fair comparisons. Plain "adam", "adamw" and "sgd" take the rates from
    `lr` and `encoder_lr`.
    """
    if preset == "paper":
        settings = OptimizerSettings(**find_architecture(architecture).optimizer)
    elif preset in PRESETS:
        settings = PRESETS[preset]()
    elif preset in ("adam", "adamw", "sgd"):
        settings = OptimizerSettings(name=preset)  # type: ignore[arg-type]
    else:
        known = ", ".join([*PRESETS, "adam", "adamw", "sgd"])
        raise ValueError(f"`optimizer` is {preset!r}; expected one of {known}")
    changes: dict[str, Any] = {}
    if lr is not None:
        changes["lr"] = lr
        changes["encoder_lr"] = lr * settings.encoder_lr / settings.lr
    if encoder_lr is not None:
        changes["encoder_lr"] = encoder_lr
    return OptimizerSettings(**{**asdict(settings), **changes})


def parameter_groups(
    parts: Sequence[tuple[str, Sequence[nn.Module], float]],
    weight_decay: float,
    decay_norms: bool,
) -> list[dict[str, Any]]:
    """Groups in which every trainable parameter stands exactly once.

    Args:
        parts: (name, modules, rate); a parameter belongs to the first part that holds it.
        weight_decay: of weights.
        decay_norms: whether biases and normalisation parameters (one axis) decay too.
    """
    seen: list[int] = []
    known: dict[int, None] = {}
    groups = []
    for name, modules, rate in parts:
        decayed: list[nn.Parameter] = []
        plain: list[nn.Parameter] = []
        for parameter in (p for module in modules for p in module.parameters()):
            if not parameter.requires_grad or id(parameter) in known:
                continue
            known[id(parameter)] = None
            seen.append(id(parameter))
            (decayed if decay_norms or parameter.ndim > 1 else plain).append(parameter)
        if decayed:
            groups.append(
                {"params": decayed, "lr": rate, "weight_decay": weight_decay, "name": name}
            )
        if plain:
            groups.append(
                {"params": plain, "lr": rate, "weight_decay": 0.0, "name": f"{name}/norms"}
            )
    return groups


def create_optimizer(
    settings: OptimizerSettings, groups: list[dict[str, Any]], fused: bool = False
) -> torch.optim.Optimizer:
    """The torch optimiser over ready-made groups; `fused` updates all weights in one kernel."""
    optimizer: torch.optim.Optimizer
    if settings.name == "sgd":
        optimizer = torch.optim.SGD(
            groups, lr=settings.lr, momentum=settings.momentum, fused=fused or None
        )
    else:
        kind = torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam
        optimizer = kind(groups, lr=settings.lr, betas=settings.betas, fused=fused or None)
    # A fused optimiser can divide gradients by a loss scale within its step, and Lightning then
    # refuses to clip. No precision here scales the loss.
    optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
    return optimizer


def schedule_factor(settings: OptimizerSettings, steps: int) -> Callable[[int], float]:
    """Step -> factor on the learning rate."""

    def factor(step: int) -> float:
        warm = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
        progress = min(step / max(steps, 1), 1.0)
        if settings.schedule == "step":
            return warm * (0.1 if progress >= 0.75 else 1.0)
        if settings.schedule == "poly":
            return warm * (1.0 - progress) ** 0.9
        if settings.schedule == "cosine":
            return warm * 0.5 * (1.0 + float(torch.cos(torch.tensor(torch.pi * progress))))
        return warm

    return factor
