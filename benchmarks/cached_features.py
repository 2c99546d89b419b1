"""Training steps a second with the encoder in the loop, and from its stored features.

    OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE python benchmarks/cached_features.py --folder features
    ... --width 0.125 --rows densemtl:resnet101:segmentation,depth
    ... --width 1 --rows "fast:resnet101:segmentation,depth;fast:tf_efficientnet_lite0:segmentation,depth"

Both sides train the same decoders and exchanges by the same regime on the same random images, of which the stored
side reads the features from files (checksums included). Loading, forward, backward and optimiser step, in seconds of
the processor, which another program on the same core does not change; the sides take turns.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from crosstask.data.features import FeatureStore, StoredFeatures
from crosstask.data.loading import train_loader
from crosstask.engine.experiment import Experiment
from crosstask.recipes.supervised import supervised_experiment
from crosstask.tasks import Depth, Edges, Normals, Segmentation

TASKS = {
    "segmentation": Segmentation(11),
    "depth": Depth(),
    "normals": Normals(),
    "edges": Edges(),
}

ROWS = (
    "linear_probe:tf_efficientnet_lite0:segmentation,depth",
    "multi_task_matched:tf_efficientnet_lite0:segmentation,depth",
    "densemtl:tf_efficientnet_lite0:segmentation,depth",
    "densemtl:resnet101:segmentation,depth",
)


class RandomImages(Dataset[dict[str, Any]]):
    """Images and labels in memory, so that neither decoding nor rendering is measured."""

    def __init__(self, number: int, size: tuple[int, int]) -> None:
        generator = torch.Generator().manual_seed(0)
        self.samples = []
        for index in range(number):
            labels = torch.randint(0, 11, size, generator=generator)
            depth = 1 + 9 * torch.rand(1, *size, generator=generator)
            normals = torch.zeros(3, *size)
            normals[2] = -1
            self.samples.append(
                {
                    "image": torch.rand(3, *size, generator=generator),
                    "segmentation": labels,
                    "depth": depth,
                    "normals": normals,
                    "edges": (labels[None] == 0).float(),
                    "intrinsics": torch.tensor([[200.0, 0, 100], [0, 200.0, 100], [0, 0, 1]]),
                    "name": str(index),
                    "source": "random",
                }
            )

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.samples[index]


class Trained:
    """One side: an endless stream of batches and what a step does with one."""

    def __init__(self, made: Experiment, data: Dataset[Any]) -> None:
        self.regime = made.regime.train()
        self.optimizer = self.regime.configure_optimizers()["optimizer"]
        loader = train_loader(data, batch_size=made.batch_size, batches=10**6, seed=0)
        self.batches = iter(loader)

    def step(self) -> float:
        """Processor seconds of one step, the loader's part included."""
        start = time.process_time()
        batch = next(self.batches)
        losses = self.regime.losses(batch)
        total = self.regime.balancer.combine(losses)
        self.regime.balancer.backward(total, losses, self.regime.shared_parameters(), 1.0)
        torch.nn.utils.clip_grad_norm_(self.regime.parameters(), 10.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return time.process_time() - start


def compare(args: argparse.Namespace, architecture: str, encoder: str, names: list[str]) -> str:
    """One row: median seconds of a step, encoder trained, frozen, and stored."""
    height, width = (int(x) for x in args.size.split("x"))
    data = RandomImages(args.images, (height, width))

    def made(freeze: str) -> Experiment:
        return supervised_experiment(
            tasks=tuple(TASKS[name] for name in names),
            train_data=lambda: data,
            val_data=lambda: data,
            architecture=architecture,
            encoder=encoder,
            pretrained=False,
            width=args.width,
            size=args.size,
            batch_size=args.batch_size,
            steps=1000,
            optimizer="matched",
            freeze=freeze,
        )

    cached: Any = made("encoder")
    store = FeatureStore(Path(args.folder), cached.regime.network.encoder)
    cached.regime.train()
    maps = [
        cached.regime.frozen_features(cached.regime.image({"image": s["image"][None]}))
        for s in data.samples
    ]
    for sample, found in zip(data.samples, maps, strict=True):
        store.write(store.key(sample["image"]), found)
    stored = StoredFeatures(data, store, [tuple(x.shape) for x in maps[0]])
    sides = {
        "trained": Trained(made(""), data),
        "frozen": Trained(made("encoder"), data),
        "stored": Trained(cached, stored),
    }
    for side in sides.values():
        side.step()
    times = {name: [] for name in sides}
    for _ in range(args.steps):
        for name, side in sides.items():
            times[name].append(side.step())
    seconds = {name: sorted(found)[len(found) // 2] for name, found in times.items()}
    size = store.size(maps[0]) / 1e6
    return (
        f"{architecture:20s} {encoder:22s} {len(names)} tasks "
        + " ".join(f"{name} {1000 * s:7.0f} ms" for name, s in seconds.items())
        + f"   trained/stored {seconds['trained'] / seconds['stored']:.1f}"
        + f"   frozen/stored {seconds['frozen'] / seconds['stored']:.1f}   {size:.2f} MB an image"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", required=True, help="where features are stored")
    parser.add_argument("--size", default="192x256")
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument(
        "--rows",
        default=";".join(ROWS),
        help="architecture:encoder:tasks, with semicolons",
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    for row in args.rows.split(";"):
        architecture, encoder, names = row.split(":")
        print(compare(args, architecture, encoder, names.split(",")), flush=True)


if __name__ == "__main__":
    main()
