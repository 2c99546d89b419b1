"""The streams of a run, as Lightning asks for them."""

from typing import Any, cast

import lightning.pytorch as pl
from torch.utils.data import Dataset

from crosstask.data.loading import GroupedLoader, evaluation_loader, mix_seed, train_loader
from crosstask.engine.experiment import Experiment
from crosstask.engine.stored_features import with_stored_features
from crosstask.engine.threads import choose_workers


class RunData(pl.LightningDataModule):
    """The streams of a run; which part of them a process sees is asked of the trainer."""

    def __init__(
        self, experiment: Experiment, train: Dataset[Any], val: Dataset[Any], start: int
    ) -> None:
        super().__init__()
        self.experiment, self.train_set, self.val_set, self.start = experiment, train, val, start

    def _place(self) -> dict[str, Any]:
        trainer = cast(pl.Trainer, self.trainer)
        pin = trainer.strategy.root_device.type == "cuda"
        return {"rank": trainer.global_rank, "world": trainer.world_size, "pin_memory": pin}

    def _workers(self) -> int:
        trainer = cast(pl.Trainer, self.trainer)
        kind = trainer.strategy.root_device.type
        return choose_workers(self.experiment.workers, kind, trainer.num_devices)

    def train_dataloader(self) -> Any:
        e, trainer = self.experiment, cast(pl.Trainer, self.trainer)
        data = with_stored_features(
            e,
            self.train_set,
            start=self.start,
            world=trainer.world_size,
            tell=trainer.global_rank == 0,
        )
        loader = train_loader(
            data,
            batch_size=e.batch_size,
            batches=e.steps * e.accumulate,
            seed=mix_seed(e.seed, 7),
            start=self.start * e.accumulate,
            workers=self._workers(),
            **self._place(),
        )
        count = e.regime.count_labels
        return GroupedLoader(loader, e.accumulate, count) if e.accumulate > 1 else loader

    def val_dataloader(self) -> Any:
        e = self.experiment
        return evaluation_loader(
            self.val_set, batch_size=e.val_batch_size, workers=self._workers(), **self._place()
        )
