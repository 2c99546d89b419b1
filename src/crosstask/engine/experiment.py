"""An experiment: a regime, its data, and how long to train. What every recipe returns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch.utils.data import Dataset

from crosstask.data.samples import Samples, as_samples
from crosstask.engine.limits import check_numbers
from crosstask.engine.threads import Workers, check_workers
from crosstask.models.networks.separate import SeparateNetworks
from crosstask.tasks import Task

if TYPE_CHECKING:
    from crosstask.regimes.regime import Regime

Data = Callable[[], Dataset[Any]]


@dataclass(kw_only=True)
class Experiment:
    """Everything that `crosstask train` needs; data is opened only when it is used.

    Attributes:
        regime: a LightningModule with `network` and ordered `tasks`.
        train_data, val_data: functions that open the datasets, as `Samples`; those that are given
            may open any dataset.
        steps: optimiser steps.
        batch_size: samples a process and batch.
        accumulate: batches of one optimiser step.
        val_every: optimiser steps between validations.
        val_batch_size: samples of a validation batch.
        clip: global gradient norm, or None.
        seed: of weights, order and augmentation.
        class_weights: none, balanced or a file; see `crosstask.engine.class_weights`.
        cache_features: folder of stored features of a frozen encoder, or None; see
            `crosstask.engine.stored_features`.
        cache_views: variants of every training image that are stored.
        workers: loader processes, or auto (from the cores, decided when loaders are made).
        size: (height, width) of training images.
        expected: what this recipe reaches, in words, with its source.
        notes: further facts for the record (dataset version, protocol).
    """

    regime: "Regime"
    train_data: Callable[[], Any]
    val_data: Callable[[], Any]
    steps: int
    batch_size: int
    accumulate: int = 1
    val_every: int = 1000
    val_batch_size: int = 4
    clip: float | None = 10.0
    seed: int = 0
    class_weights: str = "none"
    cache_features: str | None = None
    cache_views: int = 1
    workers: Workers = "auto"
    size: tuple[int, int] = (128, 256)
    protocol: str = "correct"
    expected: str = ""
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_workers(self.workers)
        check_numbers(self)
        _check_balancing(self.regime)
        self._open_train, self._open_val = self.train_data, self.val_data
        self.train_data, self.val_data = self._open_train_data, self._open_val_data

    def _open_train_data(self) -> Samples:
        """Opens the training set, and tells the balancer how long the run and an epoch are."""
        data = as_samples(self._open_train())
        one_pass = max(1, len(data) // self.batch_size)
        self.regime.balancer.plan(self.steps * self.accumulate, one_pass)
        return data

    def _open_val_data(self) -> Samples:
        return as_samples(self._open_val())

    @property
    def tasks(self) -> tuple[Task, ...]:
        return self.regime.tasks


def _check_balancing(regime: "Regime") -> None:
    """Refuses methods that compare gradients of shared parameters where nothing is shared."""
    separate = isinstance(regime.network, SeparateNetworks) and len(regime.tasks) > 1
    if separate and regime.balancer.compares_gradients:
        raise ValueError(
            "`balancing` compares the tasks' gradients of a shared encoder, and this architecture "
            "has one network per task, which share nothing; take paper, equal, fixed or "
            "uncertainty, or an architecture with one encoder"
        )
