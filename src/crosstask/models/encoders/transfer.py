"""From a file's tensors to an encoder's: by name, or by position where a file is known to fit so."""

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import adapt_input_conv
from torch import Tensor, nn

# Options that make feature maps of a network, or of its input, and change no other tensor.
_NOT_OF_THE_WHOLE = (
    "features_only",
    "out_indices",
    "output_stride",
    "feature_location",
    "num_classes",
    "global_pool",
    "in_chans",
)
_COUNTER = "num_batches_tracked"  # of batch norms; not a weight


class WeightsError(ValueError):
    """Weights that cannot be used; says which tensors or what to do."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .pth or .safetensors file, by name; nothing in it is run.

    Raises:
        WeightsError: damaged, of another format, or with more than tensors in it.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} is refused: it is damaged, or holds more than tensors and plain values, which "
            "could run code; save its state_dict alone."
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{path} is damaged or no file of weights ({reason}).") from error
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(x, Tensor) for x in content.values()):
        raise WeightsError(f"{path} is not a state_dict; expected names with a tensor each.")
    return dict(content)


def whole_network(encoder: str, options: Mapping[str, Any], **further: Any) -> nn.Module:
    """timm's network with its classifier, of three input channels."""
    kept = {key: value for key, value in options.items() if key not in _NOT_OF_THE_WHOLE}
    return timm.create_model(encoder, **{**kept, **further})


def expected_shapes(encoder: str, options: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of timm's whole network, in order."""
    with torch.device("meta"):
        network = whole_network(encoder, options, pretrained=False)
    return {name: tuple(x.shape) for name, x in network.state_dict().items()}


def by_position(
    state: Mapping[str, Tensor], encoder: str, source: str, options: Mapping[str, Any]
) -> dict[str, Tensor]:
    """The tensors under timm's names, where order and shapes are those of its whole network.

    Raises:
        WeightsError: another number of tensors, or one of another shape.
    """
    shapes = expected_shapes(encoder, options)
    if len(state) != len(shapes):
        raise WeightsError(
            f"{source} has {len(state)} tensors, {encoder} has {len(shapes)}; expected the weights of "
            f"{encoder}."
        )
    wrong = [
        f"{given} {tuple(x.shape)}, expected {name} {shapes[name]}"
        for (given, x), name in zip(state.items(), shapes, strict=True)
        if tuple(x.shape) != shapes[name]
    ]
    _refuse(source, encoder, {"other shape": wrong})
    return dict(zip(shapes, state.values(), strict=True))


def transfer(
    backbone: nn.Module,
    state: Mapping[str, Tensor],
    encoder: str,
    source: str,
    options: Mapping[str, Any],
) -> int:
    """Copy every tensor of a backbone out of those of timm's whole network.

    Args:
        backbone: timm's network as it is or as feature maps, which renames tensors.
        state: by timm's names; the classifier may be missing.
        source: of the tensors, for messages.
        options: with which timm built the backbone.

    Returns:
        how many tensors, the counters of batch norms left out.

    Raises:
        WeightsError: tensors that are missing, of another shape, or unknown to this network.
    """
    shapes = expected_shapes(encoder, options)
    given = {_flat(name): x for name, x in _with_input(state, encoder, options).items()}
    own = backbone.state_dict()
    missing = [k for k in own if not k.endswith(_COUNTER) and _flat(k) not in given]
    wrong = [
        f"{k}: {tuple(given[_flat(k)].shape)}, expected {tuple(x.shape)}"
        for k, x in own.items()
        if _flat(k) in given and given[_flat(k)].shape != x.shape
    ]
    unknown = [k for k in state if k not in shapes]
    _refuse(source, encoder, {"missing": missing, "other shape": wrong, "unknown": unknown})
    backbone.load_state_dict({k: given.get(_flat(k), x) for k, x in own.items()})
    return sum(not k.endswith(_COUNTER) for k in own)


def _flat(name: str) -> str:
    """A name in which a network and its feature maps agree: model.stages.0 is stages_0."""
    return name.removeprefix("model.").replace(".", "_")


def _with_input(
    state: Mapping[str, Tensor], encoder: str, options: Mapping[str, Any]
) -> dict[str, Tensor]:
    """The first convolution brought to the asked number of input channels, as timm does."""
    channels = options.get("in_chans", 3)
    state = dict(state)
    if channels != 3:
        config = cast(Any, timm.get_pretrained_cfg(encoder))
        first = config.first_conv
        for name in (first,) if isinstance(first, str) else first:
            key = f"{name}.weight"
            if key in state:
                state[key] = adapt_input_conv(channels, state[key])
    return state


def _refuse(source: str, encoder: str, faults: Mapping[str, Sequence[str]], most: int = 6) -> None:
    """An error that lists what does not fit; nothing where all fits."""
    lines = []
    for title, entries in faults.items():
        if entries:
            more = f"\n    ... and {len(entries) - most} more" if len(entries) > most else ""
            lines.append(
                f"  {title} ({len(entries)}):\n    " + "\n    ".join(entries[:most]) + more
            )
    if lines:
        raise WeightsError(
            f"the weights of {source} are not those of {encoder}:\n"
            + "\n".join(lines)
            + "\nGive the weights of this encoder, or the encoder of these weights."
        )
