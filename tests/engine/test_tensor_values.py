"""A tensor's values as Python and NumPy see them."""

from __future__ import annotations

import numpy as np
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


def test_numpy_functions_of_tensors_give_tensors():
    root = np.sqrt(tt.tensor([4.0, 9.0]))
    assert isinstance(root, tt.Tensor)
    assert root.tolist() == [2.0, 3.0]
    assert np.greater(tt.tensor([1.0, 3.0]), 2).dtype is tt.uint8


def test_a_tensor_and_an_array_make_a_tensor():
    total = tt.ones(2) + np.array([1.0, 2.0])
    assert total.dtype is tt.float64
    assert total.tolist() == [2.0, 3.0]


@pytest.mark.parametrize("turned", [False, True])
def test_equality_with_an_array_is_by_elements(turned):
    tensor, array = tt.tensor([1, 2]), np.array([1, 3])
    equal, different = (array == tensor, array != tensor) if turned else (tensor == array, tensor != array)
    assert (equal.tolist(), different.tolist()) == ([True, False], [False, True])


def test_the_limits_of_a_type_are_python_numbers():
    limits = tt.finfo(tt.float16)
    assert repr(limits.max) == "65504.0"
    assert repr(limits) == (
        "finfo(resolution=0.001, min=-65504, max=65504, eps=0.000976562, smallest_normal=6.10352e-05, "
        "tiny=6.10352e-05, dtype=float16)"
    )


def test_a_repeated_shape_is_a_shape():
    assert repr(tt.ones(1, 2).shape * 2) == repr(2 * tt.ones(1, 2).shape) == "torch.Size([1, 2, 1, 2])"


def test_a_result_knows_whether_it_keeps_its_gradient():
    y = tt.ones(2, requires_grad=True) * 2
    assert not y.retains_grad
    y.retain_grad()
    assert y.retains_grad
