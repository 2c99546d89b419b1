"""`crosstask compare RUN... --images`: the same images through several runs."""

import argparse
from pathlib import Path
from typing import Any

from crosstask.cli.arguments import (
    CommandParser,
    add_checkpoint,
    add_trust,
    trust_arguments,
    trust_of,
)


def main(argv: list[str]) -> int:
    parser = CommandParser(
        prog="crosstask compare",
        description="the same images through several runs, beside the truth; without --images "
        "the same as `crosstask table`",
    )
    parser.add_argument(
        "runs", nargs="+", help="run directories, folders of runs, or a study's list"
    )
    parser.add_argument(
        "--images", action="store_true", help="draw images; all options below but --trust need it"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("compare.png"), help="a .png, .jpg, .pdf or .svg"
    )
    parser.add_argument("--samples", type=int, default=3, help="evenly spaced validation images")
    parser.add_argument("--index", help="which validation images, for example 0,5,9")
    parser.add_argument("--root", help="where the dataset lies now")
    parser.add_argument(
        "--inset",
        nargs="?",
        const="auto",
        metavar="LEFT,TOP,WIDTH,HEIGHT",
        help="a window of the image, in its pixels, shown enlarged in a corner; alone: a square where the "
        "runs differ most",
    )
    add_checkpoint(parser)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    add_trust(parser)
    args, rest = parser.parse_known_args(argv)
    if not args.images:
        from crosstask.cli import table

        _check_unused(args, parser)
        return table.main([*args.runs, *rest, *trust_arguments(args)])
    parser.check_known(rest, args)

    from crosstask.experiments.comparison.images import compare_runs

    sheet = compare_runs(
        args.runs,
        root=args.root,
        checkpoint=args.checkpoint,
        indices=_indices(args.index) if args.index else None,
        samples=args.samples,
        device=args.device,
        trust=trust_of(args),
        inset=_inset(args.inset),
        say=print,
    )
    sheet.save(args.output)
    width, height = sheet.size
    print(f"written: {args.output} ({width}x{height})")
    return 0


def _check_unused(args: argparse.Namespace, parser: CommandParser) -> None:
    """Refuses an option of images where none are drawn."""
    for name in ("output", "samples", "index", "root", "inset", "checkpoint", "device"):
        if vars(args)[name] != parser.get_default(name):
            raise ValueError(
                f"`--{name}` belongs to `--images`; add it, or leave `--{name}` out. A table is written "
                "with `--write FILE`"
            )


def _indices(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ValueError(
            f"`--index` is {text!r}; expected whole numbers, for example 0,5,9"
        ) from None


def _inset(text: str | None) -> Any:
    """None, "auto" or (left, top, width, height)."""
    if text in (None, "auto"):
        return text
    numbers = text.split(",")
    if len(numbers) != 4 or not all(number.strip().isdecimal() for number in numbers):
        raise ValueError(
            f"`--inset` is {text!r}; expected LEFT,TOP,WIDTH,HEIGHT in pixels of the image, for example "
            "40,20,64,32, or nothing behind it"
        )
    return tuple(int(number) for number in numbers)
