"""ATRC (Bruggemann et al., ICCV 2021): a searched relational context for every pair of tasks."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from crosstask.models.architectures.architecture import (
    L1_LOSSES,
    Architecture,
    PaperSetting,
)
from crosstask.models.architectures.sca_mtl import HRNET
from crosstask.models.decoders.auxiliary_labels import AuxiliaryLabels
from crosstask.models.decoders.label_targets import VOID_LABEL, label_loss
from crosstask.models.encoders.encoder import Encoder
from crosstask.models.encoders.pyramid_maps import (
    STRIDES,
    Neck,
    PyramidMaps,
    create_pyramid_encoder,
    fit_output,
)
from crosstask.models.exchanges.relational import CONTEXTS, Genotype, RelationalExchange
from crosstask.models.layers.recompute import run_exchange
from crosstask.models.layers.sizes import crop
from crosstask.models.network import pad_image

# Published genotypes: rows are targets, columns sources, digits index CONTEXTS.
_NYUD = ("segmentation", "depth", "normals", "edges")
_PASCAL = ("segmentation", "human_parts", "saliency", "normals", "edges")
GENOTYPES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "searched": (_NYUD, ("3344", "4344", "4334", "3313")),
    "searched_w48": (_NYUD, ("3004", "4114", "4114", "3333")),
    "searched_pascal": (_PASCAL, ("33404", "33434", "33343", "33334", "33313")),
}


# Saliency is labelled 0 or 1, and its losses weigh both alike whatever the image shows.
_SALIENCY = "saliency"


class RelationalDecoder(nn.Module):
    """One task's branch of the fused map, and its prediction.

    Args:
        shared: width of the fused map.
        channels: width of the branch.
        outputs: channels of the prediction.
        dropout: of whole channels, before the prediction.
    """

    def __init__(self, shared: int, channels: int, outputs: int, dropout: float = 0.05) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(shared, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        self.dropout = nn.Dropout2d(dropout)
        self.predictions = nn.ModuleList([nn.Conv2d(channels, outputs, 1)])

    def predict(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o h w"]:
        """Raw output at the resolution of the features."""
        return self.predictions[0](self.dropout(features))


class RelationalNetwork(nn.Module):
    """Image to ``{task: [image size], "auxiliary": {task: label logits at stride 4}}``.

    The encoder's maps are upsampled to stride 4 and concatenated; each task has a 3x3 branch of
    it, the branches exchange, a 1x1 convolution predicts. ``auxiliary`` is there where a context
    needs labels; `auxiliary_losses` are its losses.

    Args:
        encoder: see `Encoder`; strides 4, 8, 16 and 32 among its own.
        maps: picks those four, with or without a neck.
        decoders: one for each task; their order is the order of the tasks.
        exchange: the relational contexts, or None.
        auxiliary: the label heads that the contexts need, or None.
        auxiliary_weights: factor of each task's auxiliary loss; 1 where none is given.

    Attributes:
        spec: how `create_model` made it, JSON-safe.
    """

    def __init__(
        self,
        encoder: nn.Module,
        maps: PyramidMaps,
        decoders: Mapping[str, RelationalDecoder],
        exchange: RelationalExchange | None = None,
        auxiliary: AuxiliaryLabels | None = None,
        auxiliary_weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.tasks = tuple(decoders)
        self.encoder = encoder
        self.maps = maps
        self.decoders = nn.ModuleDict(dict(decoders))
        self.exchanges = nn.ModuleDict({"2": exchange} if exchange is not None else {})
        self.auxiliary = auxiliary
        self.auxiliary_weights = dict(auxiliary_weights or {})
        self.levels = (2,)
        self.final_only = False
        self.spec: dict[str, Any] = {}

    def encode(self, image: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """All maps of the encoder, fine to coarse, of the padded image (RGB in [0,1])."""
        return self.encoder(pad_image(image, cast(Encoder, self.encoder).multiple))

    def decode(self, features: list[Tensor], size: tuple[int, int] | None = None) -> dict[str, Any]:
        """Outputs from features; `size` is the image's (H, W), by default that of the padded image."""
        stride = cast(Encoder, self.encoder).strides[0]
        padded = (features[0].shape[-2] * stride, features[0].shape[-1] * stride)
        wanted = size or padded
        shared, streams = self._branches(features)
        labels = self.auxiliary(shared) if self.auxiliary is not None else {}
        if "2" in self.exchanges:
            streams = run_exchange(self.exchanges["2"], streams, labels)
        outputs: dict[str, Any] = {}
        for task in self.tasks:
            output = cast(RelationalDecoder, self.decoders[task]).predict(streams[task])
            full = functional.interpolate(output, size=padded, mode="bilinear", align_corners=False)
            outputs[task] = [crop(full, wanted)]
        if labels and not self.final_only:
            outputs["auxiliary"] = {
                task: fit_output(logits, STRIDES[0], wanted) for task, logits in labels.items()
            }
        return outputs

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> dict[str, Any]:
        return self.decode(self.encode(image), (image.shape[-2], image.shape[-1]))

    def auxiliary_losses(
        self, auxiliary: Mapping[str, Tensor], targets: Mapping[str, Tensor]
    ) -> dict[str, Float[Tensor, ""]]:
        """Cross-entropy of the label heads, times their weights; 0 where a target is all void.

        That of saliency is balanced by the batch, as the task's own loss is.

        Args:
            auxiliary: what the network returned under that name.
            targets: ``{task: target}`` as in samples; tasks without a target are left out.

        Returns:
            ``{"auxiliary/<task>": loss}``.
        """
        assert self.auxiliary is not None
        losses = {}
        for task, logits in auxiliary.items():
            if task not in targets:
                continue
            if task == _SALIENCY and self.auxiliary.kinds[task] == "binary":
                loss = balanced_label_loss(logits, self.auxiliary.labels(task, targets[task]))
            else:
                loss = self.auxiliary.loss(task, logits, targets[task])
            losses[f"auxiliary/{task}"] = self.auxiliary_weights.get(task, 1.0) * loss
        return losses

    def prediction_layers(self, task: str) -> list[nn.Conv2d]:
        """The layers of a task whose bias is the output's starting value."""
        return [cast(nn.Conv2d, cast(RelationalDecoder, self.decoders[task]).predictions[0])]

    def streams(self, image: Float[Tensor, "b 3 h w"], level: int = 2) -> dict[str, Tensor]:
        """Each task's features at stride 4, as the exchange reads them."""
        if level != 2:
            raise ValueError(f"`level` is {level}; expected 2, where this network exchanges.")
        return self._branches(self.encode(image))[1]

    def _branches(self, features: list[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        maps = self.maps(features)
        size = maps[0].shape[-2:]
        upsampled = [functional.interpolate(x, size=size, mode="bilinear") for x in maps[1:]]
        shared = torch.cat([maps[0], *upsampled], 1)
        return shared, {
            task: cast(RelationalDecoder, self.decoders[task]).branch(shared) for task in self.tasks
        }


def balanced_label_loss(
    logits: Float[Tensor, "b 2 _ _"], labels: Int[Tensor, "b h w"]
) -> Float[Tensor, ""]:
    """Cross-entropy in which each of two labels weighs the other's share of the batch's pixels.

    Args:
        logits: of labels 0 and 1.
        labels: 0 or 1, void 255.
    """
    ones = (labels == 1).sum() / (labels != VOID_LABEL).sum().clamp(min=1)
    return label_loss(logits, labels, torch.stack([ones, 1 - ones]))


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
        raise ValueError(
            f"one task ({next(iter(tasks))!r}) has nobody to exchange with; pass genotype='none', "
            "take 'single_task', or add a task."
        )
    exchange = RelationalExchange(rows, channels, channels // 2, neighbourhood)
    labelled = {task: tasks[task] for task in exchange.labelled_tasks()}
    auxiliary = None
    if labelled:
        kinds = {_SALIENCY: "binary", **(label_kinds or {})}
        auxiliary = AuxiliaryLabels(labelled, shared, kinds, label_bins, near, far, positive_weight)
    return RelationalNetwork(encoder, maps, decoders, exchange, auxiliary, auxiliary_weights)


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
