"""Blocks become columns and columns become images again."""

from __future__ import annotations

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck
from tinytrain.ops.convolution import conv2d
from tinytrain.ops.folding import fold, unfold

WINDOWS = [
    {"kernel_size": 2},
    {"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 2)},
    {"kernel_size": (3, 2), "dilation": (1, 3), "padding": 1, "stride": 2},
]


def values(*shape):
    return tt.from_numpy(np.random.default_rng(0).standard_normal(shape)).requires_grad_()


def test_a_column_holds_a_block_channels_outermost():
    x = tt.arange(12.0).reshape(1, 2, 2, 3)
    assert unfold(x, 2).tolist() == [[[0, 1], [1, 2], [3, 4], [4, 5], [6, 7], [7, 8], [9, 10], [10, 11]]]


def test_folding_counts_every_pixel_once_a_block():
    counts = fold(unfold(tt.ones(1, 3, 3), 2), 3, 2)
    assert counts.tolist() == [[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]


@pytest.mark.parametrize("window", WINDOWS)
def test_convolution_is_a_product_with_columns(window):
    x = values(2, 3, 5, 7)
    kernel_size = window["kernel_size"]
    kh, kw = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
    w = np.random.default_rng(1).standard_normal((4, 3, kh, kw))
    rest = {name: value for name, value in window.items() if name != "kernel_size"}
    expected = conv2d(x, tt.from_numpy(w), **rest).array
    found = np.einsum("ok,nkl->nol", w.reshape(4, -1), unfold(x, **window).array)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-10)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shape", [(1, 2, 5, 7), (2, 5, 6)])
def test_gradients_agree_with_central_differences(window, shape):
    x = values(*shape)
    assert gradcheck(lambda x: unfold(x, **window), [x])
    columns = values(*unfold(x, **window).shape)
    assert gradcheck(lambda columns: fold(columns, shape[-2:], **window), [columns])


def test_bool_images_have_blocks():
    x = tt.tensor([[[True, False], [False, True]]])
    columns = unfold(x, 1)
    assert columns.tolist() == [[True, False, False, True]]
    assert fold(columns, 2, 1).tolist() == x.tolist()


@pytest.mark.parametrize(
    ("kind", "message", "shape", "arguments"),
    [
        (IndexError, r"must have 3 dimensions, or 4 with a batch; got \[4, 4\]", (4, 4), {"kernel_size": 2}),
        (RuntimeError, r"only the batch empty; got \[1, 0, 4, 4\]", (1, 0, 4, 4), {"kernel_size": 2}),
        (RuntimeError, r"no block fits: image size \[4, 4\], `kernel_size` \[5, 5\]", (1, 4, 4), {"kernel_size": 5}),
        (RuntimeError, r"`stride` \[0, 0\] must be at least 1", (1, 4, 4), {"kernel_size": 2, "stride": 0}),
        (RuntimeError, r"`padding` \[-1, -1\] must be at least 0", (1, 4, 4), {"kernel_size": 2, "padding": -1}),
        (
            RuntimeError,
            r"`kernel_size` must be a single int or a tuple of 2 ints",
            (1, 4, 4),
            {"kernel_size": (2,) * 3},
        ),
    ],
)
def test_unfold_refuses(kind, message, shape, arguments):
    with pytest.raises(kind, match=message):
        unfold(tt.zeros(*shape), **arguments)


@pytest.mark.parametrize(
    ("message", "shape", "arguments"),
    [
        (r"has 3 \* 3 = 9 blocks; got an input with 8 columns", (4, 8), {"output_size": 4, "kernel_size": 2}),
        (r"size of columns \(=5\) must be divisible.*\[2, 2\]", (5, 9), {"output_size": 4, "kernel_size": 2}),
        (r"must have 2 dimensions, or 3 with a batch", (1, 1, 4, 9), {"output_size": 4, "kernel_size": 2}),
        (r"no block fits: image size \[1, 1\]", (4, 9), {"output_size": 1, "kernel_size": 2}),
        (r"`output_size` \[0, 0\] must be positive", (4, 9), {"output_size": 0, "kernel_size": 2}),
    ],
)
def test_fold_refuses(message, shape, arguments):
    with pytest.raises(RuntimeError, match=message):
        fold(tt.zeros(*shape), **arguments)


def test_integers_are_refused():
    with pytest.raises(NotImplementedError, match="unfold is not defined for integers"):
        unfold(tt.zeros(1, 4, 4, dtype=tt.int64), 2)
