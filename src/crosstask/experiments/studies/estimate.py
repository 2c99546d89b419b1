"""`crosstask study NAME --estimate`: runs, steps, hours, memory and disk of a study before it is run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from crosstask.engine.environment import environment
from crosstask.engine.experiment import Experiment
from crosstask.engine.hardware import Hardware, choose
from crosstask.engine.own_networks import WITHOUT_WEIGHTS
from crosstask.engine.pace import measure_pace
from crosstask.engine.runs import RunError, read_json
from crosstask.engine.threads import choose_workers
from crosstask.experiments.studies.planning import PlannedRun
from crosstask.experiments.studies.study import letters
from crosstask.models.flops import count_macs
from crosstask.recipes.catalogue import find_recipe
from crosstask.regimes.supervised import Supervised

# Weights and files that a few steps neither need nor may write, and parts that begin later: all steps are
# counted with them, so that hours and memory are those of the longest.
_LEFT_OUT: Mapping[str, Any] = {
    **WITHOUT_WEIGHTS,
    "cache": None,
    "cache_features": None,
    "cache_views": None,
    "pseudo_start": 0,
    "adversarial_start": 0,
}
_SLOTS = {"sgd": 1}  # numbers that an optimiser keeps of each weight; two where it is not named
_LOGS = 2e6  # bytes of curves and images of a run


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one step of an experiment.

    Attributes:
        step: seconds of an optimiser step.
        validation: seconds of a validation image.
        memory: GB at the peak.
        watts: of the card, where it is known.
    """

    step: float
    validation: float
    memory: float
    watts: float | None = None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Of the runs of a row that differ in the seed only.

    Attributes:
        steps: of one run.
        hours: of all its runs, one after the other; None where `why` says why it is not known.
        memory: GB of one run at the peak.
        disk: GB of all its runs.
        energy: kWh of the card.
        validates: whether validation is counted.
    """

    row: str
    tasks: str
    runs: int
    steps: int
    hours: float | None
    memory: float | None
    disk: float
    energy: float | None = None
    validates: bool = True
    why: str = ""


class Figures:
    """The rows of training of a file that `benchmarks/accelerator.py` wrote.

    Args:
        path: the file.
        precision: "bf16" or "32" of the study; float32 is TF32 in the convolutions of a GPU.

    Raises:
        ValueError: a dry run, or no row of training in that precision.
    """

    def __init__(self, path: Path, precision: str = "auto") -> None:
        try:
            found = read_json(path)
        except RunError as error:
            raise ValueError(f"`--figures`: {error}") from None
        machine = found.get("machine", {})
        wanted = "tf32" if precision == "32" else "bf16"
        self.rows = [
            row
            for row in found.get("rows", [])
            if row.get("kind") == "training"
            and row.get("format") == wanted
            and "skipped" not in row
            and not row["compiled"]
        ]
        if machine.get("dry_run") or not self.rows:
            what = "of a dry run" if machine.get("dry_run") else f"without training in {wanted}"
            raise ValueError(
                f"`--figures` is {path}, {what}; expected what `python benchmarks/accelerator.py "
                "--output FOLDER` writes on a GPU; leave it out to measure here"
            )
        self.told = (
            f"From {path} ({machine['device']}, torch {machine['torch']}, {wanted}), in proportion to "
            "multiply-accumulates (time) and to pixels (memory); loading is not counted."
        )

    def cost(self, experiment: Experiment, architecture: str) -> Cost:
        """Scaled from the row of the same architecture, if there is one, of the nearest size.

        Raises:
            ValueError: another regime than supervised training.
        """
        if type(experiment.regime) is not Supervised:
            raise ValueError(
                "`--figures` are of supervised training, and a step of this regime has further forward "
                "passes; leave `--figures` out to measure on this machine"
            )
        batch, size = experiment.batch_size, experiment.size
        area = batch * math.prod(size)
        work = batch * count_macs(experiment.regime.network, size)["total"]["macs"]

        def far(row: Mapping[str, Any]) -> tuple[bool, float]:
            ratio = work / (row["batch"] * row["macs"])
            return row["architecture"] != architecture, abs(math.log(ratio))

        def pixels(row: Mapping[str, Any]) -> float:
            return float(area / (row["batch"] * math.prod(row["size"])))

        def far_in_pixels(row: Mapping[str, Any]) -> tuple[bool, float, float]:
            other, work_apart = far(row)
            return other, abs(math.log(pixels(row))), work_apart

        row = min(self.rows, key=far)
        ratio = work / (row["batch"] * row["macs"])
        holds = min(self.rows, key=far_in_pixels)
        # No step is shorter than the shortest measured: small ones wait for the host.
        step = max(row["step_seconds"] * ratio, min(r["step_seconds"] for r in self.rows))
        image = row["validation_seconds"] * ratio * row["batch"] / batch
        memory = holds["memory_gb"] * pixels(holds)
        return Cost(step=experiment.accumulate * step, validation=image, memory=memory, watts=row["watts"])  # fmt: skip


class Measured:
    """A few steps on this machine.

    Args:
        hardware: where, and in which precision.
        steps: that are timed, after one that is not.
    """

    def __init__(self, hardware: Hardware, steps: int = 2) -> None:
        self.hardware, self.steps = hardware, steps
        facts = environment(str(hardware.device))
        self.told = (
            f"Measured: {steps} steps of each row on this machine ({facts['device']}, torch "
            f"{facts['packages']['torch']}, {facts['threads']} threads, {hardware.precision}) with what else it did."
        )

    def cost(self, experiment: Experiment, architecture: str) -> Cost:
        """Loader processes work beside the steps, without them a step waits for its batch."""
        pace = measure_pace(experiment, self.hardware, steps=self.steps, warmup=1)
        loading = pace.loading or 0.0
        workers = choose_workers(experiment.workers, self.hardware.accelerator)
        step = max(pace.step, loading / workers) if workers else pace.step + loading
        return Cost(step=step, validation=pace.validation or 0.0, memory=pace.memory)


def estimate(planned: Sequence[PlannedRun], source: Figures | Measured) -> list[Estimate]:
    """One entry for each row and set of tasks, in the order of the study."""
    groups: dict[tuple[str, tuple[str, ...]], list[PlannedRun]] = {}
    for item in planned:
        groups.setdefault((item.run.row, item.run.tasks), []).append(item)
    return [_of(items, source) for items in groups.values()]


def _of(items: Sequence[PlannedRun], source: Figures | Measured) -> Estimate:
    options = dict(items[0].config)
    function, left_out = find_recipe(options.pop("recipe")), _LEFT_OUT
    options |= {key: value for key, value in left_out.items() if key in options}
    experiment: Experiment = function(**options)
    images = _validation_images(experiment)
    facts: dict[str, Any] = {
        "row": items[0].run.row,
        "tasks": letters(items[0].run.tasks),
        "runs": len(items),
        "steps": experiment.steps,
        "disk": len(items) * _disk(experiment) / 1e9,
        "validates": images is not None,
    }
    try:
        cost = source.cost(experiment, str(options.get("architecture")))
    except torch.OutOfMemoryError:
        return Estimate(
            **facts, hours=None, memory=None, why="does not fit into the device's memory"
        )
    seconds = experiment.steps * cost.step + (images or 0) * cost.validation
    hours = len(items) * seconds / 3600
    energy = None if cost.watts is None else hours * cost.watts / 1000
    return Estimate(**facts, hours=hours, memory=cost.memory, energy=energy)


def _validation_images(experiment: Experiment) -> int | None:
    """Of all validations of a run and its final scores; None where the data is not there."""
    try:
        validated, scored = len(experiment.val_data()), len(experiment.scored_data())
    except (ValueError, OSError):
        return None
    return math.ceil(experiment.steps / experiment.val_every) * validated + scored


def _disk(experiment: Experiment) -> float:
    """Bytes of last.ckpt (weights and states of the optimiser), best.ckpt and what is logged."""
    regime = experiment.regime
    state = [value for value in regime.state_dict().values() if isinstance(value, torch.Tensor)]
    weights = sum(tensor.numel() * tensor.element_size() for tensor in state)
    trained = sum(p.numel() for p in regime.parameters() if p.requires_grad)
    return 2 * weights + 4 * _SLOTS.get(regime.settings.name, 2) * trained + _LOGS


def lines(found: Sequence[Estimate], told: str) -> list[str]:
    """The table, its sum, and where the figures are from."""
    width = max((len(item.row) for item in found), default=3)
    head = f"{'row':<{width}}  {'tasks':<7}  {'runs':>4}  {'steps':>6}  {'hours':>7}  {'GB memory':>9}  {'GB disk':>7}"
    table = [head]
    for item in found:
        hours = "?" if item.hours is None else _short(item.hours)
        memory = "?" if item.memory is None else f"{item.memory:.1f}"
        cells = f"{item.runs:>4}  {item.steps:>6}  {hours:>7}  {memory:>9}  {item.disk:>7.2f}"
        table.append(f"{item.row:<{width}}  {item.tasks:<7}  {cells}  {item.why}".rstrip())
    known = [item for item in found if item.hours is not None]
    energy = [item.energy for item in known if item.energy is not None]
    more = f", {sum(energy):.1f} kWh" if energy and len(energy) == len(known) else ""
    table.append(
        f"{sum(item.runs for item in known)} runs, about {_short(sum(i.hours or 0 for i in known))} hours "
        f"of one process, {max((i.memory or 0 for i in known), default=0):.1f} GB of memory, "
        f"{sum(item.disk for item in found):.2f} GB of disk{more}"
    )
    if len(known) < len(found):
        table.append(
            f"{len(found) - len(known)} of {len(found)} rows could not be measured and are not in the sum."
        )
    table.append(told)
    if not all(item.validates for item in found):
        table.append("Validation is not counted: the data is not there (`--root`).")
    return table


def _short(hours: float) -> str:
    return f"{hours:.1f}" if hours >= 1 else f"{hours:.2g}"


def source_of(figures: Path | None, accelerator: str, precision: str) -> Figures | Measured:
    """The file's figures where one is given, else this machine."""
    if figures is not None:
        return Figures(figures, precision)
    return Measured(choose(accelerator, precision))
