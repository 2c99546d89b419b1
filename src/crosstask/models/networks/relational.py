"""ATRC's network: the tasks exchange once, at stride 4, through a relational context a pair.

Source: Bruggemann et al., ATRC, ICCV 2021.
"""

from collections.abc import Mapping
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from crosstask.models.decoders.auxiliary_labels import AuxiliaryLabels
from crosstask.models.decoders.label_targets import VOID_LABEL, label_loss
from crosstask.models.decoders.relational import RelationalDecoder
from crosstask.models.encoders.pyramid_maps import STRIDES, PyramidMaps, fit_output
from crosstask.models.exchanges.relational import RelationalExchange
from crosstask.models.layers.recompute import run
from crosstask.models.layers.sizes import crop
from crosstask.models.networks.scene_network import SceneNetwork

# Saliency is labelled 0 or 1, and its losses weigh both alike whatever the image shows.
SALIENCY = "saliency"


class RelationalNetwork(SceneNetwork):
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
        super().__init__(decoders)
        self.encoder = encoder
        self.maps = maps
        self.decoders = nn.ModuleDict(dict(decoders))
        self.exchanges = nn.ModuleDict({"2": exchange} if exchange is not None else {})
        self.auxiliary = auxiliary
        self.auxiliary_weights = dict(auxiliary_weights or {})
        self.levels = (2,)

    def decode(self, features: list[Tensor], size: tuple[int, int] | None = None) -> dict[str, Any]:
        """Outputs from features; `size` is the image's (H, W), by default that of the padded image."""
        padded = self.padded_size(features)
        wanted = size or padded
        shared, streams = self._branches(features)
        labels = self.auxiliary(shared) if self.auxiliary is not None else {}
        if "2" in self.exchanges:
            streams = self.run_exchange("2", streams, labels)
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
            if task == SALIENCY and self.auxiliary.kinds[task] == "binary":
                loss = balanced_label_loss(logits, self.auxiliary.labels(task, targets[task]))
            else:
                loss = self.auxiliary.loss(task, logits, targets[task])
            losses[f"auxiliary/{task}"] = self.auxiliary_weights.get(task, 1.0) * loss
        return losses

    def streams(self, image: Float[Tensor, "b c h w"], level: int = 2) -> dict[str, Tensor]:
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
            task: run(decoder, self.recompute, cast(RelationalDecoder, decoder).branch, shared)
            for task, decoder in self.decoders.items()
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
