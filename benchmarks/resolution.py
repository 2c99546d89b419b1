"""What predicting at a coarser stride costs at best: true labels, averaged to the stride and enlarged again.

Usage: python benchmarks/resolution.py [--sizes 64x128 192x320] [--strides 2 4] [--scenes 32]

Hard procedural streets. Classes as shares of each cell, inverse depth as its mean over the cell's known pixels; both are
enlarged bilinearly, as networks enlarge their outputs. No network that predicts at that stride and enlarges so does
much better.
"""

import argparse
import sys

import torch
import torch.nn.functional as F
from torch import Tensor

from crosstask.data import ProceduralStreets
from crosstask.data.streets.classes import STREET_CLASSES
from crosstask.recipes.options import parse_size

CLASSES = len(STREET_CLASSES.names)
VOID = 255


def through(value: Tensor, stride: int) -> Tensor:
    """(1,C,H,W) averaged over cells and enlarged to its size again."""
    small = F.avg_pool2d(value, stride)
    return F.interpolate(small, size=value.shape[-2:], mode="bilinear", align_corners=False)


def classes_through(labels: Tensor, stride: int) -> Tensor:
    """(H,W) class ids: the largest share at each pixel."""
    shares = F.one_hot(labels.where(labels != VOID, CLASSES), CLASSES + 1)[..., :CLASSES]
    return through(shares.permute(2, 0, 1)[None].float(), stride)[0].argmax(0)


def depth_through(depth: Tensor, stride: int) -> Tensor:
    """(1,1,H,W) metres."""
    known = depth > 0
    inverse = torch.where(known, 1 / depth, 0.0)
    return through(known.float(), stride) / through(inverse, stride).clamp(min=1e-6)


def main(argv: list[str] | None = None) -> int:
    """Render, average, print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=["64x128", "192x320"], help="HEIGHTxWIDTH")
    parser.add_argument("--strides", nargs="+", type=int, default=[2, 4])
    parser.add_argument("--scenes", type=int, default=32)
    args = parser.parse_args(argv)
    print("| size | stride | mIoU at best, % | depth RMSE at best, m |\n|---|---|---|---|")
    for size in args.sizes:
        scenes = ProceduralStreets("val", None, parse_size(size), "hard", length=args.scenes)
        for stride in args.strides:
            confusion, squares, pixels = torch.zeros(CLASSES, CLASSES), 0.0, 0
            for index in range(len(scenes)):
                sample = scenes[index]
                labels, depth = sample["segmentation"].long(), sample["depth"][None]
                seen, known = labels != VOID, depth > 0
                found = labels[seen] * CLASSES + classes_through(labels, stride)[seen]
                confusion += torch.bincount(found, minlength=CLASSES**2).view(CLASSES, CLASSES)
                squares += float((depth_through(depth, stride) - depth)[known].square().sum())
                pixels += int(known.sum())
            right, there = confusion.diag(), confusion.sum(1)
            iou = right / (confusion.sum(0) + there - right).clamp(min=1)
            miou, rmse = 100 * iou[there > 0].mean(), (squares / pixels) ** 0.5
            print(f"| {size} | {stride} | {miou:.1f} | {rmse:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
