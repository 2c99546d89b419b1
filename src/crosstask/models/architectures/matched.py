"""STL and MTL with DenseMTL's own decoder: DenseMTL without its exchange."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from crosstask.models.architectures.architecture import Architecture
from crosstask.models.architectures.densemtl import create_decoders, densemtl
from crosstask.models.architectures.multi_task import apart
from crosstask.models.encoders.encoder import Encoder
from crosstask.models.flops import count_macs
from crosstask.models.networks.network import Network


def multi_task_matched(
    encoder: Encoder,
    tasks: Mapping[str, int],
    width: float = 1.0,
    decoder_width: float | None = None,
    match: str | None = None,
    match_size: Sequence[int] = (512, 1024),
    **decoder: Any,
) -> Network:
    """MTL with one DenseMTL decoder per task and no exchange.

    ``match="densemtl"`` is the compute-matched control: the decoders are widened (to any channel
    count, not only multiples of 8) until the network costs as many multiply-accumulates as
    DenseMTL with its exchange at `width`, on images of `match_size`. The size matters, since the
    cost of attention grows with the square of the pixels: give the size of the experiment.

    Args:
        decoder_width: width of the decoders, in place of `width`.
        match: None, or ``"densemtl"``.
        match_size: height and width of the image for `match`.
        decoder: options of `Decoder`.

    Raises:
        ValueError: an unknown `match`, `match` and `decoder_width` together, or one task to match.
    """
    if match not in (None, "densemtl"):
        raise ValueError(f"`match` is {match!r}; expected 'densemtl' or None.")
    if match and decoder_width:
        raise ValueError("`match` and `decoder_width` both set the decoders' width; give one.")
    if match:
        size = (match_size[0], match_size[1])
        decoder_width = matching_width(encoder, tasks, width, size, **decoder)
        decoder = {**decoder, "multiple": 1}
    return Network(encoder, create_decoders(encoder, tasks, decoder_width or width, **decoder))


def single_task_matched(
    encoder: Encoder, tasks: Mapping[str, int], width: float = 1.0, **decoder: Any
) -> Network:
    """STL with DenseMTL's decoder; for several tasks one whole network each.

    Args:
        decoder: options of `Decoder`.
    """
    return apart(encoder, create_decoders(encoder, tasks, width, **decoder))


def matching_width(
    encoder: Encoder,
    tasks: Mapping[str, int],
    width: float,
    size: tuple[int, int],
    **decoder: Any,
) -> float:
    """The decoder width at which no exchange costs what DenseMTL costs at `width`.

    Found on shapes alone, by steps along cost ~ width^2; the encoder, the same in both, is left
    out. The best of the widths tried; channel counts are whole numbers, so a percent may remain.
    """
    taps = Encoder(_Taps(encoder), encoder.channels, encoder.strides, multiple=encoder.multiple)
    free = {**decoder, "multiple": 1}
    tried: dict[float, float] = {}
    with torch.device("meta"):
        target = _cost(densemtl(taps, tasks, width, **decoder), size)
        guess = width
        for _ in range(5):
            cost = _cost(Network(taps, create_decoders(taps, tasks, guess, **free)), size)
            tried[guess] = abs(cost / target - 1)
            guess *= (target / cost) ** 0.5
    return min(tried, key=lambda width: tried[width])


def _cost(network: Network, size: tuple[int, int]) -> int:
    return count_macs(network, size)["total"]["macs"]


class _Taps(nn.Module):
    """Maps of the shapes that an encoder gives, for counting."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.channels, self.strides = encoder.channels, encoder.strides

    def forward(self, image: Tensor) -> list[Tensor]:
        height, width = image.shape[-2:]
        return [
            image.new_empty(1, channels, height // stride, width // stride)
            for channels, stride in zip(self.channels, self.strides, strict=True)
        ]


SINGLE_TASK_MATCHED = Architecture(single_task_matched, separate=True)
MULTI_TASK_MATCHED = Architecture(multi_task_matched, control=True)
