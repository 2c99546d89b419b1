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


# ---- DWA ------------------------------------------------------------------------------------


def epochs(balancer: Any, steps: Sequence[Sequence[float]], batches: int = 1) -> list[float]:
    """Totals of steps of one batch each, or of several; a loss of 0 has no labels."""
    totals = []
    for number, values in enumerate(steps, 1):
        losses = {n: torch.tensor(v) for n, v in zip(NAMES, values, strict=True)}
        totals.append(float(balancer.combine(losses)))
        if number % batches == 0:
            balancer.finish([])
    return totals


def test_dwa_averages_a_task_over_the_steps_with_its_labels() -> None:
    rare, often = made("dwa:epoch=4"), made("dwa:epoch=4")
    epochs(often, [(2.0, 4.0, 1.0)] * 4 + [(1.0, 4.0, 1.0)] * 4)
    epochs(rare, [(2.0, 4.0, 1.0)] * 4 + [(1.0, 4.0, 1.0), (0.0, 4.0, 0.0)] * 2)
    expected = epochs(often, [(1.0, 1.0, 1.0)])
    assert epochs(rare, [(1.0, 1.0, 1.0)]) == expected
    weights = [math.exp(rate / 2) for rate in (0.5, 1.0, 1.0)]
    # the mean of the weights is 1: what tells them apart is one task alone
    alone = epochs(rare, [(1.0, 0.0, 0.0)])
    assert alone == pytest.approx([3 * weights[0] / sum(weights)])


def test_dwa_keeps_the_rate_of_a_task_without_labels_for_an_epoch() -> None:
    balancer = made("dwa:epoch=1")
    epochs(balancer, [(4.0, 4.0, 0.0), (2.0, 4.0, 0.0)])
    for depth in (
        3.0,
        3.0,
        3.0,
    ):  # segmentation's rate stays 0.5; normals' is 1 until they have two
        epochs(balancer, [(0.0, depth, 0.0)])
    weights = [math.exp(rate / 2) for rate in (0.5, 1.0, 1.0)]
    first = epochs(balancer, [(0.0, 0.0, 7.0)])
    assert first == pytest.approx([7 * 3 * weights[2] / sum(weights)])
    assert epochs(balancer, [(1.0, 0.0, 3.5)]) == pytest.approx(
        [3 * (weights[0] + 3.5 * weights[2]) / sum(weights)]
    )
    # segmentation fell from 2 to 1, normals from 7 to 3.5, depth stays
    weights = [math.exp(rate / 2) for rate in (0.5, 1.0, 0.5)]
    assert epochs(balancer, [(0.0, 0.0, 1.0)]) == pytest.approx([3 * weights[2] / sum(weights)])


def test_dwa_does_not_depend_on_which_accumulated_batch_has_the_labels() -> None:
    """Losses of accumulated batches are such that their mean is that of the step."""
    whole, split = made("dwa:epoch=2"), made("dwa:epoch=4")
    epochs(whole, [(4.0, 2.0, 1.0), (2.0, 2.0, 1.0), (1.0, 2.0, 1.0), (0.0, 1.0, 1.0)])
    spread = [(8.0, 2.0, 1.0), (0.0, 2.0, 1.0), (0.0, 4.0, 1.0), (4.0, 0.0, 1.0)]
    spread += [(0.0, 2.0, 2.0), (2.0, 2.0, 0.0), (0.0, 1.0, 1.0), (0.0, 1.0, 1.0)]
    epochs(split, spread, batches=2)
    assert epochs(split, [(1.0, 0.0, 0.0)]) == pytest.approx(epochs(whole, [(1.0, 0.0, 0.0)]))


def falling(start: int, stop: int) -> list[tuple[float, float, float]]:
    return [
        (5.0 / (n + 1) ** 0.3, 3.1 / (n + 1), 0.1 + 1.7 / (n + 2) ** 2) for n in range(start, stop)
    ]


def test_dwa_with_all_labels_is_torchjds_to_the_bit() -> None:
    own, theirs = made("dwa:epoch=3"), torchjd_part("scalarization").DWA()
    for number, values in enumerate(falling(0, 20), 1):
        total = epochs(own, [values])
        assert total == [float(theirs(torch.tensor(values)))]
        if number % 3 == 0:
            theirs.step()


def test_dwa_resumes_in_the_middle_of_an_epoch_without_some_labels() -> None:
    holes = [
        (s * (n % 2), d * (n % 3 > 0), v * (n > 6)) for n, (s, d, v) in enumerate(falling(0, 30))
    ]
    for cut in (4, 5, 11, 12):
        before = made("dwa:epoch=5")
        epochs(before, holes[:cut])
        after = copied(before, "dwa:epoch=5")
        assert epochs(after, holes[cut:]) == epochs(before, holes[cut:])


def test_dwa_reads_a_checkpoint_that_did_not_count_labels() -> None:
    before = made("dwa:epoch=3")
    epochs(before, falling(0, 10))
    state = before.state_dict()
    del state["_extra_state"]["labelled"]
    after = made("dwa:epoch=3")
    after.load_state_dict(state)
    assert epochs(after, falling(10, 20)) == epochs(before, falling(10, 20))


# ---- learned weights ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "gradients"),
    # at s = 0: UW 0.5 (1 - L), IMTL-L L - 1; L of segmentation is 11.5
    [("uw", [0.5 * (1 - 11.5), 0.0, 0.5 * (1 - 9.2)]), ("imtl_l", [11.5 - 1, 0.0, 9.2 - 1])],
)
def test_a_learned_scale_without_labels_stays(name: str, gradients: list[float]) -> None:
    balancer = made(name)
    step(balancer, "sn")
    torch.testing.assert_close(balancer.learned[0].grad, torch.tensor(gradients))
    assert float(balancer.learned[0].grad[1]) == 0.0
    balancer.learned[0].grad = None
    step(balancer, "d")  # nothing is left of the step before
    assert [float(g) != 0 for g in balancer.learned[0].grad] == [False, True, False]


@pytest.mark.parametrize("name", ["uw", "imtl_l"])
def test_a_learned_scale_counts_once_a_step(name: str) -> None:
    """Each task's labels are in another of three batches: as in one batch of the same images."""
    whole, split = made(name), made(name)
    x = nn.Parameter(torch.ones(3))
    for balancer, parts in ((whole, 1), (split, 3)):
        for part in range(parts):
            values = ROWS @ x + 10.0
            losses = {
                n: parts * v * (parts == 1 or part == i)
                for i, (n, v) in enumerate(zip(NAMES, values.unbind(), strict=True))
            }
            balancer.backward(balancer.combine(losses), losses, [x], 1 / parts)
        balancer.finish([x])
    torch.testing.assert_close(split.learned[0].grad, whole.learned[0].grad)


def test_the_total_has_the_terms_of_labelled_tasks_only() -> None:
    balancer = made("imtl_l")
    with torch.no_grad():
        balancer.learned[0].copy_(torch.tensor([math.log(2.0), 5.0, 0.0]))
    values = {"segmentation": torch.tensor(3.0), "depth": torch.tensor(0.0)}
    total = balancer.combine({**values, "normals": torch.tensor(1.0)})
    assert float(total.detach()) == pytest.approx(2 * 3 - math.log(2.0) + 1)


def test_gradnorm_leaves_the_weight_of_a_task_without_labels() -> None:
    balancer = GradNorm(NAMES, alpha=0.0, lr=0.1)
    balancer.value.copy_(torch.tensor([0.5, 1.5, 1.0]))
    for number in range(5):
        step(balancer, "sn", number)
        assert float(balancer.value[1]) == 1.5
        assert float(balancer.value[0] + balancer.value[2]) == pytest.approx(1.5)
    assert float(balancer.value[0]) != 0.5
    before = balancer.value.clone()
    step(balancer, "s")  # alone it has nothing to be balanced against
    torch.testing.assert_close(balancer.value, before)
