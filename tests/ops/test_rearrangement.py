"""Permutations are views; flips, rolls and turns are copies with the inverse as their gradient."""

from __future__ import annotations

import pytest

import tinytrain as tt
import tinytrain.nn.functional as F
from tinytrain.autograd import gradcheck


def numbers(*shape):
    return tt.arange(tt.Size(shape).numel(), dtype=tt.float64).view(shape)


def test_permute_is_a_view_that_is_not_contiguous():
    x = numbers(2, 3, 4)
    y = x.permute(2, 0, 1)
    assert y.shape == (4, 2, 3)
    assert y.stride() == (1, 12, 4)
    assert not y.is_contiguous()
    y[3, 1, 2] = -1
    assert x[1, 2, 3] == -1
    assert tt.permute(x, (0, 2, 1)).shape == (2, 4, 3)


@pytest.mark.parametrize("dims", [(0, 1), (0, 0, 1)])
def test_permute_refuses_what_is_no_permutation(dims):
    with pytest.raises(RuntimeError, match="permute"):
        numbers(2, 3, 4).permute(dims)


def test_transposes_exchange_dims():
    x = numbers(2, 3, 4)
    assert x.transpose(0, -1).shape == x.swapaxes(0, 2).shape == x.T.shape == (4, 3, 2)
    assert x.mT.shape == (2, 4, 3)
    assert numbers(2, 3).t().tolist() == [[0, 3], [1, 4], [2, 5]]
    assert numbers(3).t().tolist() == [0, 1, 2]
    with pytest.raises(RuntimeError, match="<= 2 dimensions, but self is 3D"):
        x.t()
    with pytest.raises(RuntimeError, match="only supported on matrices"):
        numbers(3).mT


def test_movedim_keeps_the_order_of_the_rest():
    x = numbers(2, 3, 4, 5)
    assert x.movedim(1, 0).shape == (3, 2, 4, 5)
    assert x.movedim((0, 1), (-1, 0)).shape == (3, 4, 5, 2)
    with pytest.raises(RuntimeError, match="same number of dims"):
        x.movedim((0, 1), 0)
    with pytest.raises(RuntimeError, match="repeated dim in `source`"):
        x.movedim((0, 0), (0, 1))


def test_flip_reverses_dims():
    x = numbers(2, 2, 2)
    assert x.flip(0, 1).tolist() == [[[6, 7], [4, 5]], [[2, 3], [0, 1]]]
    assert numbers(2, 2).fliplr().tolist() == [[1, 0], [3, 2]]
    assert numbers(2, 2).flipud().tolist() == [[2, 3], [0, 1]]
    with pytest.raises(RuntimeError, match="multiple times"):
        x.flip(0, 0)


def test_roll_moves_elements_round():
    x = tt.tensor([1, 2, 3, 4, 5, 6, 7, 8]).view(4, 2)  # the examples of torch.roll's documentation
    assert tt.roll(x, 1).tolist() == [[8, 1], [2, 3], [4, 5], [6, 7]]
    assert tt.roll(x, 1, 0).tolist() == [[7, 8], [1, 2], [3, 4], [5, 6]]
    assert tt.roll(x, -1, 0).tolist() == [[3, 4], [5, 6], [7, 8], [1, 2]]
    assert tt.roll(x, shifts=(2, 1), dims=(0, 1)).tolist() == [[6, 5], [8, 7], [2, 1], [4, 3]]
    with pytest.raises(RuntimeError, match="shifts: 2, dims:1"):
        x.roll((1, 2), 0)


def test_rot90_turns_from_the_first_dim_to_the_second():
    x = numbers(2, 2)
    assert tt.rot90(x, 1, [0, 1]).tolist() == [[1, 3], [0, 2]]  # torch.rot90's documentation
    assert tt.rot90(x, -1).tolist() == [[2, 0], [3, 1]]
    with pytest.raises(RuntimeError, match="rotation dims to be different"):
        tt.rot90(x, 1, [0, -2])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.permute(1, 2, 0),
        lambda x: x.movedim((0, 1), (-1, 0)),
        lambda x: x.flip(0, 2),
        lambda x: x.roll((1, -2), (0, 2)),
        lambda x: x.roll(5),
        lambda x: x.rot90(3, (0, 2)),
    ],
)
def test_gradients_go_back_in_order(function):
    assert gradcheck(function, [numbers(2, 1, 3).detach().requires_grad_()])


@pytest.mark.parametrize("name", ["channel_shuffle", "pixel_shuffle", "pixel_unshuffle"])
def test_a_shuffle_that_moves_nothing_is_a_copy(name):
    x = tt.zeros(1, 2, 2, 2)
    getattr(F, name)(x, 1).fill_(1)
    assert x.sum() == 0
