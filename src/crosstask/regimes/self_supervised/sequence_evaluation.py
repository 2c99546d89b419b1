"""What a sequence can tell beyond the tasks' metrics: photometric errors and pose errors."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Subset
from torchmetrics import MeanMetric

from crosstask.data.loading import evaluation_loader
from crosstask.data.samples import as_samples
from crosstask.data.spacing import evenly
from crosstask.evaluation.evaluate import Evaluator
from crosstask.metrics.pose import MeanMotion, PoseError
from crosstask.regimes.self_supervised.view_synthesis import (
    Batch,
    SelfSupervision,
    check_batch,
    enlarge,
    synthesise,
)
from crosstask.tasks import Task
from crosstask.tasks.self_supervised_depth import SelfSupervisedDepth


class SequenceEvaluator(Evaluator):
    """Adds photometric and pose errors to the tasks' metrics.

    ``photometric/unwarped`` and ``photometric/warped``: mean error of the neighbours before and after
    they are brought into the target's view, by the regime's rule, without auto-mask;
    ``pose/rotation``, ``pose/translation_direction`` (degrees) and ``pose/ate`` (metres) where the
    samples have poses. Where the motion is refined, these are errors of the refined motion, and
    ``pose/network/...`` those of the pose network's own answer. Without any label, `score` is
    1 - warped / unwarped, at least 0.

    Args:
        tasks: ordered tasks.
        depth: the one among them whose output makes the views.
        motion: (target, neighbours) -> (B,K,4,4), the pose network's motions source <- target.
        supervision: rule, weights and offsets, and the refinement of motions.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        depth: SelfSupervisedDepth,
        motion: Callable[[Tensor, Tensor], Tensor],
        supervision: SelfSupervision,
    ) -> None:
        super().__init__(tasks)
        self.depth, self.motion, self.supervision = depth, motion, supervision
        self.pose_error, self.network_error = PoseError(), PoseError()
        self.unwarped, self.warped = MeanMetric(), MeanMetric()

    def reset(self) -> None:
        super().reset()
        for metric in (self.pose_error, self.network_error, self.unwarped, self.warped):
            metric.reset()

    @torch.no_grad()
    def update(self, outputs: Mapping[str, Sequence[Tensor]], batch: Batch) -> dict[str, Tensor]:
        predictions = super().update(outputs, batch)
        if "neighbours" not in batch:
            return predictions
        check_batch(batch, self.supervision.offsets)
        output = outputs[self.depth.name][-1].float()
        depth = self.depth.decode(enlarge(output, batch["image"].shape[-2:]))
        own = self.motion(batch["image"].float(), batch["neighbours"].float())
        poses = self.supervision.refined(batch, depth, own)
        found = synthesise(batch, depth, poses, self.supervision)
        self.unwarped.update(found.before)
        self.warped.update(found.after)
        if "poses" in batch:
            truth = batch["poses"].float()
            self.pose_error.update(poses, truth)
            if self.supervision.refinement is not None:
                self.network_error.update(own, truth)
        return predictions

    def compute(self) -> dict[str, float]:
        values = super().compute()
        if int(self.warped.update_count):
            before, after = float(self.unwarped.compute()), float(self.warped.compute())
            values |= {"photometric/unwarped": before, "photometric/warped": after}
            if values["score"] != values["score"]:
                values["score"] = max(0.0, 1.0 - after / max(before, 1e-12))
        for name, metric in (("pose", self.pose_error), ("pose/network", self.network_error)):
            if int(metric.update_count):
                values |= {f"{name}/{k}": float(v) for k, v in metric.compute().items()}
        return values


def mean_motion_errors(train: Any, val: Any, samples: int = 200) -> dict[str, float]:
    """``trivial/pose/...``: the errors of predicting the training set's mean motion; {} without poses."""
    if "poses" not in as_samples(val).modalities:
        return {}
    trivial, errors = MeanMotion(), PoseError()
    seen = Subset(train, evenly(len(train), samples))
    for batch in evaluation_loader(seen, batch_size=1):
        trivial.update(batch["poses"])
    for batch in evaluation_loader(val, batch_size=1):
        errors.update(trivial.predict(batch["poses"]), batch["poses"])
    return {f"trivial/pose/{k}": float(v) for k, v in errors.compute().items()}
