"""Truth over prediction, drawn at every validation and at the end."""

from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
from torch import nn

from crosstask.data.spacing import evenly
from crosstask.drawing import panels
from crosstask.engine.experiment import Experiment
from crosstask.evaluation.evaluate import Evaluator, batch_of_one


class Panels(pl.Callback):
    """An image of the first validation samples, to TensorBoard at every validation."""

    def __init__(self, experiment: Experiment, val_set: Any) -> None:
        self.experiment, self.val_set = experiment, val_set

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero or trainer.sanity_checking:
            return
        boards = [
            cast(Any, x).experiment
            for x in trainer.loggers
            # What a tracker calls `experiment` is its own; TensorBoard's takes images.
            if hasattr(cast(Any, x).experiment, "add_image")
        ]
        if not boards:
            return
        network = self.experiment.regime.inference_network()
        image = self.image(self.experiment, network, self.val_set, pl_module.device, samples=1)
        for board in boards:
            cast(Any, board).add_image("panel", image, trainer.global_step)

    @staticmethod
    @torch.no_grad()
    def image(
        experiment: Experiment, network: nn.Module, dataset: Any, device: Any, samples: int = 3
    ) -> torch.Tensor:
        """(3,H,W) uint8: truth over prediction for evenly spaced samples."""
        network.eval()
        evaluator = Evaluator(experiment.tasks).to(device)
        drawn = []
        for index in evenly(len(dataset), samples):
            sample = dict(dataset[index])
            batch = batch_of_one(sample, device)
            predictions = evaluator.update(dict(network(batch["image"])), batch)
            drawn.append(
                panels.panel(
                    sample["image"],
                    {t.name: sample[t.name] for t in experiment.tasks},
                    {t.name: predictions[t.name][0].cpu() for t in experiment.tasks},
                    experiment.tasks,
                )
            )
        return panels.stack(drawn)

    @classmethod
    def write(
        cls, path: Path, experiment: Experiment, network: nn.Module, dataset: Any, device: Any
    ) -> None:
        panels.save(path, cls.image(experiment, network, dataset, device))
