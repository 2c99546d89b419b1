"""Models on disk: `model.json` beside weights, and `load` for every place a model may live.

A model is described by JSON (schema version, architecture and options, ordered tasks with their
classes and units, normalisation, camera rule) and holds its weights in a Lightning checkpoint or
in `model.safetensors`. Nothing is ever unpickled beyond tensors and plain containers.
"""

import hashlib
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from crosstask.engine.box import boxed_model
from crosstask.engine.description import (
    SCHEMA_VERSION,
    ModelFileError,
    check_description,
    parse_description,
    read_description,
)
from crosstask.engine.own_networks import build_own, describe_network
from crosstask.engine.runs import Run
from crosstask.evaluation.finite import learned, non_finite
from crosstask.models import create_model_from_spec
from crosstask.plugins.trust import Trust, digests, trusted
from crosstask.tasks import Task, TrainingCamera, from_spec


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
        UnrecordedNetwork: a network that could not be loaded again; says what to do.
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
    description: Mapping[str, Any],
    place: Path | str = "the model",
    trust: Trust = False,
    weights: Mapping[str, Tensor] | None = None,
) -> tuple[nn.Module, tuple[Task, ...]]:
    """The untrained network and its tasks, from the content of a `model.json`.

    Args:
        place: where it was read, for messages.
        trust: which Python files outside of the package may run, see `crosstask.plugins.trust`.
        weights: what will be loaded into it: a network of extraordinary width is made only if it
            is as large as they are.

    Raises:
        ModelFileError: foreign file, newer schema, impossible entry, unknown architecture or task.
        TrustError: a file would have to run that is not trusted.
    """
    description = cleared(check_description(description, str(place)), place, trust)
    model = description["model"]

    def create(tasks: tuple[Task, ...]) -> nn.Module:
        if "recipe" in model:
            return build_own(model)
        return create_model_from_spec(model, tasks)

    try:
        tasks = tuple(from_spec(spec) for spec in description["tasks"])
        if weights is not None and "recipe" not in model and _may_be_large(model):
            with torch.device("meta"):  # shapes without memory
                report = key_report(create(tasks), weights)
            if report:
                raise ModelFileError(f"the weights do not fit the described network:\n{report}")
        network = create(tasks)
    except ModelFileError:
        raise
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        raise ModelFileError(
            f"{place}: {error}"
        ) from error  # what is unknown, with the nearest names
    except Exception as error:  # what types cannot tell, the parts refuse in many ways
        if "own_files" in description and not isinstance(error, KeyError | TypeError):
            raise  # a defect of the user's own file
        raise ModelFileError(
            f"{place}: the model description is incomplete or damaged: {error!r}"
        ) from error
    return network, tasks


def _may_be_large(model: Mapping[str, Any]) -> bool:
    """Whether a description asks for more than networks of this program usually are."""
    numbers: list[Any] = [*model["options"].values()]
    while nested := [n for n in numbers if isinstance(n, list | dict)]:
        flat = [n for n in numbers if not isinstance(n, list | dict)]
        numbers = flat + [x for n in nested for x in (n.values() if isinstance(n, dict) else n)]
    large = [n for n in numbers if isinstance(n, int | float) and n > 512]
    return bool(model["width"] > 2 or large)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's content; refuses anything but tensors and plain containers.

    Raises:
        ModelFileError: missing, cut, or carrying code.
    """
    if not path.is_file():
        raise ModelFileError(f"there is no checkpoint {path}; train first, or give another path")
    check_content(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelFileError(
            f"{path} holds more than tensors and plain values and is refused (it could run code): "
            f"{str(error).splitlines()[0]}"
        ) from error
    except Exception as error:  # what damaged bytes lead the reader to is anything
        raise ModelFileError(
            f"{path} is cut or damaged ({(str(error) or type(error).__name__).splitlines()[0]}); use another checkpoint of the run"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ModelFileError(
            f"{path} holds {type(content).__name__}; expected a checkpoint of this program (names with values)"
        )
    if not _has_digest(path):
        warnings.warn(f"{path} has no digest: damage may have gone unnoticed", stacklevel=2)
    return content


def step_of(path: Path) -> int:
    """The optimiser steps that a training checkpoint has behind it.

    Raises:
        ModelFileError: missing, damaged, or no checkpoint of a training.
    """
    step = read_checkpoint(path).get("global_step")
    if isinstance(step, bool) or not isinstance(step, int) or step < 0:
        raise ModelFileError(
            f"{path} says step {step!r}; expected a whole number. It is not a checkpoint that training "
            "wrote: put the run's own back, or start a new run"
        )
    return step


def scored_facts(path: Path, rule: str) -> dict[str, float]:
    """What metrics.json says of the checkpoint that its numbers are from: its step, and whether it
    was selected by its score (1) or is simply the last (0)."""
    return {"scored/step": float(step_of(path)), "scored/selected": float(rule != "last")}


def check_content(path: Path) -> None:
    """Whether a checkpoint holds what was written: its digest is the CRC-32 that stands beside every
    tensor in the file (80 ms for 100 MB; loading, which does not look at it, takes 170 ms).

    Raises:
        ModelFileError: damaged; says which part.
    """
    if not _has_digest(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except Exception as error:  # zipfile raises seven unrelated types on damaged directories
        raise ModelFileError(
            f"{path} is cut or damaged ({(str(error) or type(error).__name__).splitlines()[0]}); use "
            "another checkpoint of the run"
        ) from error
    if bad is not None:
        raise ModelFileError(
            f"{path} is damaged (the digest of its part {bad} is another); use another checkpoint of the "
            "run, or a copy of the file"
        )


def _has_digest(path: Path) -> bool:
    """Whether the file is a zip archive, as torch has written them since version 1.6."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def network_weights(checkpoint: Mapping[str, Any], averaged: bool = True) -> dict[str, Tensor]:
    """The network's state dict inside a training checkpoint; its moving average where kept."""
    state = checkpoint.get("state_dict")
    if not isinstance(state, Mapping):
        raise ModelFileError("the checkpoint has no `state_dict`; is it one of this program?")
    # A module's own `get_extra_state` (a balancer's history) may be of any type; no weight is.
    named = [isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()]
    extra = [isinstance(k, str) and k.endswith("._extra_state") for k in state]
    wrong = [
        k
        for k, is_named, is_extra in zip(state, named, extra, strict=True)
        if not is_named | is_extra
    ]
    if wrong:
        raise ModelFileError(
            f"the checkpoint's `state_dict` holds {wrong[0]!r}, which is not a named tensor; is it one of "
            "this program?"
        )
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
    check_weights(network, state, origin)
    network.load_state_dict(dict(state))


def check_weights(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Refuses weights that hold NaN or infinity.

    Raises:
        ModelFileError: such weights; names the first.
    """
    bad = non_finite({name: state[name] for name in learned(network) if name in state})
    if bad:
        raise ModelFileError(
            f"the weights of {origin} are not finite ({bad[0]}"
            + (f" and {len(bad) - 1} more" if len(bad) > 1 else "")
            + "): the run diverged, or the file is damaged; use another checkpoint"
        )


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
    check_weights(network, fitting, "the given run")
    network.load_state_dict(fitting, strict=False)
    return [k for k in own if k not in fitting] + [k for k in state if k not in own]


HUB = "hf://"


def local_copy(place: Path | str) -> Path:
    """The place itself, a model that comes with the package, or the downloaded `hf://owner/model`.

    A path that exists comes before a model of that name. Nothing but `hf://` goes to
    the hub: a mistyped path stays here.

    Raises:
        ModelFileError: the model cannot be downloaded, or the address is not such a address.
    """
    text = str(place)
    if not text.startswith(HUB):
        return Path(place) if Path(place).exists() else boxed_model(text) or Path(place)
    name = text.removeprefix(HUB)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise ModelFileError(f"`{text}` is not an address of the hub; expected hf://owner/model")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["model.safetensors", "model.json"]))
    except Exception as error:
        raise ModelFileError(
            f"{text} cannot be downloaded from the hub ({type(error).__name__}); check the name and the "
            "network, or give a local path"
        ) from error


def nothing_there(path: Path) -> ModelFileError:
    """What to say of a path where no file or folder is."""
    text = path.as_posix()
    hub = (
        f"; a model of the hub is {HUB}{text}"
        if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", text)
        else ""
    )
    return ModelFileError(f"there is no file or folder {path}; check the path{hub}")


def find(
    place: Path | str, checkpoint: str | None = None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(description, weights) of a run directory, a model directory or a checkpoint file.

    Args:
        checkpoint: "best" or "last", for run directories; None is the one that was scored.
    """
    path = Path(place)
    if not path.exists():
        raise nothing_there(path)
    if path.is_dir() and (path / "model.safetensors").is_file():
        description = read_description(path / "model.json")
        return description, read_safetensors(path / "model.safetensors", description.get("sha256"))
    if path.is_dir():
        choice = Run(path).checkpoint(checkpoint)
        if not choice.is_file():
            raise ModelFileError(
                f"{path} holds no model: neither model.safetensors nor {choice.name} in checkpoints/; "
                "train with `crosstask train RECIPE --run DIR`"
            )
        path = choice
    content = read_checkpoint(path)
    weights = network_weights(content)
    if "model_description" in content:
        description = parse_description(content["model_description"], str(path))
    else:
        description = read_description(
            path.parent / "model.json", path.parent.parent / "model.json"
        )
    return description, weights


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
    if digest is None:
        warnings.warn(
            f"the model.json of {path} has no digest (`sha256`): damage may have gone unnoticed",
            stacklevel=2,
        )
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(f"{path} is damaged or no safetensors file: {error}") from error
