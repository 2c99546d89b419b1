"""`crosstask attention MODEL [IMAGE...]`: where trained attention looks."""

import argparse
import json
from pathlib import Path
from typing import Any

from crosstask.cli.arguments import (
    CommandParser,
    add_checkpoint,
    add_trust,
    opened,
    trust_of,
)


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    pixel = _parts(args.pixel)
    if args.images and (args.samples is not None or args.root is not None):
        raise ValueError(
            "`--samples` and `--root` are about the run's own images; leave them out, or the image files"
        )
    args.samples = 16 if args.samples is None else args.samples
    if min(args.samples, args.show) < 1:
        raise ValueError(
            f"`--samples` is {args.samples}, `--show` {args.show}; expected at least 1 of each"
        )

    from crosstask.drawing.figures import check_ending
    from crosstask.experiments.comparison.attention import draw_attention, measure_attention

    check_ending(args.output)
    network, images = _opened(args)
    result = measure_attention(network, images, level=args.level)
    draw_attention(network, images[: args.show], args.output, pixel=pixel, level=args.level)
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        _print(result)
        print(f"written: {args.output}")
    return 0


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="crosstask attention",
        description="show where each task looks in each other one: for one pixel as a figure, for many as "
        "numbers. Attention that is even, or the same for every pixel, reads an average of the image.",
    )
    parser.add_argument("model", help="a run directory or a model directory")
    parser.add_argument(
        "images",
        nargs="*",
        type=Path,
        help="image files; if left out, evenly spaced samples of the split that the run is scored on",
    )
    parser.add_argument("--root", help="where the run's dataset lies now")
    parser.add_argument("--samples", type=int, help="so many of them (default: 16)")
    parser.add_argument("--show", type=int, default=2, metavar="N", help="images in the figure")
    parser.add_argument(
        "--pixel",
        default="0.6,0.5",
        help="of the figure: how far from the top and from the left, in parts of the image",
    )
    parser.add_argument("--level", type=int, help="of the exchange; the finest if left out")
    parser.add_argument(
        "--output", type=Path, default=Path("attention.png"), help=".png, .svg or .pdf"
    )
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    add_checkpoint(parser)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    add_trust(parser)
    parser.set_defaults(engine="torch")  # an exported file has no exchange to look into
    return parser


def _parts(text: str) -> tuple[float, float]:
    try:
        row, column = (float(part) for part in text.split(","))
    except ValueError:
        row, column = -1.0, -1.0
    if not (0 <= row < 1 and 0 <= column < 1):
        raise ValueError(
            f"`--pixel` is {text!r}; expected two numbers from 0 to below 1, as 0.6,0.5"
        )
    return row, column


def _opened(args: argparse.Namespace) -> tuple[Any, list[Any]]:
    from crosstask.experiments.comparison.attention import images_of_model, samples_of_run

    if args.images:
        model = opened(args, args.model)
        return model.network, list(images_of_model(model, args.images))
    if not (Path(args.model) / "config.yaml").is_file():
        raise ValueError(
            f"{args.model} is no run directory, which would have images of its own; give image files behind it"
        )
    return samples_of_run(
        Path(args.model),
        root=args.root,
        checkpoint=args.checkpoint,
        samples=args.samples,
        device=args.device,
        trust=trust_of(args),
    )


def _print(result: dict[str, Any]) -> None:
    from rich.table import Table

    from crosstask.cli.tables import console

    stride = 2 ** result["level"]
    table = Table(title=f"attention of the exchange at stride {stride}, images: {result['images']}")
    for name in ("target", "source"):
        table.add_column(name)
    for name in ("mean |alpha|", "half of the weight in", "differs between pixels"):
        table.add_column(name, justify="right")
    for found in result["directions"]:
        cells = [_text(found["alpha"], "{:.3f}"), _text(found["half"], "{:.1%} of cells")]
        table.add_row(
            found["target"], found["source"], *cells, _text(found["difference"], "{:.1%}")
        )
    console().print(table)
    print("even attention: half of the weight in 50 % of the cells; one map for all pixels: 0 %")
    for reason in dict.fromkeys(d["reason"] for d in result["directions"] if d["reason"]):
        print(reason)


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
