"""Joining copies and promotes; dividing gives views."""

from __future__ import annotations

import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck


def numbers(*shape):
    return tt.arange(tt.Size(shape).numel(), dtype=tt.float64).view(shape)


def test_cat_joins_along_a_dimension():
    x = numbers(2, 2)
    assert tt.cat((x, x)).tolist() == [[0, 1], [2, 3], [0, 1], [2, 3]]
    assert tt.cat([x, x[:, :1]], dim=-1).tolist() == [[0, 1, 0], [2, 3, 2]]


def test_cat_promotes_types():
    joined = tt.cat([tt.tensor([1, 2]), tt.tensor([0.5]), tt.tensor([True])])
    assert joined.dtype is tt.float32
    assert joined.tolist() == [1, 2, 0.5, 1]


def test_cat_passes_over_empty_vectors():
    assert tt.cat([tt.tensor([]), tt.ones(2, 3)], dim=1).shape == (2, 3)


@pytest.mark.parametrize(
    ("shapes", "dim", "message"),
    [
        ([(2, 3), (2, 4)], 0, "Expected size 3 in dimension 1 but got size 4 for tensor number 1"),
        ([(2, 3), (2,)], 0, "same number of dimensions: got 2 and 1"),
        ([(), (2,)], 0, r"zero-dimensional tensor \(at position 0\)"),
    ],
)
def test_cat_refuses_shapes_that_do_not_fit(shapes, dim, message):
    with pytest.raises(RuntimeError, match=message):
        tt.cat([tt.ones(shape) for shape in shapes], dim)


def test_cat_wants_tensors():
    with pytest.raises(ValueError, match="non-empty list of Tensors"):
        tt.cat([])
    with pytest.raises(TypeError, match="element 1 in argument 0, but got int"):
        tt.cat([tt.ones(1), 2])
    with pytest.raises(TypeError, match="must be tuple of Tensors"):
        tt.cat(tt.ones(2, 2))


def test_cat_stores_its_result_in_out():
    out = tt.empty(4)
    assert tt.cat([tt.ones(2), tt.zeros(2)], out=out) is out
    assert out.tolist() == [1, 1, 0, 0]
    with pytest.raises(RuntimeError, match="refer to a single memory location"):
        tt.cat([out[:2], out[2:]], out=out)
    with pytest.raises(RuntimeError, match="don't support automatic differentiation"):
        tt.cat([tt.ones(2, requires_grad=True)] * 2, out=out)


def test_stack_adds_a_dimension():
    a, b = tt.tensor([1, 2]), tt.tensor([3, 4])
    assert tt.stack([a, b]).tolist() == [[1, 2], [3, 4]]
    assert tt.stack([a, b], dim=-1).tolist() == [[1, 3], [2, 4]]
    with pytest.raises(RuntimeError, match=r"got \[2\] at entry 0 and \[3\] at entry 1"):
        tt.stack([a, tt.ones(3)])
    with pytest.raises(RuntimeError, match="non-empty TensorList"):
        tt.stack([])


def test_stacks_by_direction():
    a, b = tt.tensor([1, 2]), tt.tensor([3, 4])
    assert tt.hstack([a, b]).tolist() == [1, 2, 3, 4]
    assert tt.vstack([a, b]).tolist() == tt.row_stack([a, b]).tolist() == [[1, 2], [3, 4]]
    assert tt.dstack([a, b]).tolist() == [[[1, 3], [2, 4]]]
    assert tt.column_stack([a, b]).tolist() == [[1, 3], [2, 4]]


def test_parts_are_views_of_the_sizes_asked_for():
    x = numbers(10)
    assert [part.shape[0] for part in x.split(4)] == [4, 4, 2]
    assert [part.tolist() for part in x.split([1, 9])] == [[0], list(range(1, 10))]
    assert [part.shape[0] for part in x.chunk(4)] == [3, 3, 3, 1]
    assert [part.shape[0] for part in x.chunk(6)] == [2] * 5
    assert [part.shape[0] for part in x.tensor_split(4)] == [3, 3, 2, 2]
    assert [part.tolist() for part in x.tensor_split((2, 1, 9))] == [[0, 1], [], [1, 2, 3, 4, 5, 6, 7, 8], [9]]
    x.split(4)[1].zero_()
    assert x.tolist() == [0, 1, 2, 3, 0, 0, 0, 0, 8, 9]


def test_divisions_that_do_not_fit_are_refused():
    x = numbers(10)
    with pytest.raises(RuntimeError, match=r"sum exactly to 10 .* got split_sizes=\[4, 4\]"):
        x.split([4, 4])
    with pytest.raises(RuntimeError, match="split_size=-1"):
        x.split(-1)
    with pytest.raises(RuntimeError, match="greater than 0, got: 0"):
        x.chunk(0)
    with pytest.raises(RuntimeError, match="larger than 0, got 0"):
        x.tensor_split(0)
    with pytest.raises(RuntimeError, match="not divisible by the split_size 3"):
        x.hsplit(3)


def test_unbind_and_splits_by_direction():
    x = numbers(2, 4)
    assert [row.tolist() for row in x.unbind()] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [column.tolist() for column in x.unbind(1)][3] == [3, 7]
    assert [part.tolist() for part in x.hsplit(2)] == [[[0, 1], [4, 5]], [[2, 3], [6, 7]]]
    assert [part.tolist() for part in x.vsplit([1])] == [[[0, 1, 2, 3]], [[4, 5, 6, 7]]]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: tt.cat([x, x * 2, tt.zeros(0, dtype=tt.float64)], 1),
        lambda x: tt.stack([x, x * x], 1),
        lambda x: tt.column_stack([x[:, 0], x]),
        lambda x: x.split([1, 3], 1),
        lambda x: x.chunk(3, 1)[1:],
        lambda x: x.unbind(1),
    ],
)
def test_gradients_go_back_to_every_part(function):
    assert gradcheck(function, [numbers(2, 4).clone().requires_grad_()])
