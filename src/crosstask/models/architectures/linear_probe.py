"""The control that says what an encoder's weights are worth by themselves."""

from collections.abc import Mapping
from typing import Any

from crosstask.models.architectures.architecture import Architecture
from crosstask.models.decoders.linear_probe import LinearProbe
from crosstask.models.encoders.encoder import Encoder, create_encoder
from crosstask.models.encoders.normalization import Normalization
from crosstask.models.networks.network import Network


def linear_probe(encoder: Encoder, tasks: Mapping[str, int], width: float = 1.0) -> Network:
    """Linear probe: a frozen encoder, one 1x1 convolution a task at stride 4, and nothing else.

    A network that does not beat it has learned nothing that the encoder did not know. The encoder is
    frozen by the architecture: weights, norm statistics, dropout and stochastic depth.

    Args:
        width: without effect; there is nothing to scale.
    """
    encoder.freeze()
    return Network(
        encoder,
        {
            task: LinearProbe(encoder.channels, encoder.strides, outputs)
            for task, outputs in tasks.items()
        },
    )


def create_probed_encoder(
    name: str,
    pretrained: bool = True,
    normalization: Normalization = "auto",
    output_stride: int | None = None,
    **options: Any,
) -> Encoder:
    """:func:`create_encoder` as the weights were trained: own strides, and no pyramid on top."""
    return create_encoder(
        name, pretrained, normalization, output_stride or 32, pyramid=False, **options
    )


LINEAR_PROBE = Architecture(linear_probe, create_encoder=create_probed_encoder, probe=True)
