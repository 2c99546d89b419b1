"""PAD-Net's distillation by hand."""

import torch

from crosstask.models.exchanges.distillation import Distillation


def test_distillation_by_hand():
    exchange = Distillation(("a", "b"), 1)
    for parameter in exchange.parameters():
        torch.nn.init.zeros_(parameter)
    exchange.directions["a"]["b"].feature.weight.data[0, 0, 1, 1] = 4.0
    features = {"a": torch.full((1, 1, 2, 2), 3.0), "b": torch.full((1, 1, 2, 2), 5.0)}
    result = exchange(features)
    assert result["a"].unique().tolist() == [3 + 4 * 5 * 0.5]  # an empty mask lets half through
    assert result["b"].unique().tolist() == [5.0]
