"""Adaptation from a labelled source domain to an unlabelled target domain (MTL-UDA, table 6)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from crosstask.evaluation.evaluate import resize_output
from crosstask.regimes.adaptation.alignment import AlignmentSettings, OutputAlignment, count_levels
from crosstask.regimes.adaptation.appearance import match_colors, match_noise
from crosstask.regimes.adaptation.self_training import SelfTrainingSettings, trusted_share
from crosstask.regimes.adaptation.teacher import Teacher
from crosstask.regimes.optimization import schedule_factor
from crosstask.regimes.regime import Batch
from crosstask.regimes.supervised import Supervised

METHODS = ("source_only", "oracle", "adversarial", "self_training", "both")
DISCRIMINATORS = "discriminators"


class Adaptation(Supervised):
    """The whole ladder of domain adaptation in one regime.

    Batches come from `crosstask.data.combine.pairs.DomainPairs`: source samples with labels, target
    images without. "source_only" does not look at the targets; "oracle" is the same on labelled
    target samples. "adversarial" aligns the outputs of the domains (`OutputAlignment`),
    "self_training" learns from a teacher's labels on mixed images (`self_training`), "both"
    does both. The teacher is a moving average of the network; what is validated and saved is the
    network itself (or its slower average, `ema`).

    One optimiser holds everything; the discriminators are groups of their own with their own
    rate, betas, schedule and gradient norm. The network's loss and the discriminators' loss are
    differentiated one after the other, and neither reaches the parameters of the other side.

    Args:
        method: see above.
        alignment: settings of the adversarial part.
        self_training: settings of the teacher's part.
        match_colors: give source images the colour means and spreads of the target images
            beside them.
        match_noise: add noise to source images until they are as noisy as the target images.
        other arguments: see `Supervised` and `Regime`.

    Attributes:
        alignment: the discriminators, where the method has them.
        teacher: the teacher, where the method has one.

    Raises:
        ValueError: unknown method, an optimiser without betas for the discriminators.
    """

    keeps_last: ClassVar[bool] = True  # target labels choose no checkpoint
    calls_network_once: ClassVar[bool] = False
    reads_images: ClassVar[str] = "images of both domains are recoloured and mixed as training goes"

    def __init__(
        self,
        *args: Any,
        method: str = "both",
        alignment: AlignmentSettings | None = None,
        self_training: SelfTrainingSettings | None = None,
        match_colors: bool = False,
        match_noise: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if method not in METHODS:
            raise ValueError(f"`method` is {method!r}; expected one of {', '.join(METHODS)}")
        aligns = method in ("adversarial", "both")
        if aligns and self.settings.name == "sgd":
            raise ValueError(
                "`optimizer` is sgd, but discriminators need Adam's betas in the same optimiser; "
                "choose paper, matched, adam or adamw"
            )
        self.method, self.match_colors, self.match_noise = method, match_colors, match_noise
        self.alignment: OutputAlignment | None = None
        if aligns:
            levels = count_levels(self.network, self.tasks, self.used_levels)
            settings = alignment or AlignmentSettings()
            self.alignment = OutputAlignment(self.tasks, levels, settings, self.seed_value + 1)
        self.teacher: Teacher | None = None
        if method in ("self_training", "both"):
            teaching = self_training or SelfTrainingSettings()
            self.teacher = Teacher(self.network, self.tasks, teaching)
        self._discriminator_loss: Tensor | None = None

    def on_train_start(self) -> None:
        if self.teacher is not None and self.global_step == 0:  # `--init-from` comes after __init__
            self.teacher.copy_weights(self.network)

    # ---- losses -----------------------------------------------------------------------------

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """{task: source loss + weight x pseudo-label loss}, "alignment", auxiliary terms.

        The discriminators' loss is left for `backward`.
        """
        self._discriminator_loss = None
        batch = self._like_target(batch)
        alignment, mixed = self._active_alignment(), self._mixed(batch)
        images = {"source": self.image(batch)}
        if alignment is not None:
            images["target"] = self.image(batch, "target_image")
        if mixed is not None:
            images["mixed"] = self.image(mixed)
        outputs = self._forward(images)
        losses = self.labelled_losses(outputs["source"], batch)
        if mixed is not None:
            for name, loss in self._pseudo_losses(outputs["mixed"], mixed).items():
                losses[name] = losses[name] + loss
        if alignment is not None:
            source, target = (self._used(outputs[domain]) for domain in ("source", "target"))
            losses["alignment"], self._discriminator_loss = alignment.losses(
                source, target, batch, self.global_step
            )
        return losses

    def _used(self, outputs: Mapping[str, Sequence[Tensor]]) -> dict[str, Sequence[Tensor]]:
        """The supervised levels of every task."""
        return {task.name: self.used_levels(outputs[task.name]) for task in self.tasks}

    def _active_alignment(self) -> OutputAlignment | None:
        """The alignment, in the steps that it has a part in."""
        active = self.alignment is not None and self.alignment.active(self.global_step)
        return self.alignment if active else None

    def _mixed(self, batch: Batch) -> dict[str, Any] | None:
        """The teacher's mixed images and targets, in the steps that it has a part in."""
        if self.teacher is None or not self.teacher.active(self.global_step):
            return None
        return self.teacher.mixed_batch(batch, self.image(batch, "target_image"))

    def _like_target(self, batch: Batch) -> Batch:
        """Source images with the target's colours and noise, where asked for."""
        if "target_image" not in batch or self.method == "oracle":
            return batch
        if self.match_colors:
            batch = {**batch, "image": match_colors(batch["image"], batch["target_image"])}
        if self.match_noise:
            batch = {**batch, "image": match_noise(batch["image"], batch["target_image"])}
        return batch

    def _forward(self, images: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
        """Each kind of image passes on its own, with its own batch statistics."""
        return {name: dict(self.network(image)) for name, image in images.items()}

    def _pseudo_losses(
        self, outputs: Mapping[str, Sequence[Tensor]], mixed: Batch
    ) -> dict[str, Tensor]:
        """{task: weight x loss on mixed images x share of their pixels with a trusted label}."""
        losses, weight = {}, cast(Teacher, self.teacher).settings.weight
        for task in self.tasks:
            target = mixed[task.name]
            terms = [
                task.loss(resize_output(level, target.shape[-2:]), target, mixed["intrinsics"])
                for level in self.used_levels(outputs[task.name])
            ]
            share = trusted_share(task, target)
            losses[task.name] = weight * (self.combine_levels(terms) * share)
        return losses

    def on_train_end(self) -> None:
        alignment = self._active_alignment()
        if alignment is not None:
            alignment.judge_at(self.global_step)

    # ---- gradients --------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        total = super().training_step(batch, batch_idx)
        if self._discriminator_loss is not None:
            self.loss_watch.see(self.global_step, {DISCRIMINATORS: self._discriminator_loss}, batch)
            self.log_losses({f"train/loss/{DISCRIMINATORS}": self._discriminator_loss}, batch_idx)
        return total

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """First the network's loss, then the discriminators'; they share no parameter."""
        super().backward(loss, *args, **kwargs)
        if self._discriminator_loss is not None:
            (self._discriminator_loss / self.trainer.accumulate_grad_batches).backward()
            self._discriminator_loss = None

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.teacher is not None:
            self.teacher.update_parameters(self.network)

    def parts(self) -> list[tuple[str, Sequence[nn.Module], float]]:
        parts = super().parts()
        if self.alignment is not None:
            parts.append((DISCRIMINATORS, [self.alignment], self.alignment.settings.lr))
        return parts

    def configure_optimizers(self) -> Any:
        made = super().configure_optimizers()
        optimizer = made["optimizer"]
        factors: list[Callable[[int], float]] = []
        for group in optimizer.param_groups:
            if _of_discriminators(group):
                settings = cast(OutputAlignment, self.alignment).settings
                group["betas"], group["weight_decay"] = settings.betas, 0.0
                factors.append(settings.schedule(self.steps))
            else:
                factors.append(schedule_factor(self.settings, self.steps))
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factors)
        return {**made, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """The norm of the network's gradient and that of the discriminators', each on its own."""
        if not gradient_clip_val:
            return
        for discriminators in (False, True):
            parameters = [
                p
                for group in optimizer.param_groups
                if _of_discriminators(group) == discriminators
                for p in group["params"]
            ]
            torch.nn.utils.clip_grad_norm_(parameters, gradient_clip_val)

    def model_facts(self) -> dict[str, Any]:
        return {**super().model_facts(), "adaptation": self.method}


def _of_discriminators(group: Mapping[str, Any]) -> bool:
    return str(group["name"]).split("/")[0] == DISCRIMINATORS
