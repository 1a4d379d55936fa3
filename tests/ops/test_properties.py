"""Ops on arrays of any shape: NumPy's results, gradients that agree with differences, laws that always hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, mutually_broadcastable_shapes

import tinytrain as tt
import tinytrain.nn.functional as F
from tinytrain.autograd import gradcheck

few = settings(max_examples=40, deadline=None)
shapes = array_shapes(min_dims=1, max_dims=4, max_side=5)


def floats(shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float64, shape, elements=st.floats(-4, 4, width=32))


@st.composite
def pairs(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    """Draw two arrays that broadcast."""
    one, other = draw(mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4)).input_shapes
    return draw(floats(one)), draw(floats(other))


@few
@given(pairs())
def test_arithmetic_broadcasts_as_numpys(both: tuple[np.ndarray, np.ndarray]):
    a, b = both
    x, y = tt.from_numpy(a), tt.from_numpy(b)
    for ours, theirs in [(x + y, a + b), (x - y, a - b), (x * y, a * b), (tt.maximum(x, y), np.maximum(a, b))]:
        assert ours.shape == theirs.shape
        np.testing.assert_array_equal(ours.numpy(), theirs)


@few
@given(pairs())
def test_gradients_of_broadcast_operands_have_the_operands_shapes(both: tuple[np.ndarray, np.ndarray]):
    x, y = (tt.tensor(each.copy(), requires_grad=True) for each in both)
    assert gradcheck(lambda a, b: a * b + a, (x, y))


@few
@given(shapes.flatmap(floats), st.data())
def test_reductions_are_numpys_over_any_axes(array: np.ndarray, data: st.DataObject):
    axes = tuple(data.draw(st.sets(st.integers(0, array.ndim - 1), min_size=1)))
    keep = data.draw(st.booleans())
    x = tt.from_numpy(array)
    np.testing.assert_allclose(x.sum(axes, keep).numpy(), array.sum(axes, keepdims=keep), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(x.mean(axes, keep).numpy(), array.mean(axes, keepdims=keep), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(x.amax(axes, keep).numpy(), array.max(axes, keepdims=keep))


@few
@given(shapes.flatmap(floats), st.data())
def test_moving_elements_about_loses_none(array: np.ndarray, data: st.DataObject):
    order = data.draw(st.permutations(range(array.ndim)))
    x = tt.from_numpy(array.copy())
    moved = x.permute(*order)
    np.testing.assert_array_equal(moved.numpy(), array.transpose(order))
    back = moved.permute(*np.argsort(order).tolist())
    np.testing.assert_array_equal(back.numpy(), array)
    np.testing.assert_array_equal(moved.reshape(-1).numpy(), array.transpose(order).reshape(-1))
    np.testing.assert_array_equal(x.flip(0).flip(0).numpy(), array)


@few
@given(shapes.flatmap(floats), st.data())
def test_slices_and_their_gradients_are_numpys(array: np.ndarray, data: st.DataObject):
    index = tuple(
        slice(*sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))), data.draw(st.integers(1, 3)))
        for n in array.shape
    )
    x = tt.tensor(array.copy(), requires_grad=True)
    part = x[index]
    np.testing.assert_array_equal(part.detach().numpy(), array[index])
    part.sum().backward()
    expected = np.zeros_like(array)
    expected[index] = 1
    np.testing.assert_array_equal(x.grad.numpy(), expected)


@few
@given(shapes.flatmap(floats), st.data())
def test_sorting_is_stable_and_a_permutation(array: np.ndarray, data: st.DataObject):
    axis = data.draw(st.integers(0, array.ndim - 1))
    values, places = tt.from_numpy(array).sort(dim=axis, stable=True)
    np.testing.assert_array_equal(values.numpy(), np.sort(array, axis=axis, kind="stable"))
    np.testing.assert_array_equal(places.numpy(), np.argsort(array, axis=axis, kind="stable"))


@few
@given(array_shapes(min_dims=2, max_dims=3, max_side=5).flatmap(floats))
def test_probabilities_sum_to_one_and_do_not_change_with_a_shift(array: np.ndarray):
    x = tt.from_numpy(array)
    p = x.softmax(1).numpy()
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose((x + 1000).softmax(1).numpy(), p, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(x.log_softmax(1).numpy(), np.log(p), rtol=1e-9, atol=1e-12)


@st.composite
def convolutions(draw: Any) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Draw images, weights and arguments of a convolution whose output is not empty."""
    groups = draw(st.integers(1, 3))
    n, c, k = draw(st.integers(1, 2)), groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    size = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride, padding, dilation = (
        draw(st.tuples(st.integers(low, high), st.integers(low, high))) for low, high in ((1, 3), (0, 2), (1, 2))
    )
    assume(all(s + 2 * p >= d * (f - 1) + 1 for s, p, d, f in zip(size, padding, dilation, kernel, strict=True)))
    x, w = draw(floats((n, c, *size))), draw(floats((k, c // groups, *kernel)))
    return x, w, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


def convolve(x: np.ndarray, w: np.ndarray, stride: Any, padding: Any, dilation: Any, groups: int) -> np.ndarray:
    """Return the convolution by its definition, one output at a time."""
    x = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))
    n, c, *size = x.shape
    k, _, *kernel = w.shape
    reach = [d * (f - 1) + 1 for d, f in zip(dilation, kernel, strict=True)]
    h, b = ((s - r) // t + 1 for s, r, t in zip(size, reach, stride, strict=True))
    y = np.zeros((n, k, h, b))
    for o in range(k):
        group = o // (k // groups)
        part = x[:, group * (c // groups) : (group + 1) * (c // groups)]
        for i in range(h):
            for j in range(b):
                top, left = i * stride[0], j * stride[1]
                window = part[:, :, top : top + reach[0] : dilation[0], left : left + reach[1] : dilation[1]]
                y[:, o, i, j] = (window * w[o]).sum((1, 2, 3))
    return y


@few
@given(convolutions())
def test_a_convolution_is_its_definition(drawn: tuple[np.ndarray, np.ndarray, dict[str, Any]]):
    x, w, arguments = drawn
    y = F.conv2d(tt.from_numpy(x), tt.from_numpy(w), **arguments)
    np.testing.assert_allclose(y.numpy(), convolve(x, w, **arguments), rtol=1e-10, atol=1e-10)


@settings(max_examples=12, deadline=None)
@given(convolutions())
def test_gradients_of_a_convolution_agree_with_differences(drawn: tuple[np.ndarray, np.ndarray, dict[str, Any]]):
    x, w, arguments = drawn
    inputs = tuple(tt.tensor(each.copy(), requires_grad=True) for each in (x, w))
    assert gradcheck(lambda a, b: F.conv2d(a, b, **arguments), inputs)


@few
@given(shapes, st.integers(0, 2**63 - 1))
def test_the_same_seed_draws_the_same_numbers(shape: tuple[int, ...], seed: int):
    draws = [tt.randn(*shape, generator=tt.Generator().manual_seed(seed)).numpy() for _ in range(2)]
    assert draws[0].tobytes() == draws[1].tobytes()


@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "relu", "abs", "sqrt"])
@few
@given(array=shapes.flatmap(floats))
def test_pointwise_functions_do_not_depend_on_where_elements_lie(name: str, array: np.ndarray):
    array = np.abs(array) if name == "sqrt" else array
    whole = getattr(tt.from_numpy(array), name)().numpy()
    reversed_ = getattr(tt.from_numpy(array.copy()).flip(0), name)().numpy()
    np.testing.assert_allclose(reversed_[::-1], whole, rtol=1e-12)
