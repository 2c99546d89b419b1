"""An experiment: a regime, its data, and how long to train. What every recipe returns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch.utils.data import Dataset

from crosstask.balancing.balancer import NEEDS_WHOLE_STEP
from crosstask.data.samples import Samples, as_samples
from crosstask.data.splits import block_split
from crosstask.engine.limits import check_numbers
from crosstask.engine.runs import RULES
from crosstask.engine.threads import Workers, check_workers
from crosstask.models.networks.separate import SeparateNetworks
from crosstask.tasks import Task

if TYPE_CHECKING:
    from crosstask.regimes.regime import Regime

Data = Callable[[], Dataset[Any]]
# Of the training split, what `select="best"` chooses the checkpoint on where there is no other split.
SELECTION_SHARE = 0.1


@dataclass(kw_only=True)
class Experiment:
    """Everything that `crosstask train` needs; data is opened only when it is used.

    Attributes:
        regime: a LightningModule with `network` and ordered `tasks`.
        train_data, val_data: functions that open the datasets, as `Samples`; those that are given
            may open any dataset. The curve over training is of `val_data`.
        select: the checkpoint that is scored: "last", or "best" by its score on `val_data`, which
            is then not what is reported.
        reported_data: opens what the final scores are from; if left out `val_data`. With "best" and
            no `reported_data`, a tenth of the training split is held out and takes the place of
            `val_data`, which is reported.
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
        scored: of a run that was opened, which checkpoint it holds, see `checkpoints.scored_facts`.
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
    select: str = "last"
    reported_data: Callable[[], Any] | None = None
    scored: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_workers(self.workers)
        check_numbers(self)
        _check_balancing(self.regime, self.accumulate)
        self._check_select()
        self._holds_out = self.select == "best" and self.reported_data is None
        self._open_train, self._open_val = self.train_data, self.val_data
        self._open_reported = self.reported_data or self.val_data
        self.train_data, self.val_data = self._open_train_data, self._open_val_data

    def _check_select(self) -> None:
        if self.select not in RULES:
            raise ValueError(f"`select` is {self.select!r}; expected one of {', '.join(RULES)}")
        if self.select == "best" and self.regime.keeps_last:
            raise ValueError(
                "`select` is 'best', and domain adaptation has no labels of the target to choose a "
                "checkpoint by; leave it out"
            )

    def _held_out(self) -> tuple[Samples, set[str]]:
        """The training split as it is validated, and the names of those frames that choose."""
        data = as_samples(self._open_val()).of_split("train")
        names = [data.frame_name(index) for index in range(len(data))]
        block = max(1, min(30, len(names) // 30))  # neighbouring frames of a video stay together
        _, held = block_split(names, 1 - SELECTION_SHARE, block=block)
        if not 0 < len(held) < len(names):
            raise ValueError(
                f"`select` is 'best', and the training split has {len(names)} frames, too few to hold a "
                "tenth of them out; leave `--select` out"
            )
        return data, set(held)

    def _open_train_data(self) -> Samples:
        """Opens the training set, and tells the balancer how long the run and an epoch are."""
        data = as_samples(self._open_train())
        if self._holds_out:
            data = data.without(self._held_out()[1])
        one_pass = max(1, len(data) // self.batch_size)
        self.regime.balancer.plan(self.steps * self.accumulate, one_pass)
        return data

    def _open_val_data(self) -> Samples:
        if not self._holds_out:
            return as_samples(self._open_val())
        data, held = self._held_out()
        names = {data.frame_name(index) for index in range(len(data))}
        return data.without(names - held)

    def scored_data(self) -> Samples:
        """What the final scores are from."""
        return as_samples(self._open_reported())

    @property
    def tasks(self) -> tuple[Task, ...]:
        return self.regime.tasks


def _check_balancing(regime: "Regime", accumulate: int) -> None:
    """Refuses methods that compare gradients of shared parameters where nothing is shared, or need whole steps."""
    if regime.balancer.whole_step and accumulate > 1:
        raise ValueError(NEEDS_WHOLE_STEP)
    separate = isinstance(regime.network, SeparateNetworks) and len(regime.tasks) > 1
    if separate and regime.balancer.compares_gradients:
        raise ValueError(
            "`balancing` compares the tasks' gradients of a shared encoder, and this architecture "
            "has one network per task, which share nothing; take paper, equal, fixed or "
            "uncertainty, or an architecture with one encoder"
        )
    stays = regime.encoder_is_frozen() and regime.unfreeze_at is None
    if regime.balancer.compares_gradients and stays:
        raise ValueError(
            "`balancing` compares the tasks' gradients of the encoder, which is frozen and has none; take "
            "paper, equal, fixed, uncertainty or dwa, or train the encoder (no `--freeze encoder`)"
        )
