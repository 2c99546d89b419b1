"""The run directory: what was run, and what came out. Everything is written atomically.

config.yaml   the recipe and every resolved option, precision and number of processes
env.json      versions, commit, device, data version
metrics.csv   step,name,value; append-only
metrics.json  metrics of the scored checkpoint on the reported split, trivial predictors beside them
model.json    how to rebuild the model, its tasks, classes, units
checkpoints/  last.ckpt and best.ckpt
tensorboard/  panel.png
"""

import contextlib
import fcntl
import json
import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from crosstask.media.files import atomic_path
from crosstask.media.reading import MOST_YAML

# A resumed run may differ in these only.
RESUME_MAY_CHANGE = ("workers", "run", "resume", "accelerator", "root", "val_every")


# Of config.yaml what is not an option of the recipe: how the steps were computed.
MACHINE = ("precision", "devices", "num_nodes")


# Options that recipes no longer have, with the value that means what recipes do now.
WITHDRAWN: dict[str, Any] = {"mixed_batches": False, "domain_norms": False}


# Options that came later: what recipes did before, and an option that these recipes had already.
ADDED: dict[str, tuple[Any, str]] = {
    "fit": ("squeeze", "score_at"),
    "depth_kind": ("z", "depth_scale"),
    "select": ("last", "val_every"),
    "scene_seed": (0, "train_length"),
    "label_shift": (0, "labels_per_image"),
    "depth_output": ("softplus", "protocol"),
    "channels": ("red,green,blue", "masks"),
}


# How labels of a folder are stored where nothing says otherwise. Runs of old wrote all of it down, where it
# did not count before the folder's own word; now what is left out is None, and what is given counts.
STORED_AS_USUAL: dict[str, Any] = {
    "depth_scale": 1000.0,
    "depth_kind": "z",
    "masks": "auto",
    "void": 255,
    "channels": "red,green,blue",
}


# How the scored checkpoint was chosen: `Experiment.select`, or the rule of runs before there was one.
RULES = ("last", "best")


BEST_ON_REPORTED = "best on the reported split"


class RunError(ValueError):
    """A run directory cannot be used as asked; says why and what to do."""


def _as_folder_says(config: dict[str, Any]) -> dict[str, Any]:
    """Options of a run of old with None in place of what was as usual (see `STORED_AS_USUAL`)."""
    beside = {name: config.get(name) for name in STORED_AS_USUAL if name != "depth_scale"}
    if None in beside.values():  # not all of it is written down, or it is another recipe's
        return config
    usual = {name for name, value in STORED_AS_USUAL.items() if config.get(name) == value}
    return {name: None if name in usual else value for name, value in config.items()}


_WRITE_AGAIN = "write it again with `crosstask train ... --resume`, or delete the directory"


_PUT_BACK = "put the file back from a copy, or delete the directory and train again"


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a run directory.

    Raises:
        RunError: missing, cut, damaged or no object; names the file and says what to do.
    """
    if not path.is_file():
        raise RunError(f"{path.parent} has no {path.name}: the run was cut off; {_WRITE_AGAIN}")
    try:
        value = json.loads(path.read_text())
    except ValueError as error:
        raise RunError(f"{path} is damaged ({error}); {_WRITE_AGAIN}") from error
    return _mapping(path, value, _WRITE_AGAIN)


def _mapping(path: Path, value: Any, what_to_do: str) -> dict[str, Any]:
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return value
    shown = repr(value)
    short = shown if len(shown) < 40 else shown[:37] + "..."
    raise RunError(f"{path} is damaged (expected names with values, found {short}); {what_to_do}")


class Run:
    """A run directory.

    Args:
        path: the directory; created on demand.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def last(self) -> Path:
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def best(self) -> Path:
        return self.path / "checkpoints" / "best.ckpt"

    def rule(self) -> str:
        """How the scored checkpoint was chosen: one of `RULES`, or `BEST_ON_REPORTED`."""
        file = self.path / "env.json"
        found = read_json(file) if file.is_file() else {}
        # Domain adaptation has always scored its last checkpoint.
        older = "last" if "method" in found else BEST_ON_REPORTED
        rule = found.get("select", older)
        if rule not in (*RULES, BEST_ON_REPORTED):
            raise RunError(f"{file} is damaged (`select` is {rule!r}); {_WRITE_AGAIN}")
        return str(rule)

    def checkpoint(self, name: str | None = None) -> Path:
        """A checkpoint: best or last; None is the scored one, or the other where that is gone."""
        if name is not None:
            return self.path / "checkpoints" / f"{name}.ckpt"
        first, second = (self.last, self.best) if self.rule() == "last" else (self.best, self.last)
        return second if second.is_file() and not first.is_file() else first

    @contextlib.contextmanager
    def lock(self, probe: bool = False) -> Iterator[None]:
        """Holds the directory; a second process gets a clear error.

        Args:
            probe: leave what the file says of its `holder`.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunError(
                    f"another process is writing to {self.path}; wait for it or choose another `--run`"
                ) from None
            if not probe:
                with contextlib.suppress(OSError):  # a full disk: who holds it is only told
                    file.truncate(0)
                    file.write(f"{platform.node()}, process {os.getpid()}\n")
                    file.flush()
            yield

    def holder(self) -> str:
        """Host and process that hold the directory, or held it last; empty where none did."""
        try:
            return (self.path / ".lock").read_text().strip()
        except OSError:
            return ""

    def read_config(self, *needed: str) -> dict[str, Any]:
        """The recipe's name and options; withdrawn options at their neutral value are left out.

        Args:
            needed: keys that the caller cannot do without, for example "recipe" and "seed".

        Raises:
            RunError: missing, cut off, damaged, or without a needed key.
        """
        if not self.config_file.is_file():
            raise RunError(
                f"{self.path} is not a run directory (no config.yaml); train one with "
                f"`crosstask train RECIPE --run {self.path}`"
            )
        if self.config_file.stat().st_size > MOST_YAML:
            raise RunError(f"{self.config_file} is too large to be a run's options; {_PUT_BACK}")
        try:
            text = self.config_file.read_text()
            found = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError, ValueError) as error:  # no text; no date or number
            line = str(error).splitlines()[0]
            raise RunError(f"{self.config_file} is damaged ({line}); {_PUT_BACK}") from error
        config = _mapping(self.config_file, found, _PUT_BACK)
        if not text.endswith("\n"):  # it is written with one: a lost end would be a lost option
            raise RunError(f"{self.config_file} is cut off (no line end); {_PUT_BACK}")
        if lost := [key for key in needed if key not in config]:
            raise RunError(f"{self.config_file} has no `{lost[0]}`; {_PUT_BACK}")
        absent = object()
        for option, (value, beside) in ADDED.items():
            if beside in config:
                config.setdefault(option, value)
        config = _as_folder_says(config)
        return {
            k: v for k, v in config.items() if WITHDRAWN.get(k, absent) != v and k not in MACHINE
        }

    def read_machine(self) -> dict[str, Any]:
        """Precision and number of processes, as far as config.yaml knows them (older ones do not).

        Raises:
            RunError: config.yaml is missing or damaged.
        """
        self.read_config()  # says what is wrong with the file
        found = yaml.safe_load(self.config_file.read_text())
        return {k: found[k] for k in MACHINE if k in found}

    def write_config(
        self, config: Mapping[str, Any], machine: Mapping[str, Any] | None = None
    ) -> None:
        """Writes the recipe's name and options, and of `machine` the keys of `MACHINE`."""
        content = {**config, **(machine or {})}
        with atomic_path(self.config_file) as temporary:
            temporary.write_text(yaml.safe_dump(content, sort_keys=False))

    def read_metrics(self) -> dict[str, float]:
        """The final metrics.

        Raises:
            RunError: the run is not finished, or the file is damaged or holds no numbers.
        """
        path = self.path / "metrics.json"
        if not path.is_file():
            raise RunError(
                f"{self.path} has no metrics.json: the run is not finished; continue it "
                "with `--resume`, or run `crosstask evaluate`"
            )
        metrics = read_json(path)
        if not metrics:
            raise RunError(f"{path} is damaged (it holds no numbers); {_WRITE_AGAIN}")
        for name, value in metrics.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise RunError(
                    f"{path} is damaged (`{name}` is {value!r}, no number); {_WRITE_AGAIN}"
                )
        return metrics

    def read_environment(self) -> dict[str, Any]:
        """What env.json says of versions, machine and data.

        Raises:
            RunError: missing or damaged.
        """
        path = self.path / "env.json"
        environment = read_json(path)
        data = _mapping(path, environment.get("data", {}), _WRITE_AGAIN)
        for facts in data.values():
            _mapping(path, facts, _WRITE_AGAIN)
        return environment

    def own_files(self) -> dict[str, str]:
        """{path: SHA-256} of the user's own files that the run was made with, as far as recorded."""
        path = self.path / "model.json"
        found = read_json(path).get("own_files") if path.is_file() else None
        return found if isinstance(found, dict) else {}
