"""The self-supervised regime: depth and motion from video, together with labelled tasks."""

import copy
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crosstask.geometry.direct_alignment import pose_distance
from crosstask.geometry.ground_plane import level_ground
from crosstask.geometry.photometric import Reprojection, invert_pose, pose_matrix, smoothness
from crosstask.models.networks.scene_network import pad_image
from crosstask.regimes.regime import Batch
from crosstask.regimes.self_supervised.sequence_evaluation import (
    SequenceEvaluator,
    mean_motion_errors,
)
from crosstask.regimes.self_supervised.sequence_images import write_images
from crosstask.regimes.self_supervised.view_synthesis import (
    SelfSupervision,
    Synthesis,
    check_batch,
    enlarge,
    identity_errors,
    reproject,
    synthesise,
)
from crosstask.regimes.supervised import Supervised
from crosstask.tasks import Task
from crosstask.tasks.self_supervised_depth import SelfSupervisedDepth

Number = float | int
STILL = 1e-3  # mean difference of neighbouring frames below which a video shows no motion
GUIDANCE = (
    0.05  # weight of a pixel of distance between the pose network's motion and the refined one
)
GAUGE = 0.05  # weight of the squared logarithm by which a batch's depth leaves `start`


class SelfSupervised(Supervised):
    """Depth learned from the photometric error of neighbouring frames; other tasks from labels.

    The loss of the depth task is the mean over the levels of its output of the photometric error
    and the smoothness (DenseMTL, Table 5; Monodepth2); that of every other task is the supervised one.

    With `supervision.refinement` the pose network's answers are refined against the images before they
    warp anything, and the pose network follows the refined motions. Before the step `refine_from`, while
    both networks are untrained, motions are solved for from standing still under the depth of a level
    ground. Refined motions take on whatever scale depth has, so the unit is fixed: the mean logarithm of
    a batch's depth is drawn to the task's starting depth, unless a length is known.

    Args:
        pose_network: two frames in temporal order -> axis-angle and translation, first -> second.
        supervision: the photometric loss.
        pose_lr: rate of the pose network; the optimiser's `lr` if left out.
        freeze: as in `Regime`, and "pose".
    """

    calls_network_once: ClassVar[bool] = False
    reads_images: ClassVar[str] = "motion and depth are learned from the images themselves"

    def __init__(
        self,
        network: nn.Module,
        tasks: Sequence[Task],
        *args: Any,
        pose_network: nn.Module,
        supervision: SelfSupervision | None = None,
        pose_lr: Number | None = None,
        freeze: Sequence[str] = (),
        **options: Any,
    ) -> None:
        depths = [cast(SelfSupervisedDepth, task) for task in tasks if task.learns_from_video]
        if len(depths) != 1:
            raise ValueError(
                f"`tasks` has {len(depths)} tasks of SelfSupervisedDepth; expected exactly one beside "
                "the labelled ones"
            )
        common = [part for part in freeze if part != "pose"]
        super().__init__(network, tasks, *args, freeze=common, **options)
        self.depth = depths[0]
        self.labelled_tasks = tuple(task for task in self.tasks if task is not self.depth)
        self.supervision = supervision or SelfSupervision()
        self.pose_network, self.pose_lr = pose_network, pose_lr
        self.pose_frozen = "pose" in freeze
        self.pose_network.requires_grad_(not self.pose_frozen)
        self.reference_encoder: nn.Module | None = None
        if self.supervision.feature_distance:
            self.reference_encoder = copy.deepcopy(cast(nn.Module, network.encoder)).requires_grad_(
                False
            )
        self._labels_seen = torch.zeros(len(self.labelled_tasks))
        self.evaluator = self._sequence_evaluator()
        self._warned = False

    # ---- what the regime adds to the machinery ------------------------------------------------

    def parts(self) -> list[tuple[str, Sequence[nn.Module], float]]:
        rate = self.settings.lr if self.pose_lr is None else float(self.pose_lr)
        return [*super().parts(), ("pose", [self.pose_network], rate)]

    def frozen_modules(self) -> list[nn.Module]:
        modules = super().frozen_modules()
        if self.pose_frozen:
            modules.append(self.pose_network)
        if self.reference_encoder is not None:
            modules.append(self.reference_encoder)
        return modules

    def companions(self) -> dict[str, nn.Module]:
        return {**super().companions(), "pose_network": self.pose_network}

    def model_facts(self) -> dict[str, Any]:
        return {
            "pose_network": cast(Any, self.pose_network).spec,
            "offsets": list(self.supervision.offsets),
        }

    def final_metrics(self, dataset: Any, **options: Any) -> dict[str, float]:
        self.pose_network.eval().to(options.get("device", "cpu"))
        return super().final_metrics(dataset, evaluator=self._sequence_evaluator(), **options)

    def _sequence_evaluator(self) -> SequenceEvaluator:
        return SequenceEvaluator(self.tasks, self.depth, self.poses, self.supervision)

    def trivial_metrics(self, train: Any, val: Any) -> dict[str, float]:
        return mean_motion_errors(train, val)

    # ---- losses -------------------------------------------------------------------------------

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        check_batch(batch, self.supervision.offsets)
        image = self.image(batch)
        network, features = cast(Any, self.network), None
        if self.reference_encoder is None:
            outputs = dict(network(image))
        else:
            features = network.encode(image)
            outputs = dict(network.decode(features, tuple(image.shape[-2:])))
        found = self.labelled_losses(outputs, batch)
        found[self.depth.name] = self.depth_loss(outputs[self.depth.name], batch, features)
        return {task.name: found[task.name] for task in self.tasks} | found

    def depth_loss(
        self, levels: Sequence[Tensor], batch: Batch, features: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Photometric error and smoothness, the mean over `levels` (raw outputs, coarse to fine)."""
        target = cast(Tensor, batch["image"]).float()
        neighbours = cast(Tensor, batch["neighbours"]).float()
        intrinsics = cast(Tensor, batch["intrinsics"])
        settings = self.supervision
        disparities = [self.depth.disparity(level) for level in levels]
        depths = [self.depth.depth(enlarge(d, target.shape[-2:])) for d in disparities]
        depth, poses = depths[-1], self.poses(target, neighbours)
        metric_poses, extra = poses, depth.new_zeros(())
        if settings.refinement is not None:
            poses, metric_poses, extra = self._refined(batch, depth, poses)
        identity = identity_errors(target, neighbours, settings) if settings.auto_mask else None
        losses = []
        for level, disparity, full in zip(levels, disparities, depths, strict=True):
            _, result = reproject(target, neighbours, full, poses, intrinsics, settings, identity)
            stride = -(-target.shape[-1] // level.shape[-1])
            small = F.interpolate(target, size=level.shape[-2:], mode="area")
            error = result.error.sum() / result.counted.sum().clamp_min(1)
            losses.append(
                error + float(settings.smoothness) / stride * smoothness(disparity, small)
            )
        total = torch.stack(losses).mean() + extra
        self._watch_motion(target, neighbours, result)
        total = total + settings.scale.penalty(
            depth, intrinsics, metric_poses, batch.get("poses"), settings.offsets
        )
        if features is not None:
            total = total + float(settings.feature_distance) * self._feature_distance(
                batch, features
            )
        return total

    def _refined(self, batch: Batch, depth: Tensor, own: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Refined motions, the same with the gradient of depth's scale, and the losses they bring.

        What refinement finds is proportional to the depth that it is given.
        """
        intrinsics, (height, width) = batch["intrinsics"], depth.shape[-2:]
        belief, start = depth.detach(), own.detach()
        if self.global_step < self.supervision.refine_from:
            belief = _scaled_like(level_ground(intrinsics, (height, width)), belief)
            start = torch.eye(4, device=depth.device).repeat(*start.shape[:2], 1, 1)
        found = self.supervision.refined(batch, belief, start)
        scaled = _stretched(found, depth.log().mean(dim=(1, 2, 3)))
        loss = GUIDANCE * pose_distance(own, scaled, depth.detach(), intrinsics)
        if not self.supervision.scale:
            loss = loss + GAUGE * (depth.log().mean() - math.log(self.depth.typical)).square()
        return found, scaled, loss

    def poses(self, target: Tensor, neighbours: Tensor) -> Tensor:
        """(B,K,4,4) predicted motions source <- target.

        The pose network sees pairs in temporal order; for a frame before the target its answer,
        target <- source, is inverted.
        """
        offsets = self.supervision.offsets
        earlier = [neighbours[:, k] if o < 0 else target for k, o in enumerate(offsets)]
        later = [target if o < 0 else neighbours[:, k] for k, o in enumerate(offsets)]
        rotation, translation = self.pose_network(torch.cat(earlier), torch.cat(later))
        forward = pose_matrix(rotation, translation).unflatten(0, (len(offsets), len(target)))
        found = [invert_pose(forward[k]) if o < 0 else forward[k] for k, o in enumerate(offsets)]
        return torch.stack(found, dim=1)

    def _feature_distance(self, batch: Batch, features: Sequence[Tensor]) -> Tensor:
        """Mean length of the difference to the reference's deepest features."""
        reference = cast(nn.Module, self.reference_encoder)
        with torch.no_grad():
            fixed = reference(pad_image(self.image(batch), cast(Any, reference).multiple))[-1]
        return (features[-1].float() - fixed.float()).norm(dim=1).mean()

    def _watch_motion(self, target: Tensor, neighbours: Tensor, result: Reprojection) -> None:
        """Warns once where a batch cannot teach: nothing moves, or the auto-mask covers everything."""
        if self._warned or (target.device.type != "cpu" and not self._logs_now()):
            return
        change = (neighbours - target[:, None]).abs().mean()
        if change < STILL:
            found = f"neighbouring frames are nearly equal (mean difference {float(change):.1e})"
        elif self.supervision.auto_mask and result.moving.float().mean() < 0.01:
            found = "the auto-mask covers over 99 % of the pixels"
        else:
            return
        self._warned = True
        warnings.warn(
            f"{found} at step {self.global_step}: a camera that stands still teaches no depth. Take "
            "frames further apart (`--offsets=-3,3`), or leave out the parts of the video where it stands",
            stacklevel=2,
        )

    # ---- images -----------------------------------------------------------------------------

    @torch.no_grad()
    def synthesis(self, batch: Batch) -> Synthesis:
        """The target rebuilt from its neighbours, with the errors that the loss compares."""
        self.pose_network.eval()
        image = cast(Tensor, batch["image"]).float()
        output = self.inference_network().eval()(image)[self.depth.name][-1].float()
        depth = self.depth.decode(enlarge(output, image.shape[-2:]))
        poses = self.supervision.refined(
            batch, depth, self.poses(image, batch["neighbours"].float())
        )
        return synthesise(batch, depth, poses, self.supervision)

    def write_images(self, folder: Path, dataset: Any, device: Any) -> None:
        super().write_images(folder, dataset, device)
        write_images(self, folder, dataset, device)


def _stretched(poses: Tensor, size: Tensor) -> Tensor:
    """(B,K,4,4) `poses` as they are, whose translations carry the gradient of exp(`size`), (B,)."""
    factor = (size - size.detach()).exp()[:, None, None]
    last = torch.cat([poses[..., :3, 3] * factor, poses[..., 3, 3:]], dim=-1)
    return torch.cat([poses[..., :3], last[..., None]], dim=-1)


def _scaled_like(depth: Tensor, like: Tensor) -> Tensor:
    """`depth` times one factor for each image, so that its mean logarithm is that of `like`."""
    shift = like.log().mean(dim=(1, 2, 3)) - depth.log().mean(dim=(1, 2, 3))
    return depth * shift.exp()[:, None, None, None]
