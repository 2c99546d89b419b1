"""The training stream is a function of (seed, position), wherever it starts."""

import os
import signal
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from crosstask.data.loading import (
    GroupedLoader,
    SeededDataset,
    StreamSampler,
    collate,
    evaluation_loader,
    mix_seed,
    start_worker,
    train_loader,
)


class Noisy(Dataset):
    """Ten images whose transform draws a random number."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> dict:
        image = torch.full((3, 4, 4), float(index)) + torch.rand(1)
        return {"image": image, "name": str(index), "depth": torch.full((1, 4, 4), index % 2 * 1.0)}


def images(loader) -> list[Tensor]:
    return [batch["image"] for batch in loader]


def test_every_epoch_sees_every_sample_once() -> None:
    pairs = [p for batch in StreamSampler(10, 2, 10, seed=3) for p in batch]
    assert [position for position, _ in pairs] == list(range(20))
    first, second = [i for _, i in pairs[:10]], [i for _, i in pairs[10:]]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_stream_continues_the_uninterrupted_one(workers: int) -> None:
    whole = images(train_loader(Noisy(), batch_size=3, batches=8, seed=1))
    rest = images(train_loader(Noisy(), batch_size=3, batches=8, seed=1, start=5, workers=workers))
    assert len(rest) == 3
    assert all(torch.equal(a, b) for a, b in zip(whole[5:], rest, strict=True))


def test_two_processes_share_one_global_batch() -> None:
    whole = images(train_loader(Noisy(), batch_size=4, batches=3, seed=1))
    ranks = [
        images(train_loader(Noisy(), batch_size=2, batches=3, seed=1, rank=r, world=2))
        for r in (0, 1)
    ]
    for both, left, right in zip(whole, *ranks, strict=True):
        assert torch.equal(both, torch.cat([left, right]))


def test_the_callers_random_state_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    SeededDataset(Noisy(), 0)[(0, 1)]
    assert torch.equal(torch.rand(1), expected)


def test_mix_seed_is_the_same_everywhere() -> None:
    assert mix_seed(1, 2) == 7764949442709860949 != mix_seed(2, 1)


def test_evaluation_sees_every_sample_once_over_all_processes() -> None:
    names = [
        name
        for rank in range(3)
        for batch in evaluation_loader(Noisy(), batch_size=2, rank=rank, world=3)
        for name in batch["name"]
    ]
    assert sorted(names) == [str(i) for i in range(10)]


def test_a_group_knows_the_labels_of_all_its_batches() -> None:
    loader = train_loader(Noisy(), batch_size=2, batches=4, seed=0)
    counted = list(GroupedLoader(loader, 2, lambda b: {"depth": b["depth"].sum()}))
    plain = list(train_loader(Noisy(), batch_size=2, batches=4, seed=0))
    assert len(counted) == 4
    for group in (0, 2):
        total = plain[group]["depth"].sum() + plain[group + 1]["depth"].sum()
        assert counted[group]["normalizers"]["depth"] == total
        assert counted[group + 1]["normalizers"]["depth"] == total


def test_several_sizes_in_a_batch_are_named() -> None:
    samples = [
        {"image": torch.zeros(3, 4, 4), "name": "a"},
        {"image": torch.zeros(3, 5, 4), "name": "b"},
    ]
    with pytest.raises(ValueError, match=r"a: \(4, 4\), b: \(5, 4\)"):
        collate(samples)


def test_an_empty_training_set_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        StreamSampler(0, 2, 2)


class _Signals(Dataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> dict[str, Any]:
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        return {"image": torch.zeros(3, 2, 2), "name": str(index), "ignored": torch.tensor(ignored)}


def test_loader_processes_leave_ctrl_c_to_the_main_process() -> None:
    """A terminal sends it to all; a loader process that dies of it would end training with an error."""
    loader = train_loader(_Signals(), batch_size=2, batches=1, seed=0, workers=1)
    assert bool(next(iter(loader))["ignored"].all())


class _Terminated(_Signals):
    """Its samples come after a SIGTERM that the main process has not sent."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
        return super().__getitem__(index)


@pytest.mark.skipif(sys.platform != "linux", reason="asks who sent a signal")
def test_loader_processes_leave_sigterm_to_the_main_process_and_obey_it() -> None:
    loader = train_loader(_Terminated(), batch_size=2, batches=1, seed=0, workers=1)
    assert len(next(iter(loader))["name"]) == 2
    context = torch.multiprocessing.get_context("fork")
    worker = context.Process(target=_sleep)
    worker.start()
    worker.terminate()
    worker.join(20)
    assert worker.exitcode in (0, -signal.SIGTERM)  # the latter before it got ready
    with ProcessPoolExecutor(1, context, start_worker) as pool:
        assert pool.submit(_survive).result(timeout=20) == "alive"


def _sleep() -> None:
    start_worker()
    time.sleep(300)


def _survive() -> str:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)
    return "alive"


class EarlyThread(Dataset):
    """Each sample: whether the thread that began with the process would take a SIGTERM."""

    begun: ClassVar[list[threading.Thread]] = []  # in a worker, by the hook

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> dict:
        status = Path(f"/proc/self/task/{self.begun[0].native_id}/status").read_text()
        blocked = int(status.split("SigBlk:")[1].split()[0], 16)
        return {"image": torch.tensor(not blocked & 1 << (signal.SIGTERM - 1))}


@pytest.mark.skipif(sys.platform != "linux", reason="signals of Linux")
def test_no_thread_of_a_worker_takes_a_signal_that_is_meant_for_all() -> None:
    """Also one that began before the worker was told anything, as numerical libraries begin some."""
    wanted = [True]  # a hook of `fork` cannot be taken back
    wait = threading.Event().wait

    def begin() -> None:
        if wanted:
            EarlyThread.begun.append(threading.Thread(target=wait, daemon=True))
            EarlyThread.begun[0].start()

    os.register_at_fork(after_in_child=begin)
    batches = list(evaluation_loader(EarlyThread(), batch_size=2, workers=1))
    wanted.clear()
    assert [batch["image"].tolist() for batch in batches] == [[False, False]]
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, set())
