"""Square brackets follow PyTorch: views for basic indices, copies for masks and index tensors."""

from __future__ import annotations

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck


def numbers(*shape):
    return tt.arange(tt.Size(shape).numel(), dtype=tt.float64).view(shape)


def test_integers_and_slices_make_views():
    x = numbers(2, 3, 4)
    assert x[0, 0, 0].shape == ()
    assert x[1, -1].tolist() == [20, 21, 22, 23]
    assert x[..., 1::2].shape == (2, 3, 2)
    assert x[None, :, None, 0, ..., None].shape == (1, 2, 1, 4, 1)
    assert x[tt.tensor(1), 2:].tolist() == [[20, 21, 22, 23]]
    assert x[np.int64(1)].shape == (3, 4)
    x[1, 2, 3:][0] = -1
    assert x[1, 2, 3] == -1


def test_an_index_of_nothing_is_a_view_of_everything():
    x = numbers(2, 2)
    for view in (x[:], x[...], x[()]):
        assert view._base is x._base
        assert view.tolist() == x.tolist()


def test_lists_and_index_tensors_take_copies():
    x = numbers(3, 2)
    assert x[[0, 2]].tolist() == x[tt.tensor([0, 2])].tolist() == x[np.array([0, -1])].tolist() == [[0, 1], [4, 5]]
    assert x[tt.tensor([[0, 1], [1, 0]])].shape == (2, 2, 2)
    assert x[[0, 1], [1, 0]].tolist() == [1, 2]
    assert x[[]].shape == (0, 2)
    x[[0, 2]].zero_()
    assert x[2].tolist() == [4, 5]


def test_separated_index_tensors_come_first_and_integers_do_not_count():
    x = numbers(2, 3, 4)
    assert x[:, [0, 1], [1, 2]].shape == (2, 2)
    assert x[[0, 1], :, [1, 2]].shape == (2, 3)
    assert x[[[0], [1]], :, [1, 2]].shape == (2, 2, 3)
    assert x[0, :, [1, 2]].shape == (3, 2)  # NumPy would give (2, 3)


def test_masks_choose_elements_in_order():
    x = numbers(2, 3)
    assert x[x > 2].tolist() == [3, 4, 5]
    assert x[tt.tensor([False, True])].tolist() == [[3, 4, 5]]
    assert x[:, tt.tensor([1, 0, 1], dtype=tt.uint8)].tolist() == [[0, 2], [3, 5]]
    assert x[True].shape == (1, 2, 3)
    assert x[False].shape == (0, 2, 3)
    assert x[tt.tensor([True, False]), 1:].tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (2, IndexError, "index 2 is out of bounds for dimension 0 with size 2"),
        ((0, -4), IndexError, "index -4 is out of bounds for dimension 1 with size 3"),
        ((0, 0, 0), IndexError, "too many indices for tensor of dimension 2"),
        ([2], IndexError, "index 2 is out of bounds"),
        (1.5, IndexError, r"only integers, slices .* \(got float\)"),
        ([0.5], IndexError, "must be long, int, byte or bool tensors; got float64"),
        (([0, 1], [0, 1, 2]), IndexError, "shape mismatch|could not be broadcast"),
        (slice(None, None, -1), ValueError, "step must be greater than zero; got -1"),
        ([True], IndexError, r"shape of the mask \[1\] at index 0 does not match .* \[2, 3\]"),
    ],
)
def test_impossible_indices_are_refused(index, error, message):
    with pytest.raises(error, match=message):
        numbers(2, 3)[index]


def test_values_are_stored_in_place_with_broadcasting():
    x = tt.zeros(3, 3)
    x[0] = tt.tensor([1, 2, 3])
    x[1:, 0] = 7
    x[[1, 2], [1, 2]] = tt.tensor([8.0, 9.0])
    x[x == 0] = -1
    assert x.tolist() == [[1, 2, 3], [7, 8, -1], [7, -1, 9]]
    x[1:2, :2] = tt.tensor([[[5.0]]])
    assert x[1].tolist() == [5, 5, -1]
    x[[0, 0], 0] += 10
    assert x[0, 0] == 11


def test_stored_values_take_the_type_of_the_tensor():
    x = tt.zeros(2, dtype=tt.int64)
    x[0] = 2.9
    x[1] = tt.tensor(3.9)
    assert x.tolist() == [2, 3]
    with pytest.raises(RuntimeError, match="got int64 for the destination and float32 for the source"):
        x[[0, 1]] = tt.tensor([1.0, 2.0])


def test_values_that_do_not_fit_are_refused():
    x = tt.zeros(3)
    with pytest.raises(TypeError, match=r"can't assign a list to a torch\.FloatTensor"):
        x[:2] = [1, 2]
    with pytest.raises(RuntimeError, match="must match the existing size"):
        x[:2] = tt.ones(3)
    with pytest.raises(RuntimeError, match=r"value tensor of shape \[3\] cannot be broadcast to .* \[2\]"):
        x[[0, 1]] = tt.ones(3)


def test_index_put_adds_up_what_goes_to_one_place():
    x = tt.zeros(3)
    places = (tt.tensor([0, 0, 1]),)
    values = tt.tensor([1.0, 2.0, 3.0])
    assert x.index_put(places, values, accumulate=True).tolist() == [3, 3, 0]
    assert x.tolist() == [0, 0, 0]
    x.index_put_((tt.tensor([True, False, True]),), tt.tensor(4.0))
    assert x.tolist() == [4, 0, 4]
    assert tt.zeros(2, 2).index_put((None, tt.tensor([1])), tt.tensor(1.0)).tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[1:, ::2],
        lambda x: x[-1, None, 2],
        lambda x: x[[0, 0, 2]],
        lambda x: x[[0, 0, 0], [1, 1, 2]],
        lambda x: x[:, [3, 0, 3]],
        lambda x: x[x > 4.5],
        lambda x: x.index_put((tt.tensor([0, 2]),), x[1] * 2),
        lambda x: x.index_put((tt.tensor([1, 1]), tt.tensor([2, 2])), x[0, :2] * 2, accumulate=True),
    ],
)
def test_gradients_go_back_to_the_elements_taken(function):
    assert gradcheck(function, [numbers(3, 4).clone().requires_grad_()])


def test_gradients_of_stored_values():
    value = tt.tensor([2.0, 3.0], dtype=tt.float64, requires_grad=True)

    def store(x, value):
        y = x * x
        y[1:, 0] = value
        y[[0, 0], [1, 2]] = value * value
        return y

    assert gradcheck(store, [numbers(3, 4).clone().requires_grad_(), value])


@pytest.mark.parametrize("value", [tt.tensor(1.0, dtype=tt.float64), tt.tensor([1]), tt.tensor([[1]])])
@pytest.mark.parametrize(
    ("index", "expected"),
    [(tt.tensor([True, False]), [1, 0]), ([True, False], [1, 0]), (True, [1, 1]), (False, [0, 0])],
)
def test_one_value_of_another_type_is_stored_by_a_mask(index, expected, value):
    x = tt.zeros(2)
    x[index] = value
    assert x.tolist() == expected


def test_the_gradient_of_one_value_stored_by_a_mask_has_the_values_type():
    value = tt.tensor(1.0, dtype=tt.float64, requires_grad=True)
    x = tt.zeros(3)
    x[tt.tensor([True, False, True])] = value
    (x * tt.tensor([1.0, 2.0, 4.0])).sum().backward()
    assert (value.grad.item(), value.grad.dtype) == (5, tt.float64)


def test_several_values_of_another_type_are_refused():
    for index, value in (([0], tt.tensor([1])), (tt.tensor([True, True]), tt.tensor([1, 2]))):
        with pytest.raises(RuntimeError, match="got float32 for the destination and int64 for the source"):
            tt.zeros(2)[index] = value
