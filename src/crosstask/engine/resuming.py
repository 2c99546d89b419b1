"""Where training begins: at step 0, or where the run directory's last checkpoint stands.

The same command with `--resume` always works: it starts at step 0 while nothing is saved. What a
resumed run may change is what leaves its steps the same (`RESUME_MAY_CHANGE`), and `steps`: more of
them go on longer. Schedules are functions of (step / steps), so a longer run follows, from here on,
the schedule of a run of the new length. Batch size, accumulation and the number of processes decide
which samples a step sees, and precision how it computes: they stay.
"""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from torch.optim.lr_scheduler import LambdaLR

from crosstask.engine import checkpoints
from crosstask.engine.runs import RESUME_MAY_CHANGE, Run, RunError, read_json
from crosstask.media.files import remove_stale
from crosstask.plugins.trust import whole_paths


class RunExists(RunError):
    """A new run was asked for where one lies already.

    Attributes:
        found: what lies there.
        same: whether `--resume` with the same options would continue it.
    """

    def __init__(self, found: str, advice: str, same: bool) -> None:
        super().__init__(f"{found}; {advice}")
        self.found, self.same = found, same


@dataclass(frozen=True)
class Start:
    """Where training begins.

    Attributes:
        step: optimiser steps that are done.
        checkpoint: what they left, or None.
        lengths: [{"at": step, "from": steps, "to": steps}] of every time the run got longer.
    """

    step: int = 0
    checkpoint: Path | None = None
    lengths: list[dict[str, int]] = field(default_factory=list)


def prepare(
    place: Run, config: Mapping[str, Any], machine: Mapping[str, Any], resume: bool
) -> Start:
    """Checks the directory against what is asked, and writes config.yaml. Under the run's lock.

    Args:
        config: the recipe's name and options.
        machine: precision, devices and num_nodes.

    Raises:
        RunExists: a new run, where one lies already.
        RunError: a run of other settings, or one whose checkpoint is gone.
    """
    remove_stale(place.path)
    remove_stale(place.path / "checkpoints")
    if not resume:
        _refuse_another(place, config, machine)
    elif place.last.is_file():
        return _continue(place, config, machine)
    elif (place.path / "metrics.json").is_file():
        raise RunError(
            f"{place.path} holds a finished run without its checkpoints/last.ckpt, so it cannot go on; put "
            "the file back, or choose another `--run`"
        )
    place.write_config(config, machine)
    return Start()


def start_of_others(place: Run, resume: bool) -> Start:
    """The same for further processes, which write nothing."""
    if not resume or not place.last.is_file():
        return Start()
    return Start(checkpoints.step_of(place.last), place.last)


def kept_precision(place: Run, precision: str) -> str:
    """On a resume "auto" is what the run was started with, whatever this machine would choose."""
    known = place.config_file.is_file() and place.last.is_file()
    before = place.read_machine().get("precision") if known and precision == "auto" else None
    return str(before) if before else precision


def _refuse_another(place: Run, config: Mapping[str, Any], machine: Mapping[str, Any]) -> None:
    finished = (place.path / "metrics.json").is_file()
    rows = place.metrics_file.is_file() and len(place.metrics_file.read_text().splitlines()) > 1
    if not (finished or rows or place.last.is_file()):
        return
    before = whole_paths(place.read_config()) if place.config_file.is_file() else {}
    same = not _differing(before, config) and not _other_machine(place, machine)
    if finished:
        state = f"finished ({place.path / 'metrics.json'})"
    elif place.last.is_file():
        steps = before.get("steps")
        state = f"stopped at step {checkpoints.step_of(place.last)}" + (
            f" of {steps}" if steps else ""
        )
    else:
        state = "stopped before its first checkpoint"
    found = f"{place.path} already holds a run of {before.get('recipe', 'an experiment')}, {state}"
    if finished and same:
        advice = "train it longer with `--resume` and more `--steps`, or choose another `--run`"
    elif same:
        advice = "continue it with `--resume`, or choose another `--run`"
    else:
        lines = _lines(before, config, place, machine)
        advice = f"its settings are others:\n{lines}\nChoose another `--run`"
    raise RunExists(found, advice, same and not finished)


def _continue(place: Run, config: Mapping[str, Any], machine: Mapping[str, Any]) -> Start:
    before = whole_paths(place.read_config())
    step = checkpoints.step_of(place.last)
    wrong = [k for k in _differing(before, config) if k != "steps"]
    if wrong or _other_machine(place, machine):
        lines = _lines(before, config, place, machine, "steps")
        raise RunError(
            f"{place.path} was started with other settings:\n{lines}\n"
            f"Give the same ({_flags(before, wrong, place, machine)}), or choose another `--run`"
        )
    lengths = _lengths(place)
    old, new = before.get("steps"), config.get("steps")
    if old == new or not isinstance(old, int) or not isinstance(new, int):
        return Start(step, place.last, lengths)
    if new < step:
        raise RunError(
            f"`steps` is {new}, and {place.path} is at step {step} already; expected at least {step}"
        )
    warnings.warn(
        f"{place.path} goes on to step {new} instead of {old}: from step {step} on, the learning rate "
        f"follows the schedule of a run of {new} steps",
        stacklevel=4,
    )
    place.write_config({**before, "steps": new}, {**machine, **place.read_machine()})
    metrics = place.path / "metrics.json"
    if metrics.is_file():  # of the shorter run, which is not what this directory holds any more
        metrics.replace(metrics.with_name(f"metrics-step{old}.json"))
    return Start(step, place.last, [*lengths, {"at": step, "from": old, "to": new}])


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(dict(value), default=str))  # type: ignore[no-any-return]


def _differing(before: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    plain = _plain(config)
    keys = [k for k in dict.fromkeys([*before, *plain]) if k not in RESUME_MAY_CHANGE]
    return [k for k in keys if before.get(k) != plain.get(k)]


def _other_machine(place: Run, machine: Mapping[str, Any]) -> list[str]:
    """Keys of `machine` in which the run differs; an older run does not know all of them."""
    before = place.read_machine()
    wrong = [k for k in ("precision",) if k in before and before[k] != machine[k]]
    if _processes({**machine, **before}) != _processes(machine):
        wrong += [k for k in ("devices", "num_nodes") if before.get(k, 1) != machine[k]]
    return wrong


def _processes(machine: Mapping[str, Any]) -> int:
    return int(machine["devices"]) * int(machine["num_nodes"])


def _lines(
    before: Mapping[str, Any],
    config: Mapping[str, Any],
    place: Run,
    machine: Mapping[str, Any],
    *passed_over: str,
) -> str:
    plain, there = _plain(config), place.read_machine() if place.config_file.is_file() else {}
    lines = [
        f"  {k}: {before.get(k)!r} then, {plain.get(k)!r} now"
        for k in _differing(before, config)
        if k not in passed_over
    ]
    lines += [
        f"  {k}: {there.get(k, 1)!r} then, {machine[k]!r} now"
        for k in _other_machine(place, machine)
    ]
    return "\n".join(lines)


def _flags(
    before: Mapping[str, Any], wrong: list[str], place: Run, machine: Mapping[str, Any]
) -> str:
    """The options as they were, as far as a command line can say them."""
    there = place.read_machine()
    values = {k: before.get(k) for k in wrong if k != "recipe"}
    values |= {k: there.get(k, 1) for k in _other_machine(place, machine)}
    said = [
        f"`--{k.replace('_', '-')} {v}`"
        for k, v in values.items()
        if isinstance(v, str | int | float) and str(v)
    ]
    return ", ".join(said) or "see config.yaml"


def _lengths(place: Run) -> list[dict[str, int]]:
    file = place.path / "env.json"
    found = read_json(file).get("lengths") if file.is_file() else None
    return found if isinstance(found, list) else []


class FollowSchedule(pl.Callback):
    """The rate of the first step of a run that got longer: by the new schedule, not as saved."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for entry in trainer.lr_scheduler_configs:
            scheduler: Any = entry.scheduler
            if not isinstance(scheduler, LambdaLR):  # of a regime of one's own
                continue
            for group, base, factor in zip(
                scheduler.optimizer.param_groups,
                scheduler.base_lrs,
                scheduler.lr_lambdas,
                strict=True,
            ):
                group["lr"] = base * factor(scheduler.last_epoch)
