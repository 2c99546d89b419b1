"""`python -m fakes.two_processes FOLDER PROCESSES STEPS BATCH`: a tiny training in several processes.

Writes the gradients of every step, before clipping, to FOLDER/gradients_STEP.pt.
"""

import sys
from pathlib import Path
from typing import Any

import torch

from crosstask.cli.main import is_users
from crosstask.engine.training import train
from crosstask.recipes.supervised import supervised_experiment
from crosstask.regimes.regime import Regime
from fakes.scenes import Scenes, scene_tasks


def run(folder: Path, processes: int, steps: int, batch: int) -> None:
    before = Regime.on_before_optimizer_step

    def keep(self: Regime, optimizer: Any) -> None:
        before(self, optimizer)
        gradients = {n: p.grad for n, p in self.named_parameters() if p.grad is not None}
        if self.global_rank == 0:
            torch.save(gradients, folder / f"gradients_{self.global_step}.pt")

    if steps < 10:
        Regime.on_before_optimizer_step = keep  # type: ignore[method-assign]
    made = supervised_experiment(
        tasks=scene_tasks(("segmentation", "depth", "normals")),
        # Labels are missing in one image of a batch: a mean of the processes' means would be wrong.
        train_data=lambda: Scenes(8, noise=0.1, hidden={"depth": (0, 2, 4), "normals": (1, 3)}),
        val_data=lambda: Scenes(5, offset=100),
        encoder="resnet10t",
        pretrained=False,
        width=0.0625,
        size="32x64",
        steps=steps,
        batch_size=batch,
        val_every=2,
        workers=0,
        freeze="norms",  # batch statistics are those of a process
    )
    for module in made.regime.network.modules():
        if isinstance(module, torch.nn.Dropout):  # drawn by each process for its own images
            module.p = 0.0
    train(
        made,
        folder / "run",
        config={"recipe": "test", "steps": steps},
        accelerator="cpu",
        precision="32",
        devices=processes,
        strategy="ddp" if processes > 1 else "auto",
        progress=False,
    )


if __name__ == "__main__":
    try:
        run(Path(sys.argv[1]), *map(int, sys.argv[2:]))
    except Exception as error:
        if not is_users(error):
            raise
        sys.exit(f"error: {error}")
