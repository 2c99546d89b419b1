"""Auxiliary label heads."""

import torch

from crosstask.models.decoders.auxiliary_labels import AuxiliaryLabels


def test_label_heads_do_not_touch_the_trunk() -> None:
    heads = AuxiliaryLabels({"depth": 1, "segmentation": 5, "edges": 1}, 6, bins=8)
    shared = torch.randn(2, 6, 4, 4, requires_grad=True)
    logits = heads(shared)
    assert {task: x.shape[1] for task, x in logits.items()} == {
        "depth": 8, "segmentation": 5, "edges": 2,
    }  # fmt: skip
    loss = heads.loss("depth", logits["depth"], torch.rand(2, 1, 16, 16) + 1)
    loss = loss + logits["segmentation"].sum() + logits["edges"].sum()
    loss.backward()
    assert shared.grad is None
    assert all(p.grad is not None for p in heads.parameters())
