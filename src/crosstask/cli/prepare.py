"""`crosstask data prepare`: official archives, and what annotation tools write, as folders to read."""

import argparse
import json
from pathlib import Path
from typing import Any

from crosstask.cli.arguments import add_quiet, progress_of
from crosstask.engine.threads import choose_processes, whole_or_auto

WORKERS: dict[str, Any] = {
    "type": whole_or_auto,
    "default": "auto",
    "help": "processes; 0 is this one, auto (the default) one a core where there are 200 frames or more",
}
_FORMATS = {
    "coco": ("COCO instances or stuff: a .json file, or a folder of them", "area"),
    "cvat": ("CVAT's `Segmentation mask 1.1` or `CVAT for images 1.1`, unpacked", "order"),
    "labelme": ("labelme's folder of .json files, or labelme2voc's result", "order"),
    "labelstudio": (
        "Label Studio's JSON export, or a folder of it and the brush PNG export",
        "order",
    ),
}


def add_prepare(commands: Any) -> None:
    """Add `prepare` to a group of subparsers."""
    text = "turn archives and annotations into folders that the readers take; can be taken up again"
    parser = commands.add_parser("prepare", help=text, description=text)
    names = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    nyu = names.add_parser("nyudv2", help="nyu_depth_v2_labeled.mat to images, labels and depth")
    nyu.add_argument("--source", type=Path, required=True, help="folder with the .mat files")
    nyu.add_argument("--raw-depth", action="store_true", help="sensor depth with its holes")
    city = names.add_parser("cityscapes", help="shrink the images into leftImg8bit_small")
    city.add_argument("--source", type=Path, help="folder with leftImg8bit; default: --root")
    city.add_argument("--size", type=image_size, default=(512, 1024), help="HEIGHTxWIDTH")
    for one in (nyu, city):
        one.add_argument("--root", type=Path, required=True, help="folder to write")
    formats = [_add_format(names, name, *rest) for name, rest in _FORMATS.items()]
    for one in (nyu, city, *formats):
        one.add_argument("--workers", **WORKERS)
        one.add_argument("--json", action="store_true")
        add_quiet(one)


def _add_format(names: Any, name: str, text: str, overlap: str) -> argparse.ArgumentParser:
    one: argparse.ArgumentParser = names.add_parser(name, help=text, description=text)
    one.add_argument("source", type=Path, metavar="SOURCE", help=text)
    one.add_argument("--output", type=Path, required=True, help="folder to write")
    one.add_argument("--images", type=Path, help="folder of the images; else looked for nearby")
    one.add_argument(
        "--unlabelled",
        choices=("background", "void"),
        default="background",
        help="what unlabelled pixels are: a class, or void, which does not count in training "
        "(default: background)",
    )
    one.add_argument(
        "--overlap",
        choices=("order", "area"),
        help=f"which region counts where two overlap: the later one, or the smaller (default: {overlap})",
    )
    if name in ("labelme", "labelstudio"):
        one.add_argument("--labels", type=Path, help="text file of the classes, one a line")
    one.add_argument(
        "--splits",
        type=Path,
        help="folder with train.txt, val.txt, maybe test.txt: one name a line",
    )
    text = "share of the frames where no list and no source says it (default: 0.2)"
    one.add_argument("--validation", type=float, default=0.2, help=text)
    one.add_argument("--test", type=float, default=0.0, help="share of the frames (default: 0)")
    return one


def run_prepare(args: argparse.Namespace) -> int:
    """Dispatch parsed arguments; returns the exit code."""
    return _annotations(args) if args.name in _FORMATS else _archive(args)


def _archive(args: argparse.Namespace) -> int:
    from crosstask.data.tools import prepare

    if args.name == "nyudv2":
        jobs = prepare.nyudv2_jobs(args.source, args.root, args.raw_depth)
    else:
        jobs = prepare.cityscapes_jobs(args.source or args.root, args.root, args.size)
    done = prepare.run_jobs(jobs, choose_processes(args.workers, len(jobs)))
    wrote = sum(progress_of(args).each(done, len(jobs), f"prepare {args.name}"))
    result: dict[str, Any] = {"frames": len(jobs), "written": wrote, "kept": len(jobs) - wrote}
    if args.name == "nyudv2":
        result["splits"] = prepare.nyudv2_lists(args.source, args.root)
    print(json.dumps(result) if args.json else ", ".join(f"{k}: {v}" for k, v in result.items()))
    return 0


def _annotations(args: argparse.Namespace) -> int:
    from crosstask.data.convert import writing
    from crosstask.data.convert.coco import read_coco
    from crosstask.data.convert.cvat import read_cvat
    from crosstask.data.convert.labelme import read_labelme
    from crosstask.data.convert.labelstudio import read_labelstudio
    from crosstask.data.tools.prepare import run_jobs

    given = (args.source, args.images, args.overlap)
    progress = progress_of(args)
    with progress.during(f"prepare {args.name}: read the annotations"):
        if args.name in ("labelme", "labelstudio"):
            read = read_labelme if args.name == "labelme" else read_labelstudio
            found = read(*given, listing=args.labels)
        else:
            found = (read_coco if args.name == "coco" else read_cvat)(*given)
    chosen = writing.plan(found, args.unlabelled)
    parts = writing.divide(found, args.splits, args.validation, args.test)
    jobs = writing.frame_jobs(found, args.output, chosen)
    options = {"format": args.name, "unlabelled": args.unlabelled, "overlap": str(found.overlap)}
    writing.begin(args.output, chosen, options)
    totals = writing.Totals()
    done = run_jobs(jobs, choose_processes(args.workers, len(jobs)))
    for part in progress.each(done, len(jobs), f"prepare {args.name}"):
        totals.add(part)
    writing.finish(args.output, chosen, parts)
    report = _report(args, found, chosen, totals, parts)
    print(json.dumps(report, indent=2) if args.json else "\n".join(_lines(report)))
    return 0


def _report(args: Any, found: Any, chosen: Any, totals: Any, parts: Any) -> dict[str, Any]:
    pixels = max(1, sum(totals.pixels.values()))

    def counted(stored: int) -> dict[str, Any]:
        share = totals.pixels[stored] / pixels
        return {"share": round(share, 6), "images": totals.images[stored]}

    return {
        "output": str(args.output),
        "frames": totals.frames,
        "written": totals.written,
        "kept": totals.frames - totals.written,
        "unlabelled": args.unlabelled,
        "overlap": found.overlap,
        "splits": {part: len(names) for part, names in parts.items()},
        "classes": {name: counted(index) for index, name in enumerate(chosen.table.names)},
        "void": counted(chosen.void),
        "notes": list(found.notes),
    }


def _lines(report: dict[str, Any]) -> list[str]:
    overlap = {"area": "the smaller region counts", "order": "the later region counts"}
    splits = ", ".join(f"{part} {count}" for part, count in report["splits"].items())
    lines = [
        f"{report['frames']} frames ({report['written']} written, {report['kept']} kept) in "
        f"{report['output']}: {splits}",
        f"unlabelled pixels are {report['unlabelled']}",
    ]
    if report["overlap"]:
        lines.append(f"where regions overlap, {overlap[report['overlap']]}")
    width = max(map(len, [*report["classes"], "void"]))
    for name, values in [*report["classes"].items(), ("void", report["void"])]:
        share, images = 100 * values["share"], values["images"]
        lines.append(f"  {name:<{width}} {share:7.3f} % of the pixels, in {images} images")
    return lines + [f"note: {text}" for text in report["notes"]]


def image_size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    if not (height.isdigit() and width.isdigit() and int(height) > 0 and int(width) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH such as 512x1024")
    return int(height), int(width)
