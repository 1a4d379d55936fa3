"""Elements are read by index tensors, repeated ones add their gradients up, wrong ones are refused."""

from __future__ import annotations

import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck

X = [[1, 2, 3], [4, 5, 6]]


def test_gather_reads_along_a_dimension():
    x = tt.tensor([[1, 2], [3, 4]])
    assert tt.gather(x, 1, tt.tensor([[0, 0], [1, 0]])).tolist() == [[1, 1], [4, 3]]  # torch.gather's documentation
    assert tt.tensor(X).gather(0, tt.tensor([[1, 0]])).tolist() == [[4, 2]]
    assert tt.tensor(5).gather(0, tt.tensor(0)).tolist() == 5


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ([[2]], "index 2 is out of bounds for dimension 0 with size 2"),
        ([[-1]], "index -1 is out of bounds"),
        ([0], "same number of dimensions as self"),
        ([[0, 0, 0, 0]], r"Size does not match at dimension 1 .*\[1, 4\] to be no larger than \[2, 3\]"),
        ([[0.0]], "Expected dtype int32/int64 for index; got float32"),
    ],
)
def test_gather_refuses_indices_that_do_not_fit(index, message):
    with pytest.raises(RuntimeError, match=message):
        tt.tensor(X).gather(0, tt.tensor(index))


def test_index_select_takes_slices_in_order():
    x = tt.tensor(X)
    assert x.index_select(1, tt.tensor([2, 0, 2])).tolist() == [[3, 1, 3], [6, 4, 6]]
    assert x.index_select(0, tt.tensor(1)).tolist() == [[4, 5, 6]]
    with pytest.raises(IndexError, match="index 3 is out of bounds for dimension 1 with size 3"):
        x.index_select(1, tt.tensor([3]))
    with pytest.raises(IndexError, match="supposed to be a vector; it has 2 dims"):
        x.index_select(1, tt.tensor([[0]]))
    with pytest.raises(RuntimeError, match="got float32"):
        x.index_select(1, tt.tensor([0.0]))


def test_take_counts_over_the_flattened_tensor():
    x = tt.tensor(X)
    assert x.take(tt.tensor([[0, -1], [2, 3]])).tolist() == [[1, 6], [3, 4]]
    with pytest.raises(IndexError, match="index 6 is out of bounds for the flattened tensor with size 6"):
        x.take(tt.tensor([6]))


def test_take_along_dim_broadcasts():
    x = tt.tensor([[10, 30, 20], [60, 40, 50]])
    assert tt.take_along_dim(x, tt.tensor([[1], [0]]), dim=1).tolist() == [[30], [60]]
    assert tt.take_along_dim(x, tt.tensor([[-1]]), dim=1).tolist() == [[20], [50]]
    assert tt.take_along_dim(x, tt.tensor([3])).tolist() == [60]
    with pytest.raises(RuntimeError, match="same number of dimensions"):
        tt.take_along_dim(x, tt.tensor([0]), dim=1)


def test_masked_select_gives_a_vector():
    x = tt.tensor(X)
    assert x.masked_select(x > 2).tolist() == [3, 4, 5, 6]
    assert x.masked_select(tt.tensor([True, False, True])).tolist() == [1, 3, 4, 6]
    with pytest.raises(RuntimeError, match="expected BoolTensor for mask; got int64"):
        x.masked_select(x)


def test_nonzero_gives_places_as_rows_or_as_an_index():
    x = tt.tensor([[0.6, 0.0], [0.0, -1.2]])
    assert x.nonzero().tolist() == x.argwhere().tolist() == [[0, 0], [1, 1]]
    assert [each.tolist() for each in x.nonzero(as_tuple=True)] == [[0, 1], [0, 1]]
    assert x[x.nonzero(as_tuple=True)].tolist() == [tt.tensor(0.6).item(), tt.tensor(-1.2).item()]
    assert tt.tensor(1).nonzero().shape == (1, 0)
    assert x.nonzero().dtype is tt.int64


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.gather(1, tt.tensor([[0, 0, 2], [1, 1, 1]])),
        lambda x: x.gather(0, tt.tensor([[1, 1]])),
        lambda x: x.index_select(1, tt.tensor([2, 0, 2])),
        lambda x: x.take(tt.tensor([0, 0, -1])),
        lambda x: x.take_along_dim(tt.tensor([[0, 0]]), 1),
        lambda x: x.masked_select(tt.tensor([[True], [False]])),
    ],
)
def test_gradients_add_up_over_elements_read_twice(function):
    assert gradcheck(function, [tt.tensor(X, dtype=tt.float64, requires_grad=True)])
