"""Runs a study: finished runs are not run again, and several processes share the work."""

import contextlib
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from crosstask.engine.callbacks.cuda_graphs import check_gpu
from crosstask.engine.execution import check_processes
from crosstask.engine.hardware import choose
from crosstask.engine.interruption import Stopped
from crosstask.engine.metrics_file import read_rows
from crosstask.engine.runs import RunError
from crosstask.engine.training import train
from crosstask.experiments.studies.following import Others
from crosstask.experiments.studies.planning import (
    ELSEWHERE,
    FINISHED,
    OPEN,
    PARTLY,
    WAITING,
    PlannedRun,
    is_free,
)
from crosstask.media.files import write_json
from crosstask.recipes.catalogue import find_recipe
from crosstask.recipes.reopen import begin


def check(
    accelerator: str,
    precision: str,
    strategy: str,
    devices: int,
    num_nodes: int,
    cuda_graphs: bool = False,
) -> None:
    """Asks before the first run what training would ask in every one.

    Raises:
        ValueError: the machine lacks the device, the precision, or so many processes, or CUDA graphs
            are asked for without a GPU.
    """
    kind = choose(accelerator, precision).device.type
    check_processes(devices, num_nodes, strategy, kind)
    if cuda_graphs:
        check_gpu(kind)


def trainer(**how: Any) -> Callable[[PlannedRun, bool], dict[str, float]]:
    """What `run_study` trains a run with.

    Args:
        how: options of `crosstask.engine.training.train`.
    """

    def train_one(item: PlannedRun, resume: bool) -> dict[str, float]:
        options = dict(item.config)
        function = find_recipe(options.pop("recipe"))
        return train(
            begin(function, options, item.place.path, resume),
            item.place.path,
            config=item.config,
            resume=resume,
            **how,
        )

    return train_one


def run_study(
    planned: Sequence[PlannedRun],
    train_one: Callable[[PlannedRun, bool], Any],
    say: Callable[[str], None] = print,
    others: Others | None = None,
) -> dict[str, list[str]]:
    """Trains what is not finished; goes on to the next run where one fails or is taken.

    Whatever goes wrong inside a run, a defect of the program too, is reported, written to its
    error.txt and does not stop the others; a keyboard interrupt does, and any error where the
    processes of a run live as long as the study: they would wait for this one.

    Args:
        train_one: trains one run; its second argument says whether to resume.
        say: prints one line.
        others: the other processes of every run; see `follow`.

    Returns:
        names of the runs that are "finished", "failed", "in another process" or waiting for the run
        that they begin from (which failed, or is another process's) at the end.

    Raises:
        RunError: before anything is trained, a directory with other settings or a damaged one.
    """
    for item in planned:
        item.status()
    others = others or Others()
    failed: dict[str, None] = {}
    trained = True
    while trained:  # a run that another process gave up is taken over in the next round
        trained = False
        for number, item in enumerate(planned, start=1):
            name = item.run.name
            if name in failed:
                continue
            try:
                if item.status() not in (PARTLY, OPEN) or not item.ready():
                    continue
                say(f"[{number}/{len(planned)}] {name}")
                resume = _prepare(item)
                with others.train_along(name, resume):
                    train_one(item, resume)
                trained = True
            except Stopped as stop:
                raise Stopped(
                    stop.signal, f"{name}: {stop}: the same command goes on with the study"
                ) from stop
            except RunError as error:
                if others.lasting:
                    raise
                if is_free(item.place):  # not a race for the directory: the run itself is wrong
                    failed[name] = None
                    say(f"{name} failed: {error}")
            except Exception as error:
                failed[name] = None
                told = str(error) if isinstance(error, ValueError | OSError | RuntimeError) else ""
                say(f"{name} failed: {told or repr(error)}")
                _note(item.place.path / "error.txt", traceback.format_exc())
                if others.lasting:
                    raise
    others.end()
    states = {i.run.name: i.status() for i in planned if i.run.name not in failed}
    waiting = [i.run.name for i in planned if states.get(i.run.name) in (OPEN, PARTLY)]
    return {
        FINISHED: [n for n, s in states.items() if s == FINISHED],
        "failed": list(failed),
        ELSEWHERE: [n for n, s in states.items() if s == ELSEWHERE],
        WAITING: waiting,
    }


def follow(
    planned: Sequence[PlannedRun], train_one: Callable[[PlannedRun, bool], Any], others: Others
) -> None:
    """What `run_study` is to a process that is not the first: it trains what that one begins."""
    by_name = {item.run.name: item for item in planned}
    for name, resume in others.turns():
        train_one(by_name[name], resume)


def _note(path: Path, text: str) -> None:
    with contextlib.suppress(OSError):  # a full disk failed the run already
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _prepare(item: PlannedRun) -> bool:
    """Makes the directory ready; returns whether to resume.

    Raises:
        RunError: another process has taken the run.
    """
    place = item.place
    with place.lock():
        resume = place.last.is_file()
        if not resume:  # cut off before its first checkpoint: nothing to keep
            place.metrics_file.unlink(missing_ok=True)
        (place.path / "error.txt").unlink(missing_ok=True)
        step = max((row[0] for row in read_rows(place.metrics_file)), default=0)
        started = {"started": time.time(), "from_step": step}  # for `--status`
        row = {"row": item.run.row, "seed": item.run.seed}
        write_json(place.path / "study.json", {**row, **started})
        return resume
