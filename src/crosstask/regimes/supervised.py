"""The supervised regime: every task that has labels is trained, at every supervised level."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, cast

import torch
import torch.distributed as dist
from torch import Tensor

from crosstask.data.features import FEATURES, PRESENT, FeatureStore
from crosstask.evaluation.evaluate import resize_output
from crosstask.regimes.freezing import pretrained_parts
from crosstask.regimes.regime import Batch, Regime

Levels = Literal["mean", "sum", "last"]


class Supervised(Regime):
    """L_t = mean over levels of loss(output_level, target), balanced over tasks (spec §10).

    The loss of a task is its sum over labelled pixels divided by the number of labelled pixels of
    the *whole* optimiser step: all accumulated batches, all processes. An image without a label
    of some task changes nothing of that task's head.

    Args:
        levels: "mean" (DenseMTL), "sum" (SCA-MTL, MTI-Net: deep supervision adds up) or "last".

    Attributes:
        feature_store: where features that a batch lacks go, once they are computed; set by the engine.
    """

    reads_images: ClassVar[str] = ""
    calls_network_once: ClassVar[bool] = True

    def __init__(self, *args: Any, levels: Levels = "mean", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if levels not in ("mean", "sum", "last"):
            raise ValueError(f"`levels` is {levels!r}; expected mean, sum or last")
        self.levels = levels
        self.labelled_tasks = self.tasks  # a regime that teaches a task otherwise leaves it out
        self._labels_seen = torch.zeros(len(self.tasks))
        self._batches_seen = 0
        self.feature_store: FeatureStore | None = None

    def weigh_classes(self, weights: Mapping[str, Sequence[float]]) -> None:
        super().weigh_classes(weights)
        names = [task.name for task in self.labelled_tasks]
        self.labelled_tasks = tuple(task for task in self.tasks if task.name in names)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        image, network = self.image(batch), cast(Any, self.network)
        if FEATURES in batch:
            size = (image.shape[-2], image.shape[-1])
            outputs = network.decode_frozen(self._stored_features(batch, image), size)
        else:
            outputs = network(image)
        return self.labelled_losses(dict(outputs), batch)

    def _stored_features(self, batch: Batch, image: Tensor) -> list[Tensor]:
        """(B,C,H,W) maps from the batch; those that it lacks are computed, rounded alike and stored."""
        maps = cast(list[Tensor], batch[FEATURES])  # (B,H,W,C): in memory as convolutions like it
        for row in (~batch[PRESENT]).nonzero().flatten().tolist():
            found = self.frozen_features(image[row : row + 1])
            for kept, computed in zip(maps, found, strict=True):
                kept[row] = computed
            if self.feature_store is not None:
                key = self.feature_store.key(batch["image"][row].cpu())
                self.feature_store.write(key, found)
        return [x.permute(0, 3, 1, 2).float() for x in maps]

    @torch.no_grad()
    def frozen_features(self, image: Tensor) -> list[Tensor]:
        """(H,W,C) half floats of one image (1,3,H,W): one at a time, in full precision, so that they
        depend on nothing but the image and the weights.

        Raises:
            ValueError: numbers that half floats do not hold.
        """
        for part in pretrained_parts(self.network):
            part.eval()  # batch statistics of one image would be its own
        with torch.autocast(image.device.type, enabled=False):
            maps = cast(Any, self.network).encode_frozen(image.float())
        halves = [x[0].permute(1, 2, 0).contiguous().half() for x in maps]
        if not all(bool(torch.isfinite(x).all()) for x in halves):
            raise ValueError(
                "`cache_features` stores half floats, and features of this encoder are larger than they "
                "hold; leave it out"
            )
        return halves

    def labelled_losses(self, outputs: dict[str, Any], batch: Batch) -> dict[str, Tensor]:
        """{task: loss}, and the network's own losses on its auxiliary outputs, if it gives any."""
        auxiliary = outputs.pop("auxiliary", None)
        losses = self.task_losses(outputs, batch)
        if auxiliary:
            targets = {task.name: batch[task.name] for task in self.labelled_tasks}
            losses |= cast(Any, self.network).auxiliary_losses(auxiliary, targets)
        return losses

    def task_losses(
        self, outputs: Mapping[str, Sequence[Tensor]], batch: Batch
    ) -> dict[str, Tensor]:
        """{task: loss over levels and labelled pixels} of outputs already computed."""
        if not self.labelled_tasks:
            return {}
        share, camera = self._share(batch), batch.get("intrinsics")
        losses = {}
        for task in self.labelled_tasks:
            target = batch[task.name]
            sums = [
                task.loss_terms(resize_output(level, target.shape[-2:]), target, camera)[0]
                for level in self.used_levels(outputs[task.name])
            ]
            losses[task.name] = self.combine_levels(sums) * share[task.name]
        return losses

    def used_levels(self, outputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """Those of a task's outputs, coarse to fine, that have a loss."""
        return outputs[-1:] if self.levels == "last" else outputs

    def combine_levels(self, losses: Sequence[Tensor]) -> Tensor:
        """One loss of those of the used levels: their sum or mean."""
        total = torch.stack(list(losses)).sum()
        return total / len(losses) if self.levels == "mean" else total

    def _share(self, batch: Batch) -> dict[str, Tensor]:
        """What one labelled pixel weighs, so that gradients of the step add up to its mean."""
        given = batch.get("normalizers")
        counts = given or {t.name: t.normalizer(batch[t.name]) for t in self.labelled_tasks}
        numbers = torch.stack([counts[t.name].float().to(self.device) for t in self.labelled_tasks])
        self._labels_seen = self._labels_seen.to(numbers.device) + numbers.detach()
        factor = 1.0
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(numbers)
            factor = float(dist.get_world_size())
        if given is not None:
            factor *= self.trainer.accumulate_grad_batches
        shares = torch.where(
            numbers > 0, factor / numbers.clamp(min=1e-12), torch.zeros_like(numbers)
        )
        return {task.name: shares[i] for i, task in enumerate(self.labelled_tasks)}

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_end(outputs, batch, batch_idx)
        self._batches_seen += 1
        if self.epoch_batches and self._batches_seen >= self.epoch_batches:
            for task, seen in zip(self.labelled_tasks, self._labels_seen.tolist(), strict=True):
                if seen == 0:
                    warnings.warn(
                        f"no image of a whole epoch had a label for `{task.name}`: its head does "
                        "not learn; drop the task or add data that has it",
                        stacklevel=2,
                    )
            self._batches_seen = 0
            self._labels_seen = torch.zeros_like(self._labels_seen)

    def count_labels(self, batch: Batch) -> dict[str, Tensor]:
        """{task: its normaliser over this batch}, for loaders that count a whole step ahead."""
        return {task.name: task.normalizer(batch[task.name]) for task in self.labelled_tasks}
