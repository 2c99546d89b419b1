"""Data loaders whose order and randomness are a function of (seed, position) alone.

A training run sees positions 0, 1, 2, ... of one endless stream. Position ``p`` decides which
sample is drawn (a fresh permutation of the dataset every epoch) and which random numbers its
transforms see, whatever the number of workers and wherever the run was interrupted. Resuming is
then nothing but starting the stream at another position.
"""

import itertools
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from crosstask.data.samples import as_samples

Batch = dict[str, Any]


def mix_seed(*numbers: int) -> int:
    """One well-spread 63-bit seed from several integers; equal on every machine."""
    return int(
        np.random.SeedSequence([n % 2**64 for n in numbers]).generate_state(1, np.uint64)[0] >> 1
    )


class StreamSampler(Sampler[list[tuple[int, int]]]):
    """Batches of (position, index) pairs of an endless, shuffled stream.

    Args:
        size: number of samples of the dataset.
        batch_size: samples a batch, of this process.
        batches: batches of the whole run; what `len()` says, also after a resume.
        seed: decides every permutation.
        start: batches that an interrupted run has already seen.
        rank, world: this process and the number of processes; they share each global batch.
        order: optional map from (epoch, generator) to a list of indices, in place of a plain
            permutation (task-balanced sampling).
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        batches: int,
        seed: int = 0,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        order: Callable[[int, torch.Generator], Sequence[int]] | None = None,
    ) -> None:
        if size < 1:
            raise ValueError("the training set is empty; check `--root` and the split")
        self.size, self.batch_size, self.batches = size, batch_size, batches
        self.seed, self.start, self.rank, self.world, self.order = seed, start, rank, world, order

    def __len__(self) -> int:
        return self.batches

    def _epoch(self, epoch: int) -> Sequence[int]:
        generator = torch.Generator().manual_seed(mix_seed(self.seed, epoch))
        if self.order is not None:
            return self.order(epoch, generator)
        return torch.randperm(self.size, generator=generator).tolist()

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        cached, indices = -1, cast(Sequence[int], ())
        for batch in range(self.start, self.batches):
            first = (batch * self.world + self.rank) * self.batch_size
            pairs = []
            for position in range(first, first + self.batch_size):
                epoch, within = divmod(position, self.size)
                if epoch != cached:
                    cached, indices = epoch, self._epoch(epoch)
                pairs.append((position, int(indices[within])))
            yield pairs


class SeededDataset(Dataset[Batch]):
    """A dataset addressed by (position, index); its random numbers come from (seed, position)."""

    def __init__(self, dataset: Dataset[Batch], seed: int) -> None:
        self.dataset, self.seed = as_samples(dataset), seed

    def __getitem__(self, pair: tuple[int, int]) -> Batch:
        position, index = pair
        seed = mix_seed(self.seed, position)
        python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            try:
                return self.dataset.at(position, index)
            finally:
                random.setstate(python_state)
                np.random.set_state(numpy_state)  # noqa: NPY002


class GroupedLoader:
    """Tells every batch of an accumulation group how many labelled pixels the whole group has.

    Losses are normalised over the labelled pixels of their own task. With gradient accumulation
    that number belongs to all the batches of one optimiser step together, so this loader looks
    ahead: it draws a group, counts, and hands the batches on with
    ``batch["normalizers"] = {task: count of the group}``.

    Args:
        loader: yields batches.
        group: batches of one optimiser step.
        count: from a batch to its {task: labelled pixels}.
    """

    def __init__(
        self, loader: DataLoader[Batch], group: int, count: Callable[[Batch], dict[str, Tensor]]
    ) -> None:
        self.loader, self.group, self.count = loader, group, count

    def __len__(self) -> int:
        return len(self.loader)

    @property
    def batch_sampler(self) -> Any:
        return self.loader.batch_sampler

    def __iter__(self) -> Iterator[Batch]:
        batches = iter(self.loader)
        while group := list(itertools.islice(batches, self.group)):
            counts = [self.count(batch) for batch in group]
            totals = {name: torch.stack([c[name] for c in counts]).sum(0) for name in counts[0]}
            for batch in group:
                yield {**batch, "normalizers": totals}


def train_loader(
    dataset: Dataset[Batch],
    *,
    batch_size: int,
    batches: int,
    seed: int,
    start: int = 0,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
    pin_memory: bool = False,
) -> DataLoader[Batch]:
    """The training stream from batch `start` to batch `batches`.

    The order of an epoch is the dataset's `sampling_order`, see `crosstask.data.samples`.
    """
    sampler = StreamSampler(
        len(cast(Sized, dataset)),
        batch_size,
        batches,
        seed,
        start,
        rank,
        world,
        as_samples(dataset).sampling_order,
    )
    return Loader(
        SeededDataset(dataset, seed),
        batch_sampler=sampler,
        num_workers=workers,
        pin_memory=pin_memory,
        worker_init_fn=start_worker,
        multiprocessing_context=_context(workers),
        prefetch_factor=4 if workers else None,
        collate_fn=collate,
    )


def evaluation_loader(
    dataset: Dataset[Batch],
    *,
    batch_size: int,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
    pin_memory: bool = False,
) -> DataLoader[Batch]:
    """Every sample exactly once over all processes, in order; the last batch may be smaller."""
    size = len(cast(Sized, dataset))
    if size < 1:
        raise ValueError("the evaluation set is empty; check `--root` and the split")
    pairs = [(index, index) for index in range(rank, size, world)]
    return Loader(
        SeededDataset(dataset, 0),
        sampler=cast(Any, pairs),
        batch_size=batch_size,
        num_workers=workers,
        pin_memory=pin_memory,
        worker_init_fn=start_worker,
        multiprocessing_context=_context(workers),
        collate_fn=collate,
    )


class Loader(DataLoader[Any]):
    """Starts its workers in `shielded`."""

    def __iter__(self) -> Any:
        context = self.multiprocessing_context
        with shielded(fresh=context is not None and context.get_start_method() == "spawn"):
            return super().__iter__()


@contextmanager
def shielded(fresh: bool) -> Iterator[None]:
    """Processes that start in this block take neither Ctrl-C nor SIGTERM, from their first instruction on.

    `start_worker` says what they do with them later. Every thread of theirs is born so too: a signal to
    a process goes to any thread that takes it, and numerical libraries start some before `start_worker`
    is called.

    Args:
        fresh: they are spawned, not forked.
    """
    if sys.platform != "linux":
        yield
        return
    if fresh:  # what they need would start it within the block, and that lets both signals through
        resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def collate(samples: list[Batch]) -> Batch:
    """Stacks samples; targets that are as stored, and of several sizes, stay a list of tensors.

    Raises:
        ValueError: images of several sizes; names the frames.
    """
    shapes = {tuple(sample["image"].shape) for sample in samples}
    if len(shapes) > 1:
        names = ", ".join(f"{s['name']}: {tuple(s['image'].shape[-2:])}" for s in samples)
        raise ValueError(
            f"images of one batch have several sizes ({names}); use batch size 1 or `--size`"
        )
    placed = [s["placed"] for s in samples if "placed" in s]
    if 0 < len(placed) < len(samples):  # of a mixture; the others fill the input
        samples = [{"placed": torch.tensor(s["image"].shape[-2:]), **s} for s in samples]
    lists: Batch = {}
    for key, value in samples[0].items():
        if isinstance(value, Tensor) and len({tuple(s[key].shape) for s in samples}) > 1:
            lists[key] = [s[key] for s in samples]
    return (
        default_collate([{k: v for k, v in s.items() if k not in lists} for s in samples]) | lists
    )


def _context(workers: int) -> str | None:
    return "fork" if workers and "fork" in torch.multiprocessing.get_all_start_methods() else None


def start_worker(number: int = 0) -> None:
    """One thread; a signal to all processes (Ctrl-C, SIGTERM of a cluster) is the main process's to act on.

    It finishes its step and saves, for which it needs its workers. What it sends itself ends a worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":  # elsewhere there is no `sigwaitinfo`
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey_the_main_process, daemon=True).start()
    torch.set_num_threads(1)


def _obey_the_main_process() -> None:
    main = torch.multiprocessing.parent_process()
    known = {os.getppid(), *([main.pid] if main is not None else [])}
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid not in known:
        pass
    os._exit(0)
