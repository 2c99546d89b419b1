"""A tiny experiment that trains in seconds."""

from collections.abc import Callable
from typing import Any

import pytest

from crosstask.engine.experiment import Experiment
from crosstask.recipes.supervised import supervised_experiment
from fakes.scenes import Scenes, scene_tasks


@pytest.fixture
def experiment() -> Callable[..., Experiment]:
    def make(
        tasks: tuple[str, ...] = ("segmentation", "depth"),
        train: Any = None,
        **options: Any,
    ) -> Experiment:
        settings: dict[str, Any] = {
            "encoder": "resnet10t",
            "pretrained": False,
            "width": 0.0625,
            "size": "32x64",
            "steps": 6,
            "batch_size": 2,
            "val_every": 2,
            "workers": 0,
            "optimizer": "matched",
        }
        return supervised_experiment(
            tasks=scene_tasks(tasks),
            train_data=lambda: train or Scenes(8, noise=0.1),
            val_data=lambda: Scenes(3, offset=100),
            **(settings | options),
        )

    return make
