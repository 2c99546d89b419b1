"""model.json, read as a file of unknown origin: every entry has a type and a limit.

What passes here can be built: no name leads to the network, no number makes a machine run out of
memory or time, and nothing is nested deeper than a description needs. An impossible entry is named.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crosstask.data.feeding import ASPECTS, FITS, RGB

SCHEMA_VERSION = 1
MOST_BYTES = 8_000_000
DEEPEST = 12
MOST_VALUES = 20_000
LONGEST_TEXT = 4_096
WIDTHS = (0.001, 16.0)
SIDES = (1, 32_768)
LARGEST_NUMBER = 1e9
LARGEST_OPTION = 65_536
MOST_TASKS = 64
MOST_CHANNELS = 512  # of hyperspectral cameras
# timm's names with their tag; an address (`hf-hub:...`) would leave this machine.
_ENCODER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class ModelFileError(ValueError):
    """A model cannot be loaded; says why and what to do."""


def read_description(*candidates: Path) -> dict[str, Any]:
    """The first of these files that is there.

    Raises:
        ModelFileError: none is there, or it is damaged, too large or impossible.
    """
    for path in candidates:
        if path.is_file():
            if path.stat().st_size > MOST_BYTES:
                raise ModelFileError(
                    f"{path} has {path.stat().st_size} bytes; expected at most {MOST_BYTES}"
                )
            try:
                text = path.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise ModelFileError(f"{path} is damaged ({error}); put back a copy") from error
            return parse_description(text, str(path))
    raise ModelFileError(f"there is no model.json (looked at {', '.join(map(str, candidates))})")


def parse_description(text: object, origin: str) -> dict[str, Any]:
    """The description in a JSON text, checked.

    Raises:
        ModelFileError: damaged or impossible; says what of `origin`.
    """
    if not isinstance(text, str) or len(text) > MOST_BYTES:
        raise ModelFileError(
            f"{origin}: the model's description is {type(text).__name__}; expected text of at most "
            f"{MOST_BYTES} characters"
        )
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{origin} is damaged ({error}); put back a copy") from error
    return check_description(value, origin)


def check_description(value: object, origin: str = "the model") -> dict[str, Any]:
    """The description itself, once its entries have their types and keep their limits.

    Raises:
        ModelFileError: foreign, made by a newer version, incomplete, or beyond a limit.
    """
    if not isinstance(value, Mapping) or value.get("library") != "crosstask":
        raise ModelFileError(
            f"{origin} is not a crosstask model description (no `library: crosstask`)"
        )
    try:
        _check_schema(value.get("schema_version"), origin)
        _count(value)
        _check_model(_of("model", value.get("model"), Mapping, "an object"))
        _check_tasks(_of("tasks", value.get("tasks"), list, "a list"))
        if value.get("size") is not None:
            _check_size(value["size"])
        if value.get("feeding") is not None:
            _check_feeding(_of("feeding", value["feeding"], Mapping, "an object"))
        if value.get("training_camera"):
            camera = _of("training_camera", value["training_camera"], Mapping, "an object")
            _check_pair("training_camera.focal", camera.get("focal"), 1e-3, 1e9)
    except _Wrong as error:
        raise ModelFileError(
            f"{origin}: {error}. The description is incomplete or damaged, or no model's: take a copy, "
            "or the version of crosstask that wrote it"
        ) from error
    return dict(value)


class _Wrong(ValueError):
    """What is wrong with an entry."""


def _check_schema(version: object, origin: str) -> None:
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise _Wrong(f"`schema_version` is {_shown(version)}; expected a whole number from 1")
    if version > SCHEMA_VERSION:
        raise ModelFileError(
            f"{origin} was made by a newer crosstask (schema {_shown(version)}, this one reads up to "
            f"{SCHEMA_VERSION}); upgrade with `pip install -U crosstask`"
        )


def _check_model(model: Mapping[str, Any]) -> None:
    if "recipe" in model:  # a network of the user's own, made by a recipe: see `own_networks`
        return
    _text("model.architecture", model.get("architecture"))
    if not _ENCODER.fullmatch(_text("model.encoder", model.get("encoder"))):
        raise _Wrong(
            f"`model.encoder` is {_shown(model['encoder'])}; expected the name of a timm model"
        )
    _number("model.width", model.get("width"), *WIDTHS)
    _check_normalization(model.get("normalization"))
    if model.get("output_stride") is not None:
        _whole("model.output_stride", model["output_stride"], 1, 64)
    if model.get("in_channels") is not None:
        _whole("model.in_channels", model["in_channels"], 1, MOST_CHANNELS)
    options = _of("model.options", model.get("options"), Mapping, "an object")
    _check_options("model.options", options)


def _check_normalization(value: object) -> None:
    """A name, or mean and standard deviation of every channel."""
    if not isinstance(value, Mapping):
        _text("model.normalization", value)
        return
    for key in ("mean", "std"):
        name = f"model.normalization.{key}"
        for number in _of(name, value.get(key), list, "a list of numbers"):
            _number(name, number, 0 if key == "mean" else 1e-6, 1e6)


def _check_options(name: str, value: object) -> None:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            _check_options(f"{name}.{key}", entry)
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            _check_options(f"{name}[{index}]", entry)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _number(name, value, -LARGEST_OPTION, LARGEST_OPTION)


def _check_tasks(tasks: list[Any]) -> None:
    if not 1 <= len(tasks) <= MOST_TASKS:
        raise _Wrong(f"`tasks` has {len(tasks)} entries; expected 1 to {MOST_TASKS}")
    for index, task in enumerate(tasks):
        spec = _of(f"tasks[{index}]", task, Mapping, "an object")
        _text(f"tasks[{index}].type", spec.get("type"))
        _check_numbers(f"tasks[{index}]", spec)


def _check_numbers(name: str, value: object) -> None:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            _check_numbers(f"{name}.{key}", entry)
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            _check_numbers(f"{name}[{index}]", entry)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _number(name, value, -LARGEST_NUMBER, LARGEST_NUMBER)


def _check_size(size: object) -> None:
    if not isinstance(size, list) or len(size) != 2:
        raise _Wrong(f"`size` is {_shown(size)}; expected [height, width]")
    for side in size:
        _whole("size", side, *SIDES)


def _check_feeding(feeding: Mapping[str, Any]) -> None:
    """How images are brought to the input, see `crosstask.data.feeding`."""
    _check_size(feeding.get("size"))
    if feeding.get("fit") not in FITS:
        raise _Wrong(
            f"`feeding.fit` is {_shown(feeding.get('fit'))}; expected one of {', '.join(FITS)}"
        )
    if feeding.get("aspects") is not None:
        _check_pair("feeding.aspects", feeding["aspects"], *ASPECTS)
    names = _of("feeding.channels", feeding.get("channels", list(RGB)), list, "a list of names")
    if not 1 <= len(names) <= MOST_CHANNELS:
        raise _Wrong(f"`feeding.channels` has {len(names)} entries; expected 1 to {MOST_CHANNELS}")
    for name in names:
        _text("feeding.channels", name)
    _number("feeding.depth_scale", feeding.get("depth_scale", 1000.0), 1e-6, LARGEST_NUMBER)
    ranges = _of("feeding.ranges", feeding.get("ranges", {}), Mapping, "an object")
    for name, ends in ranges.items():
        _check_pair(f"feeding.ranges.{name}", ends, -LARGEST_NUMBER, LARGEST_NUMBER)


def _check_pair(name: str, value: object, least: float, most: float) -> None:
    """Two numbers, the smaller first."""
    pair = _of(name, value, list, "[low, high]")
    if len(pair) != 2:
        raise _Wrong(f"`{name}` is {_shown(value)}; expected [low, high]")
    for number in pair:
        _number(name, number, least, most)
    if pair[0] > pair[1]:
        raise _Wrong(f"`{name}` is {_shown(value)}; expected the smaller number first")


def _count(value: object, depth: int = 0) -> int:
    """Number of values, nested ones too."""
    if depth > DEEPEST:
        raise _Wrong(f"it is nested deeper than {DEEPEST} levels")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or len(key) > LONGEST_TEXT:
                raise _Wrong(f"it has a name {_shown(key)}")
        entries = list(value.values())
    elif isinstance(value, list | tuple):
        entries = list(value)
    else:
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            raise _Wrong(
                f"it holds a text of {len(value)} characters; expected at most {LONGEST_TEXT}"
            )
        return 1
    total = 0
    for entry in entries:
        total += _count(entry, depth + 1)
        if total > MOST_VALUES:
            raise _Wrong(f"it holds more than {MOST_VALUES} values")
    return total


def _of(name: str, value: Any, kind: type, words: str) -> Any:
    if not isinstance(value, kind):
        raise _Wrong(f"`{name}` is {_shown(value)}; expected {words}")
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _Wrong(f"`{name}` is {_shown(value)}; expected a text")
    return value


def _number(name: str, value: object, low: float, high: float) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not low <= value <= high:  # type: ignore[operator]  # NaN is in no range
        raise _Wrong(f"`{name}` is {_shown(value)}; expected a number from {low:g} to {high:g}")


def _whole(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _Wrong(f"`{name}` is {_shown(value)}; expected a whole number from {low} to {high}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
