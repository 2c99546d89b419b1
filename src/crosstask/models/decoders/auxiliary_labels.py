"""ATRC's auxiliary heads: every task predicts labels, from features that they cannot change.

Source: Bruggemann et al., ATRC, ICCV 2021.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from crosstask.media.label_range import void_label
from crosstask.models.decoders.label_targets import (
    VOID_LABEL,
    binary_labels,
    depth_labels,
    facing_directions,
    label_loss,
    normals_labels,
)

KINDS = ("classes", "depth", "normals", "binary")


class AuxiliaryLabels(nn.Module):
    """One head per task: 1x1 convolution, batch norm, ReLU, 1x1 convolution to label logits.

    The input is detached: these losses train the heads, not the trunk.

    Args:
        tasks: ``{name: output channels}`` of the tasks that have a head, in order.
        channels: width of the shared map.
        kinds: ``{name: kind}``; "classes" (targets are class indices, void 255), "depth" (metres,
            void 0), "normals" (unit vectors, void zero) or "binary" (0 or 1, void 255). Tasks
            called depth, normals and edges have theirs by name, others are "classes".
        bins: labels of depth (logarithmic bins between ``near`` and ``far`` metres) and of normals
            (directions spread evenly over the hemisphere that faces the camera).
        near, far: metres.
        positive_weight: weight of class 1 in the binary loss; class 0 has one minus it.

    Raises:
        ValueError: an unknown kind, a task of two classes too few, a bad range.
    """

    directions: Tensor
    binary_weights: Tensor

    def __init__(
        self,
        tasks: Mapping[str, int],
        channels: int,
        kinds: Mapping[str, str] | None = None,
        bins: int = 40,
        near: float = 0.7,
        far: float = 10.0,
        positive_weight: float = 0.8,
    ) -> None:
        super().__init__()
        if not 0 < near < far:
            raise ValueError(
                f"`near` and `far` are {near} and {far}; expected 0 < near < far metres."
            )
        self.kinds = {task: label_kind(task, count, kinds or {}) for task, count in tasks.items()}
        self.bins, self.near, self.far = bins, near, far
        outputs = {"depth": bins, "normals": bins, "binary": 2}
        self.mix = nn.ModuleDict()
        self.predictions = nn.ModuleDict()
        for task, count in tasks.items():
            self.mix[task] = nn.Sequential(
                nn.Conv2d(channels, channels, 1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            )
            self.predictions[task] = nn.Conv2d(channels, outputs.get(self.kinds[task], count), 1)
        self.register_buffer("directions", facing_directions(bins), persistent=False)
        weights = torch.tensor([1 - positive_weight, positive_weight])
        self.register_buffer("binary_weights", weights, persistent=False)

    def forward(self, shared: Float[Tensor, "b c h w"]) -> dict[str, Float[Tensor, "b _ h w"]]:
        """Label logits of every task; no gradient flows into ``shared``."""
        fixed = shared.detach()
        return {task: self.predictions[task](self.mix[task](fixed)) for task in self.kinds}

    def labels(self, task: str, target: Tensor) -> Tensor:
        """A task's target as labels (B,H,W) int64, void 255 (65535 of more than 254 classes)."""
        kind = self.kinds[task]
        if kind == "depth":
            return depth_labels(target, self.bins, self.near, self.far)
        if kind == "normals":
            return normals_labels(target, self.directions)
        return binary_labels(target) if kind == "binary" else target

    def loss(
        self, task: str, logits: Float[Tensor, "b n _ _"], target: Tensor
    ) -> Float[Tensor, ""]:
        """Cross-entropy of one head against a target in the task's own form."""
        weights = self.binary_weights if self.kinds[task] == "binary" else None
        of_classes = self.kinds[task] == "classes"
        void = void_label(logits.shape[1]) if of_classes else VOID_LABEL
        return label_loss(logits, self.labels(task, target), weights, void)


def label_kind(task: str, outputs: int, kinds: Mapping[str, str]) -> str:
    """How a task's target becomes labels: as given, or by its name."""
    by_name = {"depth": "depth", "normals": "normals", "edges": "binary"}
    kind = kinds.get(task, by_name.get(task, "classes"))
    if kind not in KINDS:
        raise ValueError(
            f"`label_kinds` gives {task!r} the kind {kind!r}; expected one of {KINDS}."
        )
    if kind == "classes" and outputs < 2:
        raise ValueError(
            f"task {task!r} has one output channel, so its targets are no classes; name its kind in "
            f"`label_kinds`, for example {{{task!r}: 'binary'}}; there are {KINDS}."
        )
    return kind
