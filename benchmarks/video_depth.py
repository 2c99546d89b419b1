"""Depth learned from a video without labels against the sensor's, on 7-Scenes: median-scaled AbsRel and delta1.

Usage: python benchmarks/video_depth.py RUN --root SEVENSCENES [--size 96x128] [--photometric [--offsets=-2,2]]

RUN is of `crosstask train frames.self_supervised` on the colour frames. Frames of both parts of the split by time
are scored: "train" is what `--validation` left to training, "val" its end. Beside the run stand the mean of the
training frames' depth maps, which knows the true depth, and a constant. Each map is scaled to the median of its truth.

--photometric asks the images instead: how well every second frame of the end is explained by its neighbours under the true
depth, the mean map and a constant, with motions solved for from standing still, and how far their rotations are off.
The focal length is 0.9 of the nominal one (`--focal`), as colour and depth of this set come from two lenses.
"""

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

from crosstask.data import SevenScenes, transforms
from crosstask.data.loading import collate
from crosstask.geometry.direct_alignment import DirectAlignment
from crosstask.geometry.photometric import photometric_error, warp
from crosstask.recipes.options import parse_size
from crosstask.recipes.reopen import open_run
from crosstask.recipes.self_supervised import parse_offsets


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


def photometric(
    frames: SevenScenes, mean: Tensor, offsets: tuple[int, ...], focal: float
) -> list[tuple[str, float, float]]:
    """(depth map, error of a neighbour, degrees of rotation): of standing still, a constant, the mean map, the truth."""
    batch = collate([frames[index] for index in range(0, len(frames), 2)])
    images, neighbours, depth, poses = (batch[k] for k in ("image", "neighbours", "depth", "poses"))
    camera, known = batch["intrinsics"].clone(), depth > 0
    camera[:, (0, 1), (0, 1)] *= focal
    everywhere = mean[None].expand_as(depth).contiguous()
    maps = {
        "constant": torch.full_like(depth, float(depth[known].median())),
        "mean map": everywhere,
        "true": torch.where(known, depth, everywhere),
    }
    still = torch.eye(4).expand_as(poses).contiguous()

    def error(values: Tensor, motions: Tensor) -> float:
        total, count = 0.0, 0
        for place in range(len(offsets)):
            view = warp(neighbours[:, place], values, motions[:, place], camera)
            seen = view.visible & known
            total += float(photometric_error(view.image, images)[seen].sum())
            count += int(seen.sum())
        return total / count

    def turned(motions: Tensor) -> float:
        apart = motions[..., :3, :3].transpose(-1, -2) @ poses[..., :3, :3]
        cosine = (apart.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
        return float(cosine.clamp(-1, 1).acos().rad2deg().mean())

    found = [("no motion", error(everywhere, still), turned(still))]
    for name, values in maps.items():
        solved = DirectAlignment().refine(images, neighbours, values, still, camera)
        found.append((name, error(values, solved), turned(solved)))
    return found


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
    parser.add_argument("--photometric", action="store_true", help="what the images hold, instead")
    parser.add_argument("--offsets", default="-2,2", help="of the neighbours")
    parser.add_argument("--focal", type=float, default=0.9, help="times the nominal focal length")
    args = parser.parse_args(argv)
    regime = open_run(args.run, root=args.frames).regime.eval()
    network, task = regime.inference_network(), regime.tasks[0]
    kind = transforms.evaluation(parse_size(args.size))
    parts = {s: SevenScenes(args.root, s, ("depth",), kind, validation=args.validation) for s in ("train", "val")}  # fmt: skip
    mean = mean_map(parts["train"])
    if args.photometric:
        offsets = parse_offsets(args.offsets)
        wanted = ("depth", "neighbours", "poses")
        end = SevenScenes(args.root, "val", wanted, kind, validation=args.validation, offsets=offsets)  # fmt: skip
        print("| depth | error of a neighbour | rotation off, degrees |\n|---|---|---|")
        for name, error, degrees in photometric(end, mean, offsets, args.focal):
            print(f"| {name} | {error:.4f} | {degrees:.2f} |")
        return 0
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
