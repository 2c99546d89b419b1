"""`SkipBad`: train over files that cannot be read, and count them."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch.utils.data import Dataset

from crosstask.data.sample import DataError
from crosstask.data.samples import Samples, Wrapped, as_samples


class SkipBad(Wrapped):
    """A dataset in which a sample that cannot be read is replaced by the next good one.

    Every bad sample is named once in a warning, and counted in memory that loader processes
    share, so that `report()` after an epoch knows them all. Everything else (class table,
    modalities, order of sampling) is the wrapped dataset's.

    Args:
        dataset: Dataset whose `__getitem__` raises `DataError` for a bad sample.
    """

    def __init__(self, dataset: Dataset[Any]) -> None:
        super().__init__(dataset)
        self._bad = torch.zeros(len(self.dataset), dtype=torch.uint8).share_memory_()

    def __getitem__(self, index: int) -> dict[str, Any]:
        size = len(self)
        for step in range(size):
            place = (index + step) % size
            if self._bad[place]:
                continue
            try:
                return self.dataset[place]
            except DataError as error:
                self._bad[place] = 1
                warnings.warn(f"skipped sample {place}: {error}", RuntimeWarning, stacklevel=2)
        raise DataError(f"none of the {size} samples can be read; run `crosstask data check`")

    def _around(self, dataset: Samples) -> "SkipBad":
        return SkipBad(dataset)

    @property
    def skipped(self) -> list[int]:
        """Indices of the samples that were found bad so far, in any process."""
        return torch.nonzero(self._bad).flatten().tolist()

    def report(self) -> dict[str, Any]:
        """`{"skipped": number, "of": size, "frames": names}`; JSON values."""
        names = [self.frame_name(index) for index in self.skipped]
        return {"skipped": len(names), "of": len(self), "frames": names}

    def gather(self, device: torch.device | str = "cpu") -> None:
        """Take in what the other training processes found bad, if there are any."""
        if dist.is_available() and dist.is_initialized():
            bad = self._bad.to(device)
            dist.all_reduce(bad, dist.ReduceOp.MAX)
            self._bad.copy_(bad.cpu())


def skipping(dataset: Dataset[Any]) -> list[SkipBad]:
    """Every `SkipBad` that a training set consists of: itself, or those of its two domains."""
    parts = [dataset, *as_samples(dataset).domains]
    return [part for part in parts if isinstance(part, SkipBad)]


def joined_report(parts: Sequence[SkipBad]) -> dict[str, Any]:
    """The sum of their reports."""
    reports = [part.report() for part in parts]
    return {
        "skipped": sum(report["skipped"] for report in reports),
        "of": sum(report["of"] for report in reports),
        "frames": [name for report in reports for name in report["frames"]],
    }


def summary(report: Mapping[str, Any]) -> str:
    """One line about a `SkipBad.report()`."""
    names = report["frames"]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    found = f"skipped {report['skipped']} of {report['of']} training samples as unreadable"
    return f"{found}: {shown}" if names else "no training sample was skipped"
