"""An own idea in one file: a task, a dataset, an exchange, a recipe, a study.

Find the corners of playing cards, and the cards themselves: a corner is where the card ends, so each task
may help the other. `python idea.py` draws the dataset.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn
from torch.nn import functional as F

from crosstask.data import Frame, SceneDataset
from crosstask.experiments.studies import Row, Study
from crosstask.metrics.metric import TaskMetric, ratio
from crosstask.models.exchanges.base import Exchange
from crosstask.recipes import variant
from crosstask.recipes.folder import supervised
from crosstask.tasks import ClassTable, Target, Task
from crosstask.tasks.constant import MeanMap
from crosstask.tasks.presentation import Measure


def peaks(heat):
    """Pixels (B,1,H,W) that are the hottest within two pixels around, and hotter than 0.3."""
    return (heat == F.max_pool2d(heat, 5, stride=1, padding=2)) & (heat > 0.3)


class PeakMetric(TaskMetric):
    """How many predicted peaks lie within `radius` pixels of a true one, and the other way round."""

    def __init__(self, radius=3):
        super().__init__()
        self.radius = radius
        self.add_counts(right=(), predicted=(), found=(), true=())

    def update(self, prediction, target):
        ours, theirs = peaks(prediction) & (target >= 0), peaks(target)  # void never counts
        around = 2 * self.radius + 1
        near_ours, near_theirs = (
            F.max_pool2d(p.float(), around, stride=1, padding=self.radius) > 0
            for p in (ours, theirs)
        )
        self.right += (ours & near_theirs).sum()
        self.predicted += ours.sum()
        self.found += (theirs & near_ours).sum()
        self.true += theirs.sum()

    def compute(self):
        precision, recall = ratio(self.right, self.predicted), ratio(self.found, self.true)
        f1 = ratio(
            2 * self.right * self.found, self.right * self.true + self.found * self.predicted
        )
        return {"f1": f1.nan_to_num(), "precision": precision, "recall": recall}

    def details(self):
        return {}


@dataclass(frozen=True, kw_only=True)
class Corners(Task):
    """A heat map: 1 at a corner, falling to 0 around it; void is -1."""

    name: str = "corners"

    target: ClassVar[Target] = Target(channels=1, void=-1, unit="heat, 1 at a corner")
    headline: ClassVar[str] = "f1"
    higher_is_better: ClassVar[bool] = True
    letter: ClassVar[str] = "C"
    measures: ClassVar = {"f1": Measure("F1", "%", 1)}
    main_metrics: ClassVar = ("f1", "precision", "recall")

    @property
    def channels(self):
        return 1

    def valid(self, target):
        return target >= 0

    def loss_terms(self, output, target, camera=None):
        """Squared error, in which the few hot pixels weigh 30 times as much."""
        valid = self.valid(target)
        error = (self.decode(self.resize(output, target)) - target) ** 2 * (1 + 30 * target)
        return error[valid].sum(), valid.sum().float()

    def decode(self, output, camera=None):
        return output.float().sigmoid()

    def initial_bias(self):
        return (-3.0,)  # cold nearly everywhere

    def metric(self):
        return PeakMetric()

    def constant(self):
        return MeanMap(1, self.valid, (0.0,))

    def score(self, metrics):
        return metrics["f1"]

    def alignment_map(self, output, **reference):
        return self.decode(output)

    def colorize(self, value, **scale):
        heat = value.reshape(1, *value.shape[-2:]).float().clamp(0, 1)
        return (torch.cat([heat, heat**2, heat**4]) * 255).to(torch.uint8).cpu()


class Cards(SceneDataset):
    """Drawn cards: `SPLIT/NAME.png`, `SPLIT/NAME_labels.png`, and corners as lines `x y` in NAME.txt."""

    source = "cards"
    supported = ("segmentation", "corners")
    tree = "root/SPLIT/NAME.png, NAME_labels.png and NAME.txt"

    def index(self):
        texts = sorted((self.root / self.split).glob("*.txt"))
        return [
            Frame(
                text.stem,
                {
                    "image": text.with_suffix(".png"),
                    "segmentation": text.with_name(f"{text.stem}_labels.png"),
                    "corners": text,
                },
            )
            for text in texts
        ]

    @property
    def classes(self):
        return ClassTable(names=("table", "card"), colors=((60, 90, 60), (230, 225, 210)))

    def load_segmentation(self, frame):
        return torch.from_numpy(np.array(Image.open(frame.files["segmentation"])))

    def load_corners(self, frame):
        with Image.open(frame.files["image"]) as image:
            width, height = image.size
        rows, columns = torch.arange(height).view(-1, 1), torch.arange(width).view(1, -1)
        heat = torch.zeros(height, width)
        for line in frame.files["corners"].read_text().splitlines():
            x, y = map(float, line.split())
            heat = torch.maximum(heat, torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 4.5))
        return heat[None]


def draw(root, numbers=(("train", 200), ("val", 40)), size=(64, 96)):
    """Writes the dataset: cards at random places, partly covered, on a noisy table."""
    for split, number in numbers:
        folder = Path(root) / split
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(number):
            random = np.random.default_rng([index, split == "val"])
            labels, corners = Image.new("L", size[::-1], 0), []
            shade = np.full(size, random.uniform(60, 140), dtype=np.float32)
            for _ in range(random.integers(1, 4)):
                middle = random.uniform((15, 15), (size[1] - 15, size[0] - 15))
                turn, sides = random.uniform(0, np.pi), random.uniform((14, 20), (24, 34))
                across = np.array([np.cos(turn), np.sin(turn)]) * sides[0] / 2
                along = np.array([-np.sin(turn), np.cos(turn)]) * sides[1] / 2
                ring = [
                    middle + a * across + b * along for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
                ]
                card = Image.new("L", size[::-1], 0)
                ImageDraw.Draw(card).polygon([tuple(corner) for corner in ring], fill=1)
                shade[np.array(card) > 0] = random.uniform(110, 230)
                labels.paste(1, mask=card.point([0, 255] + [0] * 254))
                corners = [c for c in corners if not card.getpixel(tuple(map(int, c)))] + [
                    c for c in ring if 0 <= c[0] < size[1] and 0 <= c[1] < size[0]
                ]
            noisy = shade[..., None] + random.normal(0, 10, (*size, 3))
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(
                folder / f"{split}{index:03d}.png"
            )
            labels.save(folder / f"{split}{index:03d}_labels.png")
            lines = "\n".join(f"{x:.1f} {y:.1f}" for x, y in corners)
            (folder / f"{split}{index:03d}.txt").write_text(lines)


class Gates(Exchange):
    """Each task adds what the others have, where a gate of its own features opens."""

    def __init__(self, tasks, channels, level):
        super().__init__(tasks)
        self.gates = nn.ModuleDict({task: nn.Conv2d(channels, channels, 1) for task in tasks})
        self.alpha = nn.ParameterDict({task: torch.zeros(channels) for task in tasks})

    def forward(self, features):
        found = {}
        for task in self.tasks:
            read = sum(self.knock_out(features[s], s, task) for s in self.others(task))
            gate = self.gates[task](features[task]).sigmoid()
            found[task] = features[task] + self.alpha[task].view(-1, 1, 1) * gate * read
        return found

    def alphas(self):
        return self.alphas_by_target(self.alpha)


TASKS = ("segmentation", "idea.py:Corners")

cards = variant(
    supervised,
    "Cards and their corners, with a small network from random weights.",
    dataset="idea.py:Cards",
    root="cards",
    tasks=",".join(TASKS),
    size="64x96",
    architecture="densemtl",
    encoder="resnet10t",
    pretrained=False,
    width=0.125,
    steps=300,
    val_every=150,
    workers=0,
)


def rows(setting):
    """Does a gated sum do what attention does?"""
    gates = {"exchange": "idea.py:Gates"}
    return [
        Row(name="no exchange", architecture="multi_task_matched", tasks=TASKS),
        Row(name="attention", architecture="densemtl", tasks=TASKS),
        Row(name="gates", architecture="densemtl", tasks=TASKS, options=gates),
    ]


IDEA = Study(
    name="idea", rows=rows, regime="idea.py:cards", baseline="no exchange", optimizer="matched"
)

if __name__ == "__main__":
    draw("cards")
