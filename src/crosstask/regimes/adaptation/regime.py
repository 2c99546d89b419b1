"""Adaptation from a labelled source domain to an unlabelled target domain (MTL-UDA, table 6)."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from crosstask.evaluation.evaluate import resize_output
from crosstask.regimes.adaptation import self_training as st
from crosstask.regimes.adaptation.alignment import AlignmentSettings, OutputAlignment, count_levels
from crosstask.regimes.adaptation.domain_norms import SourceStatistics
from crosstask.regimes.adaptation.self_training import SelfTrainingSettings
from crosstask.regimes.optimization import schedule_factor
from crosstask.regimes.regime import Batch
from crosstask.regimes.supervised import Supervised
from crosstask.tasks import Segmentation

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
        mixed_batches: one forward pass over both domains, which then share batch statistics; by
            default each domain passes on its own (as in the released code).
        domain_norms: running batch-norm statistics of their own for each domain; those of the
            target are validated and saved.
        match_colors: give source images the colour means and spreads of the target images
            beside them.
        match_noise: add noise to source images until they are as noisy as the target images.
        other arguments: see `Supervised` and `Regime`.

    Raises:
        ValueError: unknown method, mixed batches together with domain statistics, an optimiser
            without betas for the discriminators.
    """

    keeps_last = True  # target labels choose no checkpoint

    def __init__(
        self,
        *args: Any,
        method: str = "both",
        alignment: AlignmentSettings | None = None,
        self_training: SelfTrainingSettings | None = None,
        mixed_batches: bool = False,
        domain_norms: bool = False,
        match_colors: bool = False,
        match_noise: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.method, self.mixed_batches = method, mixed_batches
        self.match_colors, self.match_noise = match_colors, match_noise
        self.alignment_settings = alignment or AlignmentSettings()
        self.teaching = self_training or SelfTrainingSettings()
        self.aligns = method in ("adversarial", "both")
        self.teaches = method in ("self_training", "both")
        self._check(domain_norms)
        self.alignment = (
            OutputAlignment(
                self.tasks,
                count_levels(self.network, self.tasks),
                self.alignment_settings,
                self.seed_value + 1,
            )
            if self.aligns
            else None
        )
        two = domain_norms and method != "oracle"
        self.source_norms = SourceStatistics(self.network) if two else None
        self.teacher = (
            AveragedModel(
                self.network,
                multi_avg_fn=cast(Any, growing_average(self.teaching.decay, self.teaching.start)),
                use_buffers=True,
            ).requires_grad_(False)
            if self.teaches
            else None
        )
        self._critic: Tensor | None = None
        self._judged = -1

    def _check(self, domain_norms: bool) -> None:
        if self.method not in METHODS:
            raise ValueError(f"`method` is {self.method!r}; expected one of {', '.join(METHODS)}")
        if self.mixed_batches and domain_norms:
            raise ValueError(
                "`mixed_batches` and `domain_norms` exclude each other: statistics of one batch "
                "cannot belong to two domains; give one of them"
            )
        if self.aligns and self.settings.name == "sgd":
            raise ValueError(
                "`optimizer` is sgd, but discriminators need Adam's betas in the same optimiser; "
                "choose paper, matched, adam or adamw"
            )

    def train(self, mode: bool = True) -> "Adaptation":
        super().train(mode)
        if getattr(self, "teacher", None) is not None:
            cast(nn.Module, self.teacher).eval()
        return self

    def on_train_start(self) -> None:
        if self.teacher is not None and self.global_step == 0:  # `--init-from` comes after __init__
            self.teacher.module.load_state_dict(self.network.state_dict())

    # ---- losses -----------------------------------------------------------------------------

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """{task: source loss + weight x pseudo-label loss}, "alignment", auxiliary terms.

        The discriminators' loss is left in `self._critic`.
        """
        self._critic = None
        if "target_image" in batch and self.match_colors and self.method != "oracle":
            batch = {**batch, "image": st.match_colors(batch["image"], batch["target_image"])}
        if "target_image" in batch and self.match_noise and self.method != "oracle":
            batch = {**batch, "image": st.match_noise(batch["image"], batch["target_image"])}
        mixed = self._mix(batch) if self._teaches_now() else None
        outputs = self._forward(self._images(batch, mixed))
        losses = self._source_losses(outputs["source"], batch)
        if mixed is not None:
            for name, loss in self._pseudo_losses(outputs["mixed"], mixed).items():
                losses[name] = losses[name] + self.teaching.weight * loss
        if self._aligns_now():
            losses["alignment"] = self._align(outputs["source"], outputs["target"], batch)
        return losses

    def _aligns_now(self) -> bool:
        return self.aligns and self.global_step >= self.alignment_settings.start

    def _teaches_now(self) -> bool:
        return self.teaches and self.global_step >= self.teaching.start

    def _images(self, batch: Batch, mixed: Batch | None) -> dict[str, Tensor]:
        """What passes through the network in this step; the target also for its statistics."""
        images = {"source": self.image(batch)}
        if self._aligns_now() or self.source_norms is not None:
            images["target"] = self.image(batch, "target_image")
        if mixed is not None:
            images["mixed"] = self.image(mixed)
        return images

    def _forward(self, stacked: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
        if self.mixed_batches:
            names, images = list(stacked), list(stacked.values())
            outputs = self.network(torch.cat(images))
            parts = _split(outputs, [len(image) for image in images])
            return dict(zip(names, parts, strict=True))
        results = {}
        for name, image in stacked.items():
            silent = name == "target" and not self._aligns_now()
            own = self.source_norms is not None and name == "source"
            norms = (
                cast(SourceStatistics, self.source_norms).inside(self.network)
                if own
                else contextlib.nullcontext()
            )
            with norms, torch.no_grad() if silent else contextlib.nullcontext():
                results[name] = dict(self.network(image))
        return results

    def _source_losses(self, outputs: dict[str, Any], batch: Batch) -> dict[str, Tensor]:
        auxiliary = outputs.pop("auxiliary", None)
        losses = self.task_losses(outputs, batch)
        if auxiliary:
            targets = {task.name: batch[task.name] for task in self.tasks}
            losses |= cast(Any, self.network).auxiliary_losses(auxiliary, targets)
        return losses

    def _mix(self, batch: Batch) -> dict[str, Any]:
        """Mixed images and targets from the teacher's labels."""
        teacher = cast(nn.Module, cast(AveragedModel, self.teacher).module)
        image, camera = self.image(batch, "target_image"), batch.get("target_intrinsics")
        pseudo = st.teach(teacher, self.tasks, image, camera)
        mask = self._mask(batch)
        mixed = st.mix(
            self.tasks, batch, pseudo, mask, self.teaching.trusted, self.teaching.least_share
        )
        mixed["image"] = st.recolor(mixed["image"], self.teaching.jitter)
        return mixed

    def _mask(self, batch: Batch) -> Tensor:
        image = batch["target_image"]
        size = (int(image.shape[-2]), int(image.shape[-1]))
        if self.teaching.mixing == "none":
            return torch.zeros(len(image), 1, *size, dtype=torch.bool, device=image.device)
        for task in self.tasks:
            if isinstance(task, Segmentation):
                return st.class_mask(batch[task.name], task.channels)
        return st.box_mask(len(image), size, image.device)

    def _pseudo_losses(
        self, outputs: Mapping[str, Sequence[Tensor]], mixed: Batch
    ) -> dict[str, Tensor]:
        """{task: loss on mixed images x share of their pixels that have a trusted label}."""
        losses = {}
        for task in self.tasks:
            target = mixed[task.name]
            levels = outputs[task.name][-1:] if self.levels == "last" else outputs[task.name]
            terms = [
                task.loss(resize_output(level, target.shape[-2:]), target, mixed["intrinsics"])
                for level in levels
            ]
            total = torch.stack(terms).sum()
            if self.levels == "mean":
                total = total / len(terms)
            losses[task.name] = total * st.trusted_share(task, target)
        return losses

    def _align(self, source: Mapping[str, Any], target: Mapping[str, Any], batch: Batch) -> Tensor:
        alignment = cast(OutputAlignment, self.alignment)
        size = batch["image"].shape[-2:]
        references = alignment.references(batch)
        theirs = alignment.maps(target, size, references)
        with torch.no_grad():
            ours = alignment.maps(source, size, references)
        fooling = alignment.fooling_loss(theirs)
        self._judge()
        self._critic = alignment.telling_loss(ours, theirs)
        return self.alignment_settings.weight * fooling

    def _judge(self) -> None:
        """Looks for discriminators that have won, once every `window` steps."""
        settings = self.alignment_settings
        played = self.global_step - settings.start
        if played > 0 and played % settings.window == 0 and self._judged != self.global_step:
            self._judged = self.global_step
            cast(OutputAlignment, self.alignment).judge()

    def on_train_end(self) -> None:
        if self._aligns_now():
            self._judge()

    # ---- gradients --------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        total = super().training_step(batch, batch_idx)
        if self._critic is not None:
            self._watch(total, {DISCRIMINATORS: self._critic}, batch)
            if self._logs_now():
                self.log(f"train/loss/{DISCRIMINATORS}", self._critic.detach())
        return total

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """First the network's loss, then the discriminators'; they share no parameter."""
        super().backward(loss, *args, **kwargs)
        if self._critic is not None:
            (self._critic / self.trainer.accumulate_grad_batches).backward()
            self._critic = None

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.teacher is not None:
            self.teacher.update_parameters(self.network)

    def parts(self) -> list[tuple[str, Sequence[nn.Module], float]]:
        parts = super().parts()
        if self.alignment is not None:
            parts.append((DISCRIMINATORS, [self.alignment], self.alignment_settings.lr))
        return parts

    def configure_optimizers(self) -> Any:
        made = super().configure_optimizers()
        optimizer = made["optimizer"]
        factors: list[Callable[[int], float]] = []
        for group in optimizer.param_groups:
            if _of_discriminators(group):
                group["betas"], group["weight_decay"] = self.alignment_settings.betas, 0.0
                factors.append(lambda step: (1.0 - min(step / max(self.steps, 1), 1.0)) ** 0.9)
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


def growing_average(
    decay: float, grows_for: int
) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor], None]:
    """A moving average with decay min(`decay`, (1 + n) / (10 + n)) at update n < `grows_for`, then `decay`.

    While nobody listens to the teacher it forgets the random start: after 100 updates it looks back
    about 12 steps, after 1000 about 110. From the step on at which its labels are used it must be
    slow: a teacher that follows at once learns its own mistakes back from the network within some
    dozen steps. Integer buffers are copied.
    """

    @torch.no_grad()
    def update(averages: Sequence[Tensor], values: Sequence[Tensor], number: Tensor) -> None:
        grown = torch.clamp((1.0 + number) / (10.0 + number), max=decay)
        share = 1.0 - torch.where(number < grows_for, grown, torch.full_like(grown, decay))
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                average.lerp_(value, share.to(average.dtype))
            else:
                average.copy_(value)

    return update


def _of_discriminators(group: Mapping[str, Any]) -> bool:
    return str(group["name"]).split("/")[0] == DISCRIMINATORS


def _split(value: Any, sizes: Sequence[int]) -> list[Any]:
    """Tensors of nested lists and dictionaries, cut along the batch axis."""
    if isinstance(value, Tensor):
        return list(value.split(list(sizes)))
    if isinstance(value, Mapping):
        columns = {key: _split(item, sizes) for key, item in value.items()}
        return [{key: parts[i] for key, parts in columns.items()} for i in range(len(sizes))]
    rows = [_split(item, sizes) for item in value]
    return [[parts[i] for parts in rows] for i in range(len(sizes))]
