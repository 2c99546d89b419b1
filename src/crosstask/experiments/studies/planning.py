"""The runs of a study before they are trained: where each lies, which are chosen, the list for tables."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crosstask.engine.runs import RESUME_MAY_CHANGE, Run, RunError, read_json
from crosstask.experiments.studies.study import StudyRun
from crosstask.media.files import write_json
from crosstask.plugins.trust import whole_paths
from crosstask.recipes.catalogue import find_recipe
from crosstask.suggest import UnknownNameError, nearest

_NO_ARCHITECTURE = "none, tasks are checked only"


FINISHED, ELSEWHERE, PARTLY, OPEN = "finished", "in another process", "started", "not started"


WAITING = "waiting for the run that they begin from"


@dataclass(frozen=True)
class PlannedRun:
    """A run of a study with its place, its resolved configuration, and how many processes train it."""

    run: StudyRun
    place: Run
    config: dict[str, Any]
    processes: int = 1

    def ready(self) -> bool:
        """Whether the run that it begins from, if any, is finished."""
        name = self.run.start_name
        return name is None or (self.place.path.parent / name / "metrics.json").is_file()

    def status(self) -> str:
        """What is on disk.

        Raises:
            RunError: the directory holds a run with other settings, or a damaged one.
        """
        if not is_free(self.place):
            return ELSEWHERE
        if not self.place.config_file.is_file():
            return OPEN
        differing = differences(whole_paths(self.place.read_config()), self.config)
        differing = "\n".join(filter(None, [differing, self._other_processes()]))
        if differing:
            raise RunError(
                f"{self.place.path} holds a run with other settings:\n{differing}\n"
                "Give the same, or another `--output`"
            )
        if not (self.place.path / "metrics.json").is_file():
            return PARTLY
        self.place.read_metrics()
        return FINISHED

    def _other_processes(self) -> str:
        """A step sees the images of all processes: another number is another setting."""
        before = self.place.read_machine()
        number = int(before.get("devices", self.processes)) * int(before.get("num_nodes", 1))
        if number == self.processes:
            return ""
        return f"  processes (`--devices`, `--num-nodes`): {number} there, {self.processes} asked"


def plan(
    runs: Sequence[StudyRun],
    output: Path,
    resolve: Callable[[str], Mapping[str, Any]],
    processes: int = 1,
) -> list[PlannedRun]:
    """Every run with its directory and options.

    Args:
        resolve: recipe -> its options as the command line leaves them.
        processes: of every run, on all machines.
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
        if run.length != 1 and isinstance(options.get("steps"), int):
            options["steps"] = max(1, round(run.length * options["steps"]))
        if run.start_name is not None:
            options["init_from"] = str(output / run.start_name)
        if merged:
            options["options"] = merged
        config = whole_paths({"recipe": run.recipe, **options})
        planned.append(PlannedRun(run, Run(output / run.name), config, processes))
    return planned


def check_tasks(planned: Sequence[PlannedRun]) -> None:
    """Whether the recipes teach the tasks of every run, by the check that training starts with.

    Raises:
        ValueError: tasks that the dataset lacks; names them and the rows that want them.
    """
    rows: dict[str, dict[str, None]] = {}
    checked: dict[tuple[str, tuple[str, ...]], str] = {}
    for item in planned:
        key = (item.run.recipe, item.run.tasks)
        if key not in checked:
            checked[key] = _wrong_tasks(item)
        rows.setdefault(checked[key], {})[item.run.row] = None
    rows.pop("", None)
    if rows:
        lines = "\n".join(f"  {error} (rows {', '.join(names)})" for error, names in rows.items())
        raise ValueError(
            f"recipe {planned[0].run.recipe} cannot run all of this study:\n{lines}\n"
            "Choose tasks with `--tasks a,b`, rows with `--rows a,b`, another study, or another `--dataset`"
        )


def _wrong_tasks(item: PlannedRun) -> str:
    """What the recipe says of a task that it lacks; empty if it has them all.

    The recipe is called with an architecture that does not exist: it chooses its tasks first, and
    no network is built. Whatever else it misses, such as a folder, is for training to tell.
    """
    options = {**item.config, "architecture": _NO_ARCHITECTURE}
    try:
        find_recipe(options.pop("recipe"))(**options)
    except UnknownNameError as error:
        return str(error) if error.kind == "task" else ""
    except (ValueError, OSError):
        return ""
    return ""


def check_given(given: Sequence[str], runs: Sequence[StudyRun], study: str) -> None:
    """Refuses an option of the command line that every run of the study sets itself.

    Raises:
        ValueError: such an option; it would be ignored.
    """
    own = ["seed", *(key for key in given if all(key in run.options for run in runs))]
    for key in given:
        if key in own and key not in ("options", "tasks"):
            raise ValueError(
                f"`--{key.replace('_', '-')}` is set by every row of the study {study}; choose rows "
                "with `--rows a,b` and seeds with `--seeds 0,1`, take another study, or train one "
                "run with `crosstask train`"
            )


def shard(planned: Sequence[PlannedRun], text: str) -> list[PlannedRun]:
    """Part `i` of `n` of the runs, "i/n" from "1/n" to "n/n"; the parts are disjoint and cover all.

    Raises:
        ValueError: not of that form.
    """
    part, _, parts = text.partition("/")
    if not (part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise ValueError(
            f"`shard` is {text!r}; expected PART/PARTS from 1/PARTS to PARTS/PARTS, for example 1/8; "
            "of a SLURM array --array=1-8, $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"
        )
    return list(planned[int(part) - 1 :: int(parts)])


def choose_rows(runs: Sequence[StudyRun], wanted: Sequence[str]) -> list[StudyRun]:
    """The runs of these rows, and those that they begin from.

    Raises:
        ValueError: a row that the study does not have; the nearest are named.
    """
    known = list(dict.fromkeys(run.row for run in runs))
    for row in wanted:
        if row not in known:
            raise ValueError(nearest(row, known, "row of this study"))
    chosen = [run for run in runs if run.row in wanted]
    needed = {run.start_name for run in chosen}
    return [run for run in runs if run in chosen or run.name in needed]


def is_free(place: Run) -> bool:
    """Whether no process is writing to the run directory."""
    if not place.path.is_dir():
        return True
    try:
        with place.lock(probe=True):
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
    path: Path,
    name: str,
    planned: Sequence[PlannedRun],
    baseline: str | None = None,
    varies: Sequence[str] = (),
) -> None:
    """The study's runs in order, for `crosstask table`, and what it measures them against.

    Runs that an earlier call listed, with other seeds or rows, stay while their folders do.
    """
    before = read_json(path) if path.is_file() else {}
    runs = [item.place.path.name for item in planned]
    earlier = [run for run in before.get("runs", []) if (path.parent / run).is_dir()]
    listed: dict[str, Any] = {
        "study": name,
        "runs": [*(run for run in earlier if run not in runs), *runs],
    }
    if baseline == "none" or baseline in [item.run.row for item in planned]:
        listed["baseline"] = baseline
    elif "baseline" in before:
        listed["baseline"] = before["baseline"]
    if varies:
        listed["varies"] = list(varies)
    write_json(path, listed)


@contextmanager
def listing(path: Path, *listed: Any) -> Iterator[None]:
    """`write_list` before the runs and after them: another call, with other rows, may have written meanwhile."""
    write_list(path, *listed)
    try:
        yield
    finally:
        write_list(path, *listed)
