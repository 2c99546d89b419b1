"""Runs a study: finished runs are not run again, and several processes share the work."""

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crosstask.runs import RESUME_MAY_CHANGE, Run, RunError, write_json
from crosstask.studies.study import StudyRun

FINISHED, ELSEWHERE, PARTLY, OPEN = "finished", "in another process", "started", "not started"


@dataclass(frozen=True)
class PlannedRun:
    """A run of a study with its place and its resolved configuration."""

    run: StudyRun
    place: Run
    config: dict[str, Any]

    def status(self) -> str:
        """What is on disk.

        Raises:
            RunError: the directory holds a run with other settings.
        """
        if not is_free(self.place):
            return ELSEWHERE
        if not self.place.config_file.is_file():
            return OPEN
        differing = differences(self.place.read_config(), self.config)
        if differing:
            raise RunError(
                f"{self.place.path} holds a run with other settings:\n{differing}\n"
                "Give the same, or another `--output`"
            )
        return FINISHED if (self.place.path / "metrics.json").is_file() else PARTLY


def plan(
    runs: Sequence[StudyRun],
    output: Path,
    resolve: Callable[[str], Mapping[str, Any]],
) -> list[PlannedRun]:
    """Every run with its directory and options.

    Args:
        resolve: recipe -> its options as the command line leaves them.
    """
    planned = []
    for run in runs:
        options = dict(resolve(run.recipe))
        unknown = [key for key in run.options if key not in options]
        if unknown:
            raise ValueError(
                f"recipe {run.recipe} has no option {unknown[0]!r}, which {run.row} sets"
            )
        given = dict(run.options)
        merged = {**(options.get("options") or {}), **given.pop("options", {})}
        options |= given | {"seed": run.seed}
        if merged:
            options["options"] = merged
        config = {"recipe": run.recipe, **options}
        planned.append(PlannedRun(run, Run(output / run.name), config))
    return planned


def run_study(
    planned: Sequence[PlannedRun],
    train: Callable[[PlannedRun, bool], Any],
    say: Callable[[str], None] = print,
) -> dict[str, list[str]]:
    """Trains what is not finished; goes on to the next run where one fails or is taken.

    Args:
        train: trains one run; its second argument says whether to resume.
        say: prints one line.

    Returns:
        names of the runs that are "finished", "failed", or "in another process" at the end.
    """
    failed: dict[str, None] = {}
    trained = True
    while trained:  # a run that another process gave up is taken over in the next round
        trained = False
        for number, item in enumerate(planned, start=1):
            name = item.run.name
            if name in failed or item.status() not in (PARTLY, OPEN):
                continue
            say(f"[{number}/{len(planned)}] {name}")
            try:
                train(item, _prepare(item))
                trained = True
            except RunError as error:
                if is_free(item.place):  # not a race for the directory: the run itself is wrong
                    failed[name] = None
                    say(f"{name} failed: {error}")
            except (ValueError, OSError, RuntimeError) as error:
                failed[name] = None
                say(f"{name} failed: {error}")
                note = item.place.path / "error.txt"
                note.parent.mkdir(parents=True, exist_ok=True)
                note.write_text(traceback.format_exc())
    states = {item.run.name: item.status() for item in planned}
    return {
        FINISHED: [n for n, s in states.items() if s == FINISHED],
        "failed": list(failed),
        ELSEWHERE: [n for n, s in states.items() if s == ELSEWHERE],
    }


def _prepare(item: PlannedRun) -> bool:
    """Makes the directory ready; returns whether to resume."""
    place = item.place
    resume = place.last.is_file()
    if not resume:  # cut off before its first checkpoint: nothing to keep
        place.metrics_file.unlink(missing_ok=True)
    (place.path / "error.txt").unlink(missing_ok=True)
    write_json(place.path / "study.json", {"row": item.run.row, "seed": item.run.seed})
    return resume


def is_free(place: Run) -> bool:
    """Whether no process is writing to the run directory."""
    if not place.path.is_dir():
        return True
    try:
        with place.lock():
            return True
    except RunError:
        return False


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Lines that name the settings in which two configurations differ; empty if none does."""

    keys = [k for k in dict.fromkeys([*before, *now]) if k not in RESUME_MAY_CHANGE]
    plain = json.loads(json.dumps(dict(now), default=str))
    return "\n".join(
        f"  {k}: {before.get(k)!r} there, {plain.get(k)!r} asked"
        for k in keys
        if before.get(k) != plain.get(k)
    )


def write_list(
    path: Path, name: str, planned: Sequence[PlannedRun], baseline: str | None = None
) -> None:
    """The study's runs in order, for `crosstask table`, and what it measures them against."""
    listed: dict[str, Any] = {
        "study": name,
        "runs": [item.place.path.name for item in planned],
    }
    if baseline == "none" or baseline in [item.run.row for item in planned]:
        listed["baseline"] = baseline
    write_json(path, listed)
