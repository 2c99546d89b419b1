"""Every method on losses whose gradients are written down by hand."""

import importlib.util
import io
import math
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from crosstask.balancing import GradNorm, create_balancer
from crosstask.tasks import Depth, Normals, Segmentation

TASKS = (Segmentation(3), Depth())
# Methods that need nothing but TorchJD, and this library's own.
METHODS = (
    "paper",
    "equal",
    "uncertainty",
    "gradnorm",
    "mgda",
    "dwa",
    "pcgrad",
    "imtl_l",
    "uw",
    "gradvac",
)
# Methods of TorchJD that solve a program, and what they need for it.
SOLVERS = {
    "upgrad": ("qpsolvers", "quadprog"),
    "dualproj": ("qpsolvers", "quadprog"),
    "cagrad:c=0.5": ("cvxpy",),
    "nashmtl": ("cvxpy", "ecos"),
}


class Toy(nn.Module):
    """Losses g_t . x + head_t: the gradient of loss t with respect to x is the vector g_t."""

    def __init__(self, rows: list[list[float]]) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.ones(1, len(rows[0])))
        self.heads = nn.Parameter(torch.full((len(rows),), 10.0))
        self.register_buffer("rows", torch.tensor(rows))

    def losses(self, names: tuple[str, ...] = ("segmentation", "depth")) -> dict[str, Tensor]:
        values = self.rows @ self.x[0] + self.heads
        return dict(zip(names, values.unbind(), strict=True))


def step(balancer: Any, toy: Toy, batches: int = 1) -> Tensor:
    """One optimiser step's gradients; returns that of the shared parameter."""
    toy.zero_grad()
    for _ in range(batches):
        losses = toy.losses()
        balancer.backward(balancer.combine(losses), losses, [toy.x], 1 / batches)
    balancer.finish([toy.x])
    return toy.x.grad[0]


def unweighted(name: str) -> Any:
    """A method without the published weights in front."""
    balancer = create_balancer(name, TASKS)
    balancer.weights = {}
    return balancer


def test_fixed_weights_add_weighted_gradients() -> None:
    toy = Toy([[1.0, 0.0], [0.0, 1.0]])
    assert step(create_balancer("paper", TASKS), toy).tolist() == [50.0, 1.0]
    assert step(create_balancer("equal", TASKS), toy).tolist() == [1.0, 1.0]
    assert step(create_balancer("fixed:segmentation=3", TASKS), toy).tolist() == [3.0, 1.0]


def test_mgda_takes_the_shortest_convex_combination() -> None:
    toy = Toy([[2.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(step(unweighted("mgda"), toy), torch.tensor([0.4, 0.8]))
    assert toy.heads.grad.tolist() == [1.0, 1.0]  # heads get the plain sum


def test_mgda_is_not_stopped_by_a_task_without_labels() -> None:
    toy = Toy([[2.0, 0.0], [0.0, 0.0]])
    assert step(unweighted("mgda"), toy).tolist() == [2.0, 0.0]


def test_pcgrad_projects_conflicts_away() -> None:
    toy = Toy([[1.0, 0.0], [-1.0, 1.0]])
    torch.testing.assert_close(step(unweighted("pcgrad"), toy), torch.tensor([0.5, 1.5]))


def test_uncertainty_weighs_by_the_learned_variance() -> None:
    balancer = unweighted("uncertainty")
    toy = Toy([[1.0, 0.0], [0.0, 1.0]])
    with torch.no_grad():
        balancer.log_variance.copy_(torch.tensor([math.log(2.0), 0.0]))
    torch.testing.assert_close(step(balancer, toy), torch.tensor([0.5, 1.0]))
    # d/ds (exp(-s) L + s/2) with L = 11
    torch.testing.assert_close(balancer.log_variance.grad, torch.tensor([-5.0, -10.5]))


def test_gradnorm_moves_weights_towards_equal_gradients() -> None:
    balancer = GradNorm(("segmentation", "depth"), alpha=0.0, lr=0.1)
    toy = Toy([[3.0, 0.0], [0.0, 1.0]])
    assert step(balancer, toy).tolist() == [3.0, 1.0]
    expected = torch.tensor([0.85, 1.05]) * 2 / 1.9
    torch.testing.assert_close(balancer.value, expected)
    balancer.lr = 0.01
    for _ in range(200):
        gradient = step(balancer, toy)
    assert gradient[0] == pytest.approx(gradient[1].item(), rel=0.15)


def test_gradnorm_pulls_the_slow_task() -> None:
    balancer = GradNorm(("segmentation", "depth"), alpha=1.0, lr=0.1)
    toy = Toy([[1.0, 0.0], [0.0, 1.0]])
    step(balancer, toy)
    with torch.no_grad():
        toy.heads[0] = 4.5  # segmentation falls from 11 to 5.5, depth stays
    step(balancer, toy)
    assert balancer.value[1] > 1.0 > balancer.value[0]


def test_dwa_weighs_by_the_descent_of_the_last_epochs() -> None:
    balancer = create_balancer("dwa:epoch=1", TASKS)
    balancer.weights = {}
    values = [(2.0, 4.0), (1.0, 4.0), (1.0, 1.0)]
    totals = [
        float(balancer.combine({"segmentation": torch.tensor(s), "depth": torch.tensor(d)}))
        for s, d in values
    ]
    a, b = math.exp(0.5 / 2), math.exp(1.0 / 2)
    assert totals == pytest.approx([6.0, 5.0, 2 * (a + b) / (a + b)])
    more = balancer.combine({"segmentation": torch.tensor(1.0), "depth": torch.tensor(0.0)})
    c, d = math.exp(1.0 / 2), math.exp(0.25 / 2)
    assert float(more) == pytest.approx(2 * c / (c + d))


@pytest.mark.parametrize("name", METHODS)
def test_a_step_does_not_depend_on_how_its_batch_is_split(name: str) -> None:
    once, split = create_balancer(name, TASKS), create_balancer(name, TASKS)
    a, b = Toy([[1.0, 0.5], [-1.0, 1.0]]), Toy([[1.0, 0.5], [-1.0, 1.0]])
    for _ in range(3):
        torch.testing.assert_close(step(once, a), step(split, b, batches=2))
        torch.testing.assert_close(a.heads.grad, b.heads.grad)
    assert not hasattr(a.x, "jac")


@pytest.mark.parametrize("name", [*METHODS, "dwa:epoch=2"])
def test_state_survives_a_resume(name: str) -> None:
    toy = Toy([[1.0, 0.5], [-1.0, 1.0]])
    before = create_balancer(name, TASKS)

    def advance(balancer: Any, number: int) -> Tensor:
        with torch.no_grad():
            toy.heads.copy_(torch.tensor([9.0 / (number + 1), 6.0 / (number + 1) ** 2]))
        gradient = step(balancer, toy).clone()
        with torch.no_grad():
            for parameter in balancer.parameters():
                parameter -= 0.01 * parameter.grad
                parameter.grad = None
        return gradient

    for number in range(5):
        advance(before, number)
    file = io.BytesIO()
    torch.save(before.state_dict(), file)
    file.seek(0)
    after = create_balancer(name, TASKS)
    after.load_state_dict(torch.load(file, weights_only=True))
    for number in range(5, 9):
        torch.testing.assert_close(advance(after, number), advance(before, number), rtol=0, atol=0)


@pytest.mark.parametrize(("name", "packages"), [("nashmtl", SOLVERS["nashmtl"]), ("excessmtl", ())])
def test_history_beside_a_solver_or_a_device_survives_a_resume(
    name: str, packages: tuple[str, ...]
) -> None:
    for package in packages:
        pytest.importorskip(package)
    test_state_survives_a_resume(name)


def test_uncertainty_counts_a_task_once_a_step_however_rare_its_labels() -> None:
    """Two labels in four batches, each task's in another: as in one batch of the same images."""
    whole, split = unweighted("uncertainty"), unweighted("uncertainty")
    toy = Toy([[1.0, 0.0], [0.0, 1.0]])
    losses = toy.losses()
    whole.backward(whole.combine(losses), losses, [toy.x])
    whole.finish([toy.x])
    for part in range(4):
        losses = toy.losses()
        shown = {t: 4.0 * loss * (part == i) for i, (t, loss) in enumerate(losses.items())}
        split.backward(split.combine(shown), shown, [toy.x], 1 / 4)
    split.finish([toy.x])
    torch.testing.assert_close(split.log_variance.grad, whole.log_variance.grad)
    split.log_variance.grad = None
    losses = {"segmentation": toy.losses()["segmentation"] * 0, "depth": toy.losses()["depth"]}
    split.backward(split.combine(losses), losses, [toy.x])
    split.finish([toy.x])
    assert split.log_variance.grad.tolist() == [0.0, -10.5]  # nothing is left of the step before


def test_the_geometric_mean_is_of_the_tasks_with_labels() -> None:
    balancer = unweighted("geometricmean")
    toy = Toy([[1.0, 0.0], [0.0, 1.0]])
    losses = {"segmentation": toy.losses()["segmentation"] * 0, "depth": toy.losses()["depth"]}
    total = balancer.combine(losses)
    balancer.backward(total, losses, [toy.x])
    assert float(total.detach()) == pytest.approx(11.0)
    torch.testing.assert_close(toy.x.grad[0], torch.tensor([0.0, 1.0]))
    nothing = {task: loss * 0 for task, loss in toy.losses().items()}
    assert float(balancer.combine(nothing).detach()) == 0.0


def test_dwa_differs_once_its_history_is_lost() -> None:
    """The promise above can fail: a fresh DWA weighs differently."""
    toy = Toy([[1.0, 0.5], [-1.0, 1.0]])
    old, fresh = create_balancer("dwa:epoch=1", TASKS), create_balancer("dwa:epoch=1", TASKS)
    for number in range(3):
        with torch.no_grad():
            toy.heads[0] = 9.0 / (number + 1)
        step(old, toy)
    assert not torch.allclose(step(old, toy).clone(), step(fresh, toy))


@pytest.mark.parametrize("name", ["depth_context", "auxiliary/depth"])
def test_auxiliary_losses_join_their_task(name: str) -> None:
    toy = Toy([[2.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    balancer = unweighted("mgda")
    losses = toy.losses(("segmentation", "depth", name))
    balancer.backward(balancer.combine(losses), losses, [toy.x])
    balancer.finish([toy.x])
    # rows (2,0) and (0,3): weight of the first is 9/13
    torch.testing.assert_close(toy.x.grad[0], torch.tensor([18 / 13, 12 / 13]))


def test_a_frozen_encoder_leaves_ordinary_gradients() -> None:
    toy = Toy([[2.0, 0.0], [0.0, 1.0]])
    for name in ("mgda", "gradnorm"):
        balancer = unweighted(name)
        toy.zero_grad()
        losses = toy.losses()
        balancer.backward(balancer.combine(losses), losses, [])
        balancer.finish([])
        assert toy.heads.grad.tolist() == [1.0, 1.0]


def test_bad_names_and_options() -> None:
    with pytest.raises(ValueError, match=r"'gradnrm'; did you mean gradnorm"):
        create_balancer("gradnrm", TASKS)
    with pytest.raises(ValueError, match="these options: alpha, lr"):
        create_balancer("gradnorm:beta=1", TASKS)
    with pytest.raises(ValueError, match="NAME:key=value"):
        create_balancer("gradnorm:0.5", TASKS)
    with pytest.raises(ValueError, match="krum:n_byzantine=VALUE"):
        create_balancer("krum", TASKS)
    with pytest.raises(ValueError, match="temperature"):
        create_balancer("dwa:temprature=2", TASKS)
    with pytest.raises(ValueError, match="computed a second time"):
        create_balancer("famo", TASKS)
    with pytest.raises(ValueError, match="normals"):
        create_balancer("fixed:normal=2", (*TASKS, Normals()))


def test_without_torchjd_the_error_says_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("crosstask.balancing.torchjd.library.metadata.version", missing)
    with pytest.raises(ImportError, match=r'pip install "crosstask\[balancing\]"'):
        create_balancer("pcgrad", TASKS)
    monkeypatch.setattr(
        "crosstask.balancing.torchjd.library.metadata.version", lambda name: "0.19.1"
    )
    with pytest.raises(ImportError, match=r"TorchJD is 0\.19\.1; expected 0\.18"):
        create_balancer("pcgrad", TASKS)
    assert create_balancer("paper", TASKS) is not None


@pytest.mark.parametrize(("name", "packages"), SOLVERS.items())
def test_without_a_solver_the_error_says_how_to_install(
    name: str, packages: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hidden(package: str) -> Any:
        return None if package in packages else importlib.util.find_spec(package)

    monkeypatch.setattr("torchjd._mixins.find_spec", hidden)
    expected = rf"`balancing` is '{name.split(':')[0]}'; .*{packages[-1]}.*"
    with pytest.raises(
        ImportError, match=expected + r'pip install "crosstask\[balancing-solvers\]"'
    ) as e:
        create_balancer(name, TASKS)
    assert "torchjd[" not in str(e.value)


def test_the_extra_installs_every_solver() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    extra = project["project"]["optional-dependencies"]["balancing-solvers"]
    installed = {re.split("[<>=!]", requirement)[0] for requirement in extra}
    assert {package for needed in SOLVERS.values() for package in needed} <= installed


@pytest.mark.parametrize(("name", "packages"), SOLVERS.items())
def test_methods_with_a_solver_do_not_follow_one_task_against_another(
    name: str, packages: tuple[str, ...]
) -> None:
    for package in packages:
        pytest.importorskip(package)
    toy = Toy([[1.0, 0.0], [-1.0, 1.0]])
    direction = step(unweighted(name), toy)
    assert (toy.rows @ direction >= -1e-3).all() and direction.norm() > 0.1


def test_gradnorm_asks_slow_tasks_for_larger_gradients_by_the_power_alpha() -> None:
    """Rates 0.5 and 1.5, sizes 0.3 and 1.7 of a mean of 1: the second task is below 1.5^1.5 = 1.837."""
    balancer = GradNorm(("segmentation", "depth"), alpha=1.5, lr=0.1)
    balancer.initial.fill_(1.0)
    balancer._rows = torch.tensor([[0.3, 0.0], [0.0, 1.7]])
    balancer._seen = torch.tensor([0.5, 1.5])
    balancer.finish(())
    torch.testing.assert_close(balancer.value, torch.tensor([1.03, 1.17]) * 2 / 2.2)


def weighted_sizes(sizes: list[float], steps: int) -> Tensor:
    """The mean of v_t times the size of each task's gradient, over the last 100 steps."""
    balancer = GradNorm([str(number) for number in range(len(sizes))])
    seen = []
    for _ in range(steps):
        balancer._rows = torch.diag(torch.tensor(sizes))
        balancer._seen = torch.ones(len(sizes))
        balancer.finish(())
        seen.append(balancer.value * torch.tensor(sizes))
    return torch.stack(seen[-100:]).mean(0)


@pytest.mark.parametrize("sizes", [[40.0, 1.0], [1.0, 40.0], [40.0, 1.0, 1.0], [100.0, 1.0]])
def test_gradnorm_balances_gradients_that_are_far_apart(sizes: list[float]) -> None:
    found = weighted_sizes(sizes, 400)
    assert float(found.max() / found.min()) < 1.2


@pytest.mark.parametrize("ratio", [1.5, 3.0, 10.0])
def test_gradnorm_takes_the_papers_step_up_to_a_ratio_of_ten(ratio: float) -> None:
    balancer, value = GradNorm(("segmentation", "depth")), torch.ones(2)
    sizes, largest = torch.tensor([ratio, 1.0]), 1.0
    for _ in range(100):
        balancer._rows, balancer._seen = torch.diag(sizes), torch.ones(2)
        balancer.finish(())
        mean = (value * sizes).mean()
        moved = value - 0.025 * torch.sign(value * sizes - mean) * sizes / mean
        old, value = value, moved.clamp(min=1e-3) * 2 / moved.clamp(min=1e-3).sum()
        largest = max(largest, float((value / old).max()))
        torch.testing.assert_close(balancer.value, value)
    assert ratio < 10 or largest > 1.2  # the bound would have changed it
