"""`Samples`: what loaders, engine and evaluation ask of a dataset."""

import copy
from collections.abc import Collection, Sequence
from typing import Any, cast

import torch
from torch.utils.data import Dataset

from crosstask.data.feeding import RGB, Feeding
from crosstask.data.sample import DataError
from crosstask.tasks.classes import ClassTable


class Samples(Dataset[dict[str, Any]]):
    """A dataset of samples, with a default for everything but its length and its items.

    A plain `torch.utils.data.Dataset` may be given wherever samples are wanted: `as_samples` fills
    in the defaults.

    Attributes:
        source: name of the dataset; empty where it has none.
        modalities: what its samples hold beside image and intrinsics, in order.
        parts: the datasets of a mixture.
        domains: the labelled and the unlabelled dataset of a pair of domains.
        is_video: whether consecutive samples are consecutive frames of one video.
    """

    source: str = ""
    modalities: tuple[str, ...] = ()
    parts: tuple[Any, ...] = ()
    domains: tuple["Samples", ...] = ()
    is_video: bool = False

    def __len__(self) -> int:
        raise NotImplementedError

    @property
    def classes(self) -> ClassTable | None:
        """Class table of its segmentation, where it has one."""
        return None

    def frame_name(self, index: int) -> str:
        """Name of a sample, without reading it."""
        return str(index)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels of its images."""
        return RGB

    def feeding(self) -> Feeding | None:
        """How stored images are brought to a network's input; None where it is not known."""
        return None

    def stored_size(self, index: int) -> tuple[int, int] | None:
        """Height and width of an image before any transform; None where it cannot be told."""
        return None

    def at(self, position: int, index: int) -> dict[str, Any]:
        """The sample `index` at a position of the training stream, see `crosstask.data.loading`."""
        return self[index]

    def sampling_order(self, epoch: int, generator: torch.Generator) -> Sequence[int]:
        """Indices of one training epoch, as many as there are samples: a permutation."""
        order: list[int] = torch.randperm(len(self), generator=generator).tolist()
        return order

    def describe(self) -> dict[str, Any]:
        """What was read, for the record of a run: JSON values only."""
        return {"size": len(self)}

    def of_split(self, split: str) -> "Samples":
        """The same dataset with the same options on another split.

        Raises:
            DataError: there is none.
        """
        raise DataError("`--split` needs one dataset of stored images; leave it out")

    def without(self, names: Collection[str]) -> "Samples":
        """The same dataset without the samples of these names (`frame_name`).

        Raises:
            DataError: its samples cannot be left out one by one.
        """
        raise DataError("samples of this dataset cannot be held out; leave out `--select best`")

    def use_native_size(self) -> None:
        """From now on images and labels are as they are stored.

        Raises:
            DataError: nothing is stored.
        """
        raise DataError("`--window` needs a dataset of stored images; leave it out")


class PlainSamples(Samples):
    """A plain dataset with the defaults of `Samples`."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(cast(Any, self.dataset))

    def __getitem__(self, index: int) -> dict[str, Any]:
        return cast(dict[str, Any], self.dataset[index])


def as_samples(dataset: Dataset[Any]) -> Samples:
    """The dataset itself, or a plain one with the defaults of `Samples`."""
    return dataset if isinstance(dataset, Samples) else PlainSamples(dataset)


class Wrapped(Samples):
    """Another dataset's samples; what a subclass does not override is the other's.

    Args:
        dataset: any dataset; see `as_samples`.
    """

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = as_samples(dataset)
        self.source, self.modalities = self.dataset.source, self.dataset.modalities
        self.parts, self.domains = self.dataset.parts, self.dataset.domains
        self.is_video = self.dataset.is_video

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.dataset[index]

    @property
    def classes(self) -> ClassTable | None:
        return self.dataset.classes

    def frame_name(self, index: int) -> str:
        return self.dataset.frame_name(index)

    @property
    def channels(self) -> tuple[str, ...]:
        return self.dataset.channels

    def feeding(self) -> Feeding | None:
        return self.dataset.feeding()

    def stored_size(self, index: int) -> tuple[int, int] | None:
        return self.dataset.stored_size(index)

    def sampling_order(self, epoch: int, generator: torch.Generator) -> Sequence[int]:
        return self.dataset.sampling_order(epoch, generator)

    def describe(self) -> dict[str, Any]:
        return self.dataset.describe()

    def of_split(self, split: str) -> Samples:
        return self._around(self.dataset.of_split(split))

    def without(self, names: Collection[str]) -> Samples:
        return self._around(self.dataset.without(names))

    def _around(self, dataset: Samples) -> Samples:
        """The same wrapper around other samples of the same dataset."""
        other = copy.copy(self)
        other.dataset, other.parts, other.domains = dataset, dataset.parts, dataset.domains
        return other

    def use_native_size(self) -> None:
        self.dataset.use_native_size()
