"""Elements are written by index tensors; gradients go to what was written and to what was left."""

from __future__ import annotations

import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck

INDEX = [[0, 1, 2, 0]]


def test_scatter_writes_along_a_dimension():
    src = tt.arange(1, 11).reshape(2, 5)  # the examples of Tensor.scatter_'s documentation
    assert tt.zeros(3, 5, dtype=tt.int64).scatter_(0, tt.tensor(INDEX), src).tolist() == [
        [1, 0, 0, 4, 0],
        [0, 2, 0, 0, 0],
        [0, 0, 3, 0, 0],
    ]
    assert tt.zeros(3, 5, dtype=tt.int64).scatter_(1, tt.tensor([[0, 1, 2], [0, 1, 4]]), src).tolist() == [
        [1, 2, 3, 0, 0],
        [6, 7, 0, 0, 8],
        [0, 0, 0, 0, 0],
    ]


def test_scatter_combines_with_what_is_there():
    x = tt.full((2, 4), 2.0)
    index = tt.tensor([[2], [3]])
    assert x.scatter(1, index, 1.25, reduce="multiply").tolist() == [[2, 2, 2.5, 2], [2, 2, 2, 2.5]]
    assert x.scatter(1, index, 1.25, reduce="add").tolist() == [[2, 2, 3.25, 2], [2, 2, 2, 3.25]]
    assert x.scatter(1, index, value=0).tolist() == [[2, 2, 0, 2], [2, 2, 2, 0]]
    with pytest.raises(RuntimeError, match="either add or multiply; got 'mean'"):
        x.scatter(1, index, 1.25, reduce="mean")


@pytest.mark.parametrize(
    ("index", "src", "message"),
    [
        ([[3]], [[1.0]], "index 3 is out of bounds for dimension 0 with size 3"),
        ([[0, 0]], [[1.0]], "no larger than"),
        ([[0]], [[1]], "Expected self.dtype to be equal to src.dtype; got float32 and int64"),
        ([0], [1.0], "same number of dimensions as self"),
    ],
)
def test_scatter_refuses_what_does_not_fit(index, src, message):
    with pytest.raises(RuntimeError, match=message):
        tt.zeros(3, 2).scatter(0, tt.tensor(index), tt.tensor(src))


def test_scatter_add_adds_up_what_goes_to_one_place():
    assert tt.ones(3).scatter_add(0, tt.tensor([0, 0, 2]), tt.tensor([1.0, 2.0, 3.0])).tolist() == [4, 1, 4]


@pytest.mark.parametrize(
    ("reduce", "with_self", "without"),
    [
        ("sum", [5, 14, 8, 4], [4, 12, 5, 4]),  # the examples of Tensor.scatter_reduce_'s documentation
        ("prod", [3, 70, 18, 4], [3, 35, 6, 4]),
        ("mean", [5 / 3, 14 / 3, 8 / 3, 4], [2, 6, 2.5, 4]),
        ("amax", [3, 7, 3, 4], [3, 7, 3, 4]),
        ("amin", [1, 2, 2, 4], [1, 5, 2, 4]),
    ],
)
def test_scatter_reduce_combines_with_or_without_the_input(reduce, with_self, without):
    x = tt.tensor([1.0, 2, 3, 4], dtype=tt.float64)
    index, src = tt.tensor([0, 1, 0, 1, 2, 2]), tt.tensor([1.0, 7, 3, 5, 2, 3], dtype=tt.float64)
    assert x.scatter_reduce(0, index, src, reduce).tolist() == pytest.approx(with_self)
    assert x.scatter_reduce(0, index, src, reduce, include_self=False).tolist() == pytest.approx(without)


def test_scatter_reduce_knows_five_reductions():
    with pytest.raises(RuntimeError, match="one of sum, prod, mean, amax, amin; got 'max'"):
        tt.zeros(1).scatter_reduce(0, tt.tensor([0]), tt.ones(1), "max")


def test_index_ops_work_on_slices():
    x = tt.zeros(3, 2)
    rows = tt.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.index_add(0, tt.tensor([2, 2]), rows, alpha=2).tolist() == [[0, 0], [0, 0], [8, 12]]
    assert x.index_copy(0, tt.tensor([2, 0]), rows).tolist() == [[3, 4], [0, 0], [1, 2]]
    assert x.index_fill(1, tt.tensor([-1]), 5).tolist() == [[0, 5]] * 3
    with pytest.raises(RuntimeError, match=r"expected \[1, 2\], got \[2, 2\]"):
        x.index_add(0, tt.tensor([0]), rows)
    with pytest.raises(IndexError, match="index 3 is out of bounds"):
        x.index_copy(0, tt.tensor([3, 0]), rows)
    with pytest.raises(RuntimeError, match="0-dimensional value tensor"):
        x.index_fill(0, tt.tensor([0]), tt.ones(1))


def test_put_counts_over_the_flattened_tensor():
    x = tt.tensor([[4, 3, 5], [6, 7, 8]])
    assert x.put(tt.tensor([1, -2]), tt.tensor([9, 10])).tolist() == [[4, 9, 5], [6, 10, 8]]
    assert x.put(tt.tensor([0, 0]), tt.tensor([1, 1]), accumulate=True).tolist() == [[6, 3, 5], [6, 7, 8]]
    with pytest.raises(RuntimeError, match=r"source.numel\(\) = 1, index.numel\(\) = 2"):
        x.put(tt.tensor([1, 2]), tt.tensor([9]))


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: x.scatter(0, tt.tensor([[2, 0]]), y),
        lambda x, y: x.scatter_add(0, tt.tensor([[1, 0, 0], [1, 2, 0]]), y),
        lambda x, y: x.index_add(0, tt.tensor([2, 2]), y, alpha=3),
        lambda x, y: x.index_copy(0, tt.tensor([2, 1]), y),
        lambda x, y: x.index_fill(0, tt.tensor([2, 2]), y[0, 0]),
        lambda x, y: x.put(tt.tensor([[0, -1, 3], [2, 1, 5]]), y),
        lambda x, y: x.put(tt.tensor([[0, 0, 3], [2, 1, 5]]), y, accumulate=True),
    ],
)
def test_gradients_go_to_what_is_written_and_left(function):
    assert gradcheck(function, operands())


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
def test_gradients_of_reductions(reduce, include_self):
    index = tt.tensor([[1, 0, 0], [1, 2, 0]])
    assert gradcheck(lambda x, y: x.scatter_reduce(0, index, y, reduce, include_self=include_self), operands())


def test_a_product_with_a_zero_has_the_product_of_the_others_as_its_gradient():
    src = tt.tensor([0.0, 3.0, 5.0, 0.0, 0.0], requires_grad=True)
    tt.ones(2).scatter_reduce(0, tt.tensor([0, 0, 0, 1, 1]), src, "prod").sum().backward()
    assert src.grad.tolist() == [15, 0, 0, 0, 0]


def test_equal_extremes_share_the_gradient():
    src = tt.tensor([2.0, 2.0, 1.0], requires_grad=True)
    tt.zeros(1).scatter_reduce(0, tt.tensor([0, 0, 0]), src, "amax").sum().backward()
    assert src.grad.tolist() == [0.5, 0.5, 0]


def operands():
    x = tt.tensor([[0.5, -1.2, 2.0], [1.5, 0.3, -0.7], [0.1, 0.9, -2.0]], dtype=tt.float64, requires_grad=True)
    y = tt.tensor([[1.1, -0.4, 0.6], [-1.3, 2.2, 0.8]], dtype=tt.float64, requires_grad=True)
    return [x, y]
