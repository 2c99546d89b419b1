"""xTAM and mTEB against the equations, written plainly: explicit loops, the whole N x N matrix."""

import itertools
import math

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from crosstask.models.exchanges.mteb import TaskExchange
from crosstask.models.exchanges.xtam import CrossTaskAttention

TASKS = ("segmentation", "depth", "normals")


def naive_norm(x, norm, training):
    """Batch norm from its definition."""
    if training:
        mean = x.mean((0, 2, 3))
        variance = ((x - mean.view(1, -1, 1, 1)) ** 2).mean((0, 2, 3))
    else:
        mean, variance = norm.running_mean, norm.running_var
    x = (x - mean.view(1, -1, 1, 1)) / (variance.view(1, -1, 1, 1) + norm.eps).sqrt()
    return x * norm.weight.view(1, -1, 1, 1) + norm.bias.view(1, -1, 1, 1)


def naive_block(x, block, training):
    """1x1 convolution without bias, batch norm, ReLU."""
    weight = block[0].weight[:, :, 0, 0]
    return naive_norm(torch.einsum("oc,bchw->bohw", weight, x), block[1], training).clamp(min=0)


def naive_shrink(x, factor, how):
    """Loop over the cells of a grid; cells at the border are smaller."""
    rows = []
    for top in range(0, x.shape[2], factor):
        row = []
        for left in range(0, x.shape[3], factor):
            cell = x[:, :, top : top + factor, left : left + factor]
            row.append(cell[:, :, 0, 0] if how == "nearest" else cell.amax((2, 3)))
        rows.append(torch.stack(row, -1))
    return torch.stack(rows, -2)


def naive_enlarge(x, factor, size):
    ys = torch.arange(size[0]) // factor
    xs = torch.arange(size[1]) // factor
    return x[:, :, ys][:, :, :, xs]


def naive_correlation(target, g, module, training, kind):
    query = naive_block(naive_shrink(target, module.downscale, "nearest"), module.query, training)
    source = naive_shrink(g, module.source_downscale, "max")
    key = naive_block(source, module.key, training)
    value = naive_block(source, module.value, training)
    q, k, v = query.flatten(2), key.flatten(2), value.flatten(2)
    parts = []
    if kind in ("spatial", "both"):
        scores = torch.einsum("bcn,bcm->bnm", q, k) / math.sqrt(q.shape[1])
        weights = scores.exp() / scores.exp().sum(2, keepdim=True)
        parts.append(torch.einsum("bnm,bcm->bcn", weights, v))
    if kind in ("channel", "both"):
        scores = torch.einsum("bcn,bdn->bcd", q, k) / math.sqrt(q.shape[2])
        weights = scores.exp() / scores.exp().sum(2, keepdim=True)
        parts.append(torch.einsum("bcd,bdn->bcn", weights, v))
    return torch.cat(parts, 1).view(query.shape[0], -1, *query.shape[2:])


def naive_direction(target, source, module, training):
    """f_{j->i} of the paper, with the released extractor and projection."""
    conv = functional.conv2d
    g = conv(source, module.extractor.weight, module.extractor.bias, padding=1).clamp(min=0)
    parts = []
    if module.gate is not None:
        mask = 1 / (1 + (-conv(g, module.gate.mask.weight, padding=1)).exp())
        parts.append(conv(g, module.gate.feature.weight, padding=1) * mask)
    if module.correlation is not None:
        attended = naive_correlation(
            target, g, module.correlation, training, module.correlation.kind
        )
        if module.correlation.alpha is not None:
            attended = attended * module.correlation.alpha.view(1, -1, 1, 1)
        parts.append(naive_enlarge(attended, module.downscale, target.shape[2:]))
    return naive_block(torch.cat(parts, 1), [module.projection, module.norm], training)


def naive_exchange(features, exchange, training):
    """Eq. 5 with the fusion of the exchange."""
    result = {}
    for i in exchange.tasks:
        read = [
            naive_direction(features[i], features[j], exchange.directions[i][j], training)
            for j in exchange.tasks
            if j != i
        ]
        if exchange.fusion == "concat":
            read = [features[i], *read]
        r = naive_block(torch.cat(read, 1), [exchange.fusions[i], exchange.norms[i]], training)
        result[i] = {"add": features[i] + r, "product": features[i] * r, "concat": r}[
            exchange.fusion
        ]
    return result


def randomise(module):
    """Every parameter and statistic away from its neutral start, alpha included."""
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_floating_point():
            low = 0.5 if "running_var" in name else -0.3
            with torch.no_grad():
                tensor.copy_(torch.empty_like(tensor).uniform_(low, low + 1.0))


def make(tasks=TASKS, channels=8, downscale=2, **options):
    exchange = TaskExchange(tasks, channels, downscale, **options).double()
    randomise(exchange)
    return exchange


def make_features(size, tasks=TASKS, channels=8):
    return {
        t: torch.randn(2, channels, *size, dtype=torch.double, requires_grad=True) for t in tasks
    }


def gradients(result, weights, features, module):
    total = sum((result[t] * weights[t]).sum() for t in result)
    leaves = [*features.values(), *module.parameters()]
    return torch.autograd.grad(total, leaves)


VARIANTS = [
    {},
    {"fusion": "product"},
    {"fusion": "concat"},
    {"correlation": None},
    {"correlation": "channel"},
    {"correlation": "both", "fusion": "concat"},
    {"self_attention": None},
    {"self_attention": "full"},
    {"alpha": False},
    {"kv_downscale": "s2"},
]


@pytest.mark.parametrize("economical", [True, False], ids=["economical", "plain"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_values_and_gradients_equal_the_equations(options, training, economical):
    exchange = make(**options).train(training)
    exchange.economical = economical
    features = make_features((7, 10))  # 7 is not a multiple of 2, 10 no multiple of 4
    weights = {t: torch.randn_like(f) for t, f in features.items()}
    ours, truth = exchange(features), naive_exchange(features, exchange, training)
    for task in TASKS:
        assert (ours[task] - truth[task]).abs().max() < 1e-9
    pairs = zip(
        gradients(ours, weights, features, exchange),
        gradients(truth, weights, features, exchange),
        strict=True,
    )
    for mine, theirs in pairs:
        assert (mine - theirs).abs().max() < 1e-9 * max(1.0, float(theirs.abs().max()))


@pytest.mark.parametrize("training", [True, False])
def test_one_direction_equals_the_equations(training):
    module = CrossTaskAttention(8, downscale=4).double().train(training)
    randomise(module)
    target, source = torch.randn(2, 2, 8, 8, 12, dtype=torch.double)
    truth = naive_direction(target, source, module, training)
    assert (module(target, source) - truth).abs().max() < 1e-9


def test_direction_by_hand():
    """One channel, one position, every number worked out on paper."""
    module = CrossTaskAttention(2, downscale=1, self_attention="half").double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        module.extractor.bias.copy_(torch.tensor([2.0, -1.0]))  # g = (2, 0)
        module.gate.feature.weight[0, 0, 1, 1] = 3.0  # feature 6, mask 0 -> sigmoid 0.5 -> 3
        module.correlation.value[0].weight[:, 0, 0, 0] = torch.tensor([1.0, 2.0])
        module.correlation.value[1].weight.fill_(math.sqrt(1 + 1e-5))  # v = (2, 4)
        module.correlation.alpha.copy_(torch.tensor([0.5, 0.25]))  # attention: (1, 1)
        module.projection.weight[:, :, 0, 0] = torch.tensor([[1.0, 10.0, 100.0], [-1, 0, 0]])
        module.norm.weight.fill_(math.sqrt(1 + 1e-5))
        result = module(torch.zeros(1, 2, 1, 1).double(), torch.zeros(1, 2, 1, 1).double())
    assert torch.allclose(result.flatten(), torch.tensor([113.0, 0.0]).double())  # 3 + 10 + 100; -3


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_without_gradients_norms_are_folded_and_nothing_else_changes(options, monkeypatch):
    exchange = make(**options).eval()
    features = make_features((7, 10))
    before = {t: f.detach().clone() for t, f in features.items()}
    truth = naive_exchange(features, exchange, False)
    cut = make(**options).eval()
    cut.load_state_dict(exchange.state_dict())
    cut.cuts = {("depth", "normals"): "zero"}
    expected = cut(features)
    for module in (exchange, cut):  # the norms after the two projections
        for norm in [
            *module.norms.values(),
            *(d.norm for t in TASKS for d in module.directions[t].values()),
        ]:
            monkeypatch.setattr(norm, "forward", None)
    with torch.no_grad():
        ours, without = exchange(features), cut(features)
    for task in TASKS:
        assert (ours[task] - truth[task]).abs().max() < 1e-9
        assert (without[task] - expected[task]).abs().max() < 1e-9
        assert torch.equal(features[task], before[task])  # nothing was written into the inputs


def test_running_statistics_do_not_depend_on_how_it_runs():
    plain, economical = make(), make()
    economical.load_state_dict(plain.state_dict())
    plain.economical = False
    features = make_features((8, 8))
    plain.train()(features), economical.train()(features)
    for name, tensor in plain.state_dict().items():
        assert torch.allclose(tensor.double(), economical.state_dict()[name].double(), atol=1e-9), (
            name
        )


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


def test_the_attention_matrix_is_never_stored():
    channels, size = 8, 64
    exchange = TaskExchange(("a", "b"), channels, downscale=1)
    features = {t: torch.randn(1, channels, size, size, requires_grad=True) for t in ("a", "b")}
    with Largest() as largest:
        sum(x.sum() for x in exchange(features).values()).backward()
    assert largest.elements < size**4 / 50  # N x N would be size^4; features have 8 size^2
    assert largest.elements >= channels * size**2


def test_cost_of_parameters_by_the_formula():
    for tasks, channels in itertools.product((("a", "b"), TASKS), (16, 64)):
        n, c = len(tasks), channels
        expected = n * (n - 1) * (22.5 * c * c + 10 * c) + n * ((n - 1) * c * c + 2 * c)
        exchange = TaskExchange(tasks, channels)
        assert sum(p.numel() for p in exchange.parameters()) == expected


def test_alpha_zero_hides_the_correlation_but_learns():
    exchange = make()
    for name, parameter in exchange.named_parameters():
        if name.endswith("alpha"):
            torch.nn.init.zeros_(parameter)
    features = make_features((8, 8))
    before = exchange.eval()(features)
    sum(x.square().sum() for x in before.values()).backward()
    for name, parameter in exchange.named_parameters():
        gradient = float(parameter.grad.abs().max())
        if name.endswith("alpha"):
            assert gradient > 0, name
        elif ".query." in name or ".key." in name or ".value." in name:
            assert gradient == 0, name
    for name, parameter in exchange.named_parameters():
        if ".query." in name or ".key." in name or ".value." in name:
            torch.nn.init.normal_(parameter)
    after = exchange(features)
    assert all(torch.equal(before[t], after[t]) for t in TASKS)


def test_order_of_tasks_is_the_order_of_the_features():
    exchange = make().eval()
    features = make_features((8, 8))
    assert list(exchange(features)) == list(TASKS)
    shuffled = {t: features[t] for t in reversed(TASKS)}
    assert all(torch.equal(exchange(features)[t], exchange(shuffled)[t]) for t in TASKS)


def test_attention_row_is_a_row_of_the_matrix():
    exchange = make().eval()
    features = make_features((7, 10))
    row = exchange.attention(features, "depth", "normals", (5, 3))
    module = exchange.directions["depth"]["normals"]
    g = functional.conv2d(
        features["normals"], module.extractor.weight, module.extractor.bias, padding=1
    ).clamp(min=0)
    q = naive_block(naive_shrink(features["depth"], 2, "nearest"), module.correlation.query, False)
    k = naive_block(naive_shrink(g, 2, "max"), module.correlation.key, False)
    scores = torch.einsum("bcn,bcm->bnm", q.flatten(2), k.flatten(2)) / math.sqrt(8)
    truth = scores.softmax(2)[:, 2 * 5 + 1]  # cell (5 // 2, 3 // 2) of a 4 x 5 grid
    assert row.shape == (2, 4, 5)
    assert torch.allclose(row.flatten(1), truth)
    assert torch.allclose(row.sum((1, 2)), torch.ones(2).double())


def test_cutting_an_edge_changes_its_target_alone_and_is_undone():
    exchange = make().eval()
    features = make_features((8, 8))
    before = exchange(features)
    for mode in ("mean", "zero"):
        with exchange.cut("depth", "normals", mode):
            during = exchange(features)
        assert not torch.allclose(during["normals"], before["normals"])
        assert torch.equal(during["depth"], before["depth"])
        assert torch.equal(during["segmentation"], before["segmentation"])
    assert torch.equal(exchange(features)["normals"], before["normals"])


def test_cut_by_hand():
    """Two tasks: with the only direction cut to zero the residual is ReLU of batch norm of zero."""
    exchange = make(("a", "b")).eval()
    features = make_features((4, 4), ("a", "b"))
    norm = exchange.norms["b"]
    with exchange.cut("a", "b", "zero"):
        result = exchange(features)["b"] - features["b"]
    expected = norm.bias - norm.running_mean * norm.weight / (norm.running_var + norm.eps).sqrt()
    assert torch.allclose(result, expected.clamp(min=0).view(1, -1, 1, 1).expand_as(result))
    with exchange.cut("a", "b", "mean"):  # constant over batch and positions
        result = exchange(features)["b"] - features["b"]
    assert torch.allclose(result, result[:1, :, :1, :1].expand_as(result))


def test_a_cut_source_says_nothing():
    exchange = make().eval()
    features = make_features((8, 8))
    other = {**features, "depth": torch.randn_like(features["depth"])}
    with exchange.cut("depth", "normals", "zero"):
        assert torch.equal(exchange(features)["normals"], exchange(other)["normals"])


def test_alphas():
    exchange = make()
    found = exchange.alphas()
    assert list(found)[:2] == [("depth", "segmentation"), ("normals", "segmentation")]
    assert len(found) == 6
    assert torch.equal(
        found["normals", "depth"], exchange.directions["depth"]["normals"].correlation.alpha
    )
    assert make(alpha=False).alphas() == {}


@pytest.mark.parametrize("how", ["nearest", "bilinear"])
def test_economical_projection_with_other_poolings(how):
    exchange = make(
        upsampling=how, target_pooling="average", source_pooling="bilinear", downscale=4
    )
    features = make_features((9, 12))
    economical = exchange(features)
    exchange.economical = False
    plain = exchange(features)
    assert all((economical[t] - plain[t]).abs().max() < 1e-9 for t in TASKS)
    other = make(downscale=4)
    other.load_state_dict(exchange.state_dict())
    assert not torch.allclose(other(features)["depth"], plain["depth"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fusion": "sum"}, "fusion.*add"),
        ({"correlation": "spacial"}, "correlation.*spatial"),
        ({"self_attention": "quarter"}, "self_attention.*half"),
        ({"kv_downscale": "s3"}, "kv_downscale.*s2"),
        ({"upsampling": "cubic"}, "upsampling.*bilinear"),
        ({"target_pooling": "min"}, "target_pooling"),
        ({"source_pooling": "min"}, "source_pooling"),
        ({"correlation": None, "self_attention": None}, "multi_task_matched"),
        ({"correlation": "channel", "kv_downscale": "s2"}, "kv_downscale='s'"),
    ],
)
def test_wrong_choices_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TaskExchange(TASKS, 8, 2, **options)


def test_wrong_tasks_and_directions_are_refused():
    with pytest.raises(ValueError, match="single_task"):
        TaskExchange(("depth",), 8)
    exchange = make()
    with pytest.raises(ValueError, match="does not exist"):
        exchange.attention(make_features((8, 8)), "depth", "depth", (0, 0))
    with pytest.raises(ValueError, match="does not exist"), exchange.cut("depth", "edges"):
        pass
    with pytest.raises(ValueError, match="zero"), exchange.cut("depth", "normals", "max"):
        pass
    with pytest.raises(ValueError, match="no attention over positions"):
        make(correlation=None).attention(make_features((8, 8)), "depth", "normals", (0, 0))


def test_half_precision_and_channels_last():
    exchange = TaskExchange(TASKS, 8, 2).eval()
    randomise(exchange)
    features = {t: f.detach().float() for t, f in make_features((8, 12)).items()}
    truth = exchange(features)
    last = {t: f.to(memory_format=torch.channels_last) for t, f in features.items()}
    moved = exchange.to(memory_format=torch.channels_last)(last)
    assert all(torch.allclose(moved[t], truth[t], atol=1e-4) for t in TASKS)
    with torch.autocast("cpu", torch.bfloat16):
        half = exchange(features)
    for task in TASKS:
        assert (half[task] - truth[task]).abs().max() < 0.05 * truth[task].abs().max()


@pytest.mark.parametrize("downscale", [3, 4])
def test_the_papers_source_grid_is_s_squared(downscale):
    """s^2 is 9 and 16 where 2 s would be 6 and 8: a map of 48 pixels has 6 x 6 or 3 x 3 cells of it."""
    cells = {3: 6, 4: 3}[downscale]
    exchange = make(downscale=downscale, kv_downscale="s2")
    row = exchange.attention(make_features((48, 48)), "depth", "normals", (5, 3))
    assert row.shape[-2:] == (cells, cells)
    released = make(downscale=downscale).attention(
        make_features((48, 48)), "depth", "normals", (5, 3)
    )
    assert released.shape[-2:] == (48 // downscale, 48 // downscale)
