"""The attention blocks: the published formula, the gate, the query."""

import math

import pytest
import torch

from models.attention import FaultQuery, GatedBlock, MultiHeadAttention, Norm, scaled_dot_product


def test_scaled_dot_product_is_the_published_formula() -> None:
    q, k, v = (torch.randn(7, 4, 2, 3, generator=torch.Generator().manual_seed(i)) for i in range(3))
    mixed, weights = scaled_dot_product(q, k, v)
    q, k, v = (x.permute(3, 2, 0, 1) for x in (q, k, v))  # (B, h, N, w), as in the paper
    wanted = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(4), dim=-1)
    torch.testing.assert_close(weights.permute(3, 2, 0, 1), wanted)
    torch.testing.assert_close(mixed.permute(3, 2, 0, 1), wanted @ v)


def test_a_block_is_the_identity_until_its_gates_have_learnt_otherwise() -> None:
    block, x = GatedBlock(16, 4), torch.randn(6, 16, 5)
    assert torch.equal(block(x), x)
    with torch.no_grad():
        block.gamma_attention.fill_(0.5)
    assert not torch.equal(block(x), x)


def test_the_gates_receive_a_gradient_at_zero() -> None:
    block = GatedBlock(16, 4)
    block(torch.randn(6, 16, 5)).square().sum().backward()
    for gate in (block.gamma_attention, block.gamma_forward):
        assert gate.grad is not None
        assert gate.grad.abs() > 0


def test_norm_is_layer_normalization() -> None:
    x = torch.randn(9, 32, 4) * 3 + 5
    wanted = torch.nn.functional.layer_norm(x.transpose(1, 2), (32,)).transpose(1, 2)
    torch.testing.assert_close(Norm(32)(x), wanted, atol=1e-4, rtol=1e-4)


def test_attention_does_not_care_for_the_order_of_tokens() -> None:
    attention, x = MultiHeadAttention(8, 2), torch.randn(5, 8, 3)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(attention(x)[order], attention(x[order]))


def test_the_query_gives_absent_channels_nothing_and_sums_to_one() -> None:
    query, features = FaultQuery(6, 8, 2), torch.randn(6, 5, 4)
    present = torch.ones(5, 4)
    present[2, 0] = present[:4, 1] = present[:, 2] = 0
    weights = query(features, present).detach()
    torch.testing.assert_close(weights.sum(0), torch.ones(4))
    assert weights[2, 0] == 0
    assert weights[4, 1] == pytest.approx(1.0)


@pytest.mark.parametrize("kind", [MultiHeadAttention, FaultQuery])
def test_a_width_that_heads_do_not_divide_is_refused(kind: type) -> None:
    with pytest.raises(ValueError, match="heads"):
        kind(10, 3) if kind is MultiHeadAttention else kind(4, 10, 3)
