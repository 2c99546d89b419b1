"""PAD-Net (Xu et al., CVPR 2018) and 3-ways PAD-Net (Hoyer et al., CVPR 2021), as DenseMTL compares them."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from crosstask.models.architectures.architecture import Architecture
from crosstask.models.architectures.densemtl import with_exchanges
from crosstask.models.architectures.multi_task import BASELINE_OPTIMIZER
from crosstask.models.decoders.padnet import PadNetDecoder
from crosstask.models.encoders.encoder import Encoder
from crosstask.models.exchanges.base import check_tasks
from crosstask.models.exchanges.distillation import Distillation
from crosstask.models.networks.network import Network


def padnet(encoder: Encoder, tasks: Mapping[str, int], width: float = 1.0) -> Network:
    """PAD-Net: initial predictions at stride 16, distillation between tasks, final predictions.

    Every head is an ordinary parameter of the network and is trained (in the authors' release of
    DenseMTL the initial ones are in no optimiser group).
    """
    check_tasks(tuple(tasks))
    decoders = {
        task: PadNetDecoder(encoder.channels, encoder.strides, outputs, width)
        for task, outputs in tasks.items()
    }
    first = next(iter(decoders.values()))
    exchange = Distillation(tuple(tasks), first.widths[first.initial])
    return Network(encoder, decoders, {first.initial: exchange})


def threeways_padnet(
    encoder: Encoder,
    tasks: Mapping[str, int],
    width: float = 1.0,
    levels: int | Sequence[int] = (2,),
    prediction_levels: Sequence[int] | Mapping[str, Sequence[int]] = (2, 0),
    **decoder: Any,
) -> Network:
    """3-ways PAD-Net: DenseMTL's decoder with PAD-Net's distillation at stride 4.

    Args:
        levels: decoder levels that are followed by a distillation.
        prediction_levels: levels that predict, of all tasks or by task.
        decoder: further options of `Decoder`.
    """

    def exchange(level: int, channels: int) -> nn.Module:
        return Distillation(tuple(tasks), channels)

    options = {**decoder, "prediction_levels": prediction_levels}
    return with_exchanges(encoder, tasks, width, levels, exchange, **options)


PADNET = Architecture(padnet, optimizer=BASELINE_OPTIMIZER)
THREEWAYS_PADNET = Architecture(threeways_padnet)
