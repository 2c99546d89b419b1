"""`crosstask evaluate RUN [--root DIR]`."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

from crosstask.cli.arguments import (
    CommandParser,
    add_checkpoint,
    add_quiet,
    add_trust,
    metres,
    progress_of,
    trust_of,
)
from crosstask.cli.tables import metrics_table


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)

    from crosstask.recipes.reopen import open_run
    from crosstask.recipes.running import score

    experiment = open_run(args.run, args.checkpoint, args.root, trust=trust_of(args))
    metrics = score(
        experiment,
        split=args.split,
        device=args.device,
        precision=args.precision,
        batch_size=args.batch_size,
        flip=args.flip,
        window=args.window,
        boundaries=args.boundaries,
        nms=args.nms,
        camera_height=args.camera_height,
        submission=args.submission,
        progress=progress_of(args),
    )
    if args.json:
        print(json.dumps(metrics, indent=2))
    else:
        metrics_table(metrics, experiment.tasks, title=_title(args, experiment.scored))
    return 0


def _title(args: argparse.Namespace, scored: Mapping[str, float]) -> str:
    """Which checkpoint the numbers are from."""
    from crosstask.engine.runs import Run
    from crosstask.recipes.reopen import rule_of

    rule = rule_of(Run(args.run), args.checkpoint)
    return f"{args.run}, step {scored['scored/step']:.0f} (checkpoint: {rule})"


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="crosstask evaluate",
        description="score a run on the split that it reports, or another",
    )
    parser.add_argument("run", type=Path)
    parser.add_argument(
        "--root", help="where the dataset lies now, if not where it was in training"
    )
    parser.add_argument(
        "--split",
        help="of a dataset on disk, for example test for a submission; default: the reported one",
    )
    add_checkpoint(parser)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--precision", default="32", help="32, bf16 or auto")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--flip", action="store_true", help="average with the mirrored images")
    parser.add_argument(
        "--window", help="HEIGHTxWIDTH: full-size images through overlapping windows of this size"
    )
    parser.add_argument(
        "--boundaries",
        type=float,
        metavar="TOLERANCE",
        help="ODS-F, OIS-F and AP of edges, against every annotator where there are several; "
        "0.0075 of the diagonal (PASCAL, BSDS), 0.011 (NYUD)",
    )
    parser.add_argument(
        "--nms", action="store_true", help="with --boundaries: suppress non-maxima first"
    )
    parser.add_argument(
        "--camera-height",
        type=metres,
        metavar="METRES",
        help="depth scaled to this height of the camera above the ground, scored beside the other as "
        "depth/height_scaled/...; depth/ground/... is the height that the prediction implies",
    )
    parser.add_argument(
        "--submission",
        type=Path,
        help="folder for Cityscapes label-id PNGs of the images of the split",
    )
    parser.add_argument("--json", action="store_true")
    add_quiet(parser)
    add_trust(parser)
    return parser
