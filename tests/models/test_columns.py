"""Linear layers over windows that are columns, and comparisons that are numbers."""

import pytest
import torch
from torch import nn

from models.columns import linear, through, truth


@pytest.mark.parametrize("grad", [True, False])
def test_a_layer_on_columns_is_the_layer_on_rows(grad: bool) -> None:
    first = nn.Linear(16, 32)
    layers = nn.Sequential(first, nn.ReLU(), nn.Linear(32, 16))
    x = torch.randn(5, 16, 64)
    with torch.set_grad_enabled(grad):
        wanted = layers(x.transpose(1, 2)).transpose(1, 2)
        torch.testing.assert_close(through(layers, x), wanted, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(through(layers, x[0]), wanted[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(linear(first, x[1]), first(x[1].t()).t(), atol=1e-5, rtol=1e-4)


def test_truth_is_one_or_zero_and_nothing_is_true_of_nan() -> None:
    x = torch.tensor([[-1.0, 0.0, 2.0, torch.nan]])
    assert truth(torch.ge, x, 0.0).tolist() == [[0, 1, 1, 0]]
    assert truth(torch.eq, x, x).tolist() == [[1, 1, 1, 0]]
    assert truth(torch.gt, x, torch.tensor([[0.0], [-5.0]])).tolist() == [[0, 0, 1, 0], [1, 1, 1, 0]]
    assert truth(torch.gt, x, 0.0).dtype == torch.float32
