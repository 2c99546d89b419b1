"""`crosstask data pack`: a dataset as shards, see `crosstask.data.shards`."""

import copy
import json
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from crosstask.data import transforms
from crosstask.data.dataset import SceneDataset
from crosstask.data.loading import Loader, start_worker
from crosstask.data.sample import DataError
from crosstask.data.shards import META, OF_FILES, encode, litdata
from crosstask.media.files import naming_full_disk

CHUNK = "64MB"


class _Encoded(Dataset[bytes]):
    """The samples of a split as bytes."""

    def __init__(self, dataset: SceneDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> bytes:
        return encode(self.dataset[index])


def check_output(output: Path, splits: Collection[str]) -> None:
    """Refuses a folder that holds anything but shards, whole or cut off.

    Raises:
        DataError: it holds something else.
    """
    ours = {META, *splits, *(f"{name}.part" for name in (META, *splits))}
    for path in sorted(output.iterdir()) if output.is_dir() else []:
        if path.name not in ours:
            raise DataError(f"{output} holds {path.name}, which is no shard; give an empty folder")


def pack(
    datasets: Mapping[str, SceneDataset],
    output: Path,
    size: tuple[int, int] | None,
    options: Mapping[str, Any],
    workers: int = 0,
) -> Iterator[int]:
    """Write the splits; yields 1 a sample.

    All is written beside its place first: what the folder held is replaced once everything is there.
    The list of samples goes first and comes last: without it nothing is there to read.

    Args:
        datasets: By split, all of one reader, without transforms.
        size: Height and width that images and labels are resized to; None packs them as stored.
        options: Of the reader, defaults included.
        workers: Loader processes.

    Raises:
        DataError: `output` holds something else.
        DiskFullError: there is no room.
    """
    litdata()  # before anything is read
    check_output(output, datasets)
    parts = {name: output / f"{name}.part" for name in (*datasets, META)}
    try:
        for split, dataset in datasets.items():
            dataset.transform = None if size is None else transforms.evaluation(size)
            size_of_all = len(dataset) * len(encode(dataset[0]))  # as if all were like the first
            yield from _write(parts[split], _loader(dataset, workers), size_of_all)
        facts = json.dumps(_facts(datasets, size, options), default=str)
        list(_write(parts[META], [facts], len(facts)))
        shutil.rmtree(output / META, ignore_errors=True)
        for name, part in parts.items():
            shutil.rmtree(output / name, ignore_errors=True)
            part.rename(output / name)
    finally:
        for part in parts.values():
            shutil.rmtree(part, ignore_errors=True)


def _loader(dataset: SceneDataset, workers: int) -> Loader:
    return Loader(
        _Encoded(dataset),
        batch_size=None,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=start_worker,
    )


def _facts(
    datasets: Mapping[str, SceneDataset], size: tuple[int, int] | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """What `Shards` is told of the samples."""
    first = next(iter(datasets.values()))
    return {
        "source": first.source,
        "splits": {k: [frame.name for frame in d.frames] for k, d in datasets.items()},
        "sizes": {k: [d.stored_size(i) for i in range(len(d))] for k, d in datasets.items()},
        "modalities": list(first.modalities),
        "channels": list(first.channels),
        "value_range": first.value_range,
        "feeding": _read_as(first),
        "classes": _table(first),
        "official": {split: d.official_size(split) for split, d in datasets.items()},
        "size": size,
        "options": dict(options),
    }


def _read_as(dataset: SceneDataset) -> dict[str, Any] | None:
    """What the record `feeding` of a model says of the files of its images, whatever their size."""
    seen = copy.copy(dataset)
    seen.transform = transforms.evaluation((1, 1))
    feeding = seen.feeding()
    if feeding is None:  # of a reader that says nothing
        return None
    spec = feeding.to_spec()
    return {key: spec[key] for key in OF_FILES}


def _write(folder: Path, items: Any, size: int) -> Iterator[int]:
    from litdata.streaming.writer import BinaryWriter

    shutil.rmtree(folder, ignore_errors=True)  # of one that was killed
    folder.mkdir(parents=True)
    with naming_full_disk(folder.with_suffix(""), size):
        writer = BinaryWriter(str(folder), chunk_bytes=CHUNK)
        for index, item in enumerate(items):
            writer[index] = item
            if index + 1 < len(items):
                yield 1
        writer.done()
        writer.merge()
        yield 1


def _table(dataset: SceneDataset) -> dict[str, Sequence[Any]] | None:
    table = dataset.classes
    return None if table is None else {"names": table.names, "colors": table.colors}
