"""A study whose runs take several processes: the first decides which run is next, the others train along.

Lightning starts the others of one machine anew for every run, with the study's own command; the
environment tells them which run. Those that torchrun or SLURM started live as long as the study; a
store of torch.distributed tells them. Every run gets a port of its own, because what a finished process
group left in its store would confuse the next.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch.distributed as dist
from lightning.fabric.plugins.environments.lightning import find_free_network_port

from crosstask.engine.processes import launched_by, process_rank

_RUN = "CROSSTASK_STUDY_RUN"
_LONG, _SHORT = (
    timedelta(days=30),
    timedelta(minutes=5),
)  # until the next run begins; until all say so


class Others:
    """The other processes of every run of a study.

    Args:
        devices, num_nodes: of one run, see `crosstask.engine.training.train`.

    Raises:
        ValueError: several nodes, and neither torchrun nor srun started this process.

    Attributes:
        first: whether this process decides; the others ask `turns`.
        lasting: whether the others live as long as the study, so that they have to go on together.
    """

    def __init__(self, devices: int = 1, num_nodes: int = 1) -> None:
        self._processes, self._number = devices * num_nodes, 0
        self._told = os.environ.pop(_RUN, None)
        found = None if self._processes == 1 or self._told else launched_by()
        if num_nodes > 1 and found is None:
            raise ValueError(
                f"`num_nodes` is {num_nodes}; the runs of a study take several nodes where torchrun or "
                "srun starts the command on each"
            )
        self.lasting = found is not None
        self.first = self._told is None and not (self.lasting and process_rank())
        if found is not None:
            agent = (
                os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
            )  # torchrun's, which lasts
            store = dist.TCPStore(
                found.main_address,
                found.main_port,
                is_master=self.first and not agent,
                timeout=_SHORT,
                wait_for_workers=False,
            )
            attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
            self._store = dist.PrefixStore(f"crosstask/{attempt}", store)

    @contextmanager
    def train_along(self, run: str, resume: bool) -> Iterator[None]:
        """Around the training of a run in the first process."""
        turn: dict[str, Any] = {"run": run, "resume": resume}
        if self.lasting:
            self._tell(turn | {"port": find_free_network_port()})
        elif self._processes > 1:
            os.environ[_RUN] = json.dumps(turn)
        try:
            yield
        finally:
            os.environ.pop(_RUN, None)

    def end(self) -> None:
        """The study is over; waits until the others know, because the first may hold the store."""
        if self.lasting:
            self._tell({})
            self._store.wait([f"over/{rank}" for rank in range(1, self._processes)], _SHORT)

    def turns(self) -> Iterator[tuple[str, bool]]:
        """(run, whether it is resumed), one after the other, in a process that is not the first."""
        if self._told is not None:
            turn = json.loads(self._told)
            yield turn["run"], turn["resume"]
            return
        while turn := self._hear():
            yield turn["run"], turn["resume"]
        self._store.set(f"over/{process_rank()}", "")

    def _tell(self, turn: dict[str, Any]) -> None:
        self._store.set(f"turn/{self._number}", json.dumps(turn))
        self._take(turn)

    def _hear(self) -> dict[str, Any]:
        key = f"turn/{self._number}"
        self._store.wait([key], _LONG)
        turn = json.loads(self._store.get(key))
        self._take(turn)
        return turn

    def _take(self, turn: dict[str, Any]) -> None:
        self._number += 1
        if turn:
            os.environ["MASTER_PORT"] = str(turn["port"])
            os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "False"
