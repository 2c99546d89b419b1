"""`create_model` and `list_models`: every architecture by its name."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import nn

from crosstask.models.architectures.architecture import Architecture
from crosstask.models.architectures.atrc import ATRC
from crosstask.models.architectures.densemtl import DENSEMTL
from crosstask.models.architectures.densemtl_linear import DENSEMTL_LINEAR
from crosstask.models.architectures.fast import FAST
from crosstask.models.architectures.linear_probe import LINEAR_PROBE
from crosstask.models.architectures.matched import MULTI_TASK_MATCHED, SINGLE_TASK_MATCHED
from crosstask.models.architectures.mti_net import MTI_NET
from crosstask.models.architectures.mti_xtam import MTI_XTAM
from crosstask.models.architectures.multi_task import MULTI_TASK, SINGLE_TASK
from crosstask.models.architectures.n_to_one import N_TO_ONE
from crosstask.models.architectures.padnet import PADNET, THREEWAYS_PADNET
from crosstask.models.architectures.sca_mtl import SCA_MTL
from crosstask.models.architectures.window import WINDOW
from crosstask.models.encoders.encoder import Encoder
from crosstask.models.encoders.normalization import Normalization
from crosstask.models.networks.scene_network import SceneNetwork
from crosstask.models.networks.separate import SeparateEncoders
from crosstask.plugins.find import find, recorded
from crosstask.suggest import nearest

ARCHITECTURES: Mapping[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        SINGLE_TASK,
        MULTI_TASK,
        SINGLE_TASK_MATCHED,
        MULTI_TASK_MATCHED,
        PADNET,
        THREEWAYS_PADNET,
        DENSEMTL,
        DENSEMTL_LINEAR,
        WINDOW,
        N_TO_ONE,
        SCA_MTL,
        MTI_NET,
        ATRC,
        MTI_XTAM,
        LINEAR_PROBE,
        FAST,
    )
}
# What `create_model` takes for an architecture.
Given = str | Architecture | Callable[..., nn.Module]


@runtime_checkable
class NamedOutput(Protocol):
    """What a network needs to know of a task."""

    name: str
    channels: int


def list_models() -> list[str]:
    """Names that `create_model` takes."""
    return list(ARCHITECTURES)


def find_architecture(given: Given) -> Architecture:
    """The architecture behind a name, `FILE.py:NAME`, an `Architecture`, or its function.

    Raises:
        ValueError: unknown name (the nearest are given), or a file that cannot be used.
    """
    expected = "a function `(encoder, tasks, width, **options) -> network`, or an `Architecture` around one"
    found = find(
        "architecture",
        given,
        cast(Mapping[str, Any], ARCHITECTURES),
        lambda thing: isinstance(thing, Architecture) or _is_function(thing),
        expected,
    )
    return found if isinstance(found, Architecture) else Architecture(found)


def _is_function(thing: Any) -> bool:
    return callable(thing) and not isinstance(thing, type | nn.Module)


def create_model(
    name: Given,
    tasks: Collection[Any] | Mapping[str, int],
    encoder: str | None = None,
    pretrained: bool = True,
    width: float = 1.0,
    normalization: Normalization = "auto",
    output_stride: int | None = None,
    encoder_weights: str | Path | None = None,
    in_channels: int = 3,
    **options: Any,
) -> nn.Module:
    """Build a network by name; plain PyTorch: image in, ``{task: [coarse, ..., fine]}`` out.

    Args:
        name: see `list_models`; `FILE.py:NAME`, or a function of your own.
        tasks: task objects, or an ordered mapping from name to output channels. Order counts.
        encoder: timm name; None is the architecture's own.
        pretrained: True is ``encoder_weights="auto"``, False is ``"none"``.
        width: scales every channel count outside the encoder.
        normalization: ``"auto"``, what the encoder's weights were trained with; ``"imagenet"``;
            ``"released"`` for the authors' weights; or the numbers, see `Encoder`.
        output_stride: of the encoder, see `create_encoder`.
        encoder_weights: in place of `pretrained`: ``"auto"``, ``"none"``, a file or a package, see
            `create_encoder`.
        in_channels: of the image; a pretrained first convolution is adapted as timm does: repeated, and
            scaled so that its sum stays (summed for one channel). Colours come first.
        options: the architecture's own; its function in ``models/architectures`` lists them.

    Returns:
        the network; ``spec`` on it says how it was made and rebuilds it.

    Raises:
        ValueError: unknown name or option (the nearest are given), tasks without an order or
            channels, twice the same task, one task for an architecture that exchanges, weights of
            another encoder.
        RuntimeError: ``"auto"`` finds no weights.
    """
    architecture = find_architecture(name)
    channels = task_channels(tasks)
    _check_options(architecture, options)
    chosen = encoder or architecture.encoder
    weights = encoder_weights if encoder_weights is not None else "auto" if pretrained else "none"
    named: dict[str, Any] = {} if weights in ("auto", "none") else {"weights": weights}
    if in_channels < 1:
        raise ValueError(f"`in_channels` is {in_channels}; expected at least 1")
    if in_channels != 3:
        named["in_chans"] = in_channels
    backbone = architecture.create_encoder(
        chosen, weights != "none", normalization, output_stride=output_stride, **named
    )
    model = architecture.build(backbone, channels, width=width, **options)
    _check_network(model, name)
    if not isinstance(tasks, Mapping):
        for task in cast(Sequence[Any], tasks):
            set_initial_bias(model, task.name, task.initial_bias())
    cast(Any, model).spec = {
        "architecture": recorded(name),
        "tasks": [[task, count] for task, count in channels.items()],
        "encoder": chosen,
        "width": width,
        "normalization": backbone.normalization,
        "encoder_weights": backbone.weights,
        "output_stride": output_stride,
        **({} if in_channels == 3 else {"in_channels": in_channels}),
        "options": {key: _plain(value) for key, value in options.items()},
    }
    return model


def create_model_from_spec(
    spec: Mapping[str, Any], tasks: Collection[Any] | None = None
) -> nn.Module:
    """Rebuild the network that a model's ``spec`` describes, with random weights.

    Args:
        tasks: task objects in place of the names in the specification.
    """
    model = create_model(
        spec["architecture"],
        dict(spec["tasks"]) if tasks is None else tasks,
        encoder=spec["encoder"],
        pretrained=False,
        width=spec["width"],
        normalization=spec["normalization"],
        output_stride=spec.get("output_stride"),
        in_channels=spec.get("in_channels", 3),
        **spec["options"],
    )
    cast(Any, model).spec["encoder_weights"] = spec.get("encoder_weights")
    return model


def take_over_input(module: nn.Module, spec: Mapping[str, Any]) -> None:
    """Normalise images as the model of a specification does, whose weights are loaded into `module`.

    Args:
        module: a network, or what holds some (their moving averages, teachers).
        spec: of a network whose encoder these are; one without normalisation changes nothing.
    """
    if "normalization" not in spec:
        return
    for part in module.modules():
        if isinstance(part, Encoder):
            part.normalize_with(spec["normalization"])
        if isinstance(part, SeparateEncoders):
            part.normalization = spec["normalization"]
        if isinstance(part, SceneNetwork) and part.spec:
            part.spec["normalization"] = spec["normalization"]
            part.spec["encoder_weights"] = spec.get("encoder_weights")


def task_channels(tasks: Collection[Any] | Mapping[str, int]) -> dict[str, int]:
    """Names and output channels of the tasks, in order, checked."""
    if isinstance(tasks, set | frozenset):
        raise ValueError("`tasks` is a set, which has no order; expected a tuple, list or mapping.")
    pairs = list(tasks.items()) if isinstance(tasks, Mapping) else _pairs(tasks)
    names = [name for name, _ in pairs]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"`tasks` is {tuple(names)}; expected at least one, each name once.")
    for name, count in pairs:
        # A module of this name would hide an attribute of PyTorch's containers.
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
    for given in tasks:
        if not isinstance(given, NamedOutput):
            raise ValueError(
                f"`tasks` holds {given!r}, which is not a task; expected task objects, such as "
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


def model_options(name: Given) -> list[str]:
    """The options of an architecture: its own, and its decoder's where it passes them on."""
    return find_architecture(name).options()


def _check_options(architecture: Architecture, options: Mapping[str, Any]) -> None:
    known = architecture.options()
    for key in options:
        if key not in known:
            raise ValueError(nearest(key, known, f"option of {architecture.name!r}"))


def _check_network(model: Any, name: Given) -> None:
    """What an own architecture gives is used like any other: as `Network` is.

    It need not derive from `SceneNetwork`; that is why its parts are looked for by name.
    """
    missing = [
        part
        for part in ("encoder", "encode", "decode", "prediction_layers")
        if not hasattr(model, part)  # see above
    ]
    if not isinstance(model, nn.Module) or missing:
        raise ValueError(
            f"the architecture {recorded(name)} made {type(model).__name__}, which lacks "
            f"{', '.join(missing) or 'torch.nn.Module'}; expected a network such as "
            "`crosstask.models.Network`"
        )


def _plain(value: Any) -> Any:
    """An option as model.json holds it."""
    if isinstance(value, tuple):
        return list(value)
    return recorded(value) if isinstance(value, type | str) or _is_function(value) else value
