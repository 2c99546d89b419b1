"""`crosstask knockout RUN`: who helps whom."""

import argparse
import json
from pathlib import Path
from typing import Any

from crosstask.data.spacing import evenly


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="crosstask knockout",
        description="cut each direction of a trained exchange in turn and measure what its target "
        "loses; writes knockout.json and knockout.png into the run directory",
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--root", help="where the dataset lies now")
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best")
    parser.add_argument(
        "--mode",
        choices=("mean", "zero"),
        default="mean",
        help="what takes the place of what is read: its mean over the samples, or zeros",
    )
    parser.add_argument(
        "--samples", type=int, help="evenly spaced validation samples; all if left out"
    )
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    if args.samples is not None and args.samples < 1:
        raise ValueError(f"`--samples` is {args.samples}; expected at least 1")

    from torch.utils.data import Subset

    from crosstask.engine import checkpoints
    from crosstask.engine.hardware import choose
    from crosstask.engine.runs import Run
    from crosstask.evaluation.evaluate import evaluate
    from crosstask.experiments.comparison.knockout import draw, knockout
    from crosstask.media.files import write_json
    from crosstask.recipes.reopen import reopen

    device = choose(args.device, "32").device
    experiment = reopen(Run(args.run), args.root)
    network = experiment.regime.inference_network()
    _, weights = checkpoints.find(args.run, args.checkpoint)
    checkpoints.load_weights(network, weights, str(args.run))
    data: Any = experiment.val_data()
    if args.samples is not None:
        data = Subset(data, evenly(len(data), args.samples))

    def score() -> dict[str, float]:
        size = args.batch_size or experiment.val_batch_size
        return evaluate(network, experiment.tasks, data, batch_size=size, device=device)

    result = {"samples": len(data)} | knockout(network, experiment.tasks, score, args.mode)
    write_json(args.run / "knockout.json", result)
    draw(result, args.run / "knockout.png")
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        _print(result)
        print(f"written: {args.run / 'knockout.json'}, {args.run / 'knockout.png'}")
    return 0


def _print(result: dict[str, Any]) -> None:
    from rich.table import Table

    from crosstask.cli.tables import console

    table = Table(title="loss of a target (%) when a source is cut | mean |alpha|")
    table.add_column("target")
    for source in result["tasks"]:
        table.add_column(f"without {source}", justify="right")
    for target in result["tasks"]:
        cells = []
        for source in result["tasks"]:
            loss, alpha = result["loss"][target][source], result["alpha"][target][source]
            text = "-" if loss is None else f"{round(loss, 2) + 0.0:+.2f}"
            cells.append(text if alpha is None else f"{text} | {alpha:.3f}")
        table.add_row(target, *cells)
    console().print(table)
