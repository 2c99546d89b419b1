"""A network as JSON, and back: what `model.json` says of it.

A model is described by JSON: schema version, architecture and options, ordered tasks with their
classes and units, normalisation, camera rule.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from crosstask.data.channels import Channels
from crosstask.data.feeding import Feeding
from crosstask.data.sample import DataError
from crosstask.engine.description import SCHEMA_VERSION, ModelFileError, check_description
from crosstask.engine.own_networks import build_own, describe_network
from crosstask.engine.weights import key_report
from crosstask.media.value_range import parse_value_range
from crosstask.models import create_model_from_spec
from crosstask.plugins.trust import Trust, digests, trusted
from crosstask.suggest import UnknownNameError
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
        # What is read later is looked at now, while errors name the file.
        Channels.of_feeding(Feeding.from_spec(description.get("feeding")))
        TrainingCamera.from_spec(description.get("training_camera"))
        parse_value_range(description.get("value_range"))
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
        if type(error) not in (ValueError, UnknownNameError, DataError):
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
