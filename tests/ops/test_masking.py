"""Masks choose between tensors and numbers, with PyTorch's promotion and refusals."""

from __future__ import annotations

import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck


def test_where_chooses_with_broadcasting_and_promotion():
    mask = tt.tensor([[True], [False]])
    assert tt.where(mask, tt.tensor([1, 2]), tt.tensor(0.5)).tolist() == [[1, 2], [0.5, 0.5]]
    assert tt.where(mask, tt.tensor([1, 2]), 7).dtype is tt.int64
    assert tt.where(mask, 1.0, 0).dtype is tt.float32
    assert tt.tensor([1.0, 2.0]).where(tt.tensor([True, False]), 9).tolist() == [1, 9]
    with pytest.raises(RuntimeError, match="boolean tensor, but got a tensor with dtype float32"):
        tt.where(tt.ones(1), 1, 2)


def test_where_of_a_condition_alone_gives_places():
    rows, columns = tt.where(tt.tensor([[0, 1], [1, 1]]))
    assert rows.tolist() == [0, 1, 1]
    assert columns.tolist() == [1, 0, 1]


def test_masked_fill_puts_a_number_in():
    x = tt.arange(4)
    assert x.masked_fill(x > 1, -1).tolist() == [0, 1, -1, -1]
    assert x.masked_fill(tt.tensor([[True], [False]]), tt.tensor(9)).tolist() == [[9] * 4, [0, 1, 2, 3]]
    x.masked_fill_(x == 0, 5)
    assert x.tolist() == [5, 1, 2, 3]
    with pytest.raises(RuntimeError, match="only supports boolean masks, but got mask with dtype int64"):
        x.masked_fill(x, 1)
    with pytest.raises(RuntimeError, match=r"got tensor with 1 dimension\(s\)"):
        x.masked_fill(x > 1, tt.tensor([1]))
    with pytest.raises(RuntimeError, match="without overflow"):
        x.masked_fill(x > 1, 1j)


def test_masked_scatter_takes_one_element_after_the_other():
    mask = tt.tensor([[False, True], [True, False]])
    assert tt.zeros(2, 2).masked_scatter(mask, tt.tensor([5.0, 6.0, 7.0])).tolist() == [[0, 5], [6, 0]]
    with pytest.raises(RuntimeError, match="2 elements for the mask; the source has 1"):
        tt.zeros(2, 2).masked_scatter(mask, tt.tensor([5.0]))
    with pytest.raises(RuntimeError, match="same dtypes but got float32 and int64"):
        tt.zeros(2, 2).masked_scatter(mask, tt.tensor([5, 6]))


@pytest.mark.parametrize(
    "function",
    [
        lambda mask, x, y: tt.where(mask, x, y),
        lambda mask, x, y: x.masked_fill(mask, y[0]),
        lambda mask, x, y: x.masked_scatter(mask, y * y),
    ],
)
def test_gradients_go_to_what_was_chosen(function):
    mask = tt.tensor([[True, False, True], [False, False, True]])
    x = tt.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=tt.float64, requires_grad=True)
    y = tt.tensor([7.0, 8.0, 9.0], dtype=tt.float64, requires_grad=True)
    assert gradcheck(function, [mask, x, y])
