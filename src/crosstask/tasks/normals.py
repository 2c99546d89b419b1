"""Surface normals."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from crosstask import losses
from crosstask.losses import Terms
from crosstask.media.colormap import VOID_COLOR
from crosstask.tasks.camera import Camera
from crosstask.tasks.constant import MeanMap
from crosstask.tasks.presentation import PERCENT, Measure, PredictionFile
from crosstask.tasks.target import Target, mirror_vectors
from crosstask.tasks.task import Task

if TYPE_CHECKING:
    from crosstask.metrics import NormalsMetric


def unit_or_zero(value: Float[Tensor, "3 h w"]) -> str | None:
    """The `check` of normals."""
    norm = value.norm(dim=0)
    legal = ((norm - 1).abs() <= 1e-3) | (norm == 0)
    return None if bool(legal.all()) else "unit vectors, (0,0,0) where unknown"


@dataclass(frozen=True, kw_only=True)
class Normals(Task):
    """Surface normals (N): unit vectors in the camera frame, by 1 - cosine.

    Target (3,H,W): x right, y down, z forward, facing the camera; void is the zero vector (any
    vector shorter than one half, so that holes blurred by 8-bit storage stay holes). Output: three
    channels of any length. Decoded: unit vectors.

    Args:
        objective: "cosine" (DenseMTL), or "l1": mean absolute difference to the normalised output
            (SCA-MTL and its family).
    """

    name: str = "normals"
    objective: str = "cosine"

    target: ClassVar[Target] = Target(
        channels=3,
        void=0,
        unit="unit vector, camera frame, to the camera",
        mirror=mirror_vectors,
        check=unit_or_zero,
    )
    headline: ClassVar[str] = "mean"
    higher_is_better: ClassVar[bool] = False
    default_weight: ClassVar[float] = 100.0
    paper_weight: ClassVar[float | None] = 100.0
    family_weight: ClassVar[float | None] = 10.0
    # On labelled source scenes the pixels above it are half as far off.
    trusted: ClassVar[float] = 0.99
    unit: ClassVar[str] = (
        "unit vectors, camera frame (x right, y down, z forward), facing the camera"
    )
    letter: ClassVar[str] = "N"
    table_place: ClassVar[int] = 2
    measures: ClassVar[Mapping[str, Measure]] = {
        "mean": Measure("mErr", "°", 2),
        **dict.fromkeys(("median", "rmse"), Measure(unit="°", digits=2)),
        **dict.fromkeys(("within_11", "within_22", "within_30"), PERCENT),
    }
    main_metrics: ClassVar[tuple[str, ...]] = ("mean", "median", "within_11")
    vectors: ClassVar[bool] = True
    training_only: ClassVar[tuple[str, ...]] = ("objective",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective not in ("cosine", "l1"):
            raise ValueError(f"`objective` is {self.objective!r}; expected 'cosine' or 'l1'")

    @property
    def channels(self) -> int:
        return 3

    def loss_terms(
        self,
        output: Float[Tensor, "b 3 h w"],
        target: Float[Tensor, "b 3 ht wt"],
        camera: Camera = None,
    ) -> Terms:
        output = self.resize(output, target)
        if self.objective == "cosine":
            return losses.cosine_distance(output, target, self.valid(target))
        difference = (F.normalize(output, dim=1) - target).abs().mean(1, keepdim=True)
        valid = self.valid(target)
        return torch.where(valid, difference, 0.0).sum(), valid.sum().float()

    def decode(
        self, output: Float[Tensor, "b 3 h w"], camera: Camera = None
    ) -> Float[Tensor, "b 3 h w"]:
        """Unit vectors; an output of no direction becomes that of a frontal wall, (0, 0, -1)."""
        return unit_vectors(output.float())

    def decode_in_graph(
        self, output: Float[Tensor, "b 3 h w"], camera: Camera = None
    ) -> Mapping[str, Float[Tensor, "b 3 h w"]]:
        return {"": self.decode(output, camera)}

    def metric(self) -> "NormalsMetric":
        from crosstask.metrics import NormalsMetric

        return NormalsMetric(protocol=self.protocol)

    def constant(self) -> MeanMap:
        return MeanMap(3, self.valid, (0.0, 0.0, -1.0), unit_vectors)

    def score(self, metrics: dict[str, float]) -> float:
        value = 1 - metrics["mean"] / 90
        return value if value != value else max(0.0, value)

    def valid(self, target: Float[Tensor, "b 3 h w"]) -> Bool[Tensor, "b 1 h w"]:
        return (target * target).sum(1, keepdim=True) > 0.25

    def initial_bias(self) -> tuple[float, ...]:
        """A frontal wall."""
        return (0.0, 0.0, -1.0)

    def alignment_map(
        self, output: Float[Tensor, "b 3 h w"], **reference: Any
    ) -> Float[Tensor, "b 3 h w"]:
        return F.normalize(output.float(), dim=1)

    def pseudo_label(
        self,
        output: Float[Tensor, "b 3 h w"],
        mirrored: Float[Tensor, "b 3 h w"],
        camera: Camera = None,
    ) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 1 h w"]]:
        """Confidence: the cosine between both answers."""
        first, second = self.decode(output), self.decode(mirrored)
        cosine = F.cosine_similarity(first, second, dim=1).clamp(0, 1)[:, None]
        return self.decode((output + mirrored) / 2), cosine

    def describe(self, value: Float[Tensor, "3"], kind: str) -> str:
        return describe_normal(value)

    def files(self, value: Float[Tensor, "3 h w"], kind: str) -> list[PredictionFile]:
        """The vectors, and an 8-bit image of (n + 1) / 2 * 255."""
        vectors = value.detach().cpu().float()
        coded = ((vectors.permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        text = {"encoding": "n = 2 * value / 255 - 1; x right, y down, z forward"}
        return [
            PredictionFile(".npy", vectors.numpy()),
            PredictionFile(".png", coded.numpy(), text),
        ]

    def colorize(self, value: Float[Tensor, "3 h w"], **scale: Any) -> UInt8[Tensor, "3 h w"]:
        """The field's usual look: right is red, up is green, toward the camera is blue.

        A frontal wall is light blue, the ground green.
        """
        value = value.detach().float().cpu()
        valid = value.norm(dim=0, keepdim=True) > 0.5
        facing = F.normalize(value, dim=0) * torch.tensor([1.0, -1.0, -1.0]).view(3, 1, 1)
        rgb = ((facing + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return torch.where(valid, rgb, torch.tensor(VOID_COLOR, dtype=torch.uint8).view(3, 1, 1))


_WORDS = (("left", "right"), ("up", "down"), ("towards the camera", "away from the camera"))
_SLIGHT = 0.35  # a component of the normal below this (20 degrees) is not worth a word


def describe_normal(normal: Float[Tensor, "3"]) -> str:
    """Where a surface faces, in words, and its unit vector (x right, y down, z forward)."""
    x, y, z = (float(v) for v in normal)
    if math.sqrt(x * x + y * y + z * z) < 0.5:
        return "no direction"
    order = sorted(zip((x, y, z), _WORDS, strict=True), key=lambda pair: -abs(pair[0]))
    words = [names[int(v > 0)] for v, names in order if abs(v) > _SLIGHT]
    return f"faces {' and '.join(words)} (x {x:+.2f}, y {y:+.2f}, z {z:+.2f})"


def unit_vectors(value: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Vectors of length one; (0, 0, -1) for a vector too short to have a direction."""
    length = value.norm(dim=1, keepdim=True)
    front = torch.tensor([0.0, 0.0, -1.0], dtype=value.dtype, device=value.device)
    unit = value / length.clamp_min(1e-12)
    return torch.where(length > 1e-12, unit, front.view(1, 3, 1, 1))
