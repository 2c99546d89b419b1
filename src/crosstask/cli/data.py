"""`crosstask data`: list, check, preview, stats, prepare and pack datasets."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crosstask.cli import declared
from crosstask.cli.arguments import CommandParser
from crosstask.cli.prepare import WORKERS, add_prepare, image_size, run_prepare
from crosstask.engine.threads import choose_processes
from crosstask.media.files import atomic_path
from crosstask.media.progress import Progress


def main(argv: list[str]) -> int:
    """Run one of the commands; exit code 0 done, 1 defects found, 2 wrong use (an exception)."""
    parser = CommandParser(
        prog="crosstask data", description="list, check, preview, measure and prepare datasets"
    )
    add_data_parser(parser.add_subparsers(dest="command", required=True, metavar="COMMAND"))
    args, unknown = parser.parse_known_args(argv)
    if unknown and "option" in args:
        unknown = _reader_options(args, unknown)
    parser.check_known(unknown, args)
    return run_data(args)


def _reader_options(args: argparse.Namespace, unknown: list[str]) -> list[str]:
    """Takes `--columns X`, as recipes have it, for `--option columns=X`; returns what the reader has not."""
    from crosstask.data.datasets.catalogue import known_options

    known, rest, words = known_options(args.name), [], list(unknown)
    while words:
        word = words.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        key = name.replace("-", "_")
        if not word.startswith("--") or key not in known:
            rest.append(word)
        elif equals:
            args.option.append(f"{key}={value}")
        elif words:
            args.option.append(f"{key}={words.pop(0)}")
        else:
            raise ValueError(f"`{word}` has no value; expected `{word} VALUE`")
    return rest


def add_data_parser(commands: Any) -> None:
    """Add the six commands to a group of subparsers."""
    listing = commands.add_parser("list", help="datasets, what they offer, where to get them")
    listing.add_argument("--json", action="store_true")
    texts = {
        "check": "read every file and compare with what the dataset should be",
        "stats": "class frequencies and depth histogram",
        "preview": "a sheet of samples with all targets, and a point cloud",
    }
    for command, text in texts.items():
        parser = commands.add_parser(command, help=text, description=text)
        _add_dataset_options(parser)
        if command == "preview":
            parser.add_argument(
                "--output", type=Path, default=Path("preview"), help="folder to write"
            )
            parser.add_argument("--count", type=int, default=4, help="samples on the sheet")
            parser.add_argument("--width", type=int, default=360, help="pixels of one image")
            text = "the samples with the most void, the least labelled first; reads every file"
            parser.add_argument("--worst", action="store_true", help=text)
        parser.add_argument("--limit", type=int, help="look at this many evenly spaced frames")
        parser.add_argument("--workers", **WORKERS)
        if command == "check":
            text = "a smaller number of frames than the official split has is not a defect"
            parser.add_argument("--partial", action="store_true", help=text)
            text = "write the frames of every split into this folder, one file each, with a hash"
            parser.add_argument("--write-splits", type=Path, metavar="DIR", help=text)
    add_prepare(commands)
    text = (
        "write decoded, resized samples with derived labels as shards, which recipes read by --root"
    )
    parser = commands.add_parser("pack", help=text, description=text)
    _add_dataset_options(parser)
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--size", type=image_size, help="HEIGHTxWIDTH; as stored if left out")
    parser.add_argument("--workers", **WORKERS)


def _add_dataset_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", help="a dataset of `crosstask data list`, or your own: FILE.py:NAME"
    )
    parser.add_argument("--root", type=Path, help="its folder")
    parser.add_argument(
        "--split", action="append", help="repeat for several; default: all there are"
    )
    parser.add_argument("--modalities", help="comma-separated; default: all that the files allow")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the reader, e.g. --option classes=16; also as in a recipe: --classes 16",
    )
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run_data(args: argparse.Namespace) -> int:
    """Dispatch parsed arguments; returns the exit code."""
    commands = {
        "list": _list,
        "check": _check,
        "stats": _stats,
        "preview": _preview,
        "pack": _pack,
    }
    return commands.get(args.command, run_prepare)(args)


def _list(args: argparse.Namespace) -> int:
    rows = declared.datasets()
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        splits = ", ".join(f"{s} {n}" if n else s for s, n in row["splits"].items())
        print(f"{row['name']}\n  {', '.join(row['modalities'])}\n  splits: {splits}")
        print(f"  {row['homepage']} ({row['licence']})")
    return 0


def _check(args: argparse.Namespace) -> int:
    from crosstask.data.tools.check import absent_report, overlap, split_report

    datasets, failures = open_splits(args)
    report: dict[str, Any] = {"dataset": args.name, "root": str(args.root), "splits": {}}
    for split, dataset in datasets.items():
        findings = _look(dataset, args, f"check {split}")
        report["splits"][split] = split_report(dataset, findings, args.partial)
        if args.write_splits is not None:
            dataset.write_split(args.write_splits / f"{dataset.source}_{split}.txt")
    present = next(iter(datasets.values()))
    for split, error in failures.items():
        report["splits"][split] = absent_report(split, error, args.partial, present)
    report["defects"] = overlap(datasets)
    number = len(report["defects"]) + sum(len(s["defects"]) for s in report["splits"].values())
    report["ok"] = number == 0
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        _print_check(report)
        print("no defects" if number == 0 else f"{number} defect{'s' if number > 1 else ''}")
    return 0 if number == 0 else 1


def _print_check(report: dict[str, Any]) -> None:
    from crosstask.data.tools.lines import report_lines

    for split, entry in report["splits"].items():
        print("\n".join(report_lines(split, entry)))
    for text in report["defects"]:
        print(f"DEFECT: {text}")


def _stats(args: argparse.Namespace) -> int:
    from crosstask.data.tools.facts import class_report, depth_report

    report: dict[str, Any] = {"dataset": args.name, "root": str(args.root), "splits": {}}
    for split, dataset in _present(args).items():
        findings = _look(dataset, args, f"stats {split}")
        if findings.defects:
            raise ValueError(f"{findings.defects[0]}; run `crosstask data check` for all defects")
        entry: dict[str, Any] = {"frames": findings.frames}
        if dataset.classes is not None and findings.labels.any():
            entry["classes"] = class_report(dataset.classes.names, findings.labels)
        if findings.depth.any():
            entry["depth"] = depth_report(findings)
        report["splits"][split] = entry
    if args.json:
        print(json.dumps(report, indent=2))
        return 0
    for split, entry in report["splits"].items():
        print(f"{split}: {entry['frames']} frames")
        _print_bars(list(entry.get("classes", {}).items()))
        histogram = entry.get("depth", {}).get("histogram", [])
        total = sum(row["pixels"] for row in histogram)
        _print_bars([(f"{r['from']:g} to {r['to']:g} m", r["pixels"] / total) for r in histogram])
    return 0


def _print_bars(rows: list[tuple[str, float]]) -> None:
    if not rows:
        return
    width, top = max(len(name) for name, _ in rows), max(share for _, share in rows) or 1
    for name, share in rows:
        print(f"  {name:<{width}} {100 * share:7.3f} %  {'#' * round(40 * share / top)}")


def _preview(args: argparse.Namespace) -> int:
    from crosstask.data.tools.preview import cloud_sample, sheet, write_cloud

    if args.count < 1 or args.width < 32:
        raise ValueError(f"--count is {args.count}, --width {args.width}; expected >= 1 and >= 32")
    if args.limit is not None and not args.worst:
        raise ValueError(
            "`--limit` belongs to `--worst`; `--count` says how many samples are shown"
        )
    written = []
    datasets = _present(args)
    sheets = _sheet_paths(args.output, datasets)
    for split, dataset in datasets.items():
        indices = _shown(args, split, dataset)
        image = sheets[split]
        with atomic_path(image) as temporary:
            sheet(dataset, indices, args.width).save(temporary, format="PNG")
        written.append(str(image))
        sample = cloud_sample(dataset, indices)
        if sample is not None:
            cloud = image.with_suffix(".ply")
            write_cloud(cloud, sample)
            written.append(str(cloud))
    print(json.dumps({"files": written}) if args.json else "\n".join(written))
    return 0


def _shown(args: argparse.Namespace, split: str, dataset: Any) -> list[int]:
    """Which samples a sheet shows: some spread evenly, or those with the most void."""
    from crosstask.data.datasets.procedural import ProceduralStreets
    from crosstask.data.spacing import evenly
    from crosstask.data.tools.preview import worst_first

    if not args.worst or isinstance(dataset, ProceduralStreets):
        return evenly(len(dataset), args.count)
    found = _look(dataset, args, f"look through {split}")
    if found.defects:
        print(f"note: {len(found.defects)} defects, such as {found.defects[0]}", file=sys.stderr)
    if not found.shares:
        raise ValueError(f"no frame of {split} has a label; leave --worst out")
    return worst_first(dataset, found.shares)[: args.count]


def _sheet_paths(output: Path, datasets: Mapping[str, Any]) -> dict[str, Path]:
    """One image a split: in the folder `--output`, or named after a file `--output x.png`."""
    if output.suffix.lower() != ".png":
        return {split: output / f"{data.source}_{split}.png" for split, data in datasets.items()}
    if len(datasets) == 1:
        return dict.fromkeys(datasets, output)
    return {split: output.with_stem(f"{output.stem}_{split}") for split in datasets}


def _pack(args: argparse.Namespace) -> int:
    from crosstask.data.datasets.catalogue import known_options
    from crosstask.data.tools.pack import pack

    datasets = _present(args)
    known = known_options(args.name)
    given = _options(args.option, known, args.name)
    options = {name: parameter.default for name, parameter in known.items()} | given
    total = sum(map(len, datasets.values()))
    workers = choose_processes(args.workers, total)
    written = pack(datasets, args.output, args.size, options, workers)
    wrote = sum(Progress(quiet=args.json).each(written, total, f"pack {args.name}"))
    result: dict[str, Any] = {"samples": wrote, "splits": {k: len(d) for k, d in datasets.items()}}
    result["bytes"] = sum(path.stat().st_size for path in args.output.rglob("*") if path.is_file())
    print(json.dumps(result) if args.json else ", ".join(f"{k}: {v}" for k, v in result.items()))
    return 0


def _present(args: argparse.Namespace) -> dict[str, Any]:
    """The splits that can be opened; says on standard error which of train and val cannot."""
    found, failures = open_splits(args)
    for split, error in failures.items():
        if split != "test":
            text = str(error).split("; expected the tree")[0]
            print(f"note: without {split}: {text}", file=sys.stderr)
    return found


def open_splits(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Exception]]:
    """The datasets that the command is about, by split, and why others could not be opened.

    Without `--split`: train, val and test, as far as they are there; none is an error.
    """
    from crosstask.data.datasets.catalogue import find_reader, known_options, open_dataset
    from crosstask.data.datasets.procedural import ProceduralStreets
    from crosstask.data.sample import DataError

    if args.name == ProceduralStreets.source:
        if args.command != "preview":
            raise ValueError(
                f"{args.name} has no files; `crosstask data preview {args.name}` shows it, and `--cache` of "
                "its recipes keeps what is rendered"
            )
        reader: Any = ProceduralStreets
    else:
        reader = find_reader(args.name)
    options = _options(args.option, known_options(args.name), args.name)
    modalities = tuple(args.modalities.split(",")) if args.modalities else None
    wanted = args.split or [split for split in ("train", "val", "test") if split in reader.splits]
    found: dict[str, Any] = {}
    failures: dict[str, Exception] = {}
    for split in wanted:
        try:
            found[split] = open_dataset(args.name, args.root, split, modalities, options)
        except DataError as error:
            if args.split:
                raise
            failures[split] = error
    if not found:
        raise next(iter(failures.values()))
    return found, failures


def _options(texts: list[str], known: dict[str, Any], name: str) -> dict[str, Any]:
    from crosstask.data.datasets.catalogue import read_option
    from crosstask.suggest import nearest

    options = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--option {text!r} has no value; expected NAME=VALUE")
        if key not in known:
            raise ValueError(nearest(key, list(known), f"option of {name}"))
        options[key] = read_option(value, known[key].annotation)
    return options


def _look(dataset: Any, args: argparse.Namespace, title: str) -> Any:
    from crosstask.data.spacing import evenly
    from crosstask.data.tools.findings import Findings
    from crosstask.data.tools.inspection import inspect

    indices = evenly(len(dataset), args.limit or len(dataset))
    total = Findings()
    workers = choose_processes(args.workers, len(indices))
    found = inspect(dataset, indices, workers)
    chunks = len(indices) if workers < 1 else -(-len(indices) // 8)
    for part in Progress(quiet=args.json).each(found, chunks, title):
        total.add(part)
    return total
