"""Steps that lack the labels of some task: what is learned of a task stays its own."""

import io
import math
import warnings
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from crosstask.balancing import Balancer, GradNorm, create_balancer
from crosstask.balancing.torchjd.library import torchjd_part
from crosstask.tasks import Depth, Normals, Segmentation

TASKS = (Segmentation(3), Depth(), Normals())
NAMES = tuple(task.name for task in TASKS)
ROWS = torch.tensor([[1.0, 0.5, 0.0], [-1.0, 1.0, 0.3], [0.2, -2.0, 1.0]])
HISTORIES = ("gradvac", "excessmtl", "pcd")


def made(name: str) -> Any:
    """A method without the published weights in front."""
    balancer = create_balancer(name, TASKS)
    balancer.weights = {}
    return balancer


def step(balancer: Balancer, labelled: str, number: int = 0, batches: int = 1) -> Tensor:
    """The gradient of a step in which the tasks with these first letters have labels."""
    x = nn.Parameter(torch.ones(1, 3))
    scales = torch.tensor([1.0 / (1 + number), 1.0, 1.0 + number])
    for batch in range(batches):
        values = (ROWS * scales[:, None]) @ x[0] + 10.0 + batch
        losses = {n: v * (n[0] in labelled) for n, v in zip(NAMES, values.unbind(), strict=True)}
        balancer.backward(balancer.combine(losses), losses, [x], 1 / batches)
    torch.manual_seed(number)  # GradVac draws an order of the tasks
    balancer.finish([x])
    assert x.grad is not None and bool(x.grad.isfinite().all())
    return x.grad[0]


def copied(balancer: Balancer, name: str) -> Any:
    """Another balancer, from a checkpoint of the first."""
    file = io.BytesIO()
    torch.save(balancer.state_dict(), file)
    file.seek(0)
    after = made(name)
    after.load_state_dict(torch.load(file, weights_only=True))
    return after


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_is_of_the_tasks_that_had_labels(name: str) -> None:
    mixed, alone, whole = made(name), made(name), made(name)
    for number in range(4):
        step(mixed, "sd", number)
        step(mixed, "sn", number)
        step(mixed, "sdn", number)
        step(mixed, "s", number)
        step(alone, "sd", number)
        step(whole, "sdn", number)
    fresh = step(made(name), "sd", 4)
    last = step(mixed, "sd", 4)
    torch.testing.assert_close(last, step(alone, "sd", 4), rtol=0, atol=0)
    torch.testing.assert_close(step(mixed, "sdn", 5), step(whole, "sdn", 5), rtol=0, atol=0)
    assert not torch.allclose(last, fresh)  # there is a history


@pytest.mark.parametrize("name", HISTORIES)
def test_every_history_survives_a_resume(name: str) -> None:
    before = made(name)
    sets = ("sd", "sn", "sdn")
    for number in range(6):
        step(before, sets[number % 3], number)
    after = copied(before, name)
    for number in range(6, 12):
        expected = step(before, sets[number % 3], number)
        torch.testing.assert_close(step(after, sets[number % 3], number), expected, rtol=0, atol=0)


def test_a_method_with_a_zero_gradient_stays_finite() -> None:
    """Those that keep every row: `step` looks at the numbers."""
    step(made("graddrop:leak=[0.1,0.2,0.3]"), "sn")
    step(made("upgrad:pref_vector=[1.0,1.0,1.0]"), "dn")
    pytest.importorskip("ecos")
    nash = made("nashmtl")
    for number, labelled in enumerate(("sd", "sdn", "sn", "sdn")):
        step(nash, labelled, number)


def test_pcd_without_its_first_task_says_so_and_adds_up() -> None:
    balancer, alone = made("pcd"), made("pcd")
    step(balancer, "sdn"), step(alone, "sdn")
    with pytest.warns(UserWarning, match="pcd, which puts segmentation .the first task. above"):
        torch.testing.assert_close(step(balancer, "dn"), ROWS[1] + ROWS[2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once
        step(balancer, "dn")
        torch.testing.assert_close(step(balancer, "sdn", 1), step(alone, "sdn", 1), rtol=0, atol=0)


def test_pcd_has_a_tau_of_each_other_task() -> None:
    several, one = made("pcd:tau=[0.9,0.1]"), made("pcd:tau=0.1")
    torch.testing.assert_close(step(several, "sn"), step(one, "sn"))
    assert not torch.allclose(step(several, "sdn"), step(one, "sdn"))


@pytest.mark.parametrize("name", ["gradvac", "pcd"])
def test_state_that_torchjd_keeps_on_the_cpu_stays_there(name: str) -> None:
    """The meta device stands for a GPU: what moves to a device moves to that one."""
    before = made(name)
    for number in range(3):
        step(before, "sd", number)
        step(before, "sdn", number)
    state = before.state_dict()
    after = made(name).to("meta")
    after.load_state_dict(state)
    after.to("meta")
    assert after.place.device.type == "meta"
    for labelled in ("sdn", "sd"):
        expected = step(before, labelled, 3)
        torch.testing.assert_close(step(after, labelled, 3), expected, rtol=0, atol=0)


def test_state_beside_the_gradients_moves_to_their_device() -> None:
    before = made("excessmtl")
    step(before, "sdn"), step(before, "sd")
    after = made("excessmtl").to("meta")
    after.load_state_dict(before.state_dict())
    for method in (after.method, after._others["110"]):
        assert method.weighting._sq_grad_sum.device.type == "meta"
