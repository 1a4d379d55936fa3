"""Pooling takes PyTorch's arguments, refuses what it refuses, and has the right gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck
from tinytrain.ops import adaptive_pooling, pooling
from tinytrain.ops.adaptive_pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_max_pool2d
from tinytrain.ops.pooling import avg_pool1d, avg_pool2d, avg_pool3d, lp_pool2d, max_pool1d, max_pool2d


def values(*shape):
    """Distinct values far enough apart that a small step changes no maximum."""
    array = np.random.default_rng(0).permutation(math.prod(shape)).reshape(shape) / 7 - 1.03
    return tt.from_numpy(array).requires_grad_()


GRADIENTS = [
    ("max_pool1d", (1, 2, 7), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("max_pool2d", (1, 2, 5, 7), {"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}),
    ("max_pool2d", (3, 5, 5), {"kernel_size": 2, "ceil_mode": True}),
    ("max_pool3d", (1, 2, 3, 5, 4), {"kernel_size": 2, "stride": 3, "padding": 1}),
    ("avg_pool1d", (1, 2, 7), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("avg_pool2d", (1, 2, 5, 7), {"kernel_size": (2, 3), "stride": (3, 2), "padding": 1, "count_include_pad": False}),
    ("avg_pool2d", (2, 5, 6), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("avg_pool2d", (1, 1, 4, 4), {"kernel_size": 2, "divisor_override": -3}),
    ("avg_pool3d", (1, 2, 3, 5, 4), {"kernel_size": 2, "stride": 2, "padding": 1}),
    ("lp_pool1d", (1, 2, 7), {"norm_type": 2, "kernel_size": 3, "stride": 2}),
    ("lp_pool2d", (1, 2, 5, 5), {"norm_type": 4, "kernel_size": (2, 3)}),
    ("lp_pool3d", (1, 2, 3, 4, 2), {"norm_type": 2, "kernel_size": 2}),
    ("adaptive_avg_pool1d", (1, 2, 7), {"output_size": 3}),
    ("adaptive_avg_pool2d", (1, 2, 6, 5), {"output_size": (3, 7)}),
    ("adaptive_avg_pool2d", (2, 5, 3), {"output_size": 1}),
    ("adaptive_avg_pool3d", (1, 2, 3, 5, 4), {"output_size": (2, None, 3)}),
    ("adaptive_max_pool1d", (1, 2, 7), {"output_size": 3}),
    ("adaptive_max_pool2d", (1, 2, 6, 5), {"output_size": (3, 7)}),
    ("adaptive_max_pool3d", (2, 3, 5, 4), {"output_size": (2, None, 3)}),
]


@pytest.mark.parametrize(("name", "shape", "arguments"), GRADIENTS)
def test_gradients_agree_with_central_differences(name, shape, arguments):
    op = getattr(pooling, name, None) or getattr(adaptive_pooling, name)
    assert gradcheck(lambda x: op(x, **arguments), [values(*shape)])


def test_max_pool_finds_the_first_largest_and_says_where():
    x = tt.tensor([[[[1.0, 5, 5, 0], [2, 5, 9, 9], [0, 0, 7, 8], [-1, 0, 6, 8]]]])
    y, indices = max_pool2d(x, 2, return_indices=True)
    assert y.tolist() == [[[[5, 9], [0, 8]]]]
    assert indices.tolist() == [[[[1, 6], [8, 11]]]]
    assert indices.dtype is tt.int64


def test_indices_count_positions_of_the_input_and_not_of_the_padding():
    x = tt.tensor([[[3.0, 1, 2, 4, 0]]])
    y, indices = max_pool1d(x, 3, stride=2, padding=1, return_indices=True)
    assert y.tolist() == [[[3, 4, 4]]]
    assert indices.tolist() == [[[0, 3, 3]]]


def test_indices_of_dilated_windows():
    _, indices = max_pool1d(tt.tensor([[[3.0, 1, 2, 4, 0]]]), 2, stride=1, dilation=2, return_indices=True)
    assert indices.tolist() == [[[0, 3, 2]]]


@pytest.mark.parametrize("name", ["max_pool1d", "max_pool2d", "max_pool3d"])
def test_with_indices_forms_return_both(name):
    x = values(1, 1, *(4,) * int(name[-2]))
    y, indices = getattr(pooling, f"{name}_with_indices")(x, 2)
    np.testing.assert_array_equal(y.array.ravel(), x.array.ravel()[indices.array.ravel()])


@pytest.mark.parametrize("name", ["adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"])
def test_adaptive_with_indices_forms_return_both(name):
    x = values(1, 1, *(5,) * int(name[-2]))
    y, indices = getattr(adaptive_pooling, f"{name}_with_indices")(x, 3)
    np.testing.assert_array_equal(y.array.ravel(), x.array.ravel()[indices.array.ravel()])


def test_ceil_mode_drops_a_window_that_would_begin_in_the_padding_behind():
    x = tt.ones(1, 1, 4)
    assert max_pool1d(x, 3, stride=2, ceil_mode=False).shape == (1, 1, 1)
    assert max_pool1d(x, 3, stride=2, ceil_mode=True).shape == (1, 1, 2)
    assert max_pool1d(x, 2, stride=3, padding=1, ceil_mode=True).shape == (1, 1, 2)


def test_average_counts_padding_only_where_asked():
    x = tt.tensor([[[2.0, 4, 6]]])
    assert avg_pool1d(x, 2, stride=2, padding=1).tolist() == [[[1, 5]]]
    assert avg_pool1d(x, 2, stride=2, padding=1, count_include_pad=False).tolist() == [[[2, 5]]]


def test_an_overhanging_window_counts_what_lies_within_the_padding():
    # As PyTorch: windows of 3 at -1, 1 and 3 of 0..15; the last one ends at the padding.
    x = tt.arange(16.0).reshape(1, 1, 4, 4)
    y = avg_pool2d(x, 3, 2, 1, ceil_mode=True)
    expected = [[10 / 9, 16 / 6 * 6 / 6, 10 / 6], [34 / 6, 10, 33 / 6], [25 / 6, 42 / 6, 15 / 4]]
    np.testing.assert_allclose(y.array[0, 0], expected, rtol=1e-6)


def test_divisor_override_replaces_the_count():
    assert avg_pool2d(tt.ones(1, 1, 2, 2), 2, divisor_override=-8).item() == -0.5


def test_integer_averages_are_cut_towards_zero():
    x = tt.tensor([[[[-3, -4], [0, 0]]]])
    assert avg_pool2d(x, 2).tolist() == [[[[-1]]]]
    assert avg_pool2d(-x, 2).tolist() == [[[[1]]]]


def test_float16_sums_do_not_overflow():
    assert avg_pool2d(tt.full((1, 1, 4, 4), 60000, dtype=tt.float16), 4).item() == 60000


def test_an_empty_stride_means_the_kernel_size():
    assert avg_pool2d(tt.ones(1, 1, 4, 4), 2, stride=()).shape == (1, 1, 2, 2)


def test_adaptive_windows_run_from_floor_to_ceiling():
    # Of 7 elements into 3: [0, 3), [2, 5), [4, 7).
    x = tt.tensor([[[0.0, 1, 2, 30, 4, 5, 6]]])
    assert adaptive_avg_pool1d(x, 3).tolist() == [[[1, 12, 5]]]
    y, indices = adaptive_pooling.adaptive_max_pool1d(x, 3, return_indices=True)
    assert y.tolist() == [[[2, 30, 6]]]
    assert indices.tolist() == [[[2, 3, 6]]]


def test_adaptive_pooling_may_enlarge():
    assert adaptive_avg_pool1d(tt.tensor([[[1.0, 3]]]), 4).tolist() == [[[1, 1, 3, 3]]]
    assert adaptive_avg_pool1d(tt.tensor([[[1.0, 3]]]), 3).tolist() == [[[1, 2, 3]]]


def test_global_average_pooling_is_the_mean():
    x = values(2, 3, 5, 7)
    np.testing.assert_allclose(adaptive_avg_pool2d(x, 1).array[..., 0, 0], x.array.mean((2, 3)), rtol=1e-12)


def test_norm_pooling_is_the_root_of_summed_powers():
    assert lp_pool2d(tt.tensor([[[[3.0, 4], [0, 0]]]]), 2, 2).item() == pytest.approx(5)


def test_norm_pooling_has_no_gradient_at_zero():
    x = tt.zeros(1, 1, 2, 2, requires_grad=True)
    lp_pool2d(x, 2, 2).sum().backward()
    assert x.grad.tolist() == [[[[0, 0], [0, 0]]]]


def test_empty_batches_are_pooled():
    x = tt.zeros(0, 2, 4, 4, requires_grad=True)
    for y in (max_pool2d(x, 2), avg_pool2d(x, 2), adaptive_avg_pool2d(x, 2), adaptive_max_pool2d(x, 3)):
        y.sum().backward()
        assert y.shape[0] == 0
        assert x.grad.shape == x.shape


REFUSALS = [
    (RuntimeError, r"max_pool2d: `padding` \(=2\) must be from 0 to half of `kernel_size` \(=2\)",
     max_pool2d, (1, 1, 4, 4), {"kernel_size": 2, "padding": 2}),
    (RuntimeError, r"avg_pool2d: `padding` \(=-1\)", avg_pool2d, (1, 1, 4, 4), {"kernel_size": 2, "padding": -1}),
    (RuntimeError, r"max_pool2d: the output would have size \[0, 0\].*`kernel_size` \[5, 5\]",
     max_pool2d, (1, 1, 4, 4), {"kernel_size": 5}),
    (RuntimeError, r"`kernel_size` \[0, 0\] must be greater than zero", max_pool2d, (1, 1, 4, 4), {"kernel_size": 0}),
    (RuntimeError, r"`stride` \[0, 0\] must be greater than zero",
     avg_pool2d, (1, 1, 4, 4), {"kernel_size": 2, "stride": 0}),
    (RuntimeError, r"`dilation` \[0\] must be greater than zero",
     max_pool1d, (1, 1, 4), {"kernel_size": 2, "dilation": 0}),
    (RuntimeError, r"`kernel_size` must be a single int or a tuple of 2 ints",
     max_pool2d, (1, 1, 4, 4), {"kernel_size": (2, 2, 2)}),
    (TypeError, r"`kernel_size` must be an int", max_pool2d, (1, 1, 4, 4), {"kernel_size": 2.5}),
    (RuntimeError, r"only the batch may be empty; got shape \[1, 0, 4, 4\]",
     max_pool2d, (1, 0, 4, 4), {"kernel_size": 2}),
    (RuntimeError, r"3 dimensions, or 4 with a batch.*got shape \[4, 4\]", avg_pool2d, (4, 4), {"kernel_size": 2}),
    (RuntimeError, r"`divisor_override` must not be 0",
     avg_pool2d, (1, 1, 4, 4), {"kernel_size": 2, "divisor_override": 0}),
    (RuntimeError, r"avg_pool3d: `kernel_size` \[2, 2, 2\] must not exceed the input size \[1, 4, 4\]",
     avg_pool3d, (1, 1, 1, 4, 4), {"kernel_size": 2, "padding": 1}),
    (ValueError, r"`norm_type` must not be 0", lp_pool2d, (1, 1, 4, 4), {"norm_type": 0, "kernel_size": 2}),
    (ValueError, r"at least 3 dimensions; got \[4, 4\]", adaptive_avg_pool2d, (4, 4), {"output_size": 2}),
    (RuntimeError, r"3 dimensions, or 4 with a batch", adaptive_avg_pool2d, (1, 1, 1, 4, 4), {"output_size": 2}),
    (RuntimeError, r"`output_size` \[-1, 2\] must not be negative",
     adaptive_avg_pool2d, (1, 1, 4, 4), {"output_size": (-1, 2)}),
    (RuntimeError, r"`output_size` must hold 2 sizes; got \(\)",
     adaptive_max_pool2d, (1, 1, 4, 4), {"output_size": ()}),
    (TypeError, r"`output_size` must be an int", adaptive_avg_pool2d, (1, 1, 4, 4), {"output_size": 2.5}),
    (RuntimeError, r"spatial axes must not be empty", adaptive_avg_pool2d, (1, 1, 0, 4), {"output_size": 2}),
    (RuntimeError, r"only the batch may be empty", adaptive_max_pool2d, (1, 0, 4, 4), {"output_size": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "message", "op", "shape", "arguments"), REFUSALS)
def test_refusals_name_argument_and_value(kind, message, op, shape, arguments):
    with pytest.raises(kind, match=message):
        op(tt.zeros(*shape), **arguments)


@pytest.mark.parametrize(
    ("op", "dtype"), [(max_pool2d, tt.bool), (avg_pool2d, tt.uint8), (adaptive_avg_pool2d, tt.int64)]
)
def test_types_that_pytorch_does_not_pool_are_refused(op, dtype):
    with pytest.raises(NotImplementedError, match=rf"{op.__name__} is (not )?defined for"):
        op(tt.zeros(1, 1, 4, 4, dtype=dtype), 2)


@pytest.mark.parametrize("op", [max_pool2d, avg_pool2d, adaptive_avg_pool2d])
def test_things_that_are_no_tensors_are_refused(op):
    with pytest.raises(TypeError, match="`input` must be a Tensor; got list"):
        op([[1.0]], 1)
