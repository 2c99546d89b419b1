"""What the files of a dataset showed: counts, sizes, ranges, remarks and defects, of one frame or of many."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

DEPTH_EDGES = np.geomspace(0.1, 1000.0, 41)  # metres: ten bins a decade


POSITIVE = ("edges", "saliency")  # targets of which the share of ones is told


@dataclass
class Findings:
    """What one frame, or a number of frames together, showed."""

    frames: int = 0
    defects: list[str] = field(default_factory=list)
    sizes: Counter[str] = field(default_factory=Counter)
    pixels: Counter[str] = field(default_factory=Counter)  # by modality
    void: Counter[str] = field(default_factory=Counter)
    labelled_frames: Counter[str] = field(default_factory=Counter)
    positive: Counter[str] = field(default_factory=Counter)  # pixels that are 1
    files: Counter[str] = field(
        default_factory=Counter
    )  # by modality, "image" and "intrinsics" too
    shapes: dict[str, Counter[str]] = field(default_factory=dict)  # sizes by modality
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)  # of what is not void
    facing: Counter[str] = field(
        default_factory=Counter
    )  # stored normals: "known", of these "away"
    shares: list[tuple[float, str]] = field(
        default_factory=list
    )  # void of each frame, and its name
    measured: Counter[str] = field(default_factory=Counter)  # pixels of distances, before `far`
    too_deep: Counter[str] = field(default_factory=Counter)  # of these, beyond it
    remarks: dict[str, list[str]] = field(default_factory=dict)  # by modality, of single files
    missing: dict[str, list[str]] = field(default_factory=dict)  # by modality, files not there
    labels: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))  # pixels by class
    depth: np.ndarray = field(default_factory=lambda: np.zeros(len(DEPTH_EDGES) + 1, np.int64))
    depth_range: tuple[float, float] = (np.inf, 0.0)
    normals: list[tuple[Tensor, Tensor]] = field(default_factory=list)  # stored and measured
    grey_levels: list[str] = field(default_factory=list)  # of images that use few of them

    def add(self, other: "Findings") -> None:
        """Take in another one."""
        self.frames += other.frames
        self.defects += other.defects
        for name in (
            "sizes",
            "pixels",
            "void",
            "labelled_frames",
            "positive",
            "measured",
            "too_deep",
            "files",
            "facing",
        ):
            # Counters of this class.
            getattr(self, name).update(getattr(other, name))
        for name, shapes in other.shapes.items():
            self.shapes.setdefault(name, Counter()).update(shapes)
        for name, ends in other.ranges.items():
            self.widen(name, *ends)
        self.shares += other.shares
        self.labels = add_counts(self.labels, other.labels)
        self.depth += other.depth
        low, high = zip(self.depth_range, other.depth_range, strict=True)
        self.depth_range = (min(low), max(high))
        self.normals += other.normals
        self.grey_levels += other.grey_levels
        for told, more in ((self.remarks, other.remarks), (self.missing, other.missing)):
            for name, texts in more.items():
                told[name] = [*told.get(name, []), *texts]

    def widen(self, name: str, low: float, high: float) -> None:
        """Take values from `low` to `high` into the range of `name`."""
        ends = self.ranges.get(name, (low, high))
        self.ranges[name] = (min(low, ends[0]), max(high, ends[1]))

    def note(self, name: str, value: Tensor, known: Tensor) -> None:
        """One file of a modality: its size, and the range of what is known of it."""
        self.files[name] += 1
        size = f"{value.shape[-2]}x{value.shape[-1]}"
        self.shapes.setdefault(name, Counter())[size] += 1
        known = known[torch.isfinite(known)] if known.is_floating_point() else known
        if known.numel():
            self.widen(name, float(known.min()), float(known.max()))


def add_counts(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of counts, the shorter ones filled up with 0."""
    result = np.zeros(max(len(one), len(other)), np.int64)
    result[: len(one)] += one
    result[: len(other)] += other
    return result
