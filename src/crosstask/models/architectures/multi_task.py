"""STL and MTL with the light DeepLab head of the multi-task survey (Vandenhende et al. 2021)."""

import copy
from collections.abc import Mapping
from typing import Any

from torch import nn

from crosstask.models.architectures.architecture import Architecture
from crosstask.models.decoders.deeplab import DeepLabHead
from crosstask.models.encoders.encoder import Encoder
from crosstask.models.networks.network import Network
from crosstask.models.networks.separate import SeparateNetworks


def multi_task(
    encoder: Encoder, tasks: Mapping[str, int], width: float = 1.0, aspp_pooling: bool = True
) -> Network:
    """MTL: one encoder, one DeepLab head per task, no exchange; one prediction at full size.

    Args:
        aspp_pooling: see `ASPP`.
    """
    return Network(encoder, _heads(encoder, tasks, width, aspp_pooling))


def single_task(
    encoder: Encoder, tasks: Mapping[str, int], width: float = 1.0, aspp_pooling: bool = True
) -> Network:
    """STL: a DeepLab head on an encoder of its own; for several tasks one whole network each.

    Args:
        aspp_pooling: see `ASPP`.
    """
    return apart(encoder, _heads(encoder, tasks, width, aspp_pooling))


def apart(encoder: Encoder, decoders: Mapping[str, nn.Module]) -> Network:
    """A network for one task; for several tasks one network each, in one module.

    All of them start from the same encoder weights, as single-task runs with one seed would.
    """
    if len(decoders) == 1:
        return Network(encoder, decoders)
    return SeparateNetworks({task: copy.deepcopy(encoder) for task in decoders}, decoders)


def _heads(
    encoder: Encoder, tasks: Mapping[str, int], width: float, aspp_pooling: bool
) -> dict[str, nn.Module]:
    return {
        task: DeepLabHead(encoder.channels, outputs, width, aspp_pooling=aspp_pooling)
        for task, outputs in tasks.items()
    }


# DenseMTL's paper trains its light baselines with SGD.
BASELINE_OPTIMIZER: Mapping[str, Any] = {
    "name": "sgd",
    "lr": 1e-2,
    "encoder_lr": 1e-3,
    "weight_decay": 5e-4,
}
SINGLE_TASK = Architecture(single_task, optimizer=BASELINE_OPTIMIZER, separate=True)
MULTI_TASK = Architecture(multi_task, optimizer=BASELINE_OPTIMIZER)
