"""Models on disk: `model.json` beside weights, and `load` for every place a model may live.

A model is described by JSON (schema version, architecture and options, ordered tasks with their
classes and units, normalisation, camera rule) and holds its weights in a Lightning checkpoint or
in `model.safetensors`. Nothing is ever unpickled beyond tensors and plain containers.
"""

import hashlib
import json
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from crosstask.engine.own_networks import build_own, describe_network
from crosstask.engine.runs import RunError, read_json
from crosstask.models import create_model_from_spec
from crosstask.plugins.trust import Trust, digests, trusted
from crosstask.tasks import Task, TrainingCamera, from_spec

SCHEMA_VERSION = 1


class ModelFileError(ValueError):
    """A model cannot be loaded; says why and what to do."""


def describe(
    network: nn.Module,
    tasks: Sequence[Task],
    config: Mapping[str, Any] | None = None,
    **facts: Any,
) -> dict[str, Any]:
    """The content of `model.json`; files of a user's own are recorded with their SHA-256.

    Args:
        config: the recipe's name and options, by which a network that is none of `create_model`
            can be made again where the recipe is a file.
        facts: further JSON-safe entries (size, protocol, metrics, recipe, and `training_camera`:
            `TrainingCamera.to_spec`, or None).

    Raises:
        UnrecordedNetwork: a network that nobody could load; says what to do.
    """
    model = describe_network(network, config or {})
    specs = [task.to_spec() for task in tasks]
    files = digests([model, specs, dict(config or {})])
    return {
        "schema_version": SCHEMA_VERSION,
        "library": "crosstask",
        "model": model,
        "tasks": specs,
        **({"own_files": files} if files else {}),
        "units": {task.name: task.unit for task in tasks} | {"image": "RGB in [0, 1]"},
        "camera": _camera_rule(tasks, TrainingCamera.from_spec(facts.get("training_camera"))),
        **facts,
    }


def _camera_rule(tasks: Sequence[Task], trained: TrainingCamera | None) -> str:
    """For which cameras lengths hold; empty where no task measures any."""
    rules = [task.camera_rule(trained) for task in tasks]
    return "; ".join(dict.fromkeys(rule for rule in rules if rule))


def cleared(
    description: Mapping[str, Any], place: Path | str, trust: Trust = False
) -> dict[str, Any]:
    """A model's description, once the files that it names may run; see `crosstask.plugins.trust`.

    Raises:
        TrustError: they may not, or are not there.
    """
    found = dict(description)
    files = found.get("own_files")
    before = files if isinstance(files, dict) else {}
    for part in ("model", "tasks"):
        if part in found:
            found[part] = trusted(found[part], place, trust, before)
    return found


def build(
    description: Mapping[str, Any], place: Path | str = "the model", trust: Trust = False
) -> tuple[nn.Module, tuple[Task, ...]]:
    """The untrained network and its tasks, from the content of a `model.json`.

    Args:
        place: where it was read, for messages.
        trust: which files of somebody's own may run, see `crosstask.plugins.trust`.

    Raises:
        ModelFileError: foreign file, newer schema, unknown architecture or task.
        TrustError: a file would have to run that is not trusted.
    """
    if description.get("library") != "crosstask" or "schema_version" not in description:
        raise ModelFileError("this is no crosstask model description (no `library: crosstask`)")
    if int(description["schema_version"]) > SCHEMA_VERSION:
        raise ModelFileError(
            f"the model was made by a newer crosstask (schema {description['schema_version']}, this "
            f"one reads up to {SCHEMA_VERSION}); upgrade with `pip install -U crosstask`"
        )
    description = cleared(description, place, trust)
    try:
        tasks = tuple(from_spec(spec) for spec in description["tasks"])
        model = description["model"]
        if "recipe" in model:
            return build_own(model), tasks
        network = create_model_from_spec(model, tasks)
    except (KeyError, TypeError) as error:
        raise ModelFileError(
            f"the model description is incomplete or damaged: {error!r}"
        ) from error
    return network, tasks


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's content; refuses anything but tensors and plain containers.

    Raises:
        ModelFileError: missing, cut, or carrying code.
    """
    if not path.is_file():
        raise ModelFileError(f"there is no checkpoint {path}; train first, or give another path")
    try:
        return cast(dict[str, Any], torch.load(path, map_location="cpu", weights_only=True))
    except pickle.UnpicklingError as error:
        raise ModelFileError(
            f"{path} holds more than tensors and plain values and is refused (it could run code): "
            f"{str(error).splitlines()[0]}"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise ModelFileError(
            f"{path} is cut or damaged ({(str(error) or type(error).__name__).splitlines()[0]}); use another checkpoint of the run"
        ) from error


def network_weights(checkpoint: Mapping[str, Any], averaged: bool = True) -> dict[str, Tensor]:
    """The network's state dict inside a training checkpoint; its moving average where kept."""
    state = checkpoint.get("state_dict")
    if state is None:
        raise ModelFileError("the checkpoint has no `state_dict`; is it one of this program?")
    prefixes = ("ema.module.", "network.") if averaged else ("network.",)
    for prefix in prefixes:
        found = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
        if found:
            return found
    raise ModelFileError("the checkpoint holds no network (no `network.*` entries)")


def load_weights(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Strict loading with a readable key report.

    Raises:
        ModelFileError: missing, unexpected or wrongly shaped entries.
    """
    report = key_report(network, state)
    if report:
        raise ModelFileError(
            f"the weights of {origin} do not fit this architecture:\n{report}\n"
            "Load them into the architecture that made them (see its model.json)"
        )
    network.load_state_dict(dict(state))


def key_report(network: nn.Module, state: Mapping[str, Tensor], most: int = 8) -> str:
    """What is missing, unexpected or of another shape; empty if all fits."""
    own = network.state_dict()
    missing = [k for k in own if k not in state]
    extra = [k for k in state if k not in own]
    shapes = [
        f"{k}: {tuple(state[k].shape)}, expected {tuple(own[k].shape)}"
        for k in own
        if k in state and own[k].shape != state[k].shape
    ]
    lines = []
    for title, entries in (("missing", missing), ("unexpected", extra), ("other shape", shapes)):
        if entries:
            shown = "\n    ".join(entries[:most])
            more = f"\n    ... and {len(entries) - most} more" if len(entries) > most else ""
            lines.append(f"  {title} ({len(entries)}):\n    {shown}{more}")
    return "\n".join(lines)


def copy_matching(network: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """Copies every entry that fits; returns the names that were left out (both sides)."""
    own = network.state_dict()
    fitting = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    if not fitting:
        raise ModelFileError(
            "nothing of the given run fits this network; is it another architecture?"
        )
    network.load_state_dict(fitting, strict=False)
    return [k for k in own if k not in fitting] + [k for k in state if k not in own]


def local_copy(place: Path | str) -> Path:
    """The place itself, or the downloaded files of a hub id "owner/model".

    Raises:
        ModelFileError: neither exists here nor can be downloaded; says what to do.
    """
    path = Path(place)
    if path.exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+", str(place)):
        return path
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(str(place), allow_patterns=["model.safetensors", "model.json"])
        )
    except Exception as error:
        raise ModelFileError(
            f"there is no file or folder {place}, and as a hub id it cannot be downloaded "
            f"({type(error).__name__}); check the name and the network, or give a local path"
        ) from error


def find(place: Path | str, checkpoint: str = "best") -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(description, weights) of a run directory, a model directory or a checkpoint file.

    Args:
        checkpoint: "best" or "last", for run directories.
    """
    path = Path(place)
    if path.is_dir() and (path / "model.safetensors").is_file():
        description = _read_description(path / "model.json")
        return description, read_safetensors(path / "model.safetensors", description.get("sha256"))
    if path.is_dir():
        folder = path / "checkpoints"
        choice = folder / f"{checkpoint}.ckpt"
        if not choice.is_file() and checkpoint == "best":
            choice = folder / "last.ckpt"
        if not choice.is_file():
            raise ModelFileError(
                f"{path} holds no model: neither model.safetensors nor {choice.name} in checkpoints/; "
                "train with `crosstask train RECIPE --run DIR`"
            )
        path = choice
    content = read_checkpoint(path)
    if "model_description" in content:
        description = json.loads(content["model_description"])
    else:
        description = _read_description(
            path.parent / "model.json", path.parent.parent / "model.json"
        )
    return description, network_weights(content)


def read_safetensors(path: Path, digest: str | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file; `digest` is the SHA-256 that it should have.

    Raises:
        ModelFileError: cut, tampered with or of another format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if digest is not None and hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise ModelFileError(
            f"{path} and its model.json do not belong together, or the weights are damaged "
            "(another SHA-256); fetch both files again"
        )
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(f"{path} is damaged or no safetensors file: {error}") from error


def _read_description(*candidates: Path) -> dict[str, Any]:
    for path in candidates:
        if path.is_file():
            try:
                return read_json(path)
            except RunError as error:
                raise ModelFileError(str(error)) from error
    raise ModelFileError(f"there is no model.json (looked at {', '.join(map(str, candidates))})")
