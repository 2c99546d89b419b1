"""Depth learned from a video without labels against the sensor's, on 7-Scenes: median-scaled AbsRel and delta1.

Usage: python benchmarks/video_depth.py RUN --root SEVENSCENES [--size 96x128]

RUN is of `crosstask train frames.self_supervised` on the colour frames. Frames of both parts of the split by time
are scored: "train" is what `--validation` left to training, "val" its end. Beside the run stand the mean of the
training frames' depth maps, which knows the true depth, and a constant. Each map is scaled to the median of its truth.
"""

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

from crosstask.data import SevenScenes, transforms
from crosstask.recipes.options import parse_size
from crosstask.recipes.reopen import open_run


def score(predicted: Tensor, true: Tensor) -> tuple[float, float]:
    """AbsRel and the share of pixels within a factor of 1.25, after scaling; 0 is unknown in `true`."""
    known = true > 0
    truth, found = true[known], predicted[known]
    found = found * (truth.median() / found.median())
    ratio = torch.maximum(found / truth, truth / found)
    return float(((found - truth).abs() / truth).mean()), float((ratio < 1.25).float().mean())


def mean_map(frames: SevenScenes) -> Tensor:
    """(1,H,W): mean over the frames where they know the depth."""
    depths = torch.stack([frames[index]["depth"] for index in range(len(frames))])
    counts = (depths > 0).sum(0)
    everywhere = depths[depths > 0].mean()
    return torch.where(counts > 0, depths.sum(0) / counts.clamp(min=1), everywhere)


def main(argv: list[str] | None = None) -> int:
    """Predict, score, print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--root", type=Path, required=True, help="folder of 7-Scenes")
    parser.add_argument("--frames", help="folder of the frames, if not where it was in training")
    parser.add_argument("--size", default="96x128", help="HEIGHTxWIDTH of training")
    parser.add_argument(
        "--validation", type=float, default=0.2, help="share of the frames at the end"
    )
    args = parser.parse_args(argv)
    regime = open_run(args.run, root=args.frames).regime.eval()
    network, task = regime.inference_network(), regime.tasks[0]
    kind = transforms.evaluation(parse_size(args.size))
    parts = {s: SevenScenes(args.root, s, ("depth",), kind, validation=args.validation) for s in ("train", "val")}  # fmt: skip
    mean = mean_map(parts["train"])
    print("| frames | number | run: AbsRel, delta1 | mean map | constant |\n|---|---|---|---|---|")
    for name, frames in parts.items():
        rows = []
        for index in range(len(frames)):
            sample = frames[index]
            with torch.inference_mode():
                output = network(sample["image"][None])["depth"][-1].float()
            found = (task.decode(output)[0], mean, torch.ones_like(mean))
            rows.append([score(depth, sample["depth"]) for depth in found])
        means = torch.tensor(rows).mean(0).tolist()
        cells = " | ".join(f"{error:.3f}, {share:.3f}" for error, share in means)
        print(f"| {name} | {len(frames)} | {cells} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
