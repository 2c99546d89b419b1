"""`crosstask train RECIPE --run DIR [--resume] [options of the recipe]`."""

import argparse
import contextlib
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from crosstask.cli.arguments import add_machine, add_trust, checked_options
from crosstask.cli.parsing import recipe_name, recipe_parser
from crosstask.cli.tables import metrics_table
from crosstask.recipes.resolving import split_options


def main(argv: list[str]) -> int:
    name, rest = recipe_name(argv, "train")
    function, parser, names = recipe_parser(name, "train")
    _add_options(parser)
    namespace = parser.read(rest)
    options = checked_options(split_options(namespace, names), argv, namespace)

    from crosstask.engine.training import train
    from crosstask.recipes.options import parse_names
    from crosstask.recipes.reopen import begin

    experiment = begin(function, options, namespace.run, namespace.resume)
    with exact_command(argv):
        metrics = train(
            experiment,
            namespace.run,
            config={"recipe": name, **options},
            resume=namespace.resume,
            accelerator=namespace.accelerator,
            precision=namespace.precision,
            devices=namespace.devices,
            num_nodes=namespace.num_nodes,
            strategy=namespace.strategy,
            trackers=parse_names(namespace.trackers, "trackers"),
            progress=not namespace.quiet,
            compile=namespace.compile,
            recompute=namespace.recompute,
            cuda_graphs=namespace.cuda_graphs,
        )
    if metrics:
        metrics_table(metrics, experiment.tasks, title=str(namespace.run))
        print(f"\nimages: {namespace.run / 'panel.png'}")
        _tell_skipped(namespace.run / "skipped.json")
        if namespace.next_steps:
            print(next_steps(namespace.run))
    return 0


def _add_options(parser: argparse.ArgumentParser) -> None:
    """Where and how the run is trained; what is trained is the recipe's."""
    parser.add_argument("--run", type=Path, required=True, help="the run directory")
    parser.add_argument("--resume", action="store_true", help="continue from checkpoints/last.ckpt")
    add_machine(parser)
    parser.add_argument("--compile", action="store_true", help="torch.compile the network")
    parser.add_argument(
        "--recompute",
        action="store_true",
        help="activation checkpointing of exchanges and decoders: less memory, more time",
    )
    parser.add_argument(
        "--trackers", type=str, default="", help="wandb, mlflow or both with a comma"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--next-steps", action="store_true", help="end with what to try next")
    add_trust(parser)


@contextlib.contextmanager
def exact_command(argv: list[str]) -> Iterator[None]:
    """Where a run lies already that these options continue, the error ends with the command that does."""
    from crosstask.engine.resuming import RunExists

    try:
        yield
    except RunExists as error:
        if not error.same:
            raise
        command = shlex.join(["crosstask", "train", *argv, "--resume"])
        raise ValueError(
            f"{error.found}. Continue it with\n  {command}\nor choose another `--run`"
        ) from error


def _tell_skipped(file: Path) -> None:
    """What `--skip-bad` left out."""
    if file.is_file():
        from crosstask.data.combine.skip import summary

        print(f"{summary(json.loads(file.read_text()))} ({file})", file=sys.stderr)


def next_steps(run: Path) -> str:
    """Three commands worth trying after a first run."""
    program = Path(sys.argv[0]).name if sys.argv and "crosstask" in sys.argv[0] else "crosstask"
    folder = Path(sys.executable).parent
    command = f"{folder.name and folder}/{program}" if (folder / program).exists() else program
    with contextlib.suppress(ValueError):
        command = str(Path(command).relative_to(Path.cwd()))
    return (
        "\nwhat to try next:\n"
        f"  {command} predict {run} YOUR_PHOTO.jpg --output predictions\n"
        f"  {command} train procedural.supervised --run runs/no-exchange --architecture multi_task_matched\n"
        f"  {command} info procedural.supervised --encoder resnet101 --width 1.0 --size 512x1024"
    )
