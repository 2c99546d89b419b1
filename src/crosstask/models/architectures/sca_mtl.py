"""SCA-MTL (Kim, Choi and Min, ICIP 2022): attention across tasks, then across scales."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from crosstask.models.architectures.architecture import (
    L1_LOSSES,
    Architecture,
    PaperSetting,
)
from crosstask.models.decoders.multiscale import TaskScales
from crosstask.models.encoders.encoder import Encoder
from crosstask.models.encoders.pyramid_maps import (
    STRIDES,
    Neck,
    PyramidMaps,
    create_pyramid_encoder,
)
from crosstask.models.exchanges.distillation import Distillation
from crosstask.models.exchanges.mteb import TaskExchange
from crosstask.models.exchanges.propagation import FeaturePropagation
from crosstask.models.exchanges.sca_scale import ScaleAttention
from crosstask.models.exchanges.sca_task import AllPairsAttention, TaskAttention
from crosstask.models.layers.window_self_attention import WindowSelfAttention
from crosstask.models.networks.multiscale import LEVELS, MultiScaleNetwork
from crosstask.models.networks.scene_network import requires_two_tasks

XTAM_DOWNSCALES = {5: 1, 4: 1, 3: 1, 2: 2}


def sca_mtl(
    encoder: Encoder,
    tasks: Mapping[str, int],
    width: float = 1.0,
    neck: Neck = "auto",
    self_attention: str | None = "window",
    task_exchange: str | None = "linear",
    scale_attention: bool = True,
    propagation: str | None = "attention",
    propagate_from: str = "exchanged",
    order: str = "tasks_first",
    pairs: str = "sequential",
    all_pairs_stride: int = 16,
    grouping: str = "released",
    head_channels: int | None = None,
    deep_supervision: bool = True,
    auxiliary_tasks: Sequence[str] = (),
    exchange_options: Mapping[str, Any] | None = None,
) -> MultiScaleNetwork:
    """SCA-MTL on any encoder with strides 4 to 32; its switches span MTI-Net to the whole.

    With HRNet-W18-small-v2, 40 classes and depth it has 25,760,549 parameters: the 25,763,645 of
    the release less 3,096 of layer norms that the release never calls. Every scale's task
    features are twice as wide as the backbone's map, because self-attention is concatenated.

    Args:
        width: scales the neck, from which all other widths follow.
        neck: 1x1 convolutions in front, see `PyramidMaps`. Widths must be multiples of 6.
        self_attention: ``"window"``, two blocks per scale (ATT); ``"duplicate"`` puts the map
            itself in its place (same widths, no attention); None keeps the backbone's widths.
        task_exchange: ``"linear"`` attention (CTAM), ``"gated"`` (MTI-Net's distillation),
            ``"xtam"`` (DenseMTL's block), or None; None with ``propagation=None`` is what one
            task may have.
        scale_attention: cross-scale attention (CSAM); off is MTI-Net's aggregation.
        propagation: ``"attention"`` (FPMA), ``"convolution"`` (MTI-Net's FPM) or None.
        propagate_from: features after the exchange, or before it (MTI-Net).
        order: tasks then scales as published, or CSAM before CTAM. Scales first, CSAM's output is
            brought back to the width of its scale and added, and the head is as narrow as
            MTI-Net's.
        pairs: ``"all"`` lets every (task, scale) from stride ``all_pairs_stride`` on read every
            other one directly, in place of CTAM and CSAM there; needs ``"tasks_first"`` and
            ``"linear"``.
        all_pairs_stride: 4, 8, 16 or 32; at 4 everything reads everything.
        grouping: softmax groups of the propagation, see `group_softmax`.
        head_channels: width between the last two 1x1 convolutions; None is the concatenation's
            (1080 published, 57 % of all arithmetic); 256 is the light head.
        deep_supervision: a side prediction of every task at every scale.
        auxiliary_tasks: tasks that only have side predictions and are read by the others.
        exchange_options: of `TaskExchange` with ``task_exchange="xtam"``.

    Raises:
        ValueError: an unknown choice, choices that exclude each other, one task, a missing stride.
    """
    chosen = (self_attention, task_exchange, propagation, propagate_from, order, pairs)
    _check_choices((*chosen, all_pairs_stride, grouping))
    _check_tasks(tasks, task_exchange, propagation, auxiliary_tasks, deep_supervision)
    _check_exclusions(
        pairs, order, task_exchange, scale_attention, auxiliary_tasks, exchange_options
    )
    maps = PyramidMaps(encoder, neck, width)
    channels = tuple(c * (1 if self_attention is None else 2) for c in maps.channels)
    together = STRIDES.index(all_pairs_stride) if pairs == "all" else 4
    by_level = list(zip(LEVELS, channels, strict=True))
    queries = tuple(range(min(3, together))) if scale_attention else ()
    inputs = _decoder_inputs(channels, propagation)
    further = (order == "scales_first", head_channels, deep_supervision)

    def decoder(task: str) -> TaskScales:
        final = task not in auxiliary_tasks
        attention = ScaleAttention(channels, queries) if queries and final else None
        return TaskScales(inputs, channels, tasks[task], attention, *further, final=final)

    decoders = {task: decoder(task) for task in tasks}
    exchange = _exchange_maker(task_exchange, tuple(tasks), auxiliary_tasks, exchange_options or {})
    return MultiScaleNetwork(
        encoder,
        maps,
        decoders,
        _self_attention(self_attention, maps.channels),
        {} if exchange is None else {k: exchange(k, c) for k, c in by_level[:together]},
        _propagation(propagation, tuple(tasks), by_level[1:], grouping),
        propagate_from == "exchanged",
        AllPairsAttention(tuple(tasks), channels[together:]) if pairs == "all" else None,
    )


def _propagation(
    kind: str | None, tasks: tuple[str, ...], by_level: Sequence[tuple[Any, int]], grouping: str
) -> dict[Any, nn.Module]:
    if kind is None:
        return {}
    return {level: FeaturePropagation(tasks, c, kind, grouping) for level, c in by_level}


def _self_attention(kind: str | None, channels: Sequence[int]) -> nn.ModuleList | None:
    if kind is None:
        return None
    return nn.ModuleList(
        WindowSelfAttention(c) if kind == "window" else nn.Identity() for c in channels
    )


def _exchange_maker(
    kind: str | None, tasks: Sequence[str], auxiliary: Sequence[str], options: Mapping[str, Any]
) -> Callable[[int, int], nn.Module] | None:
    """A function (level, channels) -> exchange, or None."""
    targets = tuple(task for task in tasks if task not in auxiliary)
    if kind == "linear":
        return lambda level, channels: TaskAttention(tasks, channels, targets)
    if kind == "gated":
        return lambda level, channels: Distillation(tasks, channels, targets)
    if kind == "xtam":
        return lambda level, channels: TaskExchange(
            tasks, channels, XTAM_DOWNSCALES[level], **options
        )
    return None


_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "self_attention": ("window", "duplicate", None),
    "task_exchange": ("linear", "gated", "xtam", None),
    "propagation": ("attention", "convolution", None),
    "propagate_from": ("exchanged", "initial"),
    "order": ("tasks_first", "scales_first"),
    "pairs": ("sequential", "all"),
    "all_pairs_stride": STRIDES,
    "grouping": ("released", "intended"),
}


def _check_choices(chosen: Sequence[Any]) -> None:
    """One value for each of `_CHOICES`, in its order."""
    for (name, known), value in zip(_CHOICES.items(), chosen, strict=True):
        if value not in known:
            raise ValueError(f"`{name}` is {value!r}; expected one of {known}.")


def _decoder_inputs(channels: Sequence[int], propagation: str | None) -> tuple[int, ...]:
    """Channels that reach the decoders: with propagation also those of the next coarser scale."""
    if propagation is None:
        return tuple(channels)
    return tuple(c + (channels[k + 1] if k < 3 else 0) for k, c in enumerate(channels))


def _check_exclusions(
    pairs: str,
    order: str,
    task_exchange: str | None,
    scale_attention: bool,
    auxiliary: Sequence[str],
    exchange_options: Mapping[str, Any] | None,
) -> None:
    if pairs == "all" and (order != "tasks_first" or task_exchange != "linear" or auxiliary):
        raise ValueError(
            "pairs='all' needs order='tasks_first', task_exchange='linear' and no auxiliary tasks; "
            "it replaces both attentions at the coarse scales."
        )
    if exchange_options and task_exchange != "xtam":
        raise ValueError("`exchange_options` are those of task_exchange='xtam'; leave them out.")
    if order == "scales_first" and not scale_attention:
        raise ValueError("order='scales_first' needs scale_attention=True.")


def _check_tasks(
    tasks: Mapping[str, int],
    exchange: str | None,
    propagation: str | None,
    auxiliary: Sequence[str],
    deep_supervision: bool,
) -> None:
    if len(tasks) < 2 and (exchange or propagation):
        raise requires_two_tasks(
            tasks,
            "pass task_exchange=None and propagation=None, take the architecture 'single_task', "
            "or add a task",
        )
    unknown = [task for task in auxiliary if task not in tasks]
    if unknown or len(auxiliary) >= len(tasks):
        raise ValueError(
            f"`auxiliary_tasks` is {tuple(auxiliary)}; expected some, not all, of {tuple(tasks)}."
        )
    if auxiliary and not deep_supervision:
        raise ValueError("auxiliary tasks only have side predictions: they need deep_supervision.")
    if auxiliary and exchange == "xtam":
        raise ValueError("task_exchange='xtam' has no auxiliary tasks; take 'gated' or 'linear'.")


HRNET = "hrnet_w18_small_v2"
# MTI-Net's, too: Adam with one rate.
FAMILY_OPTIMIZER: Mapping[str, Any] = {
    "lr": 1e-4,
    "encoder_lr": 1e-4,
    "betas": (0.9, 0.999),
    "weight_decay": 1e-4,
    "schedule": "poly",
}
SCA_MTL = Architecture(
    sca_mtl,
    HRNET,
    create_pyramid_encoder,
    levels="sum",
    optimizer=FAMILY_OPTIMIZER,
    losses=L1_LOSSES,
    papers=(
        PaperSetting(
            dataset="nyudv2",
            kinds=("Depth", "Segmentation"),
            epochs=100,
            batch_size=10,
            weights={"Segmentation": 1.44, "Depth": 1.15},
        ),
        PaperSetting(dataset="nyudv2", epochs=100, batch_size=10),
        PaperSetting(
            dataset="pascal_context",
            kinds=("Normals", "Segmentation"),
            epochs=100,
            batch_size=16,
            weights={"Segmentation": 1.1, "Normals": 40.0},
        ),
        PaperSetting(
            dataset="pascal_context",
            kinds=("HumanParts", "Saliency", "Segmentation"),
            epochs=80,
            batch_size=8,
        ),
        # Sets that the paper does not train: its 100 epochs in MTI-Net's batches.
        PaperSetting(dataset="pascal_context", epochs=100, batch_size=8),
    ),
)
