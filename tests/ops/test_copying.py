"""Copies keep or change the order in memory as asked; repeats add their gradients up."""

from __future__ import annotations

import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck


def test_clone_has_memory_of_its_own_in_the_same_order():
    x = tt.arange(6.0).view(2, 3).t()
    y = x.clone()
    y.zero_()
    assert x.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert y.stride() == x.stride() == (1, 3)
    assert x.clone(memory_format=tt.contiguous_format).stride() == (2, 1)


def test_contiguous_copies_only_what_is_not():
    x = tt.arange(6.0).view(2, 3)
    assert x.contiguous() is x
    assert x.t().contiguous().stride() == (2, 1)


def test_channels_last_is_an_order_in_memory():
    x = tt.ones(2, 3, 4, 5)
    y = x.contiguous(memory_format=tt.channels_last)
    assert y.stride() == (60, 1, 15, 3)
    assert y.is_contiguous(memory_format=tt.channels_last)
    assert not y.is_contiguous()
    assert y.contiguous(memory_format=tt.channels_last) is y
    with pytest.raises(RuntimeError, match="required rank 4 tensor to use channels_last"):
        tt.ones(3).contiguous(memory_format=tt.channels_last)


def test_repeat_lays_copies_side_by_side():
    x = tt.tensor([1, 2, 3])
    assert x.repeat(2, 2).tolist() == [[1, 2, 3, 1, 2, 3]] * 2
    assert x.repeat(4, 2, 1).shape == (4, 2, 3)
    assert x.repeat(0).shape == (0,)
    with pytest.raises(RuntimeError, match="can not be smaller"):
        tt.ones(2, 2).repeat(2)
    with pytest.raises(RuntimeError, match="negative dimension"):
        x.repeat(-1)


def test_tile_fills_missing_numbers_in_front():
    assert tt.tile(tt.tensor([[1, 2], [3, 4]]), (2,)).tolist() == [[1, 2, 1, 2], [3, 4, 3, 4]]


def test_repeat_interleave_repeats_in_place():
    x = tt.tensor([1, 2, 3])
    assert x.repeat_interleave(2).tolist() == [1, 1, 2, 2, 3, 3]  # torch.repeat_interleave's documentation
    y = tt.tensor([[1, 2], [3, 4]])
    assert tt.repeat_interleave(y, 2).tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert tt.repeat_interleave(y, 3, dim=1).tolist() == [[1, 1, 1, 2, 2, 2], [3, 3, 3, 4, 4, 4]]
    assert tt.repeat_interleave(y, tt.tensor([1, 2]), dim=0).tolist() == [[1, 2], [3, 4], [3, 4]]
    assert tt.repeat_interleave(tt.tensor([2, 0, 1])).tolist() == [0, 0, 2]
    with pytest.raises(RuntimeError, match="repeats must have the same size as input along dim"):
        tt.repeat_interleave(y, tt.tensor([1, 2, 3]), dim=0)
    with pytest.raises(RuntimeError, match="negative"):
        tt.repeat_interleave(x, -1)
    with pytest.raises(RuntimeError, match=r"output_size \(=5\)"):
        tt.repeat_interleave(x, 2, output_size=5)


def test_meshgrid_spreads_vectors():
    a, b = tt.tensor([1, 2, 3]), tt.tensor([4, 5])
    rows, columns = tt.meshgrid(a, b, indexing="ij")
    assert rows.tolist() == [[1, 1], [2, 2], [3, 3]]
    assert columns.tolist() == [[4, 5]] * 3
    rows, columns = tt.meshgrid([a, b], indexing="xy")
    assert rows.tolist() == [[1, 2, 3]] * 2
    assert columns.tolist() == [[4, 4, 4], [5, 5, 5]]
    with pytest.raises(RuntimeError, match='"xy" or "ij", but received: yx'):
        tt.meshgrid(a, b, indexing="yx")


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.clone(),
        lambda x: x.t().contiguous(),
        lambda x: x.repeat(2, 3, 1),
        lambda x: x.repeat_interleave(tt.tensor([0, 2, 1]), dim=1),
        lambda x: tt.meshgrid(x[0], x[:, 0]),
    ],
)
def test_gradients_add_up_over_copies(function):
    assert gradcheck(function, [tt.arange(6, dtype=tt.float64).reshape(2, 3).clone().requires_grad_()])
