"""`crosstask predict RUN|MODEL INPUT... --output DIR`."""

import argparse
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="crosstask predict",
        description="predict photographs of any size, to pictures and to data",
    )
    parser.add_argument("model", help="run directory, model directory or checkpoint")
    parser.add_argument("inputs", nargs="+", help="pictures or folders of pictures")
    parser.add_argument("--output", type=Path, required=True, help="folder for the results")
    parser.add_argument("--fx", type=float, help="focal length in pixels of the pictures")
    parser.add_argument("--intrinsics", help="fx,fy,cx,cy or a text file with them or a 3x3 matrix")
    parser.add_argument("--size", help="HEIGHTxWIDTH at which the network runs, or native")
    parser.add_argument("--flip", action="store_true", help="average with the mirrored picture")
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    args = parser.parse_args(argv)

    from crosstask.hardware import choose
    from crosstask.images import ImageError, find_images
    from crosstask.predict import read_intrinsics, write_prediction
    from crosstask.recipes.options import parse_size
    from crosstask.scene_model import load

    files = find_images(args.inputs)
    model = load(args.model, checkpoint=args.checkpoint, device=choose(args.device).device)
    intrinsics = read_intrinsics(args.intrinsics) if args.intrinsics else None
    size = parse_size(args.size) if args.size and args.size != "native" else args.size
    failed = 0
    for file in files:
        try:
            prediction = model.predict(file, intrinsics, fx=args.fx, size=size, flip=args.flip)
        except ImageError as error:
            print(f"error: {error}", file=sys.stderr)
            failed += 1
            continue
        written = write_prediction(prediction, model, args.output, file.stem)
        kind = f" (depth {prediction.depth_kind})" if prediction.depth_kind else ""
        print(f"{file} -> {written[-2]}{kind}")
    return 2 if failed else 0
