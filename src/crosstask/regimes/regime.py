"""What every regime shares: optimiser, schedule, moving average, freezing, validation, checks."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from crosstask.balancing import Balancer
from crosstask.data.loading import mix_seed
from crosstask.evaluation.evaluate import Evaluator, evaluate, of_one_size
from crosstask.regimes.averaging import moving_average
from crosstask.regimes.freezing import check_freezing, pretrained_parts
from crosstask.regimes.loss_watch import LossWatch
from crosstask.regimes.optimization import (
    OptimizerSettings,
    create_optimizer,
    parameter_groups,
    schedule_factor,
)
from crosstask.tasks import Task

Batch = Mapping[str, Any]


class Regime(pl.LightningModule):
    """Turns batches into gradients. A subclass writes `losses(batch) -> {name: scalar}`.

    Lightning's automatic optimisation stays on; only `backward` is overridden, so that clipping,
    accumulation, precision and `max_steps` keep working while a balancer may look at the tasks'
    gradients one by one.

    Args:
        network: image (B,3,H,W) -> {task: [coarse, ..., fine]}.
        tasks: ordered tasks.
        balancer: losses -> gradients.
        optimizer: rates and schedule.
        steps: optimiser steps of the whole run (the schedule's length).
        ema: decay of a moving average of the network's weights, which is then what validation
            and prediction use; 0 is off.
        freeze: any of "encoder" (weights, norms and stochastic depth of its pretrained parts),
            "norms" (every batch norm's statistics and affine parameters).
        unfreeze_at: optimiser step from which on the encoder is trained too, at its own rate; None
            never.
        channels_last: memory layout of convolutions; faster on most hardware.
        seed: random numbers of step s are drawn from (seed, s, rank), so a resumed run repeats
            them.

    Attributes:
        keeps_last: the last checkpoint is the one that counts, whatever the scores.
        reads_images: why features that were stored cannot take the images' place; empty: they can.
        calls_network_once: a step is one forward pass of `network` and one backward.
        epoch_batches: batches of one pass over the data; set by the engine before training.
    """

    keeps_last: ClassVar[bool] = False
    reads_images: ClassVar[str] = "its losses are its own"
    calls_network_once: ClassVar[bool] = False
    epoch_batches: int = 0

    def __init__(
        self,
        network: nn.Module,
        tasks: Sequence[Task],
        balancer: Balancer,
        optimizer: OptimizerSettings,
        *,
        steps: int,
        ema: float = 0.0,
        freeze: Sequence[str] = (),
        unfreeze_at: int | None = None,
        channels_last: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0.0 <= ema < 1.0:
            raise ValueError(f"`ema` is {ema}; expected a decay in [0, 1), for example 0.999")
        check_freezing(network, freeze, unfreeze_at, steps)
        self.network, self.tasks, self.balancer = network, tuple(tasks), balancer
        self.settings, self.steps, self.seed_value = optimizer, steps, seed
        self.freeze_parts, self.channels_last = tuple(freeze), channels_last
        self.unfreeze_at = unfreeze_at
        if channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for module in Regime.frozen_modules(self):  # a subclass freezes its own networks
            module.requires_grad_(False)
        self.ema = (
            AveragedModel(network, multi_avg_fn=moving_average(ema), use_buffers=True)
            if ema
            else None
        )
        if self.ema is not None:
            self.ema.requires_grad_(False)
        self.evaluator = Evaluator(self.tasks)
        self.description = ""  # model.json as text; every checkpoint carries it
        self.validation_metrics: dict[str, float] = {}
        self._losses: dict[str, Tensor] = {}
        self._logged: dict[str, Tensor] = {}
        self.loss_watch = LossWatch()

    def weigh_classes(self, weights: Mapping[str, Sequence[float]]) -> None:
        """{task: weight of each class in its loss}; metrics do not change."""

        def weighted(task: Task) -> Task:
            if task.name not in weights:
                return task
            given: dict[str, Any] = {task.loss_options["class_weights"]: tuple(weights[task.name])}
            return replace(task, **given)

        self.tasks = tuple(weighted(task) for task in self.tasks)

    # ---- what a subclass writes -------------------------------------------------------------

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """{name: scalar loss}, differentiable; names of tasks or of auxiliary terms."""
        raise NotImplementedError

    def parts(self) -> list[tuple[str, Sequence[nn.Module], float]]:
        """Parameter groups by part, with their rates; a subclass may add its own networks."""
        return [
            ("encoder", [cast(nn.Module, self.network.encoder)], self.settings.encoder_lr),
            ("tasks", [self.network, self.balancer], self.settings.lr),
        ]

    def count_labels(self, batch: Batch) -> dict[str, Tensor]:
        """{name: a number that is summed over the batches of one optimiser step}, see `GroupedLoader`."""
        return {}

    # ---- freezing ---------------------------------------------------------------------------

    def frozen_modules(self) -> list[nn.Module]:
        """Modules whose weights stay and which stay in eval mode."""
        modules: list[nn.Module] = []
        if "encoder" in self.freeze_parts:
            modules += pretrained_parts(self.network)
        if "norms" in self.freeze_parts:
            modules += [
                m for m in self.network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)
            ]
        return modules

    def encoder_is_frozen(self) -> bool:
        """Whether its pretrained parts stay as they are for now, by `freeze` or by the architecture."""
        parts = pretrained_parts(self.network)
        return not any(p.requires_grad for part in parts for p in part.parameters())

    def _unfreeze(self) -> None:
        """The encoder is trained from now on, with batch statistics, except for what `freeze` still names."""
        self.freeze_parts = tuple(part for part in self.freeze_parts if part != "encoder")
        for part in pretrained_parts(self.network):
            part.requires_grad_(True)
        for module in self.frozen_modules():
            module.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> "Regime":
        super().train(mode)
        for module in self.frozen_modules():
            module.eval()
        if self.ema is not None:
            self.ema.eval()
        return self

    # ---- optimisation -----------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        settings = self.settings
        with self._counting_what_thaws():
            groups = parameter_groups(self.parts(), settings.weight_decay, settings.decay_norms)
        optimizer = create_optimizer(settings, groups, self.device.type in ("cpu", "cuda"))
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, schedule_factor(settings, self.steps)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    @contextlib.contextmanager
    def _counting_what_thaws(self) -> Iterator[None]:
        """An encoder that is trained later has its place in the optimiser from the start."""
        waiting = "encoder" in self.freeze_parts and self.unfreeze_at is not None
        parts = pretrained_parts(self.network) if waiting else []
        for part in parts:
            part.requires_grad_(True)
        yield
        for part in parts:
            part.requires_grad_(False)

    def shared_parameters(self) -> list[nn.Parameter]:
        """What the tasks share: the trainable parameters of the encoder."""
        encoder = cast(nn.Module, self.network.encoder)
        return [p for p in encoder.parameters() if p.requires_grad]

    def on_fit_start(self) -> None:
        self.train()  # the trainer keeps modes as they are; frozen modules go to eval here

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.description:
            checkpoint["model_description"] = self.description

    def image(self, batch: Batch, key: str = "image") -> Tensor:
        """The images in the network's memory layout."""
        image = cast(Tensor, batch[key])
        return image.contiguous(memory_format=torch.channels_last) if self.channels_last else image

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        waiting = "encoder" in self.freeze_parts and self.unfreeze_at is not None
        if waiting and self.global_step >= cast(int, self.unfreeze_at):
            self._unfreeze()
        # The batch's number in the whole run: a run that goes on longer counts its batches anew.
        group = self.trainer.accumulate_grad_batches
        number = self.global_step * group + batch_idx % group
        torch.manual_seed(mix_seed(self.seed_value, 1 + self.global_step, number, self.global_rank))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        losses = self.losses(batch)
        total = self.balancer.combine(losses)
        self._losses = losses
        self.loss_watch.see(self.global_step, losses, batch)
        values = {f"train/loss/{name}": loss for name, loss in losses.items()}
        self.log_losses({**values, "train/loss": total}, batch_idx)
        return total

    def log_losses(self, losses: Mapping[str, Tensor], batch_idx: int) -> None:
        """Writes the mean over the batches and processes of an optimiser step.

        Losses are weighted so that this mean is the loss of the whole step, see `Supervised`.
        """
        if not self._logs_now():
            return
        group = self.trainer.accumulate_grad_batches
        for name, loss in losses.items():
            before = self._logged.get(name, 0.0) if batch_idx % group else 0.0
            self._logged[name] = before + loss.detach() / group
        if (batch_idx + 1) % group == 0:
            values = {name: self._logged[name] for name in losses}
            self.log_dict(values, sync_dist=self.trainer.world_size > 1)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """`loss` arrives divided by the accumulated batches; the balancer gets that factor."""
        scale = 1.0 / self.trainer.accumulate_grad_batches
        total = loss / scale
        self.balancer.backward(total, self._losses, self.shared_parameters(), scale)
        self._losses = {}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Once a step, before clipping: methods that combine gradients do it here."""
        self.balancer.finish(self.shared_parameters())

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """The moving average follows within the step, so that every checkpoint holds it."""
        super().optimizer_step(*args, **kwargs)
        if self.ema is not None:
            self.ema.update_parameters(self.network)

    def _logs_now(self) -> bool:
        """At the steps whose losses Lightning writes, n-1, 2n-1, ..., and for the bar at the first."""
        every = cast(Any, self.trainer).log_every_n_steps
        return self.global_step == 0 or (self.global_step + 1) % every == 0

    def check_finite(self) -> None:
        """Raises `NonFiniteLossError` if any loss since the last look was NaN or infinite."""
        self.loss_watch.check()

    # ---- validation -------------------------------------------------------------------------

    def inference_network(self) -> nn.Module:
        """The network that is validated and shipped: the moving average where there is one."""
        return cast(nn.Module, self.ema.module) if self.ema is not None else self.network

    def on_validation_epoch_start(self) -> None:
        self.evaluator.reset()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        outputs = self.inference_network()(self.image(batch))
        for some_outputs, some in of_one_size(outputs, batch):
            self.evaluator.update(some_outputs, some)

    def on_validation_epoch_end(self) -> None:
        self.validation_metrics = self.evaluator.compute()
        scalars = {f"val/{k}": v for k, v in self.validation_metrics.items() if "/iou/" not in k}
        for logger in self.loggers:
            logger.log_metrics(scalars, step=self.global_step)

    def final_metrics(
        self,
        dataset: Any,
        *,
        wrap: Callable[[nn.Module], nn.Module] | None = None,
        **options: Any,
    ) -> dict[str, float]:
        """The metrics of a finished run; `options` go to `crosstask.evaluation.evaluate.evaluate`.

        Args:
            wrap: puts something around the network (a sliding window).
        """
        network = self.inference_network()
        return evaluate(wrap(network) if wrap else network, self.tasks, dataset, **options)

    def companions(self) -> dict[str, nn.Module]:
        """Networks beside the predicted one, by their attribute's name: trained and saved with it,
        restored for evaluation and taken over by `--init-from` (a pose network)."""
        return {}

    def trivial_metrics(self, train: Any, val: Any) -> dict[str, float]:
        """`trivial/...` entries of metrics.json beside those of the tasks."""
        return {}

    def write_images(self, folder: Path, dataset: Any, device: Any) -> None:
        """Further images of a finished run, beside panel.png."""

    def model_facts(self) -> dict[str, Any]:
        """Further JSON-safe entries of this regime for `model.json`."""
        return {}
