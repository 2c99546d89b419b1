"""A run directory as training leaves it, with weights that were drawn: nothing is trained."""

from pathlib import Path
from typing import Any

import torch

from crosstask.engine.recording import description, trained_range
from crosstask.engine.runs import Run
from crosstask.engine.training_feeding import training_feeding
from crosstask.media.files import write_json
from crosstask.recipes.resolving import resolve

TASKS = "segmentation,depth,normals,edges"


def write(place: Path, root: Path, **options: Any) -> Path:
    """A run directory as training leaves it, with weights that were drawn."""
    asked = {"root": str(root), "tasks": TASKS, "size": "32x64", "pretrained": False}
    asked |= {
        "architecture": "densemtl",
        "encoder": "resnet10t",
        "width": 0.125,
        "workers": 0,
        "canonical_focal": 40.0,
    }
    function, resolved = resolve("folder.supervised", asked | options)
    experiment, run = function(**resolved), Run(place)
    network = experiment.regime.network
    for task in resolved["tasks"].split(","):  # so that outputs differ from pixel to pixel
        for layer in network.prediction_layers(task):
            with torch.no_grad():
                layer.weight.mul_(8)
                layer.bias.zero_()
    config = {"recipe": "folder.supervised", **resolved}
    run.path.mkdir()
    run.write_config(config, {"precision": "32", "devices": 1, "num_nodes": 1})
    train, val = experiment.train_data(), experiment.val_data()
    told = description(experiment, config, None, trained_range(train), training_feeding(train, val))
    write_json(run.path / "model.json", told)
    run.last.parent.mkdir()
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state, "global_step": 0}, run.last)
    return run.path
