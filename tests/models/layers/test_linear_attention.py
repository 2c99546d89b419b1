"""Linear attention against the matrix that it never stores."""

import pytest
import torch

from crosstask.models.layers.linear_attention import LinearCrossAttention, linear_attention
from models.published_counts import count


@pytest.mark.parametrize(
    ("channels", "expected"), [(36, 6_840), (72, 26_640), (144, 105_120), (288, 417_600)]
)
def test_size_of_one_linear_attention(channels: int, expected: int) -> None:
    assert count(LinearCrossAttention(channels)) == expected == 5 * channels**2 + 10 * channels


# ---- attention against its equations --------------------------------------------------------------


def test_linear_attention_by_hand() -> None:
    query = torch.tensor([[[1.0], [2.0]]])
    key = torch.tensor([[[3.0, 0.0], [1.0, 2.0]]])
    value = torch.tensor([[[10.0, 20.0]]])
    # scores 1*3+2*1 = 5 and 1*0+2*2 = 4: (50 + 80) / 9
    torch.testing.assert_close(linear_attention(query, key, value), torch.tensor([[[130 / 9]]]))


def test_linear_attention_is_the_row_normalised_matrix_also_for_unequal_sizes() -> None:
    query, key, value = torch.rand(2, 6, 35), torch.rand(2, 6, 12), torch.randn(2, 4, 12)
    scores = torch.einsum("bdp,bdr->bpr", query, key)
    expected = torch.einsum("bpr,bcr->bcp", scores / scores.sum(2, keepdim=True), value)
    torch.testing.assert_close(linear_attention(query, key, value), expected)


def test_linear_attention_stays_in_float32_under_autocast() -> None:
    query, key, value = torch.rand(1, 4, 9), torch.rand(1, 4, 300), torch.rand(1, 4, 300)
    expected = linear_attention(query, key, value)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = linear_attention(query, key, value)
    assert inside.dtype == torch.float32 and torch.equal(inside, expected)


def test_a_row_of_linear_attention_predicts_the_output() -> None:
    module = LinearCrossAttention(6).eval()
    target, source = torch.randn(2, 6, 5, 4), torch.randn(2, 6, 3, 7)
    row = module.row(target, source, (3, 1))
    torch.testing.assert_close(row.sum((1, 2)), torch.ones(2))
    read = torch.einsum("bhw,bchw->bc", row, module.value(source))
    torch.testing.assert_close(module(target, source)[..., 3, 1], read)
