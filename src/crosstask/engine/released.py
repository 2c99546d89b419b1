"""The authors' released DenseMTL weights, read into the network here."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from crosstask.models.networks.network import Network
from crosstask.models.registry import create_model
from crosstask.tasks import Depth, Edges, Normals, Segmentation

THEIR_TASKS = {task.name: task.name for task in (Depth, Normals, Edges)} | {
    Segmentation.name: "semseg"
}
_SHOWN = 8


def load_released_densemtl(
    weights: str | Path | Mapping[str, Any],
    tasks: Sequence[str] = (Segmentation.name, Depth.name, Normals.name),
    source_order: Mapping[str, Sequence[str]] | None = None,
) -> Network:
    """Build DenseMTL (ResNet-101) with the weights of the authors' release.

    Class counts and the level of the exchange are read off the weights. Names may start with
    ``main.``; entries under ``params.`` are second names of others and are left out. The network
    comes in evaluation mode, with ``normalization="released"``; depth outputs mean what the
    release means by them (inverse depth, see the protocol ``released``).

    Args:
        weights: file (read without running code that it may carry), or a state dict.
        tasks: the tasks of the weights, in the order wanted here.
        source_order: for each target, its sources in the order in which its fusion projection
            reads them. In the release with three or more tasks that order depends on Python's hash
            seed, and the file does not say which it was. Default: the order of `tasks`.

    Raises:
        ValueError: tasks that the weights do not have, a `source_order` that is not an order of the
            sources, or names and shapes that do not fit (all are reported); a file that is missing,
            damaged or carries code; two different tensors under one name.
    """
    theirs = _read(weights)
    tasks = tuple(tasks)
    classes = _class_counts(theirs, tasks)
    levels = _levels(theirs)
    model = create_model(
        "densemtl",
        classes,
        pretrained=False,
        normalization="released",
        levels=tuple(reversed(levels)) or (1,),
    )
    network = cast(Network, model)
    names = released_names(network)
    _check_keys(network, names, theirs)
    state = {
        ours: theirs[name].reshape(parameter.shape)
        for (ours, parameter), name in zip(
            network.state_dict().items(), names.values(), strict=True
        )
    }
    _reorder_sources(state, tasks, levels, _orders(tasks, source_order))
    network.load_state_dict(state)
    return network.eval()


def _levels(theirs: Mapping[str, Tensor]) -> list[int]:
    """Levels with an exchange, from ``m.<task>.<level>``."""
    parts = [key.split(".")[2:3] for key in theirs if key.startswith("m.")]
    return sorted({int(level) for part in parts for level in part if level.isdecimal()})


def released_names(network: Network) -> dict[str, str]:
    """Our state dict's names, each with the release's name for it."""
    return {name: _their_name(name) for name in network.state_dict()}


def _their_name(name: str) -> str:
    parts = name.split(".")
    if parts[0] == "encoder":
        return ".".join(["backbone", "encoder", *parts[2:]])
    if parts[0] == "decoders":
        return _their_decoder_name(THEIR_TASKS[parts[1]], parts[2:])
    return _their_exchange_name(int(parts[1]), parts[2:])


def _their_decoder_name(task: str, parts: list[str]) -> str:
    head = f"heads.{task}.decoder"
    if parts[0] == "predictions":
        return ".".join([head, {"0": "14", "1": "15"}[parts[1]], *parts[2:]])
    level, place, rest = parts[1], parts[2], parts[3:]
    if level == "4" and place == "reduce":
        if rest[0] == "branches":
            rest = ["convs", *rest[1:]]
        elif rest[0] == "pooling":
            rest = ["convs", "4", *rest[1:]]
        return ".".join([head, "0", *rest])
    number = {
        "reduce": {"3": 3, "2": 6, "1": 9, "0": 12},
        "merge": {"4": 2, "3": 5, "2": 8, "1": 11, "0": 13},
    }[place][level]
    return f"{head}.{number}.block.0.conv.{rest[-1]}"


def _their_exchange_name(level: int, parts: list[str]) -> str:
    if parts[0] in ("fusions", "norms"):
        number = 0 if parts[0] == "fusions" else 1
        return f"m.{THEIR_TASKS[parts[1]]}.{level}.post.{number}.{parts[-1]}"
    target, source, rest = THEIR_TASKS[parts[1]], THEIR_TASKS[parts[2]], parts[3:]
    block = f"m.{target}.{level}"
    if rest[0] == "correlation":
        if rest[1] == "alpha":
            return f"{block}.SxTAM_{source}.alpha"
        conv = {"query": "conv_b", "key": "conv_c", "value": "conv_d"}[rest[1]]
        return ".".join([f"{block}.SxTAM_{source}", conv, *rest[2:]])
    place = {
        "extractor": f"extract_{source}.0",
        "gate.feature": f"SA_{source}.conv",
        "gate.mask": f"SA_{source}.attention.0",
        "projection": f"proj_{source}.0",
        "norm": f"proj_{source}.1",
    }[".".join(rest[:-1])]
    return f"{block}.{place}.{rest[-1]}"


def _read(weights: str | Path | Mapping[str, Any]) -> dict[str, Tensor]:
    """The state dict without prefix and without second names."""
    from crosstask.engine.checkpoints import read_checkpoint

    loaded = weights if isinstance(weights, Mapping) else read_checkpoint(Path(weights))
    found = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else None
    if not isinstance(found, Mapping):
        raise ValueError("the weights hold no state dict; expected names with tensors.")
    plain: dict[str, Tensor] = {}
    for key, value in found.items():
        name = str(key).removeprefix("main.")
        if name.startswith("params."):
            continue
        if not isinstance(value, Tensor):
            raise ValueError(f"{key!r} is a {type(value).__name__}; expected names with tensors.")
        if name in plain and not torch.equal(plain[name], value):
            raise ValueError(
                f"the weights hold {name!r} and 'main.{name}' with different values; "
                "leave out those that are not meant."
            )
        plain[name] = value
    return plain


def _class_counts(theirs: Mapping[str, Tensor], tasks: Sequence[str]) -> dict[str, int]:
    names = {other: name for name, other in THEIR_TASKS.items()}
    present = {key.split(".")[1]: None for key in theirs if key.startswith("heads.")}
    held = tuple(names.get(task, task) for task in present)
    if set(tasks) != set(held) or len(set(tasks)) != len(tasks):
        raise ValueError(
            f"`tasks` is {tuple(tasks)}; the weights hold {held}; give those, once each."
        )
    last = {task: theirs.get(f"heads.{THEIR_TASKS[task]}.decoder.14.weight") for task in tasks}
    lost = [task for task, weight in last.items() if weight is None]
    if lost:
        raise ValueError(f"the weights lack the prediction layer of {lost[0]!r} (decoder.14).")
    return {task: cast(Tensor, weight).shape[0] for task, weight in last.items()}


def _check_keys(network: Network, names: Mapping[str, str], theirs: Mapping[str, Tensor]) -> None:
    """Every name on both sides, every shape the release's; else an error that lists what is not."""
    ours = network.state_dict()
    expected = {name: _their_shape(name, ours[own]) for own, name in names.items()}
    missing = [name for name in expected if name not in theirs]
    surplus = [name for name in theirs if name not in expected]
    wrong = [
        f"{name} {tuple(theirs[name].shape)}, expected {shape}"
        for name, shape in expected.items()
        if name in theirs and tuple(theirs[name].shape) != shape
    ]
    if missing or surplus or wrong:
        report = "; ".join(
            f"{len(found)} {what}: {', '.join(found[:_SHOWN])}{' ...' if found[_SHOWN:] else ''}"
            for what, found in (
                ("missing", missing),
                ("unknown", surplus),
                ("of wrong shape", wrong),
            )
            if found
        )
        raise ValueError(f"the weights do not fit DenseMTL with a ResNet-101: {report}.")


def _their_shape(name: str, ours: Tensor) -> tuple[int, ...]:
    """Alpha, a vector here, stands in the shape of a map there; all else has one shape."""
    return (1, ours.numel(), 1, 1) if name.endswith(".alpha") else tuple(ours.shape)


def _orders(
    tasks: Sequence[str], given: Mapping[str, Sequence[str]] | None
) -> dict[str, list[str]]:
    orders = {target: [task for task in tasks if task != target] for target in tasks}
    for target, order in (given or {}).items():
        if target not in orders or sorted(order) != sorted(orders[target]):
            raise ValueError(
                f"`source_order` has {target!r}: {tuple(order)}; expected an order of "
                f"{tuple(orders.get(target, tasks))} for one of the tasks {tuple(tasks)}."
            )
        orders[target] = list(order)
    return orders


def _reorder_sources(
    state: dict[str, Tensor],
    tasks: Sequence[str],
    levels: Sequence[int],
    orders: Mapping[str, Sequence[str]],
) -> None:
    """Fusion projections read the sources in the order of the tasks here."""
    for level in levels:
        for target in tasks:
            name = f"exchanges.{level}.fusions.{target}.weight"
            parts = dict(zip(orders[target], state[name].chunk(len(tasks) - 1, dim=1), strict=True))
            ordered = [parts[source] for source in tasks if source != target]
            state[name] = torch.cat(ordered, dim=1)
