"""A tensor's values as Python and NumPy see them."""

from __future__ import annotations

import pytest

import tinytrain as tt


def test_a_number_or_a_tensor_is_looked_for_among_the_elements():
    x = tt.tensor([[0.0, 1.0], [2.0, 3.0]])
    assert 3.0 in x
    assert 9 not in x
    assert tt.tensor(1.0) in x


@pytest.mark.parametrize(
    ("tensor", "text"),
    [(tt.tensor(2.5), "2.5"), (tt.tensor(3), "3"), (tt.tensor([2.5]), "tensor([2.5000])")],
)
def test_a_tensor_without_dimensions_is_formatted_as_its_number(tensor, text):
    assert f"{tensor}" == text


def test_a_loss_is_formatted_as_its_number():
    loss = tt.tensor([1.0, 2.0], requires_grad=True).sum()
    assert f"{loss} {loss:.2f}" == "3.0 3.00"


def test_reversed_turns_the_first_dimension_round():
    assert reversed(tt.tensor([[1, 2], [3, 4]])).tolist() == [[3, 4], [1, 2]]
