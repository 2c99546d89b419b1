"""ATRC (Bruggemann et al., ICCV 2021): a searched relational context for every pair of tasks."""

from collections.abc import Mapping
from typing import Any

from crosstask.models.architectures.architecture import (
    L1_LOSSES,
    Architecture,
    PaperSetting,
)
from crosstask.models.architectures.sca_mtl import HRNET
from crosstask.models.decoders.auxiliary_labels import AuxiliaryLabels
from crosstask.models.decoders.relational import RelationalDecoder
from crosstask.models.encoders.encoder import Encoder
from crosstask.models.encoders.pyramid_maps import (
    Neck,
    PyramidMaps,
    create_pyramid_encoder,
)
from crosstask.models.exchanges.relational import CONTEXTS, Genotype, RelationalExchange
from crosstask.models.networks.relational import SALIENCY, RelationalNetwork
from crosstask.models.networks.scene_network import requires_two_tasks

# Published genotypes: rows are targets, columns sources, digits index CONTEXTS.
_NYUD = ("segmentation", "depth", "normals", "edges")
_PASCAL = ("segmentation", "human_parts", "saliency", "normals", "edges")
GENOTYPES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "searched": (_NYUD, ("3344", "4344", "4334", "3313")),
    "searched_w48": (_NYUD, ("3004", "4114", "4114", "3333")),
    "searched_pascal": (_PASCAL, ("33404", "33434", "33343", "33334", "33313")),
}


def atrc(
    encoder: Encoder,
    tasks: Mapping[str, int],
    width: float = 1.0,
    neck: Neck = "auto",
    genotype: str | Genotype = "searched",
    neighbourhood: int = 9,
    dropout: float = 0.05,
    label_kinds: Mapping[str, str] | None = None,
    label_bins: int = 40,
    near: float = 0.7,
    far: float = 10.0,
    positive_weight: float = 0.8,
    auxiliary_weights: Mapping[str, float] | None = None,
) -> RelationalNetwork:
    """ATRC with a fixed genotype.

    On HRNet-W18-small-v2 with 40 classes, depth, normals and one edge logit: 4,515,556 parameters
    without contexts (the multi-task baseline), 5,060,994 with the published genotype.

    Args:
        width: scales the neck, from which all other widths follow.
        neck: 1x1 convolutions in front, see `PyramidMaps`.
        genotype: ``"searched"``, the published one of NYUDv2 and HRNet-W18 (``"searched_w48"``,
            ``"searched_pascal"`` for the others), where pairs with a task that it does not have
            are "global"; one of "none", "global", "local", "target_label", "source_label" for all
            pairs; or ``{target: {source: context}}``. "none" is the multi-task baseline and what
            one task may have.
        neighbourhood: side of the local context's window, odd.
        dropout: of whole channels, before the prediction.
        label_kinds, label_bins, near, far, positive_weight: of the auxiliary heads, see
            `AuxiliaryLabels`; ``near`` and ``far`` are those of indoor scenes, and a task called
            saliency is "binary".
        auxiliary_weights: factor of each task's auxiliary loss; the paper takes the tasks' own.

    Raises:
        ValueError: one task with contexts, an unknown context or kind, a missing stride.
    """
    if neighbourhood % 2 == 0 or neighbourhood < 1:
        raise ValueError(f"`neighbourhood` is {neighbourhood}; expected an odd number.")
    _check_names(tasks, auxiliary_weights=auxiliary_weights, label_kinds=label_kinds)
    maps = PyramidMaps(encoder, neck, width)
    shared = sum(maps.channels)
    channels = max(shared // 4, 2)
    decoders = {
        task: RelationalDecoder(shared, channels, outputs, dropout)
        for task, outputs in tasks.items()
    }
    rows = resolve_genotype(genotype, tuple(tasks))
    if all(kind == "none" for row in rows.values() for kind in row.values()):
        return RelationalNetwork(encoder, maps, decoders)
    if len(tasks) < 2:
        raise requires_two_tasks(
            tasks, "pass genotype='none', take the architecture 'single_task', or add a task"
        )
    exchange = RelationalExchange(rows, channels, channels // 2, neighbourhood)
    labelled = {task: tasks[task] for task in exchange.labelled_tasks()}
    auxiliary = None
    if labelled:
        kinds = {SALIENCY: "binary", **(label_kinds or {})}
        auxiliary = AuxiliaryLabels(labelled, shared, kinds, label_bins, near, far, positive_weight)
    return RelationalNetwork(encoder, maps, decoders, exchange, auxiliary, auxiliary_weights)


def _check_names(tasks: Mapping[str, int], **given: Mapping[str, Any] | None) -> None:
    for option, values in given.items():
        for name in values or ():
            if name not in tasks:
                raise ValueError(f"`{option}` has {name!r}; expected tasks of {tuple(tasks)}.")


def resolve_genotype(genotype: str | Genotype, tasks: tuple[str, ...]) -> Genotype:
    """``{target: {source: context}}`` for these tasks, from a name or as given."""
    if not isinstance(genotype, str):
        unknown = [task for task in genotype if task not in tasks]
        if unknown:
            raise ValueError(f"`genotype` has a target {unknown[0]!r}; expected those of {tasks}.")
        return {target: dict(genotype.get(target, {})) for target in tasks}
    if genotype in CONTEXTS:
        return {target: dict.fromkeys(tasks, genotype) for target in tasks}
    if genotype not in GENOTYPES:
        raise ValueError(
            f"`genotype` is {genotype!r}; expected one of {(*GENOTYPES, *CONTEXTS)} or a mapping."
        )
    known, table = GENOTYPES[genotype]
    return {
        target: {
            source: CONTEXTS[int(table[known.index(target)][known.index(source)])]
            if target in known and source in known
            else "global"
            for source in tasks
        }
        for target in tasks
    }


# The published 10 of the normals is for a loss divided by pixels, ours divides by components.
_WEIGHTS = {"Normals": 30.0}


def _on_nyudv2(genotype: str, encoder: str = "") -> PaperSetting:
    return PaperSetting(
        dataset="nyudv2",
        encoder=encoder,
        steps=40_000,
        weights=_WEIGHTS,
        losses={"Edges": {"positive_weight": 0.8}},
        options={"genotype": genotype, "positive_weight": 0.8},
        weighted_auxiliary=True,
    )


ATRC = Architecture(
    atrc,
    HRNET,
    create_pyramid_encoder,
    levels="sum",
    optimizer={
        "name": "sgd",
        "lr": 0.01,
        "encoder_lr": 0.01,
        "weight_decay": 5e-4,
        "schedule": "poly",
    },
    losses={**L1_LOSSES, "Saliency": {"logits": 2}},
    papers=(
        _on_nyudv2("searched_w48", encoder="hrnet_w48"),
        _on_nyudv2("searched"),
        PaperSetting(
            dataset="pascal_context",
            steps=40_000,
            weights=_WEIGHTS,
            lr=0.005,
            options={"genotype": "searched_pascal", "positive_weight": 0.95},
            weighted_auxiliary=True,
        ),
    ),
    nearest_bin=0.7,
)
