"""`create_model` and `list_models`: every architecture by its name."""

import difflib
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from crosstask.models.architectures.atrc import atrc
from crosstask.models.architectures.densemtl import densemtl
from crosstask.models.architectures.densemtl_linear import densemtl_linear
from crosstask.models.architectures.matched import multi_task_matched, single_task_matched
from crosstask.models.architectures.mti_net import mti_net
from crosstask.models.architectures.mti_xtam import mti_xtam
from crosstask.models.architectures.multi_task import multi_task, single_task
from crosstask.models.architectures.n_to_one import n_to_one
from crosstask.models.architectures.padnet import padnet, threeways_padnet
from crosstask.models.architectures.sca_mtl import sca_mtl
from crosstask.models.architectures.window import window
from crosstask.models.decoders.densemtl import Decoder
from crosstask.models.encoders.encoder import Encoder, create_encoder
from crosstask.models.encoders.pyramid_maps import create_pyramid_encoder


@dataclass(frozen=True)
class Architecture:
    """How to build one architecture.

    Attributes:
        build: ``(encoder, tasks: {name: channels}, width, **options) -> module``; its keyword
            arguments are the architecture's options, and if it takes any (``**decoder``), those of
            `Decoder` too.
        encoder: name of its own encoder.
        create_encoder: makes the encoder: ``(name, pretrained, normalization, output_stride=)``.
    """

    build: Callable[..., nn.Module]
    encoder: str = "resnet101"
    create_encoder: Callable[..., Encoder] = create_encoder


_HRNET = "hrnet_w18_small_v2"
ARCHITECTURES: Mapping[str, Architecture] = {
    "single_task": Architecture(single_task),
    "multi_task": Architecture(multi_task),
    "single_task_matched": Architecture(single_task_matched),
    "multi_task_matched": Architecture(multi_task_matched),
    "padnet": Architecture(padnet),
    "threeways_padnet": Architecture(threeways_padnet),
    "densemtl": Architecture(densemtl),
    "densemtl_linear": Architecture(densemtl_linear),
    "window": Architecture(window),
    "n_to_one": Architecture(n_to_one),
    "sca_mtl": Architecture(sca_mtl, _HRNET, create_pyramid_encoder),
    "mti_net": Architecture(mti_net, _HRNET, create_pyramid_encoder),
    "atrc": Architecture(atrc, _HRNET, create_pyramid_encoder),
    "mti_xtam": Architecture(mti_xtam, _HRNET, create_pyramid_encoder),
}


def list_models() -> list[str]:
    """Names that `create_model` takes."""
    return list(ARCHITECTURES)


def create_model(
    name: str,
    tasks: Collection[Any] | Mapping[str, int],
    encoder: str | None = None,
    pretrained: bool = True,
    width: float = 1.0,
    normalization: str = "imagenet",
    output_stride: int | None = None,
    **options: Any,
) -> nn.Module:
    """Build a network by name; plain PyTorch: image in, ``{task: [coarse, ..., fine]}`` out.

    Args:
        name: see `list_models`.
        tasks: task objects, or an ordered mapping from name to output channels. Order counts.
        encoder: timm name; None is the architecture's own.
        pretrained: ImageNet weights for the encoder.
        width: scales every channel count outside the encoder.
        normalization: ``"imagenet"``, or ``"released"`` for the authors' weights.
        output_stride: of the encoder, see `create_encoder`.
        options: the architecture's own; its function in ``models/architectures`` lists them.

    Returns:
        the network; ``spec`` on it says how it was made and rebuilds it.

    Raises:
        ValueError: unknown name or option (the nearest are given), tasks without an order or
            channels, twice the same task, one task for an architecture that exchanges.
    """
    if name not in ARCHITECTURES:
        raise ValueError(_unknown("model", name, list(ARCHITECTURES)))
    architecture = ARCHITECTURES[name]
    channels = task_channels(tasks)
    _check_options(name, options)
    chosen = encoder or architecture.encoder
    backbone = architecture.create_encoder(
        chosen, pretrained, normalization, output_stride=output_stride
    )
    model = architecture.build(backbone, channels, width=width, **options)
    if not isinstance(tasks, Mapping):
        for task in cast(Sequence[Any], tasks):
            set_initial_bias(model, task.name, task.initial_bias())
    cast(Any, model).spec = {
        "architecture": name,
        "tasks": [[task, count] for task, count in channels.items()],
        "encoder": chosen,
        "width": width,
        "normalization": normalization,
        "output_stride": output_stride,
        "options": {key: _plain(value) for key, value in options.items()},
    }
    return model


def create_model_from_spec(spec: Mapping[str, Any]) -> nn.Module:
    """Rebuild the network that a model's ``spec`` describes, with random weights."""
    return create_model(
        spec["architecture"],
        dict(spec["tasks"]),
        encoder=spec["encoder"],
        pretrained=False,
        width=spec["width"],
        normalization=spec["normalization"],
        output_stride=spec.get("output_stride"),
        **spec["options"],
    )


def task_channels(tasks: Collection[Any] | Mapping[str, int]) -> dict[str, int]:
    """Names and output channels of the tasks, in order, checked."""
    if isinstance(tasks, set | frozenset):
        raise ValueError("`tasks` is a set, which has no order; expected a tuple, list or mapping.")
    pairs = list(tasks.items()) if isinstance(tasks, Mapping) else _pairs(tasks)
    names = [name for name, _ in pairs]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"`tasks` is {tuple(names)}; expected at least one, each name once.")
    for name, count in pairs:
        if not name.isidentifier() or hasattr(nn.ModuleDict(), name):
            raise ValueError(
                f"`tasks` names a task {name!r}; expected letters, digits and underscores, and no "
                "word that PyTorch needs itself; give the task another name."
            )
        if count < 1:
            raise ValueError(f"task {name!r} has {count} output channels; expected at least 1.")
    return dict(pairs)


def _pairs(tasks: Collection[Any]) -> list[tuple[str, int]]:
    """(name, output channels) of task objects."""
    for task in tasks:
        if not hasattr(task, "name") or not hasattr(task, "channels"):
            raise ValueError(
                f"`tasks` holds {task!r}, which is no task; expected task objects, such as "
                "crosstask.Depth(), or a mapping from name to output channels, such as "
                '{"segmentation": 19, "depth": 1}.'
            )
    return [(task.name, task.channels) for task in tasks]


def set_initial_bias(model: nn.Module, task: str, bias: Sequence[float] | None) -> None:
    """Start a task's outputs at `bias` (one number per channel); None leaves the layers alone."""
    if bias is None:
        return
    for layer in cast(Any, model).prediction_layers(task):
        with torch.no_grad():
            layer.bias.copy_(layer.bias.new_tensor(list(bias)))


def model_options(name: str) -> list[str]:
    """The options of an architecture: its own, and its decoder's where it passes them on."""
    parameters = inspect.signature(ARCHITECTURES[name].build).parameters.values()
    known = [p.name for p in list(parameters)[2:] if p.kind is not p.VAR_KEYWORD]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        known += list(inspect.signature(Decoder).parameters)[3:]
    return [key for key in dict.fromkeys(known) if key != "width"]


def _check_options(name: str, options: Mapping[str, Any]) -> None:
    known = model_options(name)
    for key in options:
        if key not in known:
            raise ValueError(_unknown(f"option of {name!r}", key, known))


def _unknown(what: str, name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.3)
    hint = f"did you mean {', '.join(near)}? " if near else ""
    return f"unknown {what} {name!r}; {hint}There are: {', '.join(known)}."


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
