"""Reshaped tensors are views where strides allow it; refusals name sizes and remedies."""

from __future__ import annotations

import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck


def numbers(*shape):
    count = 1
    for size in shape:
        count *= size
    return tt.arange(count, dtype=tt.float64).view(*shape)


def test_view_computes_the_size_left_open():
    x = numbers(2, 6)
    assert x.view(3, -1).shape == (3, 4)
    assert x.view((-1,)).tolist() == list(range(12))
    assert x.view(3, 4)._base is x._base


def test_view_refuses_a_permuted_tensor():
    x = numbers(2, 3, 4).permute(1, 0, 2)
    with pytest.raises(RuntimeError, match=r"view size is not compatible.*Use \.reshape\(\.\.\.\) instead"):
        x.view(6, 4)
    assert x.reshape(6, 4)[1].tolist() == [12, 13, 14, 15]
    assert x.view(3, 2, 2, 2).shape == (3, 2, 2, 2)


def test_reshape_copies_only_where_it_must():
    x = numbers(2, 3)
    x.reshape(3, 2)[0, 0] = 100
    assert x[0, 0] == 100
    x.t().reshape(6)[0] = 7
    assert x[0, 0] == 100


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5,), r"shape '\[5\]' is invalid for input of size 6"),
        ((4, -1), r"shape '\[4, -1\]' is invalid for input of size 6"),
        ((-1, -1), "only one dimension can be inferred"),
        ((-2, 3), "invalid shape dimension -2"),
    ],
)
def test_impossible_shapes_are_refused(shape, message):
    with pytest.raises(RuntimeError, match=message):
        numbers(6).view(shape)
    with pytest.raises(RuntimeError, match=message):
        numbers(6).reshape(shape)


def test_an_open_size_of_an_empty_tensor_is_ambiguous():
    with pytest.raises(RuntimeError, match="ambiguous"):
        tt.zeros(0).view(0, -1)
    assert tt.zeros(0, 3).view(-1, 3).shape == (0, 3)


def test_view_reads_bytes_as_another_type():
    x = tt.tensor([1.0, -1.0])
    assert x.view(tt.int32).tolist() == [0x3F800000, 0xBF800000 - (1 << 32)]
    assert x.view(tt.uint8).shape == (8,)
    x.view(tt.int32)[0] = 0
    assert x.tolist() == [0, -1]
    with pytest.raises(RuntimeError, match=r"self\.size\(-1\) must be divisible by 2"):
        tt.zeros(3).view(tt.float64)
    with pytest.raises(RuntimeError, match=r"self\.dim\(\) cannot be 0"):
        tt.tensor(1.0).view(tt.float64)
    with pytest.raises(RuntimeError, match=r"self\.stride\(-1\) must be 1"):
        tt.zeros(2, 2).t().view(tt.float64)


def test_flatten_joins_neighbouring_dims():
    x = numbers(2, 3, 4)
    assert x.flatten().shape == (24,)
    assert x.flatten(1).shape == (2, 12)
    assert x.flatten(0, 1).shape == (6, 4)
    assert tt.tensor(1.0).flatten().shape == (1,)
    with pytest.raises(RuntimeError, match=r"start_dim .* cannot come after end_dim"):
        x.flatten(2, 1)
    with pytest.raises(IndexError, match=r"expected to be in range of \[-3, 2\], but got 3"):
        x.flatten(3)


def test_unflatten_divides_a_dimension():
    assert numbers(2, 12).unflatten(1, (3, -1)).shape == (2, 3, 4)
    with pytest.raises(RuntimeError, match=r"don't multiply up to the size of dim 1 \(12\)"):
        numbers(2, 12).unflatten(1, (5, 2))


def test_squeeze_leaves_out_dims_of_one():
    x = numbers(1, 2, 1, 3)
    assert x.squeeze().shape == (2, 3)
    assert x.squeeze(0).shape == (2, 1, 3)
    assert x.squeeze(1).shape == (1, 2, 1, 3)
    assert x.squeeze((0, 2)).shape == (2, 3)
    with pytest.raises(IndexError):
        x.squeeze(4)
    with pytest.raises(RuntimeError, match="appears multiple times"):
        x.squeeze((0, 0))


def test_squeeze_is_named_by_its_form():
    x = numbers(1, 2, 1).requires_grad_()
    named = [x.squeeze().grad_fn.name(), x.squeeze(0).grad_fn.name(), x.squeeze((0, 2)).grad_fn.name()]
    assert named == ["SqueezeBackward0", "SqueezeBackward1", "SqueezeBackward2"]


def test_unsqueeze_adds_a_dimension_of_one():
    x = numbers(2, 3)
    assert [x.unsqueeze(dim).shape for dim in (0, 1, 2, -1)] == [(1, 2, 3), (2, 1, 3), (2, 3, 1), (2, 3, 1)]
    with pytest.raises(IndexError):
        x.unsqueeze(3)


def test_expand_repeats_without_memory():
    x = tt.tensor([[1], [2]])
    y = x.expand(-1, 3)
    assert y.tolist() == [[1, 1, 1], [2, 2, 2]]
    assert y.stride() == (1, 0)
    assert x.expand(2, 2, 1).shape == (2, 2, 1)
    with pytest.raises(RuntimeError, match=r"\(3\) must match the existing size \(2\) at non-singleton dimension 0"):
        x.expand(3, 3)
    with pytest.raises(RuntimeError, match="must be greater or equal"):
        x.expand(2)
    with pytest.raises(RuntimeError, match="leading, non-existing dimension 0"):
        x.expand(-1, 2, 1)


def test_shapes_broadcast_to_one():
    assert tt.broadcast_shapes((2,), (3, 1), (1, 1, 1)) == (1, 3, 2)
    with pytest.raises(RuntimeError, match="cannot be broadcast to a single shape"):
        tt.broadcast_shapes((2,), (3,))
    a, b = tt.broadcast_tensors(numbers(3, 1), numbers(2))
    assert a.tolist() == [[0, 0], [1, 1], [2, 2]]
    assert b.tolist() == [[0, 1]] * 3


def test_atleast_adds_dims_where_numpy_does():
    assert tt.atleast_2d(numbers(3)).shape == (1, 3)
    assert tt.atleast_3d(numbers(3)).shape == (1, 3, 1)
    assert tt.atleast_3d(numbers(2, 3)).shape == (2, 3, 1)
    one, other = tt.atleast_1d(tt.tensor(1.0), numbers(2, 2))
    assert (one.shape, other.shape) == ((1,), (2, 2))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.view(3, 2),
        lambda x: x.t().reshape(6),
        lambda x: x.unsqueeze(1).expand(4, 2, 2, 3),
        lambda x: x.unflatten(1, (3, 1)).squeeze(2).flatten(),
    ],
)
def test_gradients_go_back_to_the_old_shape(function):
    assert gradcheck(function, [numbers(2, 3).detach().requires_grad_()])
