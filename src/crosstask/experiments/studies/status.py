"""`crosstask study NAME --status`: what each run of a study does, where, and how long it will take."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean

from crosstask.engine.metrics_file import read_rows
from crosstask.engine.runs import RunError, read_json
from crosstask.experiments.studies.planning import ELSEWHERE, FINISHED, OPEN, PARTLY, PlannedRun

RUNNING, FAILED, UNUSABLE = "running", "failed", "unusable"


@dataclass(frozen=True)
class RunStatus:
    """Of one run, as its directory tells.

    Attributes:
        state: finished, running, failed, started (cut off), not started, or unusable.
        step, steps: done, and asked (None where the recipe decides).
        where: host and process that are at it, or were last.
        hours: computed since it was last started, while it is known.
        hours_left: at the speed so far; None where nothing tells.
        why: of a failure or an unusable directory, its last line.
    """

    name: str
    state: str
    step: int = 0
    steps: int | None = None
    where: str = ""
    hours: float | None = None
    hours_left: float | None = None
    why: str = ""


def look(item: PlannedRun) -> RunStatus:
    """What the directory of a run says; nothing is changed but a probe of its lock."""
    name, steps = item.run.name, item.config.get("steps")
    where = item.place.holder()
    try:
        state = item.status()
        rows = read_rows(item.place.metrics_file)
    except RunError as error:
        return RunStatus(name, UNUSABLE, why=str(error).splitlines()[0])
    step = max((row[0] for row in rows), default=0)
    noted = item.place.path / "error.txt"
    if state == ELSEWHERE:
        state = RUNNING
    elif state in (PARTLY, OPEN) and noted.is_file():
        lines = noted.read_text(errors="replace").strip().splitlines() or ["?"]
        return RunStatus(name, FAILED, step, steps, where, why=lines[-1])
    hours, speed = _pace(item, step)
    left = (steps - step) / speed if steps is not None and speed and state != FINISHED else None
    return RunStatus(name, state, step, steps, where if state != OPEN else "", hours, left)


def _pace(item: PlannedRun, step: int) -> tuple[float | None, float | None]:
    """(hours since the last start, steps an hour), by what the study wrote when it started the run."""
    path = item.place.path / "study.json"
    if not path.is_file() or not item.place.metrics_file.is_file():
        return None, None
    started = read_json(path)
    if "started" not in started:
        return None, None
    hours = (item.place.metrics_file.stat().st_mtime - started["started"]) / 3600
    done = step - started.get("from_step", 0)
    return (hours, done / hours) if hours > 0 and done > 0 else (None, None)


def lines(found: Sequence[RunStatus], now: float | None = None) -> list[str]:
    """The table, and a line that adds it up."""
    width = max((len(run.name) for run in found), default=4)
    table = [f"{'run':<{width}}  {'state':<11}  {'steps':>15}  {'hours left':>10}  where, why"]
    for run in found:
        done = f"{run.step}/{run.steps if run.steps is not None else '?'}"
        left = "" if run.hours_left is None else f"{run.hours_left:.1f}"
        told = "; ".join(text for text in (run.where, run.why) if text)
        table.append(
            f"{run.name:<{width}}  {run.state:<11}  {done:>15}  {left:>10}  {told}".rstrip()
        )
    counts = {
        s: sum(run.state == s for run in found) for s in dict.fromkeys(r.state for r in found)
    }
    table.append(", ".join(f"{count} {state}" for state, count in counts.items()))
    total, unknown = hours_left(found)
    if total is not None:
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(now))
        more = f", and {unknown} runs whose length nothing tells yet" if unknown else ""
        table.append(f"about {total:.1f} hours of one process left at {at}{more}")
    return table


def hours_left(found: Iterable[RunStatus]) -> tuple[float | None, int]:
    """(hours that one process would need, runs of unknown length); None while no run has a speed.

    A run that has no speed of its own is counted at the mean of the others.
    """
    runs = [run for run in found if run.state not in (FINISHED, UNUSABLE)]
    paces = [
        run.hours / run.step for run in found if run.hours and run.step and run.state != FAILED
    ]
    known = [run.hours_left for run in runs if run.hours_left is not None]
    rest = [run for run in runs if run.hours_left is None]
    guessed = [(run.steps - run.step) * mean(paces) for run in rest if paces and run.steps]
    if not known and not guessed:
        return (0.0 if not runs else None), len(rest)
    return sum(known) + sum(guessed), len(rest) - len(guessed)
