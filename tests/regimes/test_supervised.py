"""The gradient of a step is that of the mean over its labelled pixels, however it is split."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from crosstask.balancing import FixedWeights, Uncertainty, create_balancer
from crosstask.data.loading import collate
from crosstask.models import create_model
from crosstask.regimes.optimization import OptimizerSettings
from crosstask.regimes.supervised import Supervised
from fakes.scenes import Scenes, scene_tasks

HIDDEN = {"depth": (0,), "normals": (1, 2), "segmentation": (3,)}


def regime(**options: Any) -> Supervised:
    """Batch norm frozen, dropout off, berHu threshold fixed: then every split is exact."""
    torch.manual_seed(0)
    tasks = scene_tasks()
    tasks = tuple(
        type(t)(**{**t.__dict__, "berhu_threshold": 10.0}) if t.name == "depth" else t
        for t in tasks
    )
    net = create_model(
        "densemtl", tasks, encoder="resnet10t", pretrained=False, width=0.0625, aspp_dropout=0.0
    )
    made = Supervised(
        net,
        tasks,
        create_balancer("paper", tasks),
        OptimizerSettings(),
        steps=10,
        freeze=("norms",),
        **options,
    )
    return made.train().double()


def batch(indices: list[int]) -> dict[str, Any]:
    scenes = Scenes(4, hidden=HIDDEN)
    stacked = collate([scenes[i] for i in indices])
    return {
        k: v.double() if isinstance(v, Tensor) and v.is_floating_point() else v
        for k, v in stacked.items()
    }


def gradients(made: Supervised) -> dict[str, Tensor]:
    return {n: p.grad.clone() for n, p in made.named_parameters() if p.grad is not None}


def whole() -> dict[str, Tensor]:
    made = regime()
    made.balancer.combine(made.losses(batch([0, 1, 2, 3]))).backward()
    return gradients(made)


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """The gradient as one vector, to 1e-6 of its length (losses are computed in float32)."""
    assert list(found) == list(expected)
    one, other = (torch.cat([v.flatten() for v in g.values()]) for g in (found, expected))
    assert (one - other).norm() / other.norm() < 1e-6


def test_accumulated_batches_equal_the_larger_batch() -> None:
    """Label counts of the parts differ from task to task, so a mean of means would be wrong."""
    made = regime()
    parts = [batch([0]), batch([1, 2, 3])]
    counts = [made.count_labels(part) for part in parts]
    totals = {k: counts[0][k] + counts[1][k] for k in counts[0]}

    class FakeTrainer:
        accumulate_grad_batches = 2

    made._trainer = FakeTrainer()  # type: ignore[assignment]
    for part in parts:
        losses = made.losses({**part, "normalizers": totals})
        (made.balancer.combine(losses) / 2).backward()
    assert_close(gradients(made), whole())


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    made = regime()
    made.balancer.combine(made.losses(batch([[0], [1]][rank] + [[3], [2]][rank]))).backward()
    for parameter in made.parameters():
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)
            parameter.grad /= 2
    if rank == 0:
        torch.save(gradients(made), f"{folder}/gradients.pt")
    dist.destroy_process_group()


def test_two_processes_equal_one_with_the_whole_batch(tmp_path: Path) -> None:
    mp.start_processes(_rank, (str(tmp_path),), nprocs=2, start_method="fork")
    assert_close(torch.load(tmp_path / "gradients.pt"), whole())


def test_a_image_without_a_label_changes_nothing_of_that_head() -> None:
    made = regime()
    made.balancer.combine(made.losses(batch([0]))).backward()  # no depth label
    heads = {task: made.network.prediction_layers(task) for task in ("depth", "segmentation")}
    assert all(layer.weight.grad is None or not layer.weight.grad.any() for layer in heads["depth"])
    assert all(layer.weight.grad.any() for layer in heads["segmentation"])


def test_the_mean_over_levels_is_half_the_sum_of_two() -> None:
    mean, total, last = (regime(levels=x).losses(batch([1])) for x in ("mean", "sum", "last"))
    for task in mean:
        assert torch.allclose(2 * mean[task], total[task])
    assert not torch.allclose(last["depth"], mean["depth"])


def test_every_trainable_parameter_is_in_exactly_one_group() -> None:
    made = Supervised(
        regime().network, scene_tasks(), Uncertainty(["segmentation", "depth", "normals", "edges"]),
        OptimizerSettings(), steps=1,
    )  # fmt: skip
    for p in made.parameters():
        p.requires_grad_(True)
    grouped = [id(m) for _, modules, _ in made.parts() for m in modules]
    assert len(grouped) == 3
    from crosstask.regimes.optimization import parameter_groups

    groups = parameter_groups(made.parts(), 0.0, True)
    ids = [id(p) for g in groups for p in g["params"]]
    assert len(ids) == len(set(ids)) and set(ids) == {id(p) for p in made.parameters()}


def test_fixed_weights_by_hand() -> None:
    balancer = FixedWeights({"segmentation": 100.0, "normals": 100.0})
    losses = {
        "segmentation": torch.tensor(0.5),
        "depth": torch.tensor(7.0),
        "normals": torch.tensor(0.2),
    }
    assert balancer.combine(losses) == pytest.approx(77.0)
    with pytest.raises(ValueError, match="non-negative"):
        FixedWeights({"depth": -1.0})
