"""Pose network: the camera's motion between two frames (Zhou et al. 2017; Godard et al. 2019)."""

from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from crosstask.models.encoders.normalization import Normalization, statistics
from crosstask.models.encoders.weights import pretrained_backbone


class PoseNetwork(nn.Module):
    """Two frames in temporal order -> axis-angle and translation of the motion first -> second.

    The result maps points of the *first* camera to the *second*; it is small at the start (times
    `scale`), so that training begins near "no motion". The encoder is any timm backbone with six input
    channels (pre-trained stem weights are repeated for the second frame and halved); the head is a
    1x1 convolution to 256 channels, two 3x3 convolutions and a 1x1 convolution to six numbers per
    `motions`, averaged over the image. ResNet-18: 11,185,920 parameters and 1,314,572 with
    ``motions=2``, the published head, of which only the first motion is used.

    Args:
        encoder: timm name.
        pretrained: True is ``weights="auto"``, False is ``"none"``.
        normalization, weights: see `create_encoder`.
        hidden: channels of the head.
        motions: motions predicted; the first is returned.
        scale: factor on the output (radians and metres).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        encoder: str = "resnet18",
        pretrained: bool = True,
        normalization: Normalization = "auto",
        hidden: int = 256,
        motions: int = 2,
        scale: float = 0.01,
        weights: str | Path | None = None,
    ) -> None:
        super().__init__()
        options = {"in_chans": 6, "num_classes": 0, "global_pool": ""}
        self.encoder, normalization = pretrained_backbone(
            encoder, pretrained, normalization, weights, options
        )
        mean, deviation = statistics(normalization)
        self.spec = {
            "encoder": encoder,
            "normalization": normalization,
            "hidden": hidden,
            "motions": motions,
            "scale": scale,
        }
        self.scale = scale
        self.register_buffer("mean", mean.repeat(1, 2, 1, 1), persistent=False)
        self.register_buffer("deviation", deviation.repeat(1, 2, 1, 1), persistent=False)
        self.head = nn.Sequential(
            nn.Conv2d(int(cast(Any, self.encoder).num_features), hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, 6 * motions, 1),
        )

    def normalize_with(self, normalization: Normalization) -> None:
        """Change what frames are normalised with, to that of weights that are loaded later."""
        mean, deviation = statistics(normalization)
        self.spec["normalization"] = normalization
        self.mean.copy_(mean.repeat(1, 2, 1, 1))
        self.deviation.copy_(deviation.repeat(1, 2, 1, 1))

    def forward(
        self, first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"]
    ) -> tuple[Float[Tensor, "b 3"], Float[Tensor, "b 3"]]:
        """Axis-angle (radians) and translation of the motion that takes `first` to `second`.

        Args:
            first: RGB in [0, 1], the earlier frame.
            second: the later frame.
        """
        frames = (torch.cat([first, second], dim=1) - self.mean) / self.deviation
        motion = self.head(self.encoder(frames)).mean(dim=(2, 3)).float()[:, :6] * self.scale
        return motion[:, :3], motion[:, 3:]
