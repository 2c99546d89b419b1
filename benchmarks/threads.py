"""Training steps a second by threads of torch and loader processes, alone and beside busy processes.

Usage: python benchmarks/threads.py [--pairs 1x0 2x0 2x1] [--busy 0 1] [--rounds 2] [--steps 6] [--json]

`procedural.supervised --size 96x192`, the demo's settings. The settings take turns, so that other programs on the
machine disturb all of them alike: compare ratios, not steps a second. A turn is timed once the loader's queues are
full. "passive" is what the command line sets (OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0), "spinning" is how GNU OpenMP
waits by itself.
"""

import argparse
import contextlib
import json
import logging
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
import torch

from crosstask.data.loading import train_loader
from crosstask.recipes.procedural import supervised

WARM_UP = 2


class Clock(pl.Callback):
    """Seconds of the steps after the warm-up."""

    def __init__(self, filling: float) -> None:
        self.filling, self.times = filling, []

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == WARM_UP:
            time.sleep(self.filling)  # until the loader's queue is full
        self.times.append(time.perf_counter())

    def steps_per_second(self) -> float:
        return (len(self.times) - WARM_UP) / (self.times[-1] - self.times[WARM_UP - 1])


@contextlib.contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Other programs that compute all the time."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def measure(threads: int, workers: int, busy: int, steps: int, filling: float) -> float:
    """Steps a second."""
    torch.set_num_threads(threads)
    steps += WARM_UP
    experiment = supervised(size="96x192", steps=steps)
    data = experiment.train_data()
    loader = train_loader(
        data, batch_size=experiment.batch_size, batches=steps, seed=7, workers=workers
    )
    clock = Clock(filling if workers else 0.0)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=steps,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[clock],
    )
    with busy_processes(busy):
        trainer.fit(experiment.regime, loader)
    return clock.steps_per_second()


def rows_of(options: argparse.Namespace) -> list[dict[str, Any]]:
    """One turn of every setting in this process."""
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    rows = []
    for busy in options.busy:
        for pair in options.pairs:
            threads, workers = map(int, pair.split("x"))
            speed = measure(threads, workers, busy, options.steps, options.filling)
            rows.append({"busy": busy, "threads": threads, "workers": workers, "speed": speed})
            print(f"{pair} beside {busy} busy: {speed:.3f}", file=sys.stderr, flush=True)
    return rows


def in_child(policy: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One turn under a policy of waiting, which OpenMP reads once, when torch is loaded."""
    waiting = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"} if policy == "passive" else {}
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, __file__, "--child", "--steps", str(options.steps)]
    command += ["--filling", str(options.filling), "--busy", *map(str, options.busy), "--pairs"]
    command += options.pairs if policy == "passive" else options.spinning_pairs
    result = subprocess.run(command, env=clean | waiting, check=True, stdout=subprocess.PIPE)
    return [row | {"policy": policy} for row in json.loads(result.stdout)]


def main() -> None:
    """Parse the command line, measure in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", nargs="+", default=["1x0", "1x1", "1x2", "2x0", "2x1", "2x2"], help="THREADSxWORKERS")  # fmt: skip
    parser.add_argument("--spinning-pairs", nargs="+", default=["1x1", "2x0", "2x1"])
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1], help="other busy processes")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--filling", type=float, default=4.0, help="seconds to fill the queue")
    parser.add_argument("--json", action="store_true", help="every measurement")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(rows_of(options)))
        return
    rows = [
        row
        for _ in range(options.rounds)
        for policy in ("passive", "spinning")
        for row in in_child(policy, options)
    ]
    if options.json:
        print(json.dumps(rows))
        return
    table: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        key = (row["busy"], row["policy"], row["threads"], row["workers"])
        table.setdefault(key, []).append(row["speed"])
    for (busy, policy, threads, workers), speeds in table.items():
        shown = f"{statistics.median(speeds):.3f} ({min(speeds):.3f} to {max(speeds):.3f})"
        print(
            f"beside {busy} busy, {policy}, {threads} threads, {workers} workers: {shown} steps/s"
        )


if __name__ == "__main__":
    main()
