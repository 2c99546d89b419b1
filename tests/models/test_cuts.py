"""Cutting the directions between tasks, in every architecture that has any."""

from contextlib import ExitStack

import pytest
import torch
from torch.utils._pytree import tree_map

from crosstask.experiments.comparison.knockout import exchanges_of
from crosstask.models import list_models
from crosstask.models.exchanges.distillation import Distillation
from models.test_architectures import TASKS, awake, tiny

WITHOUT = (
    "single_task",
    "multi_task",
    "single_task_matched",
    "multi_task_matched",
    "linear_probe",
)
CASES = [
    *((name, {}) for name in list_models() if name not in WITHOUT),
    ("densemtl_linear", {"attention": "shared"}),
    ("sca_mtl", {"pairs": "all"}),
    ("sca_mtl", {"order": "scales_first", "grouping": "intended"}),
    ("mti_net", {"auxiliary_tasks": ("depth",)}),
    ("atrc", {"genotype": "source_label"}),
]
each_architecture = pytest.mark.parametrize(("name", "options"), CASES, ids=str)


def make(name, options):
    return awake(tiny(name, **options)).eval()


def isolated(modules, target, mode):
    """Every direction into one task cut, in all of these exchanges."""
    stack = ExitStack()
    for module in modules:
        for source in module.others(target):
            stack.enter_context(module.cut(source, target, mode))
    return stack


def recorded(modules):
    stack = ExitStack()
    for module in modules:
        stack.enter_context(module.record_means())
    return stack


def same(one, other, **tolerance):
    return all(torch.allclose(a, b, **tolerance) for a, b in zip(one, other, strict=True))


def test_what_has_no_exchange_has_nothing_to_cut():
    assert not any(exchanges_of(tiny(name)) for name in WITHOUT)


@each_architecture
@torch.no_grad()
def test_a_task_with_all_directions_cut_does_not_depend_on_the_others(name, options):
    model, image = make(name, options), torch.rand(2, 3, 64, 64)
    modules = exchanges_of(model)
    with recorded(modules):
        whole = model(image)
    modes = {"zero": {}, "mean": {}}
    for target in TASKS:
        for mode, before in modes.items():
            with isolated(modules, target, mode):
                before[target] = model(image)[target]
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    for target in TASKS:
        model.load_state_dict(weights)
        for other in (task for task in TASKS if task != target):
            for parameter in model.decoders[other].parameters():
                parameter += 0.3 * torch.randn_like(parameter)
        if target not in options.get("auxiliary_tasks", ()):
            assert not same(model(image)[target], whole[target]), "nobody is heard"
        for mode, before in modes.items():
            with isolated(modules, target, mode):
                after = model(image)[target]
            assert all(torch.equal(a, b) for a, b in zip(after, before[target], strict=True))


@each_architecture
@torch.no_grad()
def test_a_mean_cut_changes_nothing_where_nothing_varies(name, options):
    """Two equal images of one position: whatever is read from them is its own mean."""
    model = make(name, options)
    modules = exchanges_of(model)
    inputs = {}
    hooks = [
        m.register_forward_pre_hook(lambda m, given: inputs.update({m: given})) for m in modules
    ]
    model(torch.rand(2, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    for module in modules:
        one = tree_map(lambda x: x.mean((0, 2, 3), keepdim=True).repeat(2, 1, 1, 1), inputs[module])
        whole = module(*one)
        for target in module.tasks:
            with isolated([module], target, "mean"):
                cut = module(*one)
            tree_map(lambda a, b: torch.testing.assert_close(a, b), cut, whole)


@each_architecture
@torch.no_grad()
def test_recorded_means_do_not_depend_on_the_batches(name, options):
    model, images = make(name, options), torch.rand(4, 3, 64, 64)
    images *= torch.tensor([0.0, 0.2, 0.6, 1.0]).view(4, 1, 1, 1)  # images that differ much
    modules = exchanges_of(model)
    with recorded(modules):
        model(images)
    together = [dict(module.means) for module in modules]
    with recorded(modules):
        model(images[:1]), model(images[1:])
    for module, means in zip(modules, together, strict=True):
        assert module.means and list(module.means) == list(means)
        for key, (mean, count) in module.means.items():
            assert count == means[key][1] == 4
            torch.testing.assert_close(mean, means[key][0], rtol=1e-4, atol=1e-5)
    for target in TASKS:
        with isolated(modules, target, "mean"):
            alone, beside = model(images[:1])[target], model(images)[target]
        assert same(alone, [x[:1] for x in beside], rtol=1e-4, atol=1e-5)


def test_recorded_mean_by_hand():
    exchange = Distillation(("a", "b"), 1)
    for parameter in exchange.parameters():
        torch.nn.init.zeros_(parameter)
    exchange.directions["a"]["b"].feature.weight.data[0, 0, 1, 1] = 4.0  # a reads 4 b times a half
    images = {"a": torch.full((3, 1, 2, 2), 3.0), "b": torch.tensor([1.0, 2.0, 6.0])}
    images["b"] = images["b"].view(3, 1, 1, 1).expand(3, 1, 2, 2)
    with exchange.record_means():
        for part in (slice(0, 1), slice(1, 3)):
            exchange({task: x[part] for task, x in images.items()})
    last = {task: x[2:] for task, x in images.items()}
    with exchange.cut("b", "a", "mean"):
        assert exchange(last)["a"].unique().tolist() == pytest.approx([3 + 2 * (1 + 2 + 6) / 3])
    assert exchange(last)["a"].unique().tolist() == [3 + 2 * 6]
