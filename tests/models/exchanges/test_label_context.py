"""ATRC's label and local contexts against their equations."""

import math

import torch

from crosstask.models.exchanges.label_context import (
    LabelContext,
    LocalContext,
    label_tokens,
    neighbourhood_attention,
)

# ---- contexts ---------------------------------------------------------------------------------------


def test_label_tokens_are_weighted_means() -> None:
    features = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    logits = torch.tensor([[[[0.0, 0.0, 0.0]], [[0.0, 100.0, 0.0]], [[0.0, math.log(3), -99.0]]]])
    # equal weights; all on the second; 1/4 and 3/4
    torch.testing.assert_close(label_tokens(features, logits), torch.tensor([[[2.0, 2.0, 1.75]]]))


def test_neighbourhood_attention_is_softmax_over_the_window() -> None:
    query, key = torch.randn(2, 4, 5, 6), torch.randn(2, 4, 5, 6)
    value = torch.randn(2, 3, 5, 6)
    scores = torch.einsum("bdp,bdr->bpr", query.flatten(2), key.flatten(2)) / 2
    row, column = torch.arange(30) // 6, torch.arange(30) % 6
    far = ((row[:, None] - row).abs() > 1) | ((column[:, None] - column).abs() > 1)
    weights = scores.masked_fill(far, -math.inf).softmax(2)
    expected = torch.einsum("bpr,bcr->bcp", weights, value.flatten(2)).view(2, 3, 5, 6)
    torch.testing.assert_close(neighbourhood_attention(query, key, value, 3), expected)
    # hand: equal keys average the 4 positions that a corner has
    ones, ramp = torch.ones(1, 1, 3, 3), torch.arange(9.0).view(1, 1, 3, 3)
    assert neighbourhood_attention(ones, ones, ramp, 3)[0, 0, 0, 0] == (0 + 1 + 3 + 4) / 4


def test_a_row_of_the_local_context_predicts_its_output() -> None:
    context = LocalContext(6, 4, 3).eval()
    target, source = torch.randn(1, 6, 5, 7), torch.randn(1, 6, 5, 7)
    row = context.row(target, source, (4, 2))
    assert (row > 0).sum() == 6
    read = torch.einsum("bhw,bchw->bc", row, context.value(source))
    torch.testing.assert_close(context(target, source)[..., 4, 2], read, atol=1e-5, rtol=1e-4)


def test_label_context_reads_tokens_of_the_source() -> None:
    context = LabelContext(6, 4).eval()
    target, source, logits = (
        torch.randn(2, 6, 3, 4),
        torch.randn(2, 6, 3, 4),
        torch.randn(2, 5, 3, 4),
    )
    tokens = label_tokens(source, logits)[..., None]
    query = context.query(target).flatten(2)
    scores = torch.einsum("bdp,bdn->bpn", query, context.key(tokens)[..., 0]) / 2
    expected = torch.einsum("bpn,bcn->bcp", scores.softmax(2), context.value(tokens)[..., 0])
    torch.testing.assert_close(context(target, source, logits), expected.view(2, 4, 3, 4))
