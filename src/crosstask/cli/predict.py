"""`crosstask predict [RUN|MODEL] INPUT... [--output DIR]`."""

import argparse
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from crosstask.cli.arguments import (
    CommandParser,
    add_opening,
    metres,
    opened,
)

DESCRIPTION = """\
Predict photographs of any size and videos, to images and to data. An input is an image, a video,
a folder of them, a pattern ("frames/**/*.png"), or - for one path a line on standard input. Of an
animated GIF the first frame is used. Without a model the one that comes with the package, streets,
is used. Files that cannot be read are reported and left out; of a
damaged video the frames before the damage are kept. The exit code is then 2."""


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)

    from crosstask.predict.inputs import find_inputs, is_video, output_names, writable_folder
    from crosstask.predict.writing import record_settings

    settings, window = _settings(args)
    chosen, inputs = _model_and_inputs(args)
    files = find_inputs(inputs)
    names = output_names(files)
    writable_folder(args.output)
    if any(map(is_video, files)):
        from crosstask.media.video import load_av

        load_av()  # says what to install before a model is loaded
    model = opened(args, chosen)
    digest = record_settings(args.output, _facts(model, settings, window), settings.resume)
    settings = replace(settings, made_with=digest)
    if window is not None:
        from crosstask.evaluation.sliding_window import SlidingWindow

        model.use(SlidingWindow(model.network, window))
    with warnings.catch_warnings():
        warnings.showwarning = _warn  # type: ignore[assignment]  # of six arguments it takes any
        return _predict(model, list(zip(names, files, strict=True)), args.output, settings)


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning without the line of the source that gave it."""
    print(f"warning: {message}", file=sys.stderr)


def _parser() -> CommandParser:
    parser = CommandParser(prog="crosstask predict", description=DESCRIPTION)
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="[MODEL] INPUT",
        help="a run directory, model directory, checkpoint, exported .onnx file or streets; then images, videos, folders, "
        "patterns, or -",
    )
    parser.add_argument("--model", help="the model, in place of the first INPUT")
    parser.add_argument(
        "--output", type=Path, default=Path("predictions"), help="folder for the results"
    )
    _add_camera(parser)
    _add_feeding(parser)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth frame only")
    parser.add_argument("--batch-size", type=int, default=4, help="frames that go in together")
    parser.add_argument("--resume", action="store_true", help="leave out what is finished")
    parser.add_argument(
        "--video",
        default="side-by-side",
        help="what becomes of a video: side-by-side (one video), per-task (a video each), or files "
        "(of every frame what is written of an image)",
    )
    add_opening(parser)
    return parser


def _add_camera(parser: CommandParser) -> None:
    """Options about the camera of the images."""
    parser.add_argument(
        "--fx",
        type=float,
        help="focal length in pixels of the images; without it, --fov and --intrinsics the one of an "
        "image's EXIF data is taken, if it has one",
    )
    parser.add_argument(
        "--fov",
        type=float,
        metavar="DEGREES",
        help="their horizontal field of view, in place of --fx",
    )
    parser.add_argument(
        "--intrinsics",
        help="fx,fy,cx,cy, or a file with them or a matrix, or of ROS, RealSense, Open3D, COLMAP",
    )
    parser.add_argument(
        "--camera-height",
        type=metres,
        metavar="METRES",
        help="height of the camera above the ground in front of it: sets the scale of depth",
    )


def _add_feeding(parser: CommandParser) -> None:
    """Options about how images become the network's input."""
    parser.add_argument(
        "--size",
        help="HEIGHTxWIDTH of the network's input, or native, the image's own; as in training if left out",
    )
    parser.add_argument(
        "--window",
        help="HEIGHTxWIDTH: overlapping windows of this size, of the image at its own size "
        "(or at --size), instead of the whole image at once",
    )
    parser.add_argument(
        "--channel",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="file, or folder of files with the images' names, of a channel that is no part of them "
        "(depth=depth_input/ of an RGB-D model)",
    )
    parser.add_argument("--flip", action="store_true", help="average with the mirrored image")


def _model_and_inputs(args: argparse.Namespace) -> tuple[str, list[str]]:
    """The model, which may stand before the inputs, and the inputs."""
    from crosstask.cli.arguments import model_or_default
    from crosstask.predict.inputs import names_model

    if args.model is None and names_model(args.inputs[0]):
        if len(args.inputs) == 1:
            raise ValueError(f"{args.inputs[0]} is a model; give the images to predict behind it")
        return args.inputs[0], args.inputs[1:]
    return model_or_default(args.model), args.inputs


def _settings(args: argparse.Namespace) -> tuple[Any, tuple[int, int] | None]:
    from crosstask.geometry.camera import camera_matrix
    from crosstask.geometry.camera_files import given_camera
    from crosstask.predict.camera import check_focal
    from crosstask.predict.streams import Settings
    from crosstask.recipes.options import parse_size

    size = parse_size(args.size) if args.size and args.size != "native" else args.size
    window = parse_size(args.window) if args.window else None
    if window is not None and size is None:
        size = "native"
    given = given_camera(args.intrinsics) if args.intrinsics else None
    if given is not None and given.note:
        print(f"note: {given.note}", file=sys.stderr)
    check_focal(given, args.fx, args.fov)
    if args.fx is not None:  # of an image of one pixel: also normalised numbers are refused
        camera_matrix((args.fx, args.fx, 0, 0), "`fx`")
    settings = Settings(
        given,
        args.fx,
        size,
        args.flip,
        args.batch_size,
        args.every,
        args.resume,
        args.video,
        args.camera_height,
        dict(map(_channel, args.channel)),
        args.fov,
    )
    return settings, window


def _channel(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and Path(path).exists()):
        raise ValueError(f"`channel` is {text!r}; expected NAME=PATH, a file or folder that exists")
    return name, Path(path)


def _facts(model: Any, settings: Any, window: tuple[int, int] | None) -> dict[str, Any]:
    """The model and the options that change a result (not how many go in together, or where)."""
    from crosstask.predict.writing import model_digest

    camera = settings.intrinsics
    return {
        "tasks": [task.name for task in model.tasks],
        "model": model_digest(model),
        "size": settings.size,
        "window": window,
        "flip": settings.flip,
        "fx": settings.fx,
        "fov": settings.fov,
        "intrinsics": None if camera is None else camera.matrix.tolist(),
        **({} if camera is None or camera.size is None else {"intrinsics_size": list(camera.size)}),
        "camera_height": settings.camera_height,
        "channels": {name: str(path) for name, path in settings.channels.items()},
        "every": settings.every,
        "video": settings.video,
    }


def _predict(model: Any, files: list[tuple[str, Path]], folder: Path, settings: Any) -> int:
    from rich.console import Console

    from crosstask.media.progress import bar as bar_on
    from crosstask.media.video import frame_count
    from crosstask.predict.inputs import is_video
    from crosstask.predict.streams import predict_images, predict_video

    failed = 0
    notes: dict[str, None] = {}
    with bar_on(Console(stderr=True)) as bar:
        images = [(name, file) for name, file in files if not is_video(file)]
        if images:
            total = -(-len(images) // settings.every)
            tick = _ticker(bar, "images", total)
            for file, outcome in predict_images(model, images, folder, settings, tick):
                failed += _tell(file, outcome, notes)
        for name, file in files:
            if is_video(file):
                promised = frame_count(file)
                total = None if promised is None else -(-promised // settings.every)
                tick = _ticker(bar, file.name, total)
                try:
                    outcome = predict_video(model, file, folder, name, settings, tick)
                except ValueError as error:
                    print(f"error: {error}", file=sys.stderr)
                    failed += 1
                else:
                    failed += _tell(file, outcome, notes)
    for note in notes:
        print(note, file=sys.stderr)
    return 2 if failed else 0


def _ticker(bar: Any, text: str, total: int | None) -> Any:
    """A row of the progress bar with frames a second."""
    row = bar.add_task(text, total=total, facts="")

    def tick(number: int) -> None:
        bar.advance(row, number)
        speed = bar.tasks[bar.task_ids.index(row)].speed
        bar.update(row, facts=f"{speed:.1f} frames/s" if speed else "")

    return tick


def _tell(file: Path, outcome: Any, notes: dict[str, None]) -> int:
    """One line about an input; 1 where something was wrong. Adds what is to be said once to `notes`."""
    for task, note in outcome.notes.items():
        notes[f"note: {task} is {outcome.kinds[task]}: {note}"] = None
    if outcome.remark and not any(outcome.remark[:20] in note for note in notes):
        notes[f"note: {file}: {outcome.remark}"] = None  # of the first such image
    told = f", {outcome.focal}" if outcome.focal else ""
    kind = f" (depth {outcome.depth_kind}{told})" if outcome.depth_kind else ""
    if outcome.skipped:
        print(f"{file}: finished before, left out")
    elif outcome.done:
        panels = [p for p in outcome.files if p.name.endswith(("_panel.png", ".mp4"))]
        frames = f", {outcome.done} frames" if panels[0].suffix == ".mp4" else ""
        print(f"{file} -> {', '.join(map(str, panels))}{frames}{kind}")
    elif outcome.defect is None:
        print(f"{file}: every frame was finished before")
    if outcome.defect:
        print(f"error: {outcome.defect}", file=sys.stderr)
    return int(outcome.defect is not None)
