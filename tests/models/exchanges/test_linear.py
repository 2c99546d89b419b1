"""The linear exchange against its equations, and what it keeps alive."""

import math

import pytest
import torch
from torch.nn import functional

from crosstask.deploy.peak_memory import peak_memory
from crosstask.models.exchanges.linear import LinearExchange
from models.exchanges.equations import (
    TASKS,
    conv,
    grow,
    make_features,
    norm,
    randomise,
)


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


def test_the_linear_exchange_holds_few_maps_at_a_time():
    """The written maps and their sums from the right; not each extracted and attended map too."""
    tasks = tuple(f"t{i}" for i in range(8))
    exchange = LinearExchange(tasks, 16).eval()
    features = {task: torch.rand(1, 16, 32, 32) for task in tasks}
    size = features["t0"].nbytes
    with torch.no_grad():
        peak = peak_memory(lambda: exchange(features), "cpu")
    assert peak < 2.5 * len(tasks) * size  # 5.1 when all of them are alive at once
