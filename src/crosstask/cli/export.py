"""`crosstask export RUN --format pt2|onnx`."""

import argparse
import json
import sys
from pathlib import Path

from crosstask.cli.arguments import add_trust, trust_of


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="crosstask export", description="write a model for other programs"
    )
    parser.add_argument("model", help="run directory, model directory or checkpoint")
    parser.add_argument("--format", choices=("pt2", "onnx"), default="onnx")
    parser.add_argument("--output", type=Path, help="file; model.FORMAT beside the run if left out")
    parser.add_argument(
        "--tolerance", type=float, default=1e-3, help="largest relative difference to eager"
    )
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best")
    parser.add_argument("--json", action="store_true")
    add_trust(parser)
    args = parser.parse_args(argv)

    from crosstask.deploy.export import export
    from crosstask.predict.model import load

    model = load(args.model, checkpoint=args.checkpoint, trust=trust_of(args))
    folder = Path(args.model) if Path(args.model).is_dir() else Path(args.model).parent
    path = args.output or folder / f"model.{args.format}"
    height, width = model.description.get("size") or (128, 256)
    differences = export(model, path, args.format, (height, width))
    good = all(value <= args.tolerance for value in differences.values())
    if args.json:
        print(json.dumps({"file": str(path), "differences": differences, "within_tolerance": good}))
    else:
        print(f"{path} ({path.stat().st_size / 2**20:.1f} MB)")
        for task, value in differences.items():
            print(f"  {task}: largest difference to eager {value:.1e} of the largest value")
    if not good:
        print(f"error: the difference is above {args.tolerance:g}", file=sys.stderr)
    return 0 if good else 1
