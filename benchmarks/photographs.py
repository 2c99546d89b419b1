"""What a model of procedural streets is worth on photographs: CamVid and KITTI.

Usage: python benchmarks/photographs.py MODEL --camvid DIR [--kitti DIR] [--size 240x320] [--json]

CamVid val: mIoU over its 11 classes at the labels' own size; the streets' classes are joined to CamVid's by the table
of `procedural_to_camvid`, and a pixel takes the class of CamVid with the largest probability. KITTI (rgb/ and depth/ of
a few frames): depth after median scaling, and the angle between the normals of the lower middle of the image, which is
road, and the vertical. Nothing is trained here.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

import crosstask
from crosstask.data import CamVid, labels
from crosstask.metrics import SegmentationMetric
from crosstask.metrics.scaled_depth import MedianScaledDepthMetric
from crosstask.recipes.options import parse_size
from crosstask.recipes.procedural_to_camvid import STREETS_TO_CAMVID


def joined(logits: Tensor, names: tuple[str, ...]) -> Tensor:
    """(B,11,H,W) probabilities of CamVid's classes from the logits of the streets'."""
    probabilities = logits.softmax(1)
    table = torch.zeros(len(labels.CAMVID_11.names), len(names))
    for own, theirs in STREETS_TO_CAMVID.items():
        if own in names:
            table[labels.CAMVID_11.names.index(theirs), names.index(own)] = 1
    return torch.einsum("kc,bchw->bkhw", table, probabilities)


@torch.inference_mode()
def camvid(model: Any, root: Path, size: tuple[int, int]) -> dict[str, float]:
    """Scores on the 101 images of CamVid val."""
    task = next(task for task in model.tasks if task.name == "segmentation")
    metric = SegmentationMetric(labels.CAMVID_11.names, void=255)
    for sample in CamVid(root, "val", ("segmentation",)):
        image, truth = sample["image"][None], sample["segmentation"][None]
        small = functional.interpolate(image, size, mode="bilinear", antialias=True)
        logits = model.network(small)["segmentation"][-1]
        large = functional.interpolate(logits, truth.shape[-2:], mode="bilinear")
        metric.update(joined(large, tuple(task.classes.names)).argmax(1), truth)
    return {name: float(value) for name, value in metric.compute().items()}


@torch.inference_mode()
def kitti(model: Any, root: Path, size: tuple[int, int], fx: float) -> dict[str, float]:
    """Median-scaled depth, and degrees between the road's normals and the vertical."""
    metric = MedianScaledDepthMetric(near=1e-3, far=80.0)
    angles = []
    for file in sorted((root / "rgb").iterdir()):
        scene = model.predict(file, fx=fx, size=size)
        stored = np.asarray(Image.open(root / "depth" / file.with_suffix(".png").name), np.float32)
        truth = torch.from_numpy(stored / 256)[None]  # metres; 0 is void
        metric.update(scene["depth"][None], truth[None])
        height, width = scene["normals"].shape[-2:]
        road = scene["normals"][:, int(0.85 * height) :, int(0.45 * width) : int(0.55 * width)]
        angles.append(torch.rad2deg(torch.acos((-road[1]).clamp(-1, 1))).median())
    values = {name: float(value) for name, value in metric.compute().items()}
    return values | {"road_degrees": float(torch.stack(angles).mean())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--camvid", type=Path)
    parser.add_argument("--kitti", type=Path)
    parser.add_argument("--size", default="240x320", help="of CamVid")
    parser.add_argument("--kitti-size", default="160x528")
    parser.add_argument("--fx", type=float, default=721.5, help="of KITTI, in pixels")
    parser.add_argument("--checkpoint", default="last")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    model = crosstask.load(args.model, checkpoint=args.checkpoint)
    model.network.final_only = True
    found = {}
    if args.camvid:
        found["camvid"] = camvid(model, args.camvid, parse_size(args.size))
    if args.kitti:
        found["kitti"] = kitti(model, args.kitti, parse_size(args.kitti_size), args.fx)
    if args.json:
        print(json.dumps(found, indent=2))
        return
    for name, values in found.items():
        print(name)
        for key, value in values.items():
            print(f"  {key:32} {value:.4f}")


if __name__ == "__main__":
    main()
