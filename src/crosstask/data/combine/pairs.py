"""Two streams in one: labelled images of a source domain, unlabelled ones of a target domain."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch.utils.data import Dataset

from crosstask.data.sample import DataError
from crosstask.data.samples import Samples, as_samples
from crosstask.tasks.classes import ClassTable

TARGET_KEYS = ("image", "intrinsics", "name", "source")
UNEVEN = 50


class DomainPairs(Samples):
    """A source sample with its labels, and beside it a target image without any.

    The source keeps its keys; the target comes as `target_image`, `target_intrinsics`,
    `target_name` and `target_source`. Its labels, if it has any, are left out: nothing of them
    can reach the training.

    Pair number k is source k mod S and target (k div S) mod T: the set of all pairs. One pass is
    as long as the longer domain; `sampling_order` shuffles both domains on their own and repeats
    the shorter one, in a new order each time. Which pair stands at which position is a function
    of the seed and the position, so both streams resume with the loader.

    Args:
        source: dataset with labels.
        target: dataset of which only the images (and cameras) count.

    Raises:
        DataError: a domain without images, or domains with different class lists.

    Warns:
        where one domain is 50 times longer than the other, or the target brings labels along.
    """

    def __init__(self, source: Dataset[Any], target: Dataset[Any]) -> None:
        self.domains = self.labelled, self.unlabelled = as_samples(source), as_samples(target)
        self.sizes = (_size(source, "source"), _size(target, "target"))
        self._check_classes()
        self._check_lengths()
        self._check_labels()

    def __len__(self) -> int:
        return max(self.sizes)

    @property
    def classes(self) -> ClassTable | None:
        return self.labelled.classes

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.sizes[0] * self.sizes[1]:
            raise IndexError(f"pair {index} of {self.sizes[0]} x {self.sizes[1]}")
        other, own = divmod(index, self.sizes[0])
        sample = dict(self.labelled[own])
        target = self.unlabelled[other]
        if target["image"].shape != sample["image"].shape:
            raise DataError(
                f"the source image {sample['name']} is {_shape(sample)}, the target image "
                f"{target['name']} is {_shape(target)}; give both domains a transform to one size"
            )
        return sample | {f"target_{key}": target[key] for key in TARGET_KEYS if key in target}

    def sampling_order(self, epoch: int, generator: torch.Generator) -> Sequence[int]:
        """The pairs of one pass, each domain in its own order: of the longer one just one pass."""
        own, other = (_repeated(d, epoch, len(self), generator) for d in self.domains)
        return [mine + self.sizes[0] * theirs for mine, theirs in zip(own, other, strict=True)]

    def stored_size(self, index: int) -> tuple[int, int] | None:
        """That of a target image, as prediction will be given: a source may be cropped from wider ones."""
        return self.unlabelled.stored_size(index % self.sizes[1])

    def describe(self) -> dict[str, Any]:
        """Both domains, and that the target's labels are not read."""
        return {
            "size": len(self),
            "source": self.labelled.describe(),
            "target": self.unlabelled.describe(),
            "target_labels": "not used in training",
        }

    def _check_classes(self) -> None:
        tables = [domain.classes for domain in self.domains]
        if None in tables:
            return
        ours, theirs = (cast(ClassTable, table).names for table in tables)
        if ours != theirs:
            only = [n for n in ours if n not in theirs], [n for n in theirs if n not in ours]
            raise DataError(
                f"source and target have different class lists ({len(ours)} and {len(theirs)} "
                f"classes; only source: {', '.join(only[0]) or 'none'}; only target: "
                f"{', '.join(only[1]) or 'none'}); open both with the same `classes`, or map one "
                "with `crosstask.data.combine.class_map.MappedClasses`"
            )

    def _check_lengths(self) -> None:
        short, long = sorted(self.sizes)
        if long > UNEVEN * short:
            name = "source" if self.sizes[0] == short else "target"
            warnings.warn(
                f"the {name} domain has {short} images, the other {long}: each of its images "
                f"comes {long // short} times as often; add images, or shorten the other domain",
                stacklevel=3,
            )

    def _check_labels(self) -> None:
        labels = self.unlabelled.modalities
        if labels:
            warnings.warn(
                f"the target domain has labels ({', '.join(labels)}); they are ignored in training "
                "(open it with `modalities=()` to save reading them)",
                stacklevel=3,
            )


def _size(dataset: Dataset[Any], name: str) -> int:
    size = len(cast(Any, dataset))
    if size < 1:
        raise DataError(f"the {name} domain has no images; check its root and split")
    return size


def _repeated(domain: Samples, epoch: int, length: int, generator: torch.Generator) -> list[int]:
    """`length` indices of a domain: its own order, pass after pass, the last one cut."""
    passes = -(-length // len(domain))
    orders = [domain.sampling_order(epoch * passes + number, generator) for number in range(passes)]
    return [index for order in orders for index in order][:length]


def _shape(sample: Mapping[str, Any]) -> str:
    return "x".join(map(str, sample["image"].shape[-2:]))
