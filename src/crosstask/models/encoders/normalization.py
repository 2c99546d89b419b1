"""What an image is normalised with: the mean and standard deviation that the weights were trained with."""

from collections.abc import Mapping, Sequence

import timm
import torch
from jaxtyping import Float
from torch import Tensor

# A name of `NORMALIZATIONS`, or {"mean": numbers, "std": numbers} of every channel, in [0, 1].
Normalization = str | Mapping[str, Sequence[float]]
NORMALIZATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "released": ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225)),
}


def choose_normalization(given: Normalization, encoder: str, pretrained: bool) -> Normalization:
    """`given`, or for ``"auto"`` what the encoder's weights were trained with.

    Args:
        given: ``"auto"``, ``"imagenet"``, ``"released"`` or the numbers, see `Normalization`.
        encoder: timm name, with its tag where the weights have one.
        pretrained: False, random weights: ImageNet's.

    Returns:
        JSON-safe: a name, or the numbers as lists.

    Raises:
        ValueError: unknown name, or numbers that are none.
    """
    if given == "auto":
        config = timm.get_pretrained_cfg(encoder) if pretrained else None
        if config is None or (tuple(config.mean), tuple(config.std)) == NORMALIZATIONS["imagenet"]:
            return "imagenet"
        given = {"mean": config.mean, "std": config.std}
    statistics(given)
    return given if isinstance(given, str) else {key: list(given[key]) for key in ("mean", "std")}


def for_channels(normalization: Normalization, channels: int) -> Normalization:
    """The normalisation of weights for colour, for an input of another number of channels.

    The first three of more are colours; a further channel, or one of fewer than three, is made from the
    weights of all three colours (timm's `adapt_input_conv`) and takes the mean of their numbers.

    Returns:
        `normalization` itself for three channels, else the numbers of each, as lists.
    """
    if channels == 3:
        return normalization
    statistics(normalization)
    found: dict[str, Sequence[float]] = {}
    for place, key in enumerate(("mean", "std")):
        numbers: Sequence[float]
        if isinstance(normalization, str):
            numbers = NORMALIZATIONS[normalization][place]
        else:
            numbers = normalization[key]
        if len(numbers) != channels:
            average = round(sum(numbers) / len(numbers), 6)
            kept = tuple(numbers) if channels > len(numbers) == 3 else ()
            numbers = [*kept, *[average] * (channels - len(kept))]
        found[key] = list(numbers)
    return found


def statistics(
    normalization: Normalization,
) -> tuple[Float[Tensor, "1 c 1 1"], Float[Tensor, "1 c 1 1"]]:
    """Mean and standard deviation of each channel of an image in [0, 1]; of three for a name.

    Raises:
        ValueError: unknown name, or numbers that are none.
    """
    if isinstance(normalization, str):
        if normalization not in NORMALIZATIONS:
            raise ValueError(
                f"`normalization` is {normalization!r}; expected one of {('auto', *NORMALIZATIONS)} "
                "or {'mean': ..., 'std': ...}; take what the encoder's weights were trained with."
            )
        numbers = NORMALIZATIONS[normalization]
    else:
        numbers = (tuple(normalization.get("mean", ())), tuple(normalization.get("std", ())))
        uneven = not 0 < len(numbers[0]) == len(numbers[1])
        if uneven or not all(s > 0 for s in numbers[1]):
            raise ValueError(
                f"`normalization` is {dict(normalization)}; expected 'mean' and 'std' with a number "
                "for each channel (three of RGB), standard deviations above 0."
            )
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in numbers)
    return mean, std
