"""BSDS500 (Arbelaez et al., PAMI 2011): photographs segmented by several people.

Homepage: https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping. One .mat an image:
`groundTruth{k}.Segmentation` (regions from 1) and `.Boundaries` of annotator k.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from crosstask.data.dataset import SceneDataset
from crosstask.data.files import list_images, read_mat
from crosstask.data.frame import Frame
from crosstask.data.sample import DataError
from crosstask.data.samples import as_samples


class BSDS500(SceneDataset):
    """Edges of several annotators; no camera is known.

    Every annotator's edges are the two pixels beside the boundaries of his regions. A pixel that at
    least the share `consensus` of them marks is an edge, one that none marks is not, and the
    rest is void: neither rewarded nor punished (HED, Xie & Tu 2015, does the same).

    Args:
        consensus: Share of annotators in (0, 1]; the smallest, e.g. 0.01, takes anyone's edge.
        annotator: Take this annotator alone (0 is the first; counted round where there are fewer).
        options: See `SceneDataset`. Images are 321x481 or turned: train on crops.
    """

    source = "bsds500"
    supported = ("edges",)
    splits = ("train", "val", "test")
    official: ClassVar[Mapping[str, int]] = {"train": 200, "val": 100, "test": 200}
    homepage = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html"
    licence = "research and education"
    tree = """
root/                                (BSR/BSDS500)
  data/images/train/100075.jpg       val/ test/
  data/groundTruth/train/100075.mat
"""

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        modalities: Any = None,
        transform: Any = None,
        *,
        consensus: float = 0.5,
        annotator: int | None = None,
        **options: Any,
    ) -> None:
        if not 0 < consensus <= 1:
            raise DataError(f"`consensus` is {consensus}; expected a share in (0, 1]")
        self.consensus, self.annotator = consensus, annotator
        super().__init__(root, split, modalities, transform, **options)

    def index(self) -> list[Frame]:
        """Every image of `data/images/<split>`."""
        folder = self.root / "data"
        images = list_images(folder / "images" / self.split)
        if not images:
            raise self.wrong_root(f"data/images/{self.split}/*.jpg")
        truth = folder / "groundTruth" / self.split
        return [Frame(p.stem, {"image": p, "edges": truth / f"{p.stem}.mat"}) for p in images]

    def load_edges(self, frame: Frame) -> Tensor:
        """(1,H,W): 1 agreed, 0 unmarked, 255 disputed."""
        regions = self._annotations(frame, "Segmentation")
        everyone = torch.from_numpy(np.stack([region_edges(one) for one in regions])).float()
        if self.annotator is not None:
            return everyone[self.annotator % len(everyone)][None]
        share = everyone.mean(dim=0, keepdim=True)
        disputed = (share > 0) & (share < self.consensus)
        return torch.where(disputed, 255.0, (share >= self.consensus).to(torch.float32))

    def load_annotations(self, frame: Frame) -> Tensor:
        """(A,H,W) 0 or 1: the lines, one pixel wide, that each annotator's file holds.

        Boundary scores are measured against these, as in the benchmark; edges to learn from are wider.
        """
        lines = self._annotations(frame, "Boundaries")
        return torch.from_numpy(np.stack([one > 0 for one in lines])).float()

    def _annotations(self, frame: Frame, field: str) -> list[np.ndarray]:
        """A field of every annotator's entry."""
        path = frame.files["edges"]
        truth = read_mat(path).get("groundTruth")
        entries = [] if truth is None else list(np.atleast_1d(truth))
        # The structs of a MATLAB file are objects with its fields as attributes.
        if not entries or not all(hasattr(entry, field) for entry in entries):
            raise DataError(f"{path} has no `groundTruth` with `{field}`; expected a BSDS500 file")
        return [np.asarray(vars(entry)[field]) for entry in entries]


def find_annotations(dataset: Any) -> Callable[[str, str], Tensor | None]:
    """From source and name of a frame to its annotators' lines (A,H,W), None where it has one truth.

    Args:
        dataset: A dataset, or a mixture whose parts may have annotators.
    """
    asked = as_samples(dataset).parts or (dataset,)
    parts = [part for part in asked if isinstance(part, BSDS500)]
    frames = {(part.source, frame.name): (part, frame) for part in parts for frame in part.frames}

    def find(source: str, name: str) -> Tensor | None:
        if (source, name) not in frames:
            return None
        part, frame = frames[source, name]
        return part.load_annotations(frame)

    return find


def region_edges(regions: np.ndarray) -> np.ndarray:
    """The pixels on both sides of a boundary between two regions (4-neighbours), as booleans."""
    edges = np.zeros(regions.shape, dtype=bool)
    across, down = regions[:, 1:] != regions[:, :-1], regions[1:] != regions[:-1]
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= down
    edges[:-1] |= down
    return edges
