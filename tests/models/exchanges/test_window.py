"""Windowed attention against a loop over cells."""

import pytest
import torch
from torch.nn import functional

from crosstask.models.exchanges.window import WindowCorrelation, WindowExchange
from models.exchanges.equations import (
    TASKS,
    block,
    make_features,
    randomise,
)


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
        difference[:4, :4] = 0
        assert not difference.any()

    def test_row_of_weights(self):
        exchange = randomise(WindowExchange(TASKS, 8, downscale=2, window=4))
        row = exchange.attention(make_features((10, 14)), "a", "c", (9, 3))
        assert row.shape == (2, 5, 7)
        assert (row[:, :4].sum(), row[..., 4:].sum()) == (0, 0)  # cell (4, 1): window rows 4 to 7
        assert (row[:, 4, :4] > 0).all()

    def test_wrong_choices_are_refused(self):
        with pytest.raises(ValueError, match="heads"):
            WindowCorrelation(8, 2, heads=3)
