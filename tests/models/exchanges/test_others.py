"""Windowed, N-to-one and linear exchanges and distillation against their equations."""

import math

import pytest
import torch
from torch.nn import functional

from crosstask.deploy.benchmark import peak_memory
from crosstask.models.exchanges.directions import sums_of_others
from crosstask.models.exchanges.distillation import Distillation
from crosstask.models.exchanges.linear import LinearExchange
from crosstask.models.exchanges.n_to_one import NToOneExchange
from crosstask.models.exchanges.window import WindowCorrelation, WindowExchange

TASKS = ("a", "b", "c")


def randomise(module):
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_floating_point():
            low = 0.5 if "running_var" in name else -0.3
            with torch.no_grad():
                tensor.copy_(torch.empty_like(tensor).uniform_(low, low + 1.0))
    return module.double().eval()


def make_features(size=(8, 12), tasks=TASKS):
    return {task: torch.randn(2, 8, *size, dtype=torch.double) for task in tasks}


def block(x, layers):
    """1x1 convolution, batch norm on its statistics, ReLU."""
    return norm(functional.conv2d(x, layers[0].weight), layers[1]).relu()


def norm(x, layer):
    mean, var = layer.running_mean.view(1, -1, 1, 1), layer.running_var.view(1, -1, 1, 1)
    x = (x - mean) / (var + layer.eps).sqrt()
    return x * layer.weight.view(1, -1, 1, 1) + layer.bias.view(1, -1, 1, 1)


def conv(x, layer):
    return functional.conv2d(x, layer.weight, layer.bias, padding=layer.weight.shape[-1] // 2)


def gate(x, layer):
    return conv(x, layer.feature) * conv(x, layer.mask).sigmoid()


def grow(x, factor):
    return x.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


class TestWindows:
    def test_equals_a_loop_over_cells(self):
        module = randomise(WindowCorrelation(8, downscale=2, window=3, heads=2))
        target, source = torch.randn(2, 1, 8, 12, 12, dtype=torch.double)
        ours = module(target, source)
        q = block(target[:, :, ::2, ::2], module.query)
        small = functional.max_pool2d(source, 2)
        k, v = block(small, module.key), block(small, module.value)
        for y in range(6):
            for x in range(6):
                top, left = y - y % 3, x - x % 3
                for head in range(2):
                    part = slice(4 * head, 4 * head + 4)
                    scores, values = [], []
                    for i in range(top, top + 3):
                        for j in range(left, left + 3):
                            offset = (y - i + 2) * 5 + (x - j + 2)
                            dot = (q[0, part, y, x] * k[0, part, i, j]).sum() / 2
                            scores.append(dot + module.bias[head, offset])
                            values.append(v[0, part, i, j])
                    weights = torch.stack(scores).softmax(0)
                    truth = (weights[:, None] * torch.stack(values)).sum(0) * module.alpha[part]
                    assert torch.allclose(ours[0, part, y, x], truth, atol=1e-9)

    def test_nothing_crosses_a_window(self):
        module = randomise(WindowCorrelation(8, downscale=1, window=4))
        target, source = torch.randn(2, 1, 8, 8, 8, dtype=torch.double)
        changed = source.clone()
        changed[..., :4, :4] += 1
        difference = (module(target, source) - module(target, changed)).abs().sum(1)[0]
        assert (difference[:4, :4] > 0).all()
        assert difference.sum() == difference[:4, :4].sum()

    def test_row_of_weights(self):
        exchange = randomise(WindowExchange(TASKS, 8, downscale=2, window=4))
        row = exchange.attention(make_features((10, 14)), "a", "c", (9, 3))
        assert row.shape == (2, 5, 7)
        assert (row[:, :4].sum(), row[..., 4:].sum()) == (0, 0)  # cell (4, 1): window rows 4 to 7
        assert (row[:, 4, :4] > 0).all()

    def test_wrong_choices_are_refused(self):
        with pytest.raises(ValueError, match="heads"):
            WindowCorrelation(8, 2, heads=3)


class TestNToOne:
    @pytest.mark.parametrize("size", [(8, 12), (7, 9)])
    def test_equals_the_equations(self, size):
        exchange = randomise(NToOneExchange(TASKS, 8, downscale=2))
        features = make_features(size)
        g = {t: conv(features[t], exchange.extractors[t]).relu() for t in TASKS}
        ours = exchange(features)
        for i, task in enumerate(TASKS):
            others = [t for t in TASKS if t != task]
            q = block(features[task][:, :, ::2, ::2], exchange.queries[task])
            keys, values = [], []
            for t in others:
                small = functional.max_pool2d(g[t], 2, ceil_mode=True)
                tag = exchange.tags[TASKS.index(t)].view(1, -1, 1, 1)
                keys.append((block(small, exchange.keys[t]) + tag).flatten(2))
                values.append(block(small, exchange.values[t]).flatten(2))
            scores = q.flatten(2).transpose(1, 2) @ torch.cat(keys, 2) / math.sqrt(8)
            read = (scores.softmax(2) @ torch.cat(values, 2).transpose(1, 2)).transpose(1, 2)
            read = read.reshape(q.shape) * exchange.alpha[task].view(1, -1, 1, 1)
            read = grow(read, 2)[..., : size[0], : size[1]]
            all_read = torch.cat([read, *(gate(g[t], exchange.gates[t]) for t in others)], 1)
            fused = functional.conv2d(all_read, exchange.fusions[task].weight)
            truth = features[task] + norm(fused, exchange.norms[task]).relu()
            assert torch.allclose(ours[task], truth, atol=1e-9), i

    def test_rows_over_all_sources_sum_to_one(self):
        exchange = randomise(NToOneExchange(TASKS, 8, downscale=2))
        features = make_features()
        rows = [exchange.attention(features, "a", source, (5, 7)) for source in ("b", "c")]
        assert torch.allclose(sum(row.sum((1, 2)) for row in rows), torch.ones(2).double())
        assert rows[0].shape == (2, 4, 6)

    def test_alphas(self):
        exchange = randomise(NToOneExchange(TASKS, 8))
        assert torch.equal(exchange.alphas()["b", "a"], exchange.alpha["a"])
        assert NToOneExchange(TASKS, 8, alpha=False).alphas() == {}


class TestLinear:
    def test_linear_attention_equals_the_whole_matrix(self):
        exchange = randomise(LinearExchange(TASKS, 8, downscale=2, mixing="conv", heads=2))
        features = make_features((7, 12))
        g = {t: conv(features[t], exchange.extractors[t]).relu() for t in TASKS}
        small = {t: functional.max_pool2d(g[t], 2, ceil_mode=True) for t in TASKS}
        phi = lambda x: functional.elu(x) + 1  # noqa: E731
        ours = exchange(features)
        for task in TASKS:
            others = [t for t in TASKS if t != task]
            query = phi(conv(features[task][:, :, ::2, ::2], exchange.queries[task]))
            attended = torch.zeros_like(query)
            for part in (slice(0, 4), slice(4, 8)):
                k = torch.cat(
                    [phi(conv(small[t], exchange.keys[t]))[:, part].flatten(2) for t in others], 2
                )
                v = torch.cat(
                    [conv(small[t], exchange.values[t])[:, part].flatten(2) for t in others], 2
                )
                weights = query[:, part].flatten(2).transpose(1, 2) @ k
                weights = weights / weights.sum(2, keepdim=True)
                read = (weights @ v.transpose(1, 2)).transpose(1, 2)
                attended[:, part] = read.reshape(2, 4, *query.shape[2:])
            attended = conv(
                attended * exchange.alpha[task].view(1, -1, 1, 1), exchange.outputs[task]
            )
            bus = 0
            for t in others:
                feature, mask = conv(g[t], exchange.gates[t].mixer).chunk(2, 1)
                bus = bus + conv(feature * mask.sigmoid(), exchange.writers[t])
            total = bus + grow(attended, 2)[..., :7, :12]
            truth = features[task] + norm(total, exchange.norms[task]).relu()
            assert torch.allclose(ours[task], truth, atol=1e-9)

    @pytest.mark.parametrize("mixing", ["conv", "separable", "pointwise"])
    @pytest.mark.parametrize("attention", ["linear", "shared", None])
    @pytest.mark.parametrize("gate", [True, False])
    def test_every_design_learns(self, mixing, attention, gate):
        exchange = LinearExchange(TASKS, 8, 2, mixing, gate, attention)
        with torch.no_grad():
            for parameter in getattr(exchange, "alpha", {}).values():
                parameter.fill_(1.0)
        features = {t: f.float() for t, f in make_features().items()}
        result = exchange(features)
        sum((x * torch.randn_like(x)).sum() for x in result.values()).backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in exchange.parameters())

    def test_shared_attention_reads_one_map(self):
        exchange = randomise(LinearExchange(TASKS, 8, 2, "conv", gate=False, attention="shared"))
        features = make_features()
        small = {
            t: functional.max_pool2d(conv(features[t], exchange.extractors[t]).relu(), 2)
            for t in TASKS
        }
        key = sum(conv(small[t], exchange.keys[t]) for t in TASKS).relu().flatten(2)
        value = sum(conv(small[t], exchange.values[t]) for t in TASKS).relu().flatten(2)
        query = conv(features["b"][:, :, ::2, ::2], exchange.queries["b"]).relu()
        scores = query.flatten(2).transpose(1, 2) @ key / math.sqrt(8)
        read = (scores.softmax(2) @ value.transpose(1, 2)).transpose(1, 2).reshape(query.shape)
        read = conv(read * exchange.alpha["b"].view(1, -1, 1, 1), exchange.outputs["b"])
        bus = sum(
            conv(conv(features[t], exchange.extractors[t]).relu(), exchange.writers[t])
            for t in "ac"
        )
        truth = features["b"] + norm(bus + grow(read, 2), exchange.norms["b"]).relu()
        assert torch.allclose(exchange(features)["b"], truth, atol=1e-9)

    @pytest.mark.parametrize("attention", ["linear", "shared"])
    @pytest.mark.parametrize("pixel", [(0, 0), (6, 11)])
    def test_a_row_of_weights_predicts_what_is_attended(self, attention, pixel):
        """With two tasks nobody competes: the row times the values is the attended cell."""
        exchange = randomise(
            LinearExchange(("a", "b"), 8, downscale=2, attention=attention, heads=1)
        )
        features = make_features((7, 12), ("a", "b"))
        row = exchange.attention(features, "a", "b", pixel)
        assert row.shape == (2, 4, 6)
        assert torch.allclose(row.sum((1, 2)), torch.ones(2).double())
        small = {
            t: functional.max_pool2d(exchange.extractors[t](x).relu(), 2, ceil_mode=True)
            for t, x in features.items()
        }
        values = {t: conv(small[t], exchange.values[t]) for t in small}
        value = values["b"] if attention == "linear" else (values["a"] + values["b"]).relu()
        read = torch.einsum("bhw,bchw->bc", row, value)
        read = conv((read * exchange.alpha["a"])[..., None, None], exchange.outputs["a"])
        attended = exchange._attend(features, small)["a"][..., pixel[0] // 2, pixel[1] // 2]
        assert torch.allclose(attended, read[..., 0, 0], atol=1e-9)

    def test_heads_of_a_row_are_averaged(self):
        exchange = randomise(LinearExchange(TASKS, 8, 1, "pointwise", False, heads=2))
        features = make_features((2, 3))
        phi = lambda x: functional.elu(x) + 1  # noqa: E731
        q = phi(conv(features["a"], exchange.queries["a"]))[..., 1, 2]
        k = phi(conv(conv(features["c"], exchange.extractors["c"]).relu(), exchange.keys["c"]))
        expected = 0
        for part in (slice(0, 4), slice(4, 8)):
            weights = torch.einsum("bc,bchw->bhw", q[:, part], k[:, part])
            expected = expected + weights / weights.sum((1, 2), keepdim=True) / 2
        assert torch.allclose(exchange.attention(features, "a", "c", (1, 2)), expected)

    def test_rows_that_do_not_exist_are_refused(self):
        features = make_features()
        with pytest.raises(ValueError, match="no attention over positions"):
            exchange = randomise(LinearExchange(TASKS, 8, attention=None))
            exchange.attention(features, "a", "b", (0, 0))
        with pytest.raises(ValueError, match="does not exist"):
            randomise(LinearExchange(TASKS, 8)).attention(features, "a", "a", (0, 0))

    @pytest.mark.parametrize("attention", ["linear", "shared", None])
    def test_a_cut_source_says_nothing(self, attention):
        exchange = randomise(LinearExchange(TASKS, 8, 2, attention=attention, heads=2))
        features = make_features()
        other = {**features, "a": torch.randn_like(features["a"])}
        with exchange.cut("a", "b", "zero"):
            first, second = exchange(features), exchange(other)
        assert torch.equal(first["b"], second["b"])
        assert not torch.allclose(first["c"], second["c"])
        whole = exchange(features)
        assert torch.equal(first["c"], whole["c"]) and not torch.allclose(first["b"], whole["b"])

    @pytest.mark.parametrize("attention", ["linear", "shared", None])
    def test_a_mean_cut_changes_nothing_where_nothing_varies(self, attention):
        """Not even with channels of very different levels, whose summaries must not be mixed."""
        exchange = randomise(LinearExchange(TASKS, 8, 2, "pointwise", False, attention, heads=2))
        levels = {t: torch.randn(1, 8, 1, 1, dtype=torch.double) * 3 for t in TASKS}
        features = {t: x.repeat(2, 1, 4, 6) for t, x in levels.items()}
        whole = exchange(features)
        with exchange.cut("a", "b", "mean"), exchange.cut("c", "b", "mean"):
            cut = exchange(features)
        assert all(torch.allclose(cut[t], whole[t], atol=1e-9) for t in TASKS)

    def test_pointwise_sees_its_own_position_alone(self):
        exchange = randomise(LinearExchange(TASKS, 8, 2, "pointwise", False, None))
        features = make_features()
        other = {t: f.clone() for t, f in features.items()}
        other["a"][..., 3, 4] += 1
        difference = (exchange(features)["b"] - exchange(other)["b"]).abs().sum((0, 1))
        assert difference[3, 4] > 0
        assert difference.sum() == difference[3, 4]

    def test_wrong_choices_are_refused(self):
        for options in ({"mixing": "dense"}, {"attention": "softmax"}, {"heads": 3}):
            with pytest.raises(ValueError, match=next(iter(options))):
                LinearExchange(TASKS, 8, **options)


def test_sums_of_others_by_hand():
    maps = [torch.tensor([x]) for x in (1.0, 10.0, 100.0, 1000.0)]
    assert [float(x) for x in sums_of_others(maps[:2])] == [10, 1]
    assert [float(x) for x in sums_of_others(maps)] == [1110, 1101, 1011, 111]
    assert not maps, "every map is let go"


def test_the_linear_exchange_holds_few_maps_at_a_time():
    """The written maps and their sums from the right; not each extracted and attended map too."""
    tasks = tuple(f"t{i}" for i in range(8))
    exchange = LinearExchange(tasks, 16).eval()
    features = {task: torch.rand(1, 16, 32, 32) for task in tasks}
    size = features["t0"].nbytes
    with torch.no_grad():
        peak = peak_memory(lambda: exchange(features), "cpu")
    assert peak < 2.5 * len(tasks) * size  # 5.1 when all of them are alive at once


def test_distillation_by_hand():
    exchange = Distillation(("a", "b"), 1)
    for parameter in exchange.parameters():
        torch.nn.init.zeros_(parameter)
    exchange.directions["a"]["b"].feature.weight.data[0, 0, 1, 1] = 4.0
    features = {"a": torch.full((1, 1, 2, 2), 3.0), "b": torch.full((1, 1, 2, 2), 5.0)}
    result = exchange(features)
    assert result["a"].unique().tolist() == [3 + 4 * 5 * 0.5]  # an empty mask lets half through
    assert result["b"].unique().tolist() == [5.0]
