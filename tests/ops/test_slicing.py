"""Parts of a tensor are views of it, and the scatter forms put parts into copies."""

from __future__ import annotations

import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck


def numbers(*shape):
    return tt.arange(tt.Size(shape).numel(), dtype=tt.float64).view(shape)


def test_select_and_narrow_are_views():
    x = numbers(3, 4)
    assert x.select(1, -1).tolist() == [3, 7, 11]
    assert x.narrow(0, 1, 2).tolist() == [[4, 5, 6, 7], [8, 9, 10, 11]]
    assert x.narrow(1, tt.tensor(-1), 1).tolist() == [[3], [7], [11]]
    x.select(0, 0).zero_()
    x.narrow(1, 0, 1).add_(100)
    assert x[:, 0].tolist() == [100, 104, 108]
    assert x[0].tolist() == [100, 0, 0, 0]
    assert x.narrow_copy(0, 0, 1)._base is None


def test_parts_out_of_range_are_refused():
    x = numbers(3, 4)
    with pytest.raises(IndexError, match=r"index 3 out of range for tensor of size \[3, 4\] at dimension 0"):
        x.select(0, 3)
    with pytest.raises(RuntimeError, match=r"start \(2\) \+ length \(2\) exceeds dimension size \(3\)"):
        x.narrow(0, 2, 2)
    with pytest.raises(IndexError, match="start out of range"):
        x.narrow(0, 4, 0)
    with pytest.raises(IndexError, match="0-dim"):
        tt.tensor(1.0).select(0, 0)


def test_diagonals_lie_above_and_below():
    x = numbers(3, 4)
    assert x.diagonal().tolist() == [0, 5, 10]
    assert x.diagonal(1).tolist() == [1, 6, 11]
    assert x.diagonal(-1).tolist() == [4, 9]
    assert x.diagonal(5).tolist() == []
    assert numbers(2, 3, 3).diagonal(0, 1, 2).tolist() == [[0, 4, 8], [9, 13, 17]]
    with pytest.raises(RuntimeError, match="cannot be identical"):
        x.diagonal(0, 1, -1)


def test_diag_makes_a_matrix_and_takes_its_diagonal():
    assert tt.diag(tt.tensor([1, 2]), 1).tolist() == [[0, 1, 0], [0, 0, 2], [0, 0, 0]]
    assert numbers(2, 2).diag().tolist() == [0, 3]
    assert tt.diag_embed(tt.tensor([[1, 2], [3, 4]])).tolist() == [[[1, 0], [0, 2]], [[3, 0], [0, 4]]]
    with pytest.raises(RuntimeError, match=r"Supports 1D or 2D tensors\. Got 3D"):
        numbers(1, 1, 1).diag()


def test_unfold_shows_every_window():
    x = tt.arange(1.0, 8)  # the examples of Tensor.unfold's documentation
    assert x.unfold(0, 2, 1).tolist() == [[1, 2], [2, 3], [3, 4], [4, 5], [5, 6], [6, 7]]
    assert x.unfold(0, 2, 2).tolist() == [[1, 2], [3, 4], [5, 6]]
    with pytest.raises(RuntimeError, match="maximum size for tensor at dimension 0 is 7 but size is 8"):
        x.unfold(0, 8, 1)
    with pytest.raises(RuntimeError, match="step is 0 but must be > 0"):
        x.unfold(0, 2, 0)


def test_as_strided_goes_by_the_memory_of_the_base():
    x = numbers(6)
    assert x.as_strided((2, 2), (1, 2), 1).tolist() == [[1, 3], [2, 4]]
    assert x[2:].as_strided((2,), (1,)).tolist() == [2, 3]
    assert x[2:].as_strided((2,), (1,), 0).tolist() == [0, 1]
    with pytest.raises(RuntimeError, match="out of bounds for storage of 6 elements"):
        x.as_strided((3,), (3,))


def test_scatter_forms_leave_the_input_alone():
    x = tt.zeros(2, 2)
    assert x.select_scatter(tt.ones(2), 0, 0).tolist() == [[1, 1], [0, 0]]
    assert x.slice_scatter(tt.ones(2, 1), 1, 1).tolist() == [[0, 1], [0, 1]]
    assert x.diagonal_scatter(tt.ones(2)).tolist() == [[1, 0], [0, 1]]
    assert x.tolist() == [[0, 0], [0, 0]]
    with pytest.raises(RuntimeError, match=r"src size = \[3\], slice size = \[2\]"):
        x.select_scatter(tt.ones(3), 0, 0)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.select(1, 2),
        lambda x: x.narrow(1, 1, 2),
        lambda x: x.narrow_copy(1, 1, 2),
        lambda x: x.diagonal(1),
        lambda x: x.diag(-1),
        lambda x: tt.diag_embed(x, 1, 0, 2),
        lambda x: x.unfold(1, 3, 2),
        lambda x: x.as_strided((2, 3), (2, 1), 1),
        lambda x: x.t().as_strided((2, 3), (2, 1)),
        lambda x: x.select_scatter(x[:, 0] * 2, 1, 1),
        lambda x: x.slice_scatter(x[:, :2] * 2, 1, 0, 5, 3),
        lambda x: x.diagonal_scatter(x[0, :3] * 2),
    ],
)
def test_gradients_go_back_to_the_part(function):
    assert gradcheck(function, [numbers(3, 5).detach().requires_grad_()])
