"""What a run writes of itself before it begins: model.json and env.json."""

import warnings
from collections.abc import Mapping
from typing import Any

from crosstask.data.feeding import Feeding
from crosstask.engine import rebuilding
from crosstask.engine.environment import environment
from crosstask.engine.experiment import Experiment
from crosstask.engine.hardware import Hardware
from crosstask.engine.resuming import Start
from crosstask.engine.runs import Run
from crosstask.media.files import write_json
from crosstask.tasks import TrainingCamera


def record(
    place: Run,
    e: Experiment,
    hardware: Hardware,
    start: Start,
    splits: Mapping[str, Any],
    described: Mapping[str, Any],
) -> None:
    """Writes env.json and model.json.

    Args:
        splits: what is trained on, reported ("val") and, with `select` "best", selected by.
        described: the content of model.json.
    """
    used = [name for name in splits if name != "selection" or e.select == "best"]
    data = {name: splits[name].describe() for name in used}
    write_json(
        place.path / "env.json",
        environment(str(hardware.device))
        | {
            "data": data,
            "accelerator": hardware.accelerator,
            "precision": hardware.precision,
            "protocol": e.protocol,
            "select": e.select,
            **e.notes,
            **({"lengths": start.lengths} if start.lengths else {}),
        },
    )
    write_json(place.path / "model.json", described)


def description(
    e: Experiment,
    config: Mapping[str, Any] | None = None,
    camera: TrainingCamera | None = None,
    value_range: str = "auto",
    feeding: Feeding | None = None,
) -> dict[str, Any]:
    """The run's model.json.

    Args:
        config: as in config.yaml.
        camera: of training, see `training_camera`.
        value_range: of the training images, see `crosstask.media.value_range`.
        feeding: how images were brought to the network's input.

    Raises:
        UnrecordedNetwork: what would be trained could not be loaded.
    """
    facts = {
        "size": list(e.size),
        "protocol": e.protocol,
        "value_range": value_range,
        "feeding": None if feeding is None else feeding.to_spec(),
        "training_camera": None if camera is None else camera.to_spec(),
        **e.regime.model_facts(),
    }
    return rebuilding.describe(e.regime.network, e.tasks, config, **facts)


def trained_range(train_set: Any) -> str:
    """The stored values that are black and white in the training images, for prediction.

    Of two domains the target's count. Images of a mixture with several ranges cannot be told apart
    later: `auto` then.
    """
    found: set[str] = set()

    def look(record: Any) -> None:
        if isinstance(record, Mapping):
            if isinstance(record.get("value_range"), str):
                found.add(record["value_range"])
            look([value for value in record.values() if isinstance(value, (Mapping, list))])
        elif isinstance(record, list):
            for part in record:
                look(part)

    record = train_set.describe()
    look(record.get("target", record) if len(train_set.domains) == 2 else record)
    if len(found) > 1:
        warnings.warn(
            f"the training images have several value ranges ({', '.join(sorted(found))}); prediction "
            "will read images by the range of their data type",
            stacklevel=2,
        )
    return found.pop() if len(found) == 1 else "auto"
