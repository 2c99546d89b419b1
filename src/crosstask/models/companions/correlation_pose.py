"""Pose network that compares where patches went: features of two frames, correlated over shifts."""

from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from crosstask.models.encoders.normalization import Normalization, statistics
from crosstask.models.encoders.weights import pretrained_backbone


class CorrelationPoseNetwork(nn.Module):
    """Two frames -> motion, from a correlation volume instead of stacked frames.

    The first stage of an encoder, the same for both frames, gives features at stride 2; their cosine
    similarity over a window of shifts says where each patch went (the correlation layer of FlowNet,
    Dosovitskiy et al. 2015). A few convolutions turn similarities and pixel positions into motion.
    A network on stacked frames (`PoseNetwork`) has to find the product of both frames by itself, and
    needs many more steps for it. Same interface and conventions as `PoseNetwork`.

    Args:
        encoder: timm name; its first stage is used.
        pretrained: True is ``weights="auto"``, False is ``"none"``.
        normalization, weights: see `create_encoder`.
        embedding: channels that are compared, a 1x1 convolution of the features.
        reach: largest shift that is compared, (rows, columns) in pixels of stride 2.
        hidden: channels of the head.
        scale: factor on the axis-angle (radians).
        translation_scale: factor on the translation (metres).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        encoder: str = "resnet18",
        pretrained: bool = True,
        normalization: Normalization = "auto",
        embedding: int = 12,
        reach: tuple[int, int] = (2, 6),
        hidden: int = 48,
        scale: float = 0.01,
        translation_scale: float = 0.05,
        weights: str | Path | None = None,
    ) -> None:
        super().__init__()
        self.encoder, normalization = pretrained_backbone(
            encoder,
            pretrained,
            normalization,
            weights,
            {"features_only": True, "out_indices": (0,)},
        )
        self.spec = {
            "kind": "correlation",
            "encoder": encoder,
            "normalization": normalization,
            "embedding": embedding,
            "reach": list(reach),
            "hidden": hidden,
            "scale": scale,
            "translation_scale": translation_scale,
        }
        self.scale, self.translation_scale = scale, translation_scale
        self.reach = (reach[0], reach[1])
        mean, deviation = statistics(normalization)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("deviation", deviation, persistent=False)
        shifts = (2 * reach[0] + 1) * (2 * reach[1] + 1)
        channels = cast(Any, self.encoder).feature_info.channels()[0]
        self.embedding = nn.Conv2d(channels, embedding, 1)
        layers: list[nn.Module] = []
        inputs = shifts + embedding + 2
        for outputs in (hidden, hidden, 2 * hidden, 2 * hidden):
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            ]
            inputs = outputs
        self.head = nn.Sequential(*layers, nn.Conv2d(inputs, 6, 1))

    def normalize_with(self, normalization: Normalization) -> None:
        """Change what frames are normalised with, to that of weights that are loaded later."""
        mean, deviation = statistics(normalization)
        self.spec["normalization"] = normalization
        self.mean.copy_(mean)
        self.deviation.copy_(deviation)

    def forward(
        self, first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"]
    ) -> tuple[Float[Tensor, "b 3"], Float[Tensor, "b 3"]]:
        """Axis-angle (radians) and translation of the motion that takes `first` to `second`."""
        frames = (torch.cat([first, second]) - self.mean) / self.deviation
        before, after = self.embedding(self.encoder(frames)[0]).chunk(2)
        similar = correlation(before, after, self.reach)
        position = positions(similar)
        motion = self.head(torch.cat([similar, before, position], dim=1)).mean(dim=(2, 3))
        motion = motion.float()
        return motion[:, :3] * self.scale, motion[:, 3:] * self.translation_scale


def correlation(
    first: Float[Tensor, "b c h w"], second: Float[Tensor, "b c h w"], reach: tuple[int, int]
) -> Float[Tensor, "b s h w"]:
    """Cosine similarity of each feature of `first` to those of `second` at shifts up to `reach`.

    Channel ``(dy + reach[0]) * (2 * reach[1] + 1) + dx + reach[1]`` belongs to the shift (dy, dx):
    ``first[y, x] . second[y + dy, x + dx]``; 0 outside of the image. Cost grows with the shifts.
    """
    rows, columns = reach
    batch, _, height, width = first.shape
    first = F.normalize(first - first.mean(dim=(2, 3), keepdim=True), dim=1)
    second = F.normalize(second - second.mean(dim=(2, 3), keepdim=True), dim=1)
    lines = first.permute(0, 2, 3, 1).flatten(0, 1)
    padded = F.pad(second, (columns, columns, rows, rows)).permute(0, 2, 1, 3)
    near = torch.arange(width, device=first.device)[:, None]
    near = near + torch.arange(2 * columns + 1, device=first.device)
    near = near.expand(len(lines), -1, -1)
    found = []
    for dy in range(2 * rows + 1):  # all pairs of a row at once, then those within reach
        pairs = lines @ padded[:, dy : dy + height].flatten(0, 1)
        found.append(pairs.gather(2, near).view(batch, height, width, -1))
    return torch.cat(found, dim=3).permute(0, 3, 1, 2).contiguous()


def positions(like: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 2 h w"]:
    """Row and column of each place, from -1 to 1."""
    height, width = like.shape[-2:]
    y = torch.linspace(-1, 1, height, dtype=like.dtype, device=like.device)
    x = torch.linspace(-1, 1, width, dtype=like.dtype, device=like.device)
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij"))
    return grid.expand(len(like), -1, -1, -1)
