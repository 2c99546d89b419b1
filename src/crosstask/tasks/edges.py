"""Semantic edges."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from crosstask import losses
from crosstask.losses import Terms
from crosstask.media.colormap import VOID_COLOR
from crosstask.tasks.camera import Camera
from crosstask.tasks.presentation import PERCENT, Measure
from crosstask.tasks.probability import ProbabilityMap
from crosstask.tasks.resample import resize_edges
from crosstask.tasks.target import Target, zero_or_one

if TYPE_CHECKING:
    from crosstask.metrics import EdgesMetric


@dataclass(frozen=True, kw_only=True)
class Edges(ProbabilityMap):
    """Semantic edges (E): the pixels beside a class boundary, by weighted cross-entropy.

    Target (1,H,W), 0 or 1, void 255. Output: one or two logits. Decoded: probability (B,1,H,W).

    Args:
        logits: 2 (softmax, DenseMTL) or 1 (sigmoid, the SCA-MTL family).
        positive_weight: weight of an edge pixel in the loss; the background weighs one minus it.
    """

    name: str = "edges"
    positive_weight: float = 0.95

    target: ClassVar[Target] = Target(
        channels=1, void=255, unit="0 or 1", resize=resize_edges, check=zero_or_one
    )
    headline: ClassVar[str] = "f1"
    default_weight: ClassVar[float] = 50.0
    loss_options: ClassVar[Mapping[str, str]] = {"edge_weight": "positive_weight"}
    training_only: ClassVar[tuple[str, ...]] = ("logits", "positive_weight")
    paper_weight: ClassVar[float | None] = 50.0
    family_weight: ClassVar[float | None] = 50.0
    trusted: ClassVar[float] = 0.968  # DACS's and DAFormer's
    draws_boundaries: ClassVar[bool] = True
    letter: ClassVar[str] = "E"
    table_place: ClassVar[int] = 3
    measures: ClassVar[Mapping[str, Measure]] = {
        "f1": Measure("F1", "%", 2),
        **dict.fromkeys(("precision", "recall", "best_f1", "ods_f", "ois_f", "ap"), PERCENT),
    }
    main_metrics: ClassVar[tuple[str, ...]] = ("f1", "precision", "recall")
    legend_note: ClassVar[str] = "black: edge"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.positive_weight < 1:
            raise ValueError(
                f"`positive_weight` is {self.positive_weight}; expected a number between 0 and 1"
            )

    def loss_terms(
        self,
        output: Float[Tensor, "b c h w"],
        target: Float[Tensor, "b 1 ht wt"],
        camera: Camera = None,
    ) -> Terms:
        return losses.edge_cross_entropy(
            self.resize(output, target), target, self.valid(target), self.positive_weight
        )

    def normalizer(self, target: Float[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
        """Sum of the class weights over the labelled pixels."""
        valid = self.valid(target)
        edges = (valid & (target > 0.5)).sum().float()
        labelled = valid.sum().float()
        return edges * self.positive_weight + (labelled - edges) * (1 - self.positive_weight)

    def metric(self, boundaries: bool = False, **options: Any) -> "EdgesMetric":
        """Pixel-wise F1; with `boundaries` also the field's ODS-F, OIS-F and AP.

        Args:
            boundaries: costs about a second per image: for the final evaluation.
            options: of `BoundaryMetric`. The defaults fit edges from label boundaries, two pixels
                wide: both sides are thinned, tolerance 0.011 of the diagonal (NYUD).
        """
        from crosstask.metrics import BoundaryMetric, EdgesMetric

        defaults: dict[str, Any] = {"tolerance": 0.011, "thin_target": True}
        boundary = BoundaryMetric(**(defaults | options)) if boundaries else None
        return EdgesMetric(protocol=self.protocol, boundary=boundary)

    def pseudo_label(
        self,
        output: Float[Tensor, "b c h w"],
        mirrored: Float[Tensor, "b c h w"],
        camera: Camera = None,
    ) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
        """0 or 1; confidence: the probability of edge or of no edge."""
        edge = self.decode((output + mirrored) / 2)
        return (edge > 0.5).float(), torch.maximum(edge, 1 - edge)

    def colorize(self, value: Float[Tensor, "*one h w"], **scale: Any) -> UInt8[Tensor, "3 h w"]:
        """Edges black on white; probabilities in between are grey."""
        edge = value.detach().reshape(1, *value.shape[-2:]).float().cpu()
        grey = ((1 - edge.clamp(0, 1)) * 255).round().to(torch.uint8).expand(3, -1, -1)
        void = torch.tensor(VOID_COLOR, dtype=torch.uint8).view(3, 1, 1)
        return torch.where(edge != self.void, grey, void)
