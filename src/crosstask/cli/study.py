"""`crosstask study NAME [--dataset D] [--seeds 0,1,2] [--list] [options of the recipe]`."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crosstask.cli.arguments import add_machine, add_trust, checked_options
from crosstask.cli.parsing import recipe_parser
from crosstask.engine.threads import share_cores
from crosstask.recipes.resolving import split_options

# Sizes that show in minutes whether a study runs: `--quick`.
QUICK: dict[str, Any] = {
    "steps": 4,
    "size": "32x64",
    "width": 0.0625,
    "encoder": "resnet10t",
    "pretrained": False,
    "batch_size": 2,
    "val_length": 2,
    "test_length": 2,
    "val_every": 4,
    "workers": 0,
    "pseudo_start": 0,
}


def main(argv: list[str]) -> int:
    from crosstask.experiments.studies.catalogue import STUDIES, find_study

    if not argv or argv[0] in ("-h", "--help"):
        print(_help(STUDIES))
        return 0 if argv else 2
    rest = list(argv[1:])
    study = find_study(argv[0])
    dataset, rest = _dataset(rest)

    quick = "--quick" in rest
    rest = [word for word in rest if word != "--quick"]
    usual = {"optimizer": study.optimizer, "difficulty": "hard", **study.defaults}
    usual |= QUICK if quick else {}
    settings, options, given = _read(study.recipe(dataset), argv[0], rest, usual)

    # These load torch, which help does without.
    from crosstask.experiments.studies import planning, running
    from crosstask.experiments.studies.following import Others
    from crosstask.experiments.studies.study import Setting
    from crosstask.recipes.options import parse_names, parse_size

    setting = Setting(
        dataset=dataset,
        seeds=_seeds(settings.seeds),
        size=parse_size(options["size"]),
        tasks=parse_names(options["tasks"]) if "tasks" in given else None,
        probe=settings.with_probe,
    )
    runs = study(setting)
    planning.check_given(given, runs, study.name)
    if settings.figures and not settings.estimate:
        raise ValueError("`--figures` belongs to `--estimate`; add it, or leave `--figures` out")
    if settings.rows:
        runs = planning.choose_rows(runs, parse_names(settings.rows, "rows"))
    share_cores(settings.processes)
    folder = "quick" if quick else f"{dataset}-{options['optimizer']}"
    output = settings.output or Path("runs") / folder

    def resolve(recipe: str) -> dict[str, Any]:
        return _read(recipe, argv[0], rest, usual)[1]

    planned = planning.plan(runs, output, resolve, settings.devices * settings.num_nodes)
    planning.check_tasks(planned)
    listed = output / f"{study.name}.json"
    whole, planned = planned, planning.shard(planned, settings.shard)
    shown = _shown(planned, settings)
    if shown is not None:
        print("\n".join(shown))
        return 0
    machine = _machine(settings)
    running.check(**machine)
    others = Others(settings.devices, settings.num_nodes)
    train = running.trainer(progress=not settings.quiet, **machine)
    if not others.first:
        running.follow(planned, train, others)
        return 0
    with planning.listing(listed, study.name, whole, study.baseline, study.varies):
        result = running.run_study(planned, train, lambda text: print(text, flush=True), others)
    return _told(result, listed)


def _machine(settings: Any) -> dict[str, Any]:
    """Where and in which processes every run is trained."""
    return {
        "accelerator": settings.accelerator,
        "precision": settings.precision,
        "devices": settings.devices,
        "num_nodes": settings.num_nodes,
        "strategy": settings.strategy,
        "cuda_graphs": settings.cuda_graphs,
    }


def _told(result: Mapping[str, Sequence[str]], listed: Path) -> int:
    """Prints what became of the runs; the exit code."""
    for state, names in result.items():
        told = f" ({', '.join(names)})" if state != "finished" and names else ""
        print(f"{state}: {len(names)}{told}")
    print(f"\ncrosstask table {listed}")
    return 1 if result["failed"] else 0


def _shown(planned: Sequence[Any], settings: Any) -> list[str] | None:
    """What `--status`, `--list` and `--estimate` print, which train nothing; None without them."""
    if settings.status:
        from crosstask.experiments.studies import status

        return status.lines([status.look(item) for item in planned])
    if settings.list:
        return [f"{item.run.name:<56} {item.status()}" for item in planned]
    if settings.estimate:
        if settings.devices != 1 or settings.num_nodes != 1:
            raise ValueError(
                "`--estimate` is of runs in one process, and several take as many steps; leave out "
                "`--devices` and `--num-nodes`"
            )
        from crosstask.experiments.studies import estimate

        source = estimate.source_of(settings.figures, settings.accelerator, settings.precision)
        return estimate.lines(estimate.estimate(planned, source), source.told)
    return None


def _read(
    recipe: str, name: str, rest: list[str], usual: Mapping[str, Any]
) -> tuple[Any, dict[str, Any], list[str]]:
    """(the study's own settings, the recipe's options, names of those that were given)."""
    _, parser, names = recipe_parser(recipe, "study")
    parser.prog = f"crosstask study NAME --dataset {recipe.partition('.')[0]}"
    parser.add_argument("--seeds", default="0,1,2", help="one run each")
    parser.add_argument("--rows", default="", help="only these rows of the study")
    parser.add_argument(
        "--with-probe",
        action="store_true",
        help="add the linear probe (frozen encoder, one 1x1 convolution a task) to a study without it",
    )
    parser.add_argument("--output", type=Path, help="folder of the runs")
    parser.add_argument("--list", action="store_true", help="show the runs and their state only")
    parser.add_argument(
        "--status",
        action="store_true",
        help="show what each run does, where, why it failed and the hours left, and train nothing",
    )
    parser.add_argument(
        "--estimate",
        action="store_true",
        help="show runs, steps, hours, memory and disk of each row, and train nothing but a few steps",
    )
    parser.add_argument(
        "--figures",
        type=Path,
        help="with --estimate: accelerator.json of benchmarks/accelerator.py, in place of those steps",
    )
    parser.add_argument(
        "--shard", default="1/1", help="train part I of N of the runs, I/N from 1/N"
    )
    add_machine(parser)
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        help="how many of these commands run on this machine at once; each takes its share of cores",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults({k: v for k, v in usual.items() if k in names})
    add_trust(parser)
    namespace = parser.read(rest)
    options = checked_options(split_options(namespace, names), [name, *rest], namespace)
    left_alone = parser.get_defaults()
    flags = [arg.partition("=")[0] for arg in rest if arg.startswith("--")]
    written = [flag.removeprefix("--").replace("-", "_") for flag in flags]
    given = [k for k in options if k in written or namespace[k] != left_alone[k]]
    return namespace, options, given


def _dataset(rest: list[str]) -> tuple[str, list[str]]:
    """Takes `--dataset NAME` out of the arguments: it decides which options there are."""
    for index, arg in enumerate(rest):
        if arg.startswith("--dataset="):
            return arg.partition("=")[2], rest[:index] + rest[index + 1 :]
        if arg == "--dataset":
            if index + 1 == len(rest):
                raise ValueError("`--dataset` needs a name, for example procedural or nyudv2")
            return rest[index + 1], rest[:index] + rest[index + 2 :]
    return "procedural", rest


def _seeds(text: str) -> tuple[int, ...]:
    from crosstask.recipes.options import parse_names

    seeds = tuple(_seed(name) for name in parse_names(text, "seeds"))
    if not seeds:
        raise ValueError("`seeds` names none; expected whole numbers, for example 0,1,2")
    return seeds


def _seed(text: str) -> int:
    if not text.isdigit():
        raise ValueError(f"`seeds` names {text!r}; expected whole numbers, for example 0,1,2")
    return int(text)


def _help(studies: Any) -> str:
    width = max(map(len, studies))
    lines = "\n".join(f"  {name:<{width}}  {study.description}" for name, study in studies.items())
    program = Path(sys.argv[0]).name if sys.argv and "crosstask" in sys.argv[0] else "crosstask"
    return (
        f"usage: {program} study NAME [--dataset procedural] [--seeds 0,1,2] [--rows a,b]\n"
        "           [--optimizer paper|matched] [--with-probe] [--output DIR] [--list] [--status]\n"
        "           [--estimate] [--quick] [--shard I/N] [--processes N] [--devices N] [options of the recipe]\n\n"
        f"{lines}\n\n"
        "Your own: study path/to/file.py:NAME. A study resumes: finished runs are not run again, and several processes may work on one:\n"
        "start the command N times with `--processes N`, and each takes its share of the cores.\n"
        "`--quick` takes sizes that show in minutes whether it runs.\n"
        "`--tasks a,b` puts every row on these tasks, in place of the study's own sets.\n"
        "`study NAME --dataset D --help` lists the options of the dataset's recipe; architecture\n"
        "and seed are the study's own."
    )
