"""Self-supervised depth: direction of poses, the loss on known motion, joint training, bad input."""

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate
from torchvision.io import decode_image

from crosstask.engine.experiment import Experiment
from crosstask.geometry.direct_alignment import DirectAlignment
from crosstask.geometry.ground_plane import ground_distance
from crosstask.geometry.photometric import invert_pose
from crosstask.metrics.pose import rotation_error, translation_direction_error
from crosstask.predict.model import load
from crosstask.recipes.self_supervised import (
    depth_task,
    parse_offsets,
    self_supervised_experiment,
)
from crosstask.regimes.self_supervised.regime import SelfSupervised
from crosstask.regimes.self_supervised.scale import KnownScale
from crosstask.regimes.self_supervised.sequence_evaluation import mean_motion_errors
from crosstask.regimes.self_supervised.view_synthesis import (
    SelfSupervision,
    check_batch,
    enlarge,
    identity_errors,
    reproject,
    synthesise,
)
from crosstask.tasks import ClassTable, Depth, Segmentation
from crosstask.tasks.self_supervised_depth import SelfSupervisedDepth
from fakes.sequences import HEIGHT_ABOVE_FLOOR, Drives

CLASSES = ClassTable(names=("floor", "wall"), colors=((90, 60, 90), (120, 120, 120)))
SEGMENTATION, DEPTH = Segmentation(classes=CLASSES), SelfSupervisedDepth(far=50.0)
Make = Callable[..., Experiment]


def batch(count: int = 2, **options: Any) -> dict[str, Any]:
    data = Drives(count, **options)
    return default_collate([data[i] for i in range(count)])


@pytest.fixture
def make() -> Make:
    def build(tasks: tuple[Any, ...] = (DEPTH,), data: Any = None, **options: Any) -> Experiment:
        settings: dict[str, Any] = {
            "encoder": "test_resnet",
            "pose_encoder": "test_resnet",
            "pretrained": False,
            "width": 0.0625,
            "size": "32x64",
            "steps": 4,
            "batch_size": 2,
            "val_every": 2,
            "workers": 0,
            "optimizer": "matched",
            "channels_last": False,
        }
        offsets = parse_offsets(options.get("offsets", "-1,1"))
        return self_supervised_experiment(
            tasks=tasks,
            train_data=lambda: data or Drives(6, offsets=offsets),
            val_data=lambda: Drives(3, offset=100, offsets=offsets),
            **(settings | options),
        )

    return build


class Interrupted(Exception):
    pass


class Brightening(nn.Module):
    """A pose network that answers with the gain in brightness, as a translation along z."""

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        gain = (second - first).mean(dim=(1, 2, 3))
        return torch.zeros(len(gain), 3), torch.stack([0 * gain, 0 * gain, gain], dim=1)


def test_pairs_are_in_temporal_order_and_poses_lead_to_the_source(make: Make) -> None:
    regime = make(offsets="-2,1,3").regime
    regime.pose_network = Brightening()
    target = torch.full((2, 3, 8, 8), 0.5)
    levels = torch.tensor([[0.1, 0.7, 0.9], [0.4, 0.6, 1.0]])
    poses = regime.poses(target, levels[:, :, None, None, None].expand(2, 3, 3, 8, 8))
    # before: target - source = 0.4 is the way source -> target, so source <- target is -0.4
    torch.testing.assert_close(poses[..., 2, 3], torch.tensor([[-0.4, 0.2, 0.4], [-0.1, 0.1, 0.5]]))


def test_true_depth_and_motion_explain_the_neighbours_and_their_inverse_does_not() -> None:
    known = batch(4, size=(48, 80))
    for rule, border in (("minimum", "count"), ("mean", "ignore")):
        settings = SelfSupervision(rule=rule, border=border)
        right = synthesise(known, known["depth"], known["poses"], settings)
        wrong = synthesise(known, known["depth"], invert_pose(known["poses"]), settings)
        assert right.after.mean() < 0.15 * right.before.mean()
        assert wrong.after.mean() > right.before.mean()
        assert right.moving.float().mean() > 0.9
    assert float(right.after.median()) < 5e-3  # bilinear sampling of a smooth texture


def test_the_loss_is_least_at_the_truth(make: Make) -> None:
    regime, known = make(smoothness=0.0).regime, batch(3, size=(48, 80))
    disparity = (1 / known["depth"] - 0.01) / 9.99
    raw = torch.logit(disparity)

    def loss(factor: float, poses: Tensor) -> float:
        regime.poses = lambda target, neighbours: poses  # type: ignore[method-assign]
        # in the tail of the sigmoid, adding log(factor) multiplies disparity
        return float(regime.depth_loss([raw + torch.tensor(factor).log()], known))

    truth = loss(1.0, known["poses"])
    assert truth < 0.02
    for other in (
        loss(0.7, known["poses"]),
        loss(1.4, known["poses"]),
        loss(1.0, invert_pose(known["poses"])),
    ):
        assert other > 2 * truth


def test_refined_motions_warp_and_teach_the_pose_network(make: Make) -> None:
    experiment = make(refine_poses=True, refine_from=0, smoothness=0.0)
    regime, known = experiment.regime, batch(3, size=(48, 80))
    raw = torch.logit((1 / known["depth"] - 0.01) / 9.99).requires_grad_()
    plain = make().regime
    plain.pose_network = regime.pose_network.eval()  # knows nothing yet
    own = plain.poses(known["image"], known["neighbours"])
    refined = regime.supervision.refined(known, known["depth"], own)
    assert torch.equal(plain.supervision.refined(known, known["depth"], own), own)
    views = [synthesise(known, known["depth"], p, regime.supervision) for p in (refined, own)]
    assert views[0].after.mean() < 0.15 * views[1].after.mean()
    assert float(rotation_error(refined, known["poses"]).max()) < 0.1
    regime.depth_loss([raw], known).backward()
    assert all(p.grad is not None for p in regime.pose_network.head.parameters())


def test_a_level_ground_is_enough_to_begin_with(make: Make) -> None:
    """Before `refine_from` neither the pose network nor the predicted depth is asked."""
    regime, known = make(refine_poses=True, refine_from=5).regime, batch(4, size=(48, 80))
    seen: list[torch.Tensor] = []

    class Spy(DirectAlignment):
        def refine(
            self, target: Tensor, neighbours: Tensor, depth: Tensor, poses: Tensor, camera: Tensor
        ) -> Tensor:
            assert torch.equal(poses, torch.eye(4).expand(4, 2, 4, 4))
            found = super().refine(target, neighbours, depth, poses, camera)
            seen.extend([depth, found])
            return found

    regime.supervision = replace(regime.supervision, refinement=Spy())
    raw = torch.full((4, 1, 48, 80), -2.0)
    regime.depth_loss([raw], known)
    assert float(rotation_error(seen[1], known["poses"]).mean()) < 0.5
    assert float(translation_direction_error(seen[1], known["poses"])[0].mean()) < 10
    torch.testing.assert_close(  # in the unit that the network's depth has
        seen[0].log().mean(dim=(1, 2, 3)),
        regime.depth.decode(raw).log().mean(dim=(1, 2, 3)),
    )


def test_the_unit_of_refined_motions_is_held(make: Make) -> None:
    """A known distance pulls at depth itself, since refined motions have depth's scale."""
    known = batch(2, size=(48, 80))
    gradients = []
    for factor in (0.5, 2.0):
        regime = make(refine_poses=True, refine_from=0, smoothness=0.0, distance="poses").regime
        with torch.no_grad():
            regime.pose_network.head[-1].weight.zero_()
        raw = torch.logit((1 / (factor * known["depth"]) - 0.01) / 9.99).requires_grad_()
        regime.depth_loss([raw], known).backward()
        assert raw.grad is not None
        gradients.append(float(raw.grad.sum()))
    assert gradients[0] > 0 > gradients[1]  # too near: raw disparity has to fall; too far: to rise


def test_levels_are_averaged_and_smoothness_halves_with_each(make: Make) -> None:
    regime, known = make(auto_mask=False).regime, batch(1)
    with torch.no_grad():
        fine = torch.randn(1, 1, 32, 64) - 3
        coarse = torch.randn(1, 1, 8, 16) - 3
        parts = [float(regime.depth_loss([level], known)) for level in (coarse, fine)]
        both = float(regime.depth_loss([coarse, fine], known))
        assert both == pytest.approx(sum(parts) / 2, rel=1e-5)
        plain = make(auto_mask=False, smoothness=0.0).regime
        plain.pose_network = regime.pose_network
        rough = [
            parts[0] - float(plain.depth_loss([coarse], known)),
            parts[1] - float(plain.depth_loss([fine], known)),
        ]
        doubled = make(auto_mask=False, smoothness=2e-3).regime
        doubled.pose_network = regime.pose_network
        again = float(doubled.depth_loss([fine], known))
        assert again - parts[1] == pytest.approx(rough[1], rel=1e-2)
        step = torch.full((1, 1, 8, 16), 1.0)
        step[..., 8:] = 3.0  # after normalisation one step of 1 among 15: 1/15 along x, at stride 4
        flat = dict(known, image=torch.full((1, 3, 32, 64), 0.5))
        raw = torch.logit(step / 100)
        difference = float(regime.depth_loss([raw], flat)) - float(plain.depth_loss([raw], flat))
        assert difference == pytest.approx(1e-3 / 4 / 15, rel=0.02)


@pytest.mark.parametrize(
    ("offsets", "size", "count", "options"),
    [
        ("-1,1", (32, 64), 1, {}),
        ("1", (33, 47), 3, {"reprojection": "mean", "auto_mask": False, "border": "ignore"}),
        ("-2,-1,1", (37, 52), 2, {"reprojection": "mean", "border": "ignore"}),
    ],
)
def test_any_batch_odd_sizes_any_number_of_sources(
    make: Make, offsets: str, size: tuple[int, int], count: int, options: dict[str, Any]
) -> None:
    regime = make(offsets=offsets, **options).regime
    data = batch(count, size=size, offsets=parse_offsets(offsets))
    del data["depth"], data["segmentation"], data["poses"]  # no labels are needed
    regime.train(count > 1)
    losses = regime.losses(data)
    assert list(losses) == ["depth"] and torch.isfinite(losses["depth"])
    losses["depth"].backward()
    for name, parameter in [
        *regime.network.named_parameters(),
        *regime.pose_network.named_parameters(),
    ]:
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("architecture", ["multi_task_matched", "threeways_padnet", "densemtl"])
def test_joint_with_segmentation_under_every_exchange(make: Make, architecture: str) -> None:
    regime = make((SEGMENTATION, DEPTH), architecture=architecture).regime
    data = batch(2)
    del data["depth"]
    outputs = regime.network(data["image"])
    strides = {
        task: [64 // level.shape[-1] for level in levels] for task, levels in outputs.items()
    }
    assert strides == {"segmentation": [4, 1], "depth": [8, 4, 2, 1]}  # as in the paper's Table 5
    losses = regime.losses(data)
    assert list(losses) == ["segmentation", "depth"]
    encoder = regime.shared_parameters()
    for loss in losses.values():
        gradients = torch.autograd.grad(loss, encoder, retain_graph=True, allow_unused=True)
        assert sum(float(g.abs().sum()) for g in gradients if g is not None) > 0


def test_parts_have_their_own_rates_and_can_be_frozen(make: Make) -> None:
    regime = make(lr=1e-3, encoder_lr=1e-4, pose_lr=1e-6, freeze="encoder,pose").regime
    regime.train()
    assert not any(p.requires_grad for p in regime.pose_network.parameters())
    assert not regime.pose_network.training and not regime.network.encoder.backbone.training
    assert not any(p.requires_grad for p in regime.network.encoder.parameters())
    free = make(lr=1e-3, encoder_lr=1e-4, pose_lr=1e-6).regime
    rates = {name: rate for name, _, rate in free.parts()}
    assert rates == {"encoder": 1e-4, "tasks": 1e-3, "pose": 1e-6}
    free.train()
    assert free.pose_network.training


def test_feature_distance_starts_at_nothing_and_holds_the_encoder(make: Make) -> None:
    regime, data = make(feature_distance=1.0).regime, batch(2)
    regime.eval()
    still = float(regime._feature_distance(data, regime.network.encode(data["image"])).detach())
    assert still == pytest.approx(0.0, abs=1e-6)
    before = float(regime.losses(data)["depth"])
    with torch.no_grad():
        for parameter in regime.network.encoder.parameters():
            parameter.mul_(1.05)
    assert float(regime._feature_distance(data, regime.network.encode(data["image"]))) > 0.01
    loss = regime.losses(data)["depth"]
    assert float(loss) > before
    loss.backward()
    assert all(p.grad is None for p in regime.reference_encoder.parameters())


def test_the_ground_lies_at_the_cameras_height() -> None:
    data = batch(3, size=(48, 80))
    height = ground_distance(data["depth"], data["intrinsics"])
    torch.testing.assert_close(height, torch.full((3,), HEIGHT_ABOVE_FLOOR), rtol=1e-3, atol=0)
    with_cars = data["depth"].clone()
    with_cars[..., 40:44, 30:36] *= 0.6
    torch.testing.assert_close(
        ground_distance(with_cars, data["intrinsics"]), height, rtol=0.05, atol=0
    )
    torch.testing.assert_close(ground_distance(3 * data["depth"], data["intrinsics"]), 3 * height)


def test_known_lengths_by_hand() -> None:
    data = batch(2, size=(48, 80))
    half = data["poses"].clone()
    half[..., :3, 3] *= 0.5
    arguments = (data["depth"], data["intrinsics"], half)
    speed = KnownScale(distance="poses", weight=0.1)
    assert float(speed.penalty(*arguments, data["poses"], (-1, 1))) == pytest.approx(0.05, rel=1e-3)
    given = KnownScale(distance=1.0, weight=1.0)
    steps = half[..., :3, 3].norm(dim=-1)
    assert float(given.penalty(*arguments, None, (-1, 1))) == pytest.approx(
        float(1 - steps.mean()), rel=1e-3
    )
    twice = (
        given.penalty(*arguments, None, (-1, 2)),
        (1 - steps[:, 0]).abs() + (2 - steps[:, 1]).abs(),
    )
    assert float(twice[0]) == pytest.approx(float(twice[1].mean() / 2 / 1.5), rel=1e-3)
    high = KnownScale(camera_height=3.0, weight=0.1)
    assert float(high.penalty(*arguments, None, (-1, 1))) == pytest.approx(0.05, rel=1e-3)
    assert float(KnownScale().penalty(*arguments, None, (-1, 1))) == 0.0
    assert depth_task(camera_height=1.6).kind == "metric" and depth_task().kind == "up_to_scale"
    with pytest.raises(ValueError, match="has no poses"):
        speed.penalty(*arguments, None, (-1, 1))
    with pytest.raises(ValueError, match="`distance`"):
        KnownScale(distance=-1.0)


def test_a_camera_that_stands_still_warns_and_stays_finite(make: Make) -> None:
    regime = make().regime
    with pytest.warns(
        UserWarning, match=r"nearly equal.*stands still teaches no depth.*--offsets=-3,3"
    ):
        losses = regime.losses(batch(2, still=True))
    losses["depth"].backward()
    assert torch.isfinite(losses["depth"]) and losses["depth"] < 1e-3
    assert all(torch.isfinite(p.grad).all() for p in regime.pose_network.parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # once is enough
        regime.losses(batch(2, still=True))
    covered, data = make().regime, batch(2, still=True)
    covered.poses = lambda target, neighbours: (
        data["poses"] @ torch.diag(torch.tensor([1.0, 1, 1, 1]))
    )  # type: ignore[method-assign]
    data["neighbours"] = (data["image"][:, None] + 0.01).clamp(0, 1).expand(-1, 2, -1, -1, -1)
    data["poses"] = data["poses"].clone()
    data["poses"][..., 0, 3] = 5.0  # a motion that nothing in the video shows
    with pytest.warns(UserWarning, match="auto-mask covers over 99 %"):
        assert torch.isfinite(covered.losses(data)["depth"])


def test_what_is_no_sequence_is_refused(make: Make) -> None:
    good = batch(2)
    check_batch(good, (-1, 1))
    for change, message in (
        ({"neighbours": None}, "no `neighbours`"),
        ({"neighbours": good["neighbours"][:, :1]}, "1 frames, `offsets`"),
        ({"neighbours": good["neighbours"][..., :-2]}, "expected one size"),
        ({"intrinsics": 0 * good["intrinsics"]}, r"intrinsics\.txt"),
    ):
        bad = {k: v for k, v in (good | change).items() if v is not None}
        with pytest.raises(ValueError, match=message):
            check_batch(bad, (-1, 1))
    regime = make().regime
    with pytest.raises(ValueError, match="exactly one"):
        SelfSupervised(
            regime.network,
            (Depth(),),
            regime.balancer,
            regime.settings,
            steps=1,
            pose_network=regime.pose_network,
        )
    assert not isinstance(make((Depth(),)).regime, SelfSupervised)  # labels alone
    for text in ("", "0,1", "1,1", "a"):
        with pytest.raises(ValueError, match="`offsets`"):
            parse_offsets(text)


def test_a_map_is_enlarged_by_its_stride() -> None:
    ramp = torch.arange(6.0).view(1, 1, 1, 6).expand(1, 1, 4, 6)  # stride 2 of a 7 x 11 image
    full = enlarge(ramp, (7, 11))
    assert full.shape == (1, 1, 7, 11)
    torch.testing.assert_close(full[0, 0, 3, 1:5], torch.tensor([0.25, 0.75, 1.25, 1.75]))


def test_evaluation_names_errors_and_judges_true_motion_perfect(make: Make) -> None:
    experiment = make((SEGMENTATION, DEPTH))
    regime, val = experiment.regime, experiment.val_data()
    values = regime.final_metrics(val, batch_size=2)
    for name in (
        "segmentation/miou",
        "depth/median_scaled/abs_rel",
        "pose/rotation",
        "pose/ate",
        "photometric/warped",
    ):
        assert name in values
    assert "depth/abs_rel" not in values
    true = default_collate([val[i] for i in range(3)])["poses"]
    regime.poses = lambda target, neighbours: true  # type: ignore[method-assign]
    perfect = regime.final_metrics(val, batch_size=3)
    assert perfect["pose/rotation"] == pytest.approx(0.0, abs=0.1)
    assert perfect["pose/translation_direction"] == pytest.approx(0.0, abs=0.1)
    trivial = mean_motion_errors(experiment.train_data(), val)
    assert 0.1 < trivial["trivial/pose/rotation"] < 3.0
    unwarped = identity_errors(
        val[0]["image"][None], val[0]["neighbours"][None], regime.supervision
    )
    assert unwarped.shape == (1, 2, 32, 64)


def test_training_learns_resumes_and_leaves_its_images(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crosstask.engine.training import train

    options: dict[str, Any] = {"tasks": (SEGMENTATION, DEPTH), "feature_distance": 0.01}
    metrics = train(make(**options), tmp_path / "whole", progress=False)
    start = SelfSupervised.on_train_batch_start

    def stop(self: SelfSupervised, batch: Any, batch_idx: int) -> None:
        if self.global_step == 3:
            raise Interrupted
        start(self, batch, batch_idx)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(SelfSupervised, "on_train_batch_start", stop)
        train(make(**options), tmp_path / "cut", progress=False)
    train(make(**options), tmp_path / "cut", resume=True, progress=False)
    whole, cut = (
        torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "cut")
    )
    assert list(whole) == list(cut) and all(torch.equal(whole[k], cut[k]) for k in whole)
    assert not any(k.startswith("evaluator") and "pose_network" in k for k in whole)
    for name in (
        "trivial/pose/rotation",
        "trivial/depth/median_scaled/abs_rel",
        "trivial/segmentation/miou",
    ):
        assert name in metrics
    described = json.loads((tmp_path / "whole/model.json").read_text())
    kinds = [task["kind"] for task in described["tasks"] if task["name"] == "depth"]
    assert kinds == ["up_to_scale"] and described["pose_network"]["encoder"] == "test_resnet"
    panel = decode_image(str(tmp_path / "whole/photometric.png"))
    assert panel.shape[2] == 3 * (64 * 4 + 8) and panel.float().std() > 20
    prediction = load(tmp_path / "whole").predict(torch.rand(3, 40, 60), fx=50.0)
    assert prediction.depth_kind == "up to scale" and prediction["depth"].shape == (1, 40, 60)


def test_a_second_phase_takes_over_the_pose_network(make: Make, tmp_path: Path) -> None:
    from crosstask.engine.training import train

    train(make(steps=1, val_every=1), tmp_path / "first", progress=False)
    with pytest.warns(UserWarning, match="not taken over"):  # segmentation's decoder is new
        second = make((SEGMENTATION, DEPTH), init_from=str(tmp_path / "first")).regime
    saved = torch.load(tmp_path / "first/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    own = second.state_dict()
    assert torch.equal(own["pose_network.head.0.weight"], saved["pose_network.head.0.weight"])
    key = "network.decoders.depth.stages.0.merge.0.weight"
    assert torch.equal(own[key], saved[key])


def test_depth_and_motion_of_one_scene_are_learned(make: Make) -> None:
    """A few steps on one target: its warped neighbours come to fit better than the unwarped."""
    regime, data = make(auto_mask=False).regime, batch(1, size=(32, 48))
    parameters = [*regime.network.parameters(), *regime.pose_network.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=2e-3)
    regime.eval()
    for _ in range(30):
        optimizer.zero_grad()
        regime.losses(data)["depth"].backward()
        optimizer.step()
    found = regime.synthesis(data)
    assert found.after.mean() < 0.75 * found.before.mean()
    forward = regime.poses(data["image"], data["neighbours"])[:, 1, 2, 3]
    assert (forward < 0).all()  # driving ahead brings points nearer


def test_reproject_counts_or_ignores_the_border() -> None:
    data = batch(1)
    parts = (data["image"], data["neighbours"], data["depth"], data["poses"], data["intrinsics"])
    _, counted = reproject(*parts, SelfSupervision(rule="mean", border="count"), None)
    _, ignored = reproject(*parts, SelfSupervision(rule="mean", border="ignore"), None)
    assert counted.error.mean() > 1.2 * ignored.error.mean()
    assert counted.counted.all()


def test_what_no_source_shows_is_not_explained() -> None:
    """A motion that throws every point out of view leaves the unwarped error."""
    known = batch(2, size=(48, 80))
    away = known["poses"].clone()
    away[..., 0, 3] += 1000.0
    settings = SelfSupervision(border="ignore")
    lost = synthesise(known, known["depth"], away, settings)
    torch.testing.assert_close(lost.after, lost.before)
