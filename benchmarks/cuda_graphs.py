"""Training steps with and without CUDA graphs on the same batches: milliseconds, and how far the losses differ.

Usage: python benchmarks/cuda_graphs.py [--steps 30] [--output FILE.json] [--dry-run]

Needs an NVIDIA GPU; a dry run takes a step or two of tiny networks on a CPU, without graphs, to see that it runs. Both ways begin from the same weights and see three batches of hard procedural streets in
turn, rendered on the device, in Lightning's loop. Times are means of the last two thirds of the steps.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader

from crosstask.engine.callbacks.cuda_graphs import CudaGraphs
from crosstask.engine.experiment import Experiment
from crosstask.engine.hardware import choose
from crosstask.engine.trainer import quieten
from crosstask.media.files import write_json
from crosstask.recipes import procedural

SMALL: dict[str, Any] = {"width": 0.25, "size": "64x128", "batch_size": 8}
ROWS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("32", "densemtl", {**SMALL, "freeze": "encoder"}),
    ("bf16", "densemtl", {**SMALL, "freeze": "encoder"}),
    ("bf16", "densemtl_linear", SMALL),
    ("bf16", "fast", {"width": 1.0, "size": "192x256", "batch_size": 4, "ema": 0.99}),
    ("bf16", "linear_probe", {"size": "64x128", "batch_size": 8, "freeze": "encoder"}),
)
TINY = (("32", "densemtl", {"width": 0.0625, "size": "32x64", "batch_size": 1}),)


class Watcher(pl.Callback):
    """The loss of every step, and when it ended."""

    def __init__(self) -> None:
        self.losses: list[torch.Tensor] = []
        self.times: list[float] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:
        self.losses.append(outputs["loss"].detach())
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())


def experiment(architecture: str, options: dict[str, Any]) -> Experiment:
    pl.seed_everything(0, verbose=False)
    return procedural.supervised(
        architecture=architecture, tasks="segmentation,depth,normals,edges", encoder="tf_efficientnet_lite0",
        pretrained=False, difficulty="hard", optimizer="matched", val_length=1, workers=0, **options,
    )  # fmt: skip


def run(
    precision: str,
    architecture: str,
    options: dict[str, Any],
    steps: int,
    graphs: bool,
    device: str,
) -> tuple[torch.Tensor, float]:
    """The losses, and milliseconds of a step."""
    made, watcher = experiment(architecture, options), Watcher()
    data, size = made.train_data(), made.batch_size
    batches = [data.render_batch(range(i * size, (i + 1) * size), torch.device(device)) for i in range(3)]  # fmt: skip
    trainer = pl.Trainer(
        accelerator=device,
        devices=1,
        precision="bf16-mixed" if precision == "bf16" else "32-true",
        max_steps=steps,
        gradient_clip_val=made.clip,
        callbacks=[watcher, *([CudaGraphs()] if graphs and device == "cuda" else [])],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    given: Any = [batches[i % 3] for i in range(steps)]
    trainer.fit(made.regime, DataLoader(given, batch_size=None))
    first = steps // 3
    seconds = (watcher.times[-1] - watcher.times[first]) / (steps - 1 - first)
    return torch.stack(watcher.losses).double().cpu(), 1e3 * seconds


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--output", type=Path, help="a file for the figures")
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes on a CPU, no graphs")
    args = parser.parse_args(argv)
    if args.steps < 6:
        parser.error("`--steps` must be at least 6")
    device = "cpu" if args.dry_run else "cuda"
    try:
        choose(device, "32")
    except ValueError as error:
        parser.error(f"{error}; `--dry-run` shows on a CPU that it runs")
    quieten()
    warnings.filterwarnings("ignore", message=".*val_dataloader.*")
    found = []
    print(
        "| network | size | batch | format | ms | ms, replayed | times faster | losses differ by |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for precision, architecture, options in TINY if args.dry_run else ROWS:
        plain, slow = run(precision, architecture, options, args.steps, False, device)
        replayed, fast = run(precision, architecture, options, args.steps, True, device)
        differ = float(((plain - replayed).abs() / plain.abs()).max())
        row = {"network": architecture, "size": options["size"], "batch": options["batch_size"], "format": precision,
               "ms": slow, "replayed_ms": fast, "differ": differ}  # fmt: skip
        found.append(row)
        print(
            f"| {architecture} | {options['size']} | {options['batch_size']} | {precision} | {slow:.1f} | {fast:.1f} | "
            f"{slow / fast:.1f} | {differ:.1e} |",
            flush=True,
        )
    if args.output:
        write_json(
            args.output,
            {"device": torch.cuda.get_device_name() if device == "cuda" else device, "rows": found},
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
