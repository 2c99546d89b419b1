"""A family for real time on a CPU: narrow decoders at coarse strides with a linear exchange."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from crosstask.models.architectures.architecture import Architecture
from crosstask.models.architectures.densemtl import check_levels
from crosstask.models.decoders.fast import SIZES, FastDecoder
from crosstask.models.encoders.encoder import Encoder, create_encoder
from crosstask.models.encoders.normalization import Normalization
from crosstask.models.exchanges.linear import LinearExchange
from crosstask.models.exchanges.mteb import DOWNSCALES
from crosstask.models.exchanges.own import own_exchange
from crosstask.models.networks.network import Network


def fast(
    encoder: Encoder,
    tasks: Mapping[str, int],
    width: float = 1.0,
    size: str = "s",
    exchange: Any = "linear",
    levels: int | Sequence[int] = (4, 3),
    exchange_options: Mapping[str, Any] | None = None,
    prediction_stride: int | None = None,
) -> Network:
    """Fast networks n, s, m: separable decoders at stride 4 or 8, a linear exchange at strides 16 and 8.

    The encoder keeps its own stride (32), nothing but the prediction is enlarged to the image. One
    task has nothing to exchange and gets no exchange.

    Args:
        size: ``"n"`` (64, 48, 48 channels, predicts at stride 8), ``"s"`` (128, 96, 64, stride 4) or
            ``"m"`` (192, 128, 96, stride 4, two blocks a level).
        exchange: ``"linear"``, see `LinearExchange`; None; or one of your own as in `densemtl`.
        levels: that are followed by an exchange: some of 4 (stride 16) and 3 (stride 8).
        exchange_options: of the exchange, for example ``{"attention": None}``.
        prediction_stride: of the prediction before it is enlarged to the image, by sub-pixel
            convolution and with the encoder's map of that stride; None is the size's own. 2 keeps
            poles and edges that are finer than 4 pixels, see `FastDecoder`.

    Raises:
        ValueError: an unknown size, a level that the decoders do not have, or a
            `prediction_stride` that does not divide the size's own.
    """
    if size not in SIZES:
        raise ValueError(f"`size` is {size!r}; expected one of {tuple(SIZES)}.")
    decoders = {
        task: FastDecoder(
            encoder.channels, encoder.strides, outputs, SIZES[size], width, prediction_stride
        )
        for task, outputs in tasks.items()
    }
    names = tuple(tasks)
    if exchange in (None, "none") or len(names) == 1:
        return Network(encoder, decoders)
    options = dict(exchange_options or {})
    make = (
        partial(_linear, names, options)
        if exchange == "linear"
        else own_exchange(exchange, names, options)
    )
    chosen = check_levels(levels, (4, 3))
    widths = decoders[names[0]].widths
    return Network(encoder, decoders, {level: make(level, widths[level]) for level in chosen})


def _linear(
    tasks: tuple[str, ...], options: Mapping[str, Any], level: int, channels: int
) -> nn.Module:
    return LinearExchange(tasks, channels, DOWNSCALES[level], **options)


def create_undilated_encoder(
    name: str,
    pretrained: bool = True,
    normalization: Normalization = "auto",
    output_stride: int | None = None,
    **options: Any,
) -> Encoder:
    """:func:`create_encoder` at stride 32, where dilation to 16 would cost four times the last stage."""
    return create_encoder(name, pretrained, normalization, output_stride or 32, **options)


FAST = Architecture(fast, "tf_efficientnet_lite0", create_undilated_encoder)
