"""`crosstask compare RUN... --images`: the same images through several runs."""

import argparse
from pathlib import Path


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="crosstask compare",
        description="the same images through several runs, beside the truth; without --images "
        "the same as `crosstask table`",
    )
    parser.add_argument(
        "runs", nargs="+", help="run directories, folders of runs, or a study's list"
    )
    parser.add_argument("--images", action="store_true", help="draw images")
    parser.add_argument("--output", type=Path, default=Path("compare.png"), help="a .png or .jpg")
    parser.add_argument("--samples", type=int, default=3, help="evenly spaced validation images")
    parser.add_argument("--index", help="which validation images, for example 0,5,9")
    parser.add_argument("--root", help="where the dataset lies now")
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    args, rest = parser.parse_known_args(argv)
    if not args.images:
        from crosstask.cli import table

        return table.main(args.runs + rest)
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")

    from crosstask.data.spacing import evenly
    from crosstask.engine import checkpoints
    from crosstask.engine.hardware import choose
    from crosstask.engine.runs import Run
    from crosstask.experiments.comparison.images import Contestant, compare_images, save_sheet
    from crosstask.experiments.comparison.records import find_runs
    from crosstask.recipes.reopen import reopen

    contestants = []
    paths = find_runs(args.runs)
    names = _names(paths)
    for path in paths:
        experiment = reopen(Run(path), args.root)
        network = experiment.regime.inference_network()
        _, weights = checkpoints.find(path, args.checkpoint)
        checkpoints.load_weights(network, weights, str(path))
        contestants.append(
            Contestant(
                name=names[path],
                network=network,
                tasks=experiment.tasks,
                data=experiment.val_data(),
            )
        )
    size = len(contestants[0].data)  # type: ignore[arg-type]
    indices = _indices(args.index) if args.index else evenly(size, max(1, args.samples))
    sheet = compare_images(contestants, indices, choose(args.device, "32").device)
    save_sheet(sheet, args.output)
    print(f"written: {args.output} ({sheet.width}x{sheet.height})")
    return 0


def _names(paths: list[Path]) -> dict[Path, str]:
    """The row of a study's run, shared by its single-task runs; else the folder's name."""
    from crosstask.experiments.comparison.records import read_record

    records = {path: read_record(path) for path in paths}
    taken: dict[tuple[str | None, str], Path] = {}
    for path, record in records.items():
        for task in record.tasks:
            taken.setdefault((record.row, task.name), path)
    return {
        path: record.row
        if record.row and all(taken[record.row, t.name] == path for t in record.tasks)
        else path.name
        for path, record in records.items()
    }


def _indices(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ValueError(
            f"`--index` is {text!r}; expected whole numbers, for example 0,5,9"
        ) from None
