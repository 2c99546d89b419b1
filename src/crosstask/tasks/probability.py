"""Tasks whose output is the probability of a binary map: edges, saliency."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from crosstask.tasks.camera import Camera
from crosstask.tasks.constant import MeanMap
from crosstask.tasks.presentation import PredictionFile, probability_file
from crosstask.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class ProbabilityMap(Task):
    """A target of 0, 1 and void; one or two logits; decoded to a probability (B,1,H,W).

    Args:
        logits: 2 (softmax) or 1 (sigmoid).
    """

    logits: int = 2

    unit: ClassVar[str] = "probability"
    smooth: ClassVar[bool] = True
    higher_is_better: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.logits not in (1, 2):
            raise ValueError(f"`logits` is {self.logits}; expected 1 or 2")

    @property
    def channels(self) -> int:
        return self.logits

    @property
    def alignment_channels(self) -> int:
        return 2

    def decode(
        self, output: Float[Tensor, "b c h w"], camera: Camera = None
    ) -> Float[Tensor, "b 1 h w"]:
        output = output.float()
        return output.sigmoid() if self.logits == 1 else output.softmax(1)[:, 1:]

    def decode_in_graph(
        self, output: Float[Tensor, "b c h w"], camera: Camera = None
    ) -> Mapping[str, Float[Tensor, "b 1 h w"]]:
        output = output.float()
        # runtimes compute a softmax over two channels many times slower than one sigmoid
        margin = output if self.logits == 1 else output[:, 1:] - output[:, :1]
        return {"": margin.sigmoid()}

    def constant(self) -> MeanMap:
        return MeanMap(1, self.valid, (0.0,))

    def score(self, metrics: dict[str, float]) -> float:
        return metrics[self.headline]

    def valid(self, target: Float[Tensor, "b 1 h w"]) -> Bool[Tensor, "b 1 h w"]:
        return target != self.void

    def alignment_map(
        self, output: Float[Tensor, "b c h w"], **reference: Any
    ) -> Float[Tensor, "b 2 h w"]:
        """Weighted self-information of 0 and of 1."""
        one = self.decode(output)
        return self_information(torch.cat([1 - one, one], dim=1))

    def describe(self, value: Shaped[Tensor, "*c"], kind: str) -> str:
        return f"probability {float(value.reshape(-1)[0]):.2f}"

    def files(self, value: Float[Tensor, "*one h w"], kind: str) -> list[PredictionFile]:
        return probability_file(value)


def self_information(probabilities: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k h w"]:
    """Weighted self-information -p log2 p / log2 K (ADVENT, Vu et al. 2019): sums to at most 1."""
    number = torch.log2(torch.tensor(float(probabilities.shape[1])))
    return -probabilities * torch.log2(probabilities + 1e-30) / number.to(probabilities.device)
