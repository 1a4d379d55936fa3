"""Interpolation places, weighs and bounds as PyTorch does."""

from __future__ import annotations

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck
from tinytrain.ops.resampling import interpolate, upsample, upsample_bilinear, upsample_nearest


def row(*values):
    return tt.tensor([[values]], dtype=tt.float32)


# Taken from the definitions by hand: positions (i + 1/2) * n / out - 1/2, or i * (n - 1) / (out - 1).
@pytest.mark.parametrize(
    ("values", "arguments", "expected"),
    [
        ((1, 2, 3), {"size": 5}, [1, 1, 2, 2, 3]),
        ((1, 2, 3), {"size": 2}, [1, 2]),
        ((1, 2, 3), {"size": 5, "mode": "nearest-exact"}, [1, 1, 2, 3, 3]),
        ((1, 2, 3), {"size": 2, "mode": "nearest-exact"}, [1, 3]),
        ((1, 3), {"size": 4, "mode": "linear"}, [1, 1.5, 2.5, 3]),
        ((1, 3), {"size": 5, "mode": "linear", "align_corners": True}, [1, 1.5, 2, 2.5, 3]),
        ((5, 3), {"size": 1, "mode": "linear", "align_corners": True}, [5]),
        ((0, 4, 8, 12), {"size": 2, "mode": "linear"}, [2, 10]),
        ((0, 1, 2, 30, 4, 5, 6), {"size": 3, "mode": "area"}, [1, 12, 5]),
        ((1, 2), {"scale_factor": 2}, [1, 1, 2, 2]),
        ((1, 2, 3), {"scale_factor": 1.5}, [1, 1, 2, 3]),
    ],
)
def test_one_axis_by_hand(values, arguments, expected):
    np.testing.assert_allclose(interpolate(row(*values), **arguments).array[0, 0], expected, rtol=1e-6)


def test_a_given_factor_decides_the_scale_unless_it_is_recomputed():
    x = row(0, 10, 20)
    # 3 * 1.4 = 4.2 gives 4 elements; positions (i + 1/2) / 1.4 - 1/2 against (i + 1/2) * 3 / 4 - 1/2.
    by_factor = [0, 10 * (1.5 / 1.4 - 0.5), 10 * (2.5 / 1.4 - 0.5), 20]
    by_sizes = [0, 6.25, 13.75, 20]
    np.testing.assert_allclose(interpolate(x, scale_factor=1.4, mode="linear").array[0, 0], by_factor, rtol=1e-5)
    recomputed = interpolate(x, scale_factor=1.4, mode="linear", recompute_scale_factor=True)
    np.testing.assert_allclose(recomputed.array[0, 0], by_sizes, rtol=1e-5)


def test_cubic_interpolation_halfway_weighs_four_neighbours():
    # Keys' kernel with a = -3/4 at distances 1/2 and 3/2: 19/32 and -3/32.
    x = tt.tensor([[[[1.0, 2, 4, 8]] * 4]])
    y = interpolate(x, size=(4, 1), mode="bicubic")
    np.testing.assert_allclose(y.array[0, 0, 0, 0], (-3 * 1 + 19 * 2 + 19 * 4 - 3 * 8) / 32, rtol=1e-6)


def test_antialiasing_averages_what_a_shrunk_pixel_covers():
    # From 4 to 2: a triangle of half-width 2 around positions 1 and 3, cut at the edges and normalised.
    x = tt.tensor([[[[0.0, 4, 8, 12]] * 4]])
    y = interpolate(x, size=(4, 2), mode="bilinear", antialias=True)
    weights = np.array([0.75, 0.75, 0.25])
    expected = (weights * [0, 4, 8]).sum() / weights.sum()
    np.testing.assert_allclose(y.array[0, 0, 0], [expected, 12 - expected], rtol=1e-6)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_antialiasing_keeps_a_constant(mode):
    y = interpolate(tt.full((1, 1, 7, 9), 3.0), size=(3, 4), mode=mode, antialias=True)
    np.testing.assert_allclose(y.array, 3, rtol=1e-6)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "linear", "area"])
def test_the_same_size_changes_nothing(mode):
    assert interpolate(row(1, 5, 2), size=3, mode=mode).tolist() == [[[1, 5, 2]]]


@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        ((1, 2, 5), {"size": 3, "mode": "nearest"}),
        ((1, 2, 3, 4), {"size": (5, 7), "mode": "nearest-exact"}),
        ((2, 2, 5), {"size": 8, "mode": "linear", "align_corners": True}),
        ((1, 2, 3, 5), {"size": (7, 2), "mode": "bilinear"}),
        ((1, 1, 3, 4), {"scale_factor": (1.7, 0.6), "mode": "bicubic"}),
        ((1, 1, 5, 7), {"size": (3, 9), "mode": "bicubic", "antialias": True}),
        ((1, 1, 7, 5), {"size": (3, 2), "mode": "bilinear", "antialias": True}),
        ((1, 1, 2, 3, 2), {"size": (3, 2, 5), "mode": "trilinear"}),
        ((1, 2, 5, 3), {"size": (2, 4), "mode": "area"}),
    ],
)
def test_gradients_agree_with_central_differences(shape, arguments):
    x = tt.from_numpy(np.random.default_rng(0).standard_normal(shape)).requires_grad_()
    assert gradcheck(lambda x: interpolate(x, **arguments), [x])


def test_bytes_are_rounded_and_bounded():
    x = tt.tensor([[[[0, 255], [255, 0]]]], dtype=tt.uint8)
    assert interpolate(x, size=(2, 3), mode="bilinear", align_corners=True).tolist() == [
        [[[0, 128, 255], [255, 128, 0]]]
    ]
    cubic = interpolate(x, size=(8, 8), mode="bicubic")
    assert cubic.dtype is tt.uint8
    assert {cubic.array.min(), cubic.array.max()} == {0, 255}


def test_float16_is_interpolated_in_float32():
    x = np.random.default_rng(0).standard_normal((1, 2, 5, 5)).astype(np.float16)
    found = interpolate(tt.from_numpy(x), size=(7, 9), mode="bicubic")
    expected = interpolate(tt.from_numpy(x.astype(np.float32)), size=(7, 9), mode="bicubic")
    np.testing.assert_array_equal(found.array, expected.array.astype(np.float16))


def test_older_names_are_interpolate():
    x = tt.arange(6.0).reshape(1, 1, 2, 3)
    assert upsample(x, scale_factor=2).tolist() == interpolate(x, scale_factor=2).tolist()
    assert upsample_nearest(x, size=4).tolist() == interpolate(x, size=4).tolist()
    corners = interpolate(x, size=(3, 5), mode="bilinear", align_corners=True)
    assert upsample_bilinear(x, size=(3, 5)).tolist() == corners.tolist()


def test_an_empty_batch_is_resized():
    assert interpolate(tt.zeros(0, 2, 4, 4), 8, mode="bilinear").shape == (0, 2, 8, 8)


@pytest.mark.parametrize(
    ("kind", "message", "shape", "arguments"),
    [
        (ValueError, "either `size` or `scale_factor` must be given", (1, 1, 4, 4), {}),
        (ValueError, r"give `size` \(=8\) or `scale_factor` \(=2\), not both", (1, 1, 4, 4),
         {"size": 8, "scale_factor": 2}),
        (ValueError, "`align_corners` is for linear.*got 'nearest'", (1, 1, 4, 4), {"size": 8, "align_corners": True}),
        (NotImplementedError, "must be one of nearest.*got 'cubic'", (1, 1, 4, 4), {"size": 8, "mode": "cubic"}),
        (NotImplementedError, r"mode 'linear' needs 3 dimensions; got shape \[1, 1, 4, 4\]", (1, 1, 4, 4),
         {"size": 8, "mode": "linear"}),
        (NotImplementedError, r"mode 'nearest' needs 3 or 4 or 5 dimensions", (4, 4), {"size": 8}),
        (ValueError, r"one number for each of the 2 spatial dimensions.*got \(8, 8, 8\)", (1, 1, 4, 4),
         {"size": (8, 8, 8)}),
        (ValueError, "`scale_factor` must hold one number", (1, 1, 4, 4), {"scale_factor": (2.0,)}),
        (ValueError, "`antialias` is for bilinear and bicubic", (1, 1, 4, 4), {"size": 8, "antialias": True}),
        (ValueError, "`recompute_scale_factor` has no meaning with `size`", (1, 1, 4, 4),
         {"size": 8, "recompute_scale_factor": True}),
        (RuntimeError, r"sizes must be positive.*size \[0, 0\]", (1, 1, 4, 4), {"size": 0}),
        (RuntimeError, r"sizes must be positive.*size \[0, 0\]", (1, 1, 4, 4), {"scale_factor": 0.1}),
        (RuntimeError, r"sizes must be positive.*shape \[1, 0, 4, 4\]", (1, 0, 4, 4), {"size": 8}),
        (TypeError, "`size` must be a number or a tuple of them; got 8.5", (1, 1, 4, 4), {"size": 8.5}),
    ],
)  # fmt: skip
def test_refusals_name_argument_and_value(kind, message, shape, arguments):
    with pytest.raises(kind, match=message):
        interpolate(tt.zeros(*shape), **arguments)


@pytest.mark.parametrize(("dtype", "mode"), [(tt.int64, "nearest"), (tt.bool, "bilinear"), (tt.uint8, "area")])
def test_types_that_pytorch_does_not_resize_are_refused(dtype, mode):
    with pytest.raises(NotImplementedError, match=f"mode '{mode}' is not defined for"):
        interpolate(tt.zeros(1, 1, 4, 4, dtype=dtype), 8, mode=mode)
