"""Scalars of a training into its metrics.csv."""

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers.logger import Logger, rank_zero_experiment

from crosstask.engine.metrics_file import MetricsFile


class RunLogger(Logger):
    """Writes scalars to the run's append-only metrics.csv (step, name, value)."""

    def __init__(self, file: MetricsFile) -> None:
        super().__init__()
        self.file = file

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @property
    @rank_zero_experiment
    def experiment(self) -> MetricsFile:
        return self.file

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """The configuration lies in config.yaml."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        # Lightning sets the attribute once it knows how many processes there are.
        if getattr(pl.utilities.rank_zero_only, "rank", 0) == 0:
            values = {k: v for k, v in metrics.items() if k != "epoch"}
            self.file.append(int(step or 0), values)
