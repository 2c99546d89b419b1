"""`crosstask stream [MODEL] SOURCE`."""

import json
import sys
from pathlib import Path
from typing import Any

from crosstask.cli.arguments import (
    CommandParser,
    add_model,
    add_opening,
    model_or_default,
    opened,
)

DESCRIPTION = """\
Predict a camera, a network stream or a video as it runs. Of frames that come faster than the network
answers, the newest is taken and the older ones are dropped. A source that stalls or disappears ends the
command with a message and exit code 2; what was written stays. Stop it with Ctrl-C."""


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)

    from crosstask.media.video import load_av
    from crosstask.predict.engine import load_runtime
    from crosstask.predict.inputs import writable_folder
    from crosstask.predict.live import LiveSettings, watch
    from crosstask.recipes.options import parse_size

    settings = LiveSettings(
        output=args.output,
        video=args.video,
        cloud=args.cloud,
        fx=args.fx,
        fov=args.fov,
        size=parse_size(args.size) if args.size else None,
        waiting=args.waiting,
        keep_all=args.all,
        stall=args.stall,
        frames=args.frames,
    )
    load_av()  # both say what to install before a model is loaded
    load_runtime()
    if args.output is not None:
        writable_folder(args.output)
    model = opened(args, model_or_default(args.model))
    tell = _status if sys.stderr.isatty() else lambda _: None
    found = watch(model, args.source, settings, tell)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    _print(args.source, found, args.json)
    return 2 if found.defect else 0


def _parser() -> CommandParser:
    parser = CommandParser(prog="crosstask stream", description=DESCRIPTION)
    add_model(parser)
    parser.add_argument(
        "source", help="index of a camera (0), address (rtsp://, http://, ...), or video file"
    )
    parser.add_argument("--output", type=Path, help="folder for results; none are kept without")
    parser.add_argument(
        "--video",
        default="side-by-side",
        help="what is written: side-by-side (one video), per-task (a video each), or files (of every "
        "frame what is written of an image)",
    )
    parser.add_argument(
        "--cloud", type=int, default=0, metavar="N", help="a .ply of every Nth predicted frame"
    )
    parser.add_argument("--fx", type=float, help="focal length in pixels of the frames")
    parser.add_argument(
        "--fov",
        type=float,
        metavar="DEGREES",
        help="their horizontal field of view, in place of --fx",
    )
    parser.add_argument("--size", help="HEIGHTxWIDTH at which the network runs")
    parser.add_argument(
        "--waiting",
        type=int,
        default=1,
        metavar="N",
        help="most frames that wait; older are dropped",
    )
    parser.add_argument(
        "--all", action="store_true", help="drop none: a video file as fast as it can be predicted"
    )
    parser.add_argument(
        "--stall", type=float, default=5.0, metavar="SECONDS", help="without a frame: source lost"
    )
    parser.add_argument("--frames", type=int, metavar="N", help="end after N predictions")
    parser.add_argument("--json", action="store_true")
    add_opening(parser)
    return parser


def _status(facts: dict[str, float]) -> None:
    """The status line, over the one before."""
    text = (
        f"frame {facts['frame']:.0f}  {facts['latency_ms']:.0f} ms  {facts['fps']:.1f} frames/s  "
        f"{facts['dropped']:.0f} dropped"
    )
    print(f"\r{text:<70}", end="", file=sys.stderr, flush=True)


def _print(source: str, found: Any, as_json: bool) -> None:
    facts = found.facts()
    if as_json:
        print(json.dumps({**facts, "files": [str(file) for file in found.files]}))
    else:
        latency = "" if not found.latencies else f", latency {facts['median_latency_ms']:.0f} ms"
        told = f", {found.focal}" if found.focal else ""
        kind = f" (depth {found.depth_kind}{told})" if found.depth_kind else ""
        print(
            f"{source}: {found.predicted} frames, {found.fps:.1f} frames/s{latency}, "
            f"{found.dropped} dropped{kind}"
        )
        for file in found.files[:8]:
            print(f"  {file}")
    if found.defect:
        print(f"error: {found.defect}", file=sys.stderr)
