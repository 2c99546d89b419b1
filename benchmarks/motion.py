"""How well camera motions are solved for under depth maps of different worth, without any network.

    OMP_NUM_THREADS=1 python benchmarks/motion.py --size 96x192 --difficulty easy

Every motion starts from the mean motion of other scenes. The last lines are the bound of learning from
images: how well the true motion and depth explain a neighbour.
"""

import argparse

import torch
from torch.utils.data import default_collate

from crosstask.data import ProceduralStreets
from crosstask.geometry.direct_alignment import DirectAlignment
from crosstask.geometry.ground_plane import level_ground
from crosstask.geometry.photometric import invert_pose, photometric_error, warp
from crosstask.metrics.pose import MeanMotion, PoseError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="64x128")
    parser.add_argument("--difficulty", default="easy")
    parser.add_argument("--samples", type=int, default=48)
    parser.add_argument("--cache", help="folder of rendered frames")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    height, width = (int(x) for x in args.size.split("x"))
    scenes = ProceduralStreets(
        "train",
        ("depth", "neighbours", "poses"),
        (height, width),
        args.difficulty,
        length=2 * args.samples,
        cache=args.cache,
    )
    mean = MeanMotion()
    for index in range(args.samples):
        mean.update(scenes[index]["poses"][None])
    batch = default_collate([scenes[index] for index in range(args.samples, 2 * args.samples)])
    camera, truth = batch["intrinsics"], batch["poses"]
    far = batch["depth"].max()
    true_depth = torch.where(batch["depth"] > 0, batch["depth"], far)
    ground = level_ground(camera, (height, width))
    depths = {
        "true depth": true_depth,
        "true depth, each pixel 30 % off": true_depth * (0.3 * torch.randn_like(true_depth)).exp(),
        "level ground": ground,
        "flat, everything equally far": torch.full_like(ground, 10.0),
    }
    start = mean.predict(truth)
    print(f"{'mean motion, nothing solved':50s}{line(start, truth)}")
    for name, depth in depths.items():
        for told, deviation in (("", 0.3), (", believed to 1 %", 0.01)):
            solver = DirectAlignment(iterations=6, depth_deviation=deviation)
            found = solver.refine(batch["image"], batch["neighbours"], depth, start, camera)
            print(f"{name + told:50s}{line(found, truth)}", flush=True)
    print("\nphotometric error of the neighbours")
    for name, poses in (
        ("unwarped", None),
        ("true depth and motion", truth),
        ("inverse motion", 1),
    ):
        total = []
        for k in range(truth.shape[1]):
            source = batch["neighbours"][:, k]
            if poses is None:
                total.append(photometric_error(source, batch["image"]).mean())
                continue
            pose = invert_pose(truth[:, k]) if poses is not truth else truth[:, k]
            view = warp(source, true_depth, pose, camera)
            error = photometric_error(view.image, batch["image"])
            total.append(error[view.visible].mean())
        print(f"{name:50s}{float(torch.stack(total).mean()):.3f}")


def line(found: torch.Tensor, truth: torch.Tensor) -> str:
    error = PoseError()
    error.update(found, truth)
    values = error.compute()
    return (
        f"rotation {float(values['rotation']):5.2f} deg, "
        f"direction {float(values['translation_direction']):6.2f} deg"
    )


if __name__ == "__main__":
    main()
