"""`crosstask evaluate RUN [--root DIR]`."""

import argparse
import json
from pathlib import Path

from crosstask.commands.tables import metrics_table


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="crosstask evaluate", description="score a run on its validation split"
    )
    parser.add_argument("run", type=Path)
    parser.add_argument(
        "--root", help="where the dataset lies now, if not where it was in training"
    )
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--precision", default="32", help="32, bf16 or auto")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--flip", action="store_true", help="average with the mirrored pictures")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)

    import torch

    from crosstask import model_files
    from crosstask.evaluation import evaluate_constants
    from crosstask.hardware import choose
    from crosstask.runs import Run
    from crosstask.training import restore_companions

    hardware = choose(args.device, args.precision)
    experiment = reopen(Run(args.run), args.root)
    network = experiment.regime.inference_network()
    _, weights = model_files.find(args.run, args.checkpoint)
    model_files.load_weights(network, weights, str(args.run))
    place = Run(args.run)
    chosen = place.best if args.checkpoint == "best" and place.best.is_file() else place.last
    restore_companions(experiment.regime, chosen)
    val = experiment.val_data()
    with torch.autocast(hardware.device.type, torch.bfloat16, enabled=hardware.precision == "bf16"):
        metrics = experiment.regime.final_metrics(
            val,
            batch_size=args.batch_size or experiment.val_batch_size,
            workers=experiment.workers,
            device=hardware.device,
            flip=args.flip,
        )
    train_set = experiment.train_data()
    metrics |= evaluate_constants(experiment.tasks, train_set, val)
    metrics |= experiment.regime.trivial_metrics(train_set, val)
    if args.json:
        print(json.dumps(metrics, indent=2))
    else:
        metrics_table(metrics, [t.name for t in experiment.tasks], title=str(args.run))
    return 0


def reopen(run, root: str | None = None):  # type: ignore[no-untyped-def]
    """The experiment of a run directory, made again from its config.yaml."""
    from crosstask.recipes.catalogue import find_recipe

    config = run.read_config()
    function = find_recipe(config.pop("recipe"))
    if root is not None:
        config["root"] = root
    for skipped in ("init_from",):
        if skipped in config:
            config[skipped] = None
    if "pretrained" in config:
        config["pretrained"] = False
    return function(**config)
