"""`crosstask export RUN --format onnx|pt2|openvino`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from crosstask.cli.arguments import (
    CommandParser,
    add_checkpoint,
    add_quiet,
    add_trust,
    progress_of,
    trust_of,
)

DESCRIPTION = """\
Write a model for other programs. The file takes images and gives class indices, metres, unit vectors
and probabilities; resizing and normalisation are inside. It is compared with the model itself, on noise
and, where a run with labelled images is known, on the metrics of its validation split; a difference
above the tolerance gives exit code 1."""
TOLERANCES = {"float32": 1e-3, "fp16": 1e-2, "int8": 2e-2}
SUFFIXES = {"onnx": "onnx", "pt2": "pt2", "openvino": "xml"}


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)

    from crosstask.deploy import export as deploy
    from crosstask.deploy.images import calibration, is_run, labelled
    from crosstask.predict.model import load

    trust = trust_of(args)
    place = Path(args.model)
    run = args.validation or (place if place.is_dir() and is_run(place) else None)
    images: Any = ()
    model = load(args.model, checkpoint=args.checkpoint, trust=trust)
    # A model without the record is fed in each image's own aspect; one size would squeeze all images to it.
    trained = model.description.get("size") if model.feeding is not None else None
    interface = _interface(args, trained)
    calibrated: Path | None = args.calibration or run
    if interface.precision == "int8" and calibrated:
        images = calibration(model, calibrated, args.images, args.root, trust)
    folder = place if place.is_dir() else place.parent if place.exists() else Path()
    path = args.output or folder / f"model.{SUFFIXES[args.format]}"
    samples = labelled(run, args.samples, args.root, trust) if run and args.samples else ()
    found = deploy.export(
        model,
        path,
        args.format,
        None,
        interface,
        calibration=images,
        samples=samples,
        progress=progress_of(args),
    )
    tolerance = TOLERANCES[interface.precision] if args.tolerance is None else args.tolerance
    worst = found.worst(model.tasks, interface.precision == "float32")
    if args.json:
        _print_json(path, found, worst <= tolerance)
    else:
        _print(path, found, model.tasks)
    if not worst <= tolerance:
        print(f"error: the difference, {worst:.1e}, is above {tolerance:g}", file=sys.stderr)
        return 1
    return 0


def _parser() -> CommandParser:
    parser = CommandParser(prog="crosstask export", description=DESCRIPTION)
    parser.add_argument("model", help="run directory, model directory or checkpoint")
    parser.add_argument("--format", choices=tuple(SUFFIXES), default="onnx")
    parser.add_argument("--output", type=Path, help="file; model.FORMAT beside the run if left out")
    parser.add_argument(
        "--outputs", choices=("decoded", "raw"), default="decoded", help="quantities, or raw maps"
    )
    parser.add_argument(
        "--input",
        choices=("float", "uint8"),
        default="float",
        help="(batch,3,height,width) in [0,1], or (batch,height,width,3) bytes",
    )
    parser.add_argument(
        "--size",
        help="HEIGHTxWIDTH at which the network runs, whatever the image's size (that of training if left "
        "out); dynamic: another for images of unusual aspect, as in prediction (default where the model "
        "does not record how it was fed); native: the image's own (default of raw outputs)",
    )
    parser.add_argument(
        "--image-size",
        metavar="HEIGHTxWIDTH",
        help="take images of this size only, one at a time, for devices that need fixed shapes",
    )
    parser.add_argument(
        "--focal",
        default="input",
        help="of a camera-aware model: an input of the file, PIXELS of the one camera it is for, or "
        "none (depth is then called depth_up_to_scale)",
    )
    parser.add_argument("--precision", choices=tuple(TOLERANCES), default="float32")
    parser.add_argument("--opset", type=int, default=18, help="of ONNX, 18 to 23")
    _add_images(parser)
    add_checkpoint(parser)
    parser.add_argument("--json", action="store_true")
    add_quiet(parser)
    add_trust(parser)
    return parser


def _add_images(parser: CommandParser) -> None:
    """Options about the images that int8 is calibrated on and that both programs are compared on."""
    parser.add_argument(
        "--calibration",
        type=Path,
        help="int8: folder of images, or run whose training images are taken; the run itself if left out",
    )
    parser.add_argument("--images", type=int, default=64, help="int8: number of those images")
    parser.add_argument(
        "--validation",
        type=Path,
        help="run on whose validation split metrics are compared; the run itself if left out",
    )
    parser.add_argument("--samples", type=int, default=16, help="number of those images")
    parser.add_argument("--root", help="where the run's dataset lies now")
    parser.add_argument(
        "--tolerance",
        type=float,
        help="largest change of a metric and, of float32, of any pixel relative to the largest value; "
        + ", ".join(f"{value:g} ({name})" for name, value in TOLERANCES.items()),
    )


def _interface(args: argparse.Namespace, trained: list[int] | None) -> Any:
    """What the file takes and gives; `trained` is (height, width) of training."""
    from crosstask.deploy.interface import ExportError, Interface
    from crosstask.recipes.options import parse_size

    size = args.size or ("native" if args.outputs == "raw" else "dynamic")
    if args.size is None and size == "dynamic" and trained:
        size = f"{trained[0]}x{trained[1]}"  # one size for all images: the graph is smaller
    focal: str | float = args.focal
    if args.focal not in ("input", "none"):
        try:
            focal = float(args.focal)
        except ValueError:
            raise ExportError(
                f"`focal` is {args.focal!r}; expected input, none or pixels"
            ) from None
    return Interface(
        outputs=args.outputs,
        input=args.input,
        size=size if size in ("dynamic", "native") else parse_size(size),
        image_size=None if args.image_size is None else parse_size(args.image_size),
        focal=focal,
        precision=args.precision,
        opset=args.opset,
    )


def _print_json(path: Path, found: Any, good: bool) -> None:
    content = {
        "file": str(path),
        "differences": found.differences,
        "mean_differences": found.means,
        "metrics": {name: list(values) for name, values in found.metrics.items()},
        "images": found.images,
        "within_tolerance": good,
    }
    print(json.dumps(content))


def _print(path: Path, found: Any, tasks: Any) -> None:
    print(f"{path} ({path.stat().st_size / 2**20:.1f} MB)")
    for output, value in found.differences.items():
        print(
            f"  {output}: difference to eager at most {value:.1e} of the largest value, "
            f"mean {found.means[output]:.1e}"
        )
    for name, (model, file) in found.metrics.items():
        task, _, metric = name.partition("/")
        measure = next(t for t in tasks if t.name == task).measure(metric)
        print(f"  {name}: model {measure.text(model)}, file {measure.text(file)}")
    if found.metrics:
        print(f"  metrics of {found.images} validation images")
