"""N-to-one attention against its equation."""

import math

import pytest
import torch
from torch.nn import functional

from crosstask.models.exchanges.n_to_one import NToOneExchange
from models.exchanges.equations import (
    TASKS,
    block,
    conv,
    gate,
    grow,
    make_features,
    norm,
    randomise,
)


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
