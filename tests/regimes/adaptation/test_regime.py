"""Adaptation: two domains, discriminators, a teacher; who learns from what."""

import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from crosstask.balancing import create_balancer
from crosstask.data.combine.pairs import DomainPairs
from crosstask.data.loading import collate
from crosstask.engine.callbacks.checkpoints import Checkpoints
from crosstask.engine.experiment import Experiment
from crosstask.engine.training import train
from crosstask.models import create_model
from crosstask.regimes.adaptation.alignment import AlignmentSettings, OutputAlignment
from crosstask.regimes.adaptation.regime import METHODS, Adaptation
from crosstask.regimes.adaptation.self_training import SelfTrainingSettings
from crosstask.regimes.optimization import OptimizerSettings
from crosstask.regimes.regime import Regime
from fakes.scenes import Scenes, scene_tasks

TASKS = ("segmentation", "depth", "normals", "edges")


class Negative(Dataset[dict[str, Any]]):
    """The target domain: other scenes in inverted colours, images only."""

    def __init__(self, length: int = 6) -> None:
        self.scenes = Scenes(length, offset=500)

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = self.scenes[index]
        kept = {k: sample[k] for k in ("intrinsics", "name")}
        return kept | {"image": 1 - sample["image"], "source": "negative"}


def make(method: str = "both", tasks: tuple[str, ...] = TASKS, **options: Any) -> Adaptation:
    chosen = scene_tasks(tasks)
    torch.manual_seed(0)
    network = create_model(
        options.pop("architecture", "densemtl" if len(tasks) > 1 else "single_task_matched"),
        chosen,
        encoder="resnet10t",
        pretrained=False,
        width=0.0625,
    )
    settings: dict[str, Any] = {
        "steps": 6,
        "alignment": AlignmentSettings(width=4),
        "method": method,
    }
    optimizer = options.pop("optimizer", OptimizerSettings(lr=1e-3, encoder_lr=5e-4))
    balancer = create_balancer("paper", chosen)
    return Adaptation(network, chosen, balancer, optimizer, **(settings | options)).train()


def a_batch(count: int = 2) -> dict[str, Any]:
    pairs = DomainPairs(Scenes(6), Negative())
    return collate([pairs[7 * i] for i in range(count)])


def gradients(module: nn.Module | None) -> list[bool]:
    assert module is not None
    return [p.grad is not None and bool((p.grad != 0).any()) for p in module.parameters()]


# ---- who learns from what ------------------------------------------------------------------


def test_neither_side_reaches_the_others_parameters() -> None:
    regime = make()
    regime.balancer.combine(regime.losses(a_batch())).backward()
    discriminator_loss = regime._discriminator_loss
    assert discriminator_loss is not None
    assert all(p.grad is None for p in regime.alignment.parameters())
    assert all(p.grad is not None for p in regime.network.parameters())
    assert sum(gradients(regime.network)) > 100  # attention starts closed: some are zero
    regime.network.zero_grad(set_to_none=True)
    discriminator_loss.backward()
    assert all(p.grad is None for p in regime.network.parameters())
    assert all(gradients(regime.alignment))
    assert regime.teacher is not None and all(p.grad is None for p in regime.teacher.parameters())


def test_the_networks_turn_leaves_the_discriminators_as_they_are() -> None:
    regime = make("adversarial")
    before = {k: v.clone() for k, v in regime.alignment.state_dict().items()}
    outputs = regime.network(a_batch()["target_image"])
    maps = regime.alignment.maps(outputs, (32, 64), regime.alignment.references(a_batch()))
    regime.alignment.adversarial_loss(maps).backward()
    after = regime.alignment.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert regime.alignment.training and all(p.requires_grad for p in regime.alignment.parameters())


def test_the_adversarial_loss_alone_trains_the_network_toward_source_like_outputs() -> None:
    """One task's discriminator is given; steps on the adversarial loss change its opinion."""
    regime = make("adversarial", ("segmentation",))
    batch = a_batch()
    optimizer = torch.optim.Adam(regime.network.parameters(), lr=1e-2)
    torch.manual_seed(1)
    values = []
    for _ in range(12):
        outputs = regime.network(batch["target_image"])
        maps = regime.alignment.maps(outputs, (32, 64), {"segmentation": {}})
        loss = regime.alignment.adversarial_loss(maps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(float(loss.detach()))
    assert values[-1] < values[0] - 0.002


def test_undecided_discriminators_cost_weight_times_log_two() -> None:
    class Undecided(nn.Module):
        def forward(self, maps: Tensor, mirror: bool) -> Tensor:
            return maps.mean((1, 2, 3), keepdim=True) * 0.0

    regime = make("adversarial", ("segmentation", "depth"))
    for key in regime.alignment.discriminators:
        regime.alignment.discriminators[key] = Undecided()
    losses = regime.losses(a_batch())
    assert float(losses["alignment"]) == pytest.approx(0.005 * math.log(2), rel=1e-5)
    assert float(regime._discriminator_loss) == pytest.approx(2 * math.log(2), rel=1e-5)
    assert list(regime.alignment.discriminators) == [
        "segmentation_0",
        "segmentation_1",
        "depth_0",
        "depth_1",
    ]


def test_source_only_never_looks_at_a_target_image() -> None:
    regime, batch = make("source_only"), a_batch()
    spoiled = {**batch, "target_image": torch.full_like(batch["target_image"], torch.nan)}
    torch.manual_seed(3)
    a = regime.losses(batch)
    torch.manual_seed(3)
    b = regime.losses(spoiled)
    assert all(torch.equal(a[k], b[k]) for k in a) and list(a) == list(TASKS)


@pytest.mark.parametrize("method", ["adversarial", "self_training", "both"])
def test_target_labels_can_change_nothing(method: str) -> None:
    """What a pair of domains hands on has no target label; a key with one is not read."""
    batch = a_batch()
    labelled = {
        **batch,
        **{f"target_{t}": torch.full_like(batch[t], torch.nan) for t in ("depth",)},
    }
    torch.manual_seed(3)
    a = make(method).losses(batch)
    torch.manual_seed(3)
    b = make(method).losses(labelled)
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_phases_start_at_their_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    regime = make(
        alignment=AlignmentSettings(width=4, start=5), self_training=SelfTrainingSettings(start=3)
    )
    batch = a_batch()

    def images(step: int) -> list[str]:
        monkeypatch.setattr(type(regime), "global_step", step)
        seen: list[str] = []
        original = Adaptation._forward

        def spy(self: Adaptation, given: Any) -> Any:
            seen.extend(given)
            return original(self, given)

        with monkeypatch.context() as patch:
            patch.setattr(Adaptation, "_forward", spy)
            regime.losses(batch)
        return seen

    assert images(2) == ["source"]
    assert images(3) == ["source", "mixed"]
    assert images(5) == ["source", "target", "mixed"]


@pytest.mark.parametrize(
    ("architecture", "tasks"),
    [
        ("single_task", ("depth",)),
        ("padnet", ("normals", "segmentation")),
        ("sca_mtl", ("segmentation", "depth")),
        ("atrc", ("segmentation", "edges", "normals")),
    ],
)
def test_any_architecture_and_any_number_of_tasks(
    tasks: tuple[str, ...], architecture: str
) -> None:
    losses = make("both", tasks, architecture=architecture).losses(a_batch())
    assert [k for k in losses if k in (*tasks, "alignment")] == [*tasks, "alignment"]
    assert all(bool(torch.isfinite(loss)) and loss.requires_grad for loss in losses.values())


# ---- batch statistics -----------------------------------------------------------------------


def test_domains_do_not_share_batch_statistics() -> None:
    batch = a_batch()
    other = {**batch, "target_image": batch["target_image"] * 0.2}
    losses = [make("adversarial").losses(given)["depth"] for given in (batch, other)]
    assert torch.isclose(*losses, rtol=1e-6)


# ---- optimisation ---------------------------------------------------------------------------


def experiment(method: str = "both", steps: int = 6, **options: Any) -> Experiment:
    return Experiment(
        regime=make(method, steps=steps, **options),
        train_data=lambda: DomainPairs(Scenes(8, noise=0.1), Negative()),
        val_data=lambda: Scenes(3, offset=100),
        steps=steps,
        batch_size=2,
        val_every=2,
        workers=0,
        size=(32, 64),
    )


def test_one_optimiser_whose_groups_have_their_own_rates_and_betas(tmp_path: Path) -> None:
    e = experiment("adversarial", steps=4, tasks=("segmentation", "depth"))
    train(e, tmp_path / "run", accelerator="cpu", progress=False)
    checkpoint = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 4  # one step of one optimiser
    (state,) = checkpoint["optimizer_states"]
    groups = {g["name"]: g for g in state["param_groups"]}
    assert list(groups) == ["encoder", "tasks", "discriminators"]
    assert groups["discriminators"]["betas"] == (0.9, 0.99)
    assert groups["tasks"]["betas"] == groups["encoder"]["betas"] == (0.9, 0.98)
    held = [i for g in state["param_groups"] for i in g["params"]]
    assert len(held) == len(set(held)) == len(state["state"])  # all have moments: all were stepped
    expected = [p for m in (e.regime.network, e.regime.alignment) for p in m.parameters()]
    assert len(held) == len(expected)
    (schedule,) = checkpoint["lr_schedulers"]
    assert schedule["_last_lr"][2] == 0.0  # (1 - 4/4) ** 0.9
    assert schedule["_last_lr"][1] == pytest.approx(1e-4)  # times 0.1 at 75 %


def test_gradient_norms_are_clipped_side_by_side() -> None:
    regime = make("adversarial", ("segmentation",))
    optimizer = torch.optim.Adam(
        [
            {"params": list(regime.network.parameters()), "name": "tasks"},
            {"params": list(regime.alignment.parameters()), "name": "discriminators/norms"},
        ]
    )

    def norm(module: nn.Module) -> float:
        return float(torch.stack([p.grad.norm() for p in module.parameters()]).norm())

    for module, value in ((regime.network, 100.0), (regime.alignment, 3.0)):
        for p in module.parameters():
            p.grad = torch.ones_like(p)
        factor = value / norm(module)
        for p in module.parameters():
            p.grad.mul_(factor)
    regime.configure_gradient_clipping(optimizer, 10.0, "norm")
    assert norm(regime.network) == pytest.approx(10.0, rel=2e-3)
    assert norm(regime.alignment) == pytest.approx(3.0, rel=2e-3)  # a joint norm would give 0.3


def test_the_teacher_stays_in_eval_mode_and_is_not_what_is_shipped() -> None:
    regime = make("self_training")
    assert not any(m.training for m in regime.teacher.modules())
    assert regime.inference_network() is regime.network and make("adversarial").teacher is None


class Stop(Exception):
    pass


@pytest.mark.parametrize(("options", "at"), [({}, 2), ({"match_noise": True}, 3)])
def test_a_resumed_run_is_bit_identical(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], at: int
) -> None:
    """Discriminators, their moments and schedule, the teacher, both streams, mixed images.

    At step 2 from the checkpoint of a validation, at step 3 from one in between.
    """

    def save(self: Checkpoints, trainer: Any, *rest: Any) -> None:
        if trainer.global_step % 2:
            self._save(trainer, self.run.last)

    monkeypatch.setattr(Checkpoints, "on_train_batch_end", save)
    common: dict[str, Any] = {"accelerator": "cpu", "progress": False, "config": {"recipe": "test"}}
    tasks = ("segmentation", "depth")
    options = {**options, "steps": 4}
    train(experiment(tasks=tasks, **options), tmp_path / "whole", **common)
    with monkeypatch.context() as patch, pytest.raises(Stop):
        start = Regime.on_train_batch_start

        def stop(self: Regime, batch: Any, batch_idx: int) -> None:
            if self.global_step == at:
                raise Stop
            start(self, batch, batch_idx)

        patch.setattr(Regime, "on_train_batch_start", stop)
        train(experiment(tasks=tasks, **options), tmp_path / "cut", **common)
    train(experiment(tasks=tasks, **options), tmp_path / "cut", resume=True, **common)
    states = [
        torch.load(tmp_path / run / "checkpoints/last.ckpt", weights_only=True)
        for run in ("whole", "cut")
    ]
    weights = [s["state_dict"] for s in states]
    assert list(weights[0]) == list(weights[1])
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    for part in ("network.", "teacher.module.", "alignment.discriminators."):
        assert any(k.startswith(part) for k in weights[0])
    moments = [s["optimizer_states"][0]["state"] for s in states]
    assert all(torch.equal(moments[0][i]["exp_avg"], moments[1][i]["exp_avg"]) for i in moments[0])
    assert states[0]["lr_schedulers"][0]["_last_lr"] == states[1]["lr_schedulers"][0]["_last_lr"]


def test_the_last_checkpoint_counts_whatever_the_target_labels_say(tmp_path: Path) -> None:
    e = experiment("source_only", steps=4, tasks=("segmentation",))
    train(e, tmp_path / "run", accelerator="cpu", progress=False)
    best, last = (
        torch.load(tmp_path / f"run/checkpoints/{name}.ckpt", weights_only=True)
        for name in ("best", "last")
    )
    assert best["global_step"] == last["global_step"] == 4


# ---- what goes wrong ------------------------------------------------------------------------


def test_a_discriminator_that_has_won_is_reported_once_per_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    regime = make("adversarial", ("depth",), alignment=AlignmentSettings(width=4, window=3))
    alignment, batch = regime.alignment, a_batch()
    assert isinstance(alignment, OutputAlignment)

    class Sure(nn.Module):
        def __init__(self, wrong: int) -> None:
            super().__init__()
            self.calls, self.wrong = 0, wrong

        def forward(self, maps: Tensor, mirror: bool) -> Tensor:
            self.calls += 1
            kind = -1.0 if self.calls % 3 == 2 else 1.0  # adversarial, then source, then target
            if self.calls == self.wrong:
                kind = -kind
            return maps.mean((1, 2, 3), keepdim=True) * 0.0 + kind

    def run(wrong: int) -> list[str]:
        alignment.discriminators["depth_0"] = Sure(0)
        alignment.discriminators["depth_1"] = Sure(wrong)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for step in range(4):
                monkeypatch.setattr(type(regime), "global_step", step)
                regime.losses(batch)
        monkeypatch.setattr(type(regime), "global_step", 3)
        alignment.judge()  # forget step 3
        alignment.judged = -1
        return [str(w.message) for w in caught if "discriminator" in str(w.message)]

    said = run(wrong=5)  # depth_1 errs once in six answers
    assert len(said) == 1 and "depth_0 was right on 100.00 %" in said[0]
    assert "--method self_training" in said[0]
    assert len(run(wrong=0)) == 2


def test_wrong_settings_are_errors() -> None:
    with pytest.raises(ValueError, match="`method` is 'uda'; expected one of source_only"):
        make("uda")
    with pytest.raises(ValueError, match="`optimizer` is sgd"):
        make("adversarial", optimizer=OptimizerSettings(name="sgd"))
    with pytest.raises(ValueError, match="`decay` is 1"):
        SelfTrainingSettings(decay=1.0)
    with pytest.raises(ValueError, match="`weight` is -1"):
        AlignmentSettings(weight=-1)
    with pytest.raises(ValueError, match="`mixing` is 'cut'"):
        SelfTrainingSettings(mixing="cut")
    assert METHODS[-1] == "both"


def test_only_levels_with_a_loss_are_aligned() -> None:
    """`--levels last`: one discriminator a task, of the finest output."""
    every, last = make(levels="mean"), make(levels="last")
    assert every.alignment is not None and last.alignment is not None
    assert len(every.alignment.discriminators) > len(last.alignment.discriminators) == len(TASKS)
    seen: list[tuple[int, ...]] = []
    maps = last.alignment.maps

    def noted(outputs: Any, *arguments: Any) -> Any:
        seen.extend(tuple(level.shape[-2:]) for task in outputs.values() for level in task)
        return maps(outputs, *arguments)

    last.alignment.maps = noted  # type: ignore[method-assign]
    batch = a_batch()
    losses = last.losses(batch)
    assert bool(losses["alignment"].isfinite())
    finest = [tuple(o[-1].shape[-2:]) for o in last.network(batch["image"]).values()]
    assert set(seen) == set(finest) and len(seen) == 2 * len(TASKS)
