"""Trackers beside CSV and TensorBoard: Weights & Biases and MLflow, which nothing else imports.

`trackers.json` of the run directory keeps what a tracker calls the run: a resumed training goes on in it.
"""

import importlib.util
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from lightning.pytorch.loggers import Logger

from crosstask.engine.runs import read_json
from crosstask.media.files import write_json

TRACKERS = ("wandb", "mlflow")
RECORD = "trackers.json"
PROJECT = "crosstask"


def check_trackers(names: Sequence[str]) -> None:
    """Before anything is written.

    Raises:
        ValueError: an unknown tracker.
        ModuleNotFoundError: one that is not installed; says how to.
    """
    for name in names:
        if name not in TRACKERS:
            raise ValueError(f"`trackers` names {name!r}; expected wandb or mlflow")
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(
                f'the tracker {name} is not installed; install it with: pip install "crosstask[{name}]"'
            )


class Trackers:
    """The trackers of one training; as a context it closes their runs, however the training ends.

    Args:
        names: of `TRACKERS`; unknown or missing ones raise, see `check_trackers`.
        run: the run directory, whose name the run gets.
    """

    def __init__(self, names: Sequence[str], run: Path) -> None:
        check_trackers(names)
        self.names, self.run = tuple(names), run
        self.loggers: dict[str, Any] = {}

    def __enter__(self) -> "Trackers":
        return self

    def open(self, config: Mapping[str, Any]) -> list[Logger]:
        """Lightning's loggers, a run of each tracker begun with the configuration, or taken up again.

        Raises:
            ValueError: a tracker refuses (no login, no network, a run that is not there any more).
        """
        record = self.run / RECORD
        known = read_json(record) if record.is_file() else {}
        for name in self.names:
            try:
                logger = _logger(name, self.run, known.get(name))
                _ = logger.experiment  # begins the run
                self.loggers[name] = logger
                if name not in known:
                    logger.log_hyperparams(dict(config))
            except Exception as error:  # theirs have no common base
                again = f"; {record} names the run {known[name]}" if name in known else ""
                raise ValueError(
                    f"the tracker {name} refuses ({type(error).__name__}: {str(error).strip()[:300]}){again}; "
                    f"mend that, or train without `--trackers` {name}"
                ) from error
        if self.loggers:
            write_json(record, known | {k: logger.version for k, logger in self.loggers.items()})
        return list(self.loggers.values())

    def report(self, metrics: Mapping[str, float], step: int, image: Path) -> None:
        """The final scores, as `final/NAME`, and an image."""
        for name, logger in self.loggers.items():
            logger.log_metrics({f"final/{key}": value for key, value in metrics.items()}, step)
            if name == "wandb":
                logger.log_image(key="panel", images=[str(image)], step=step)
            else:
                logger.experiment.log_artifact(logger.run_id, str(image))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name, logger in self.loggers.items():
            if name == "wandb":  # else the next training of this process would go on in this run
                import wandb

                wandb.finish(exit_code=0 if kind is None else 1)
            else:
                logger.finalize("success" if kind is None else "failed")


def _logger(name: str, run: Path, known: str | None) -> Any:
    """Lightning's logger of a tracker.

    Args:
        known: what the tracker calls the run, where it is to be taken up again.
    """
    if name == "wandb":
        from lightning.pytorch.loggers import WandbLogger

        project = os.environ.get("WANDB_PROJECT", PROJECT)
        identity = known or uuid.uuid4().hex[:8]
        return WandbLogger(save_dir=run, name=run.name, project=project, id=identity)
    from lightning.pytorch.loggers import MLFlowLogger

    return MLFlowLogger(
        experiment_name=os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT),
        run_name=run.name,
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db"),
        run_id=known,
    )
