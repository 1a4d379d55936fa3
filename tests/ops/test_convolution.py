"""Convolutions take PyTorch's arguments, refuse what it refuses, and have the right gradients."""

from __future__ import annotations

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck
from tinytrain.ops.convolution import conv1d, conv2d, conv3d
from tinytrain.ops.transposed_convolution import conv_transpose1d, conv_transpose2d, conv_transpose3d


def values(*shape, seed=0):
    array = np.random.default_rng(seed).standard_normal(shape)
    return tt.from_numpy(array).requires_grad_()


# op, input shape, weight shape, arguments
GRADIENTS = [
    (conv1d, (1, 3, 7), (2, 3, 3), {"stride": 2, "padding": 1}),
    (conv1d, (2, 5), (3, 2, 2), {"padding": "same", "dilation": 3}),
    (conv2d, (1, 2, 5, 7), (3, 2, 3, 2), {"stride": (2, 3), "padding": (1, 2)}),
    (conv2d, (2, 3, 5, 4), (3, 3, 2, 3), {"padding": "same"}),
    (conv2d, (2, 4, 5, 5), (6, 2, 3, 3), {"groups": 2, "stride": 2, "padding": 1}),
    (conv2d, (1, 3, 7, 5), (3, 1, 3, 3), {"groups": 3, "stride": 2, "padding": 1}),
    (conv2d, (2, 3, 5, 5), (6, 1, 2, 3), {"groups": 3, "dilation": 2, "padding": (1, 2)}),
    (conv2d, (1, 5, 3, 3), (2, 5, 1, 1), {"stride": 2}),
    (conv3d, (1, 2, 3, 4, 5), (2, 1, 2, 3, 2), {"groups": 2, "stride": (1, 2, 3), "padding": 1}),
    (conv_transpose1d, (1, 2, 4), (2, 3, 3), {"stride": 3, "padding": 1, "output_padding": 2}),
    (conv_transpose2d, (1, 3, 4, 3), (3, 2, 3, 2), {"stride": (2, 1), "padding": 1, "output_padding": (1, 0)}),
    (conv_transpose2d, (2, 4, 3, 3), (4, 2, 3, 3), {"groups": 2, "stride": 2, "dilation": 2}),
    (conv_transpose2d, (2, 3, 3), (2, 2, 2, 2), {"dilation": 3, "output_padding": 2}),
    (conv_transpose2d, (1, 3, 3, 5), (3, 1, 3, 3), {"groups": 3, "stride": 2, "padding": 1}),
    (conv_transpose3d, (1, 2, 2, 3, 2), (2, 2, 2, 1, 3), {"stride": (1, 2, 1)}),
]


@pytest.mark.parametrize(("op", "x_shape", "w_shape", "arguments"), GRADIENTS)
def test_gradients_agree_with_central_differences(op, x_shape, w_shape, arguments):
    is_transposed = "transpose" in op.__name__
    o = w_shape[1] * arguments.get("groups", 1) if is_transposed else w_shape[0]
    x, w, b = values(*x_shape), values(*w_shape, seed=1), values(o, seed=2)
    assert gradcheck(lambda x, w, b: op(x, w, b, **arguments), [x, w, b])
    assert gradcheck(lambda x, w: op(x, w, **arguments), [x, w])


def test_same_padding_of_an_even_kernel_puts_the_odd_zero_at_the_end():
    # The block known from every primer: 2x2 windows of a 4x4 image, the last row and column half outside.
    x = tt.tensor([[4.0, 1, 7, 5], [4, 4, 2, 5], [7, 7, 2, 4], [1, 0, 2, 4]])
    w = tt.ones(1, 1, 2, 2)
    y = conv2d(x.unsqueeze(0).unsqueeze(0), w, padding="same")
    assert y.tolist() == [[[[13, 14, 19, 10], [22, 15, 13, 9], [15, 11, 12, 8], [1, 2, 6, 4]]]]


def test_valid_padding_is_none():
    y = conv1d(tt.tensor([[[1.0, 2, 4]]]), tt.tensor([[[1.0, 10]]]), padding="valid", stride=1)
    assert y.tolist() == [[[21, 42]]]


def test_a_transposed_convolution_spreads_each_pixel_over_the_kernel():
    y = conv_transpose1d(tt.tensor([[[1.0, 2]]]), tt.tensor([[[1.0, 10, 100]]]), tt.tensor([0.5]), stride=2)
    assert y.tolist() == [[[1.5, 10.5, 102.5, 20.5, 200.5]]]


def test_an_unbatched_input_gives_an_unbatched_result():
    x, w = values(3, 5, 4), values(2, 3, 3, 3, seed=1)
    np.testing.assert_array_equal(conv2d(x, w).array, conv2d(x.unsqueeze(0), w).array[0])


def test_only_wanted_gradients_are_computed():
    x, w = values(1, 2, 4, 4), values(3, 2, 3, 3, seed=1).detach()
    conv2d(x, w, tt.zeros(3, dtype=tt.float64)).sum().backward()
    assert x.grad is not None
    assert w.grad is None


def test_a_weight_changed_before_backward_is_refused():
    x, w = values(1, 2, 4, 4), values(3, 2, 3, 3, seed=1)
    y = conv2d(x, w)
    with tt.no_grad():
        w.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_the_recorded_name_is_that_of_pytorch():
    assert conv2d(values(1, 1, 3, 3), values(1, 1, 2, 2)).grad_fn.name() == "ConvolutionBackward0"


@pytest.mark.parametrize("dtype", [tt.float16, tt.float32, tt.float64, tt.int64, tt.uint8])
def test_every_number_type_keeps_its_type(dtype):
    y = conv2d(tt.ones(1, 2, 3, 3, dtype=dtype), tt.ones(1, 2, 2, 2, dtype=dtype))
    assert y.dtype is dtype
    assert y.tolist() == [[[[8, 8], [8, 8]]]]


REFUSALS = [
    (RuntimeError, r"conv2d: `groups` \(=0\) must be positive", (1, 2, 4, 4), (2, 2, 3, 3), {"groups": 0}),
    (RuntimeError, r"output channels of `weight` \(=4\) must be divisible by `groups` \(=3\)",
     (1, 6, 4, 4), (4, 2, 3, 3), {"groups": 3}),
    (RuntimeError, r"`groups` \(=4\) expects an input with 8 channels; got shape \[1, 6, 4, 4\] with 6 channels",
     (1, 6, 4, 4), (4, 2, 3, 3), {"groups": 4}),
    (RuntimeError, r"expects an input with 3 channels", (1, 2, 4, 4), (2, 3, 3, 3), {}),
    (RuntimeError, r"kernel size \[5, 5\] with `dilation` \[1, 1\] and input size \[4, 4\] with `padding` 0",
     (1, 2, 4, 4), (2, 2, 5, 5), {}),
    (RuntimeError, r"kernel size \[3, 3\] with `dilation` \[3, 3\]", (1, 2, 4, 4), (2, 2, 3, 3), {"dilation": 3}),
    (RuntimeError, r"`padding` 'same' needs `stride` 1; got \(2, 1\)",
     (1, 2, 4, 4), (2, 2, 3, 3), {"padding": "same", "stride": (2, 1)}),
    (RuntimeError, r"'same' or 'valid'; got 'full'", (1, 2, 4, 4), (2, 2, 3, 3), {"padding": "full"}),
    (RuntimeError, r"`stride` \(=0\) must be positive", (1, 2, 4, 4), (2, 2, 3, 3), {"stride": 0}),
    (RuntimeError, r"`padding` \(=\(1, -1\)\) must not be negative", (1, 2, 4, 4), (2, 2, 3, 3), {"padding": (1, -1)}),
    (RuntimeError, r"`dilation` \(=-1\) must be positive", (1, 2, 4, 4), (2, 2, 3, 3), {"dilation": -1}),
    (RuntimeError, r"`stride` must be a single int or a tuple of 2 ints",
     (1, 2, 4, 4), (2, 2, 3, 3), {"stride": (1, 1, 1)}),
    (TypeError, r"`stride` must be an int", (1, 2, 4, 4), (2, 2, 3, 3), {"stride": 1.5}),
    (TypeError, r"`groups` must be an int; got 1.0", (1, 2, 4, 4), (2, 2, 3, 3), {"groups": 1.0}),
    (RuntimeError, r"`input` must have 3 dimensions, or 4 with a batch; got shape \[2, 4\]", (2, 4), (2, 2, 3, 3), {}),
    (RuntimeError, r"`weight` must have 4 dimensions; got shape \[2, 2, 3\]", (1, 2, 4, 4), (2, 2, 3), {}),
    (RuntimeError, r"kernel must not be empty", (1, 2, 4, 4), (2, 2, 0, 3), {}),
    (RuntimeError, r"only batch and channels may be empty", (1, 2, 0, 4), (2, 2, 3, 3), {"padding": 2}),
    (RuntimeError, r"output channels of `weight` \(=0\)", (1, 2, 4, 4), (0, 2, 3, 3), {}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "message", "x_shape", "w_shape", "arguments"), REFUSALS)
def test_refusals_name_argument_and_value(kind, message, x_shape, w_shape, arguments):
    with pytest.raises(kind, match=message):
        conv2d(tt.zeros(*x_shape), tt.zeros(*w_shape), **arguments)


def test_bias_must_have_a_value_an_output_channel():
    with pytest.raises(RuntimeError, match=r"each of the 2 output channels; got shape \[3\]"):
        conv2d(tt.zeros(1, 2, 4, 4), tt.zeros(2, 2, 3, 3), tt.zeros(3))
    with pytest.raises(RuntimeError, match=r"each of the 4 output channels; got shape \[2\]"):
        conv_transpose2d(tt.zeros(1, 2, 4, 4), tt.zeros(2, 2, 3, 3), tt.zeros(2), groups=2)


@pytest.mark.parametrize("argument", ["weight", "bias"])
def test_operands_of_different_dtypes_are_refused(argument):
    operands = {"weight": tt.zeros(2, 2, 3, 3), "bias": tt.zeros(2)}
    operands[argument] = operands[argument].double()
    with pytest.raises(RuntimeError, match=f"`input` and `{argument}` must have the same dtype; got .*32 and .*64"):
        conv2d(tt.zeros(1, 2, 4, 4), **operands)


def test_bool_tensors_and_other_things_are_refused():
    with pytest.raises(NotImplementedError, match="conv2d is not defined for bool"):
        conv2d(tt.zeros(1, 1, 2, 2, dtype=tt.bool), tt.zeros(1, 1, 1, 1, dtype=tt.bool))
    with pytest.raises(TypeError, match="`input` must be a Tensor; got list"):
        conv2d([1], tt.zeros(1, 1, 1, 1))


@pytest.mark.parametrize(
    ("message", "x_shape", "w_shape", "arguments"),
    [
        (r"`output_padding` \[1, 1\] must be smaller than `stride` \[1, 1\]", (1, 2, 4, 4), (2, 3, 3, 3),
         {"output_padding": 1}),
        (r"`output_padding` \(=-1\) must not be negative", (1, 2, 4, 4), (2, 3, 3, 3), {"output_padding": -1}),
        (r"expects an input with 3 channels; got shape \[1, 2, 4, 4\]", (1, 2, 4, 4), (3, 3, 3, 3), {}),
        (r"output would have size \[-4, -4\]", (1, 2, 4, 4), (2, 3, 3, 3), {"padding": 5}),
        (r"input channels of `weight` \(=6\) must be divisible by `groups` \(=4\)", (1, 6, 4, 4), (6, 3, 3, 3),
         {"groups": 4}),
        (r"`weight` must have output channels; got shape \[2, 0, 3, 3\]", (1, 2, 4, 4), (2, 0, 3, 3), {}),
        (r"only batch and channels may be empty; got an input of shape \[1, 2, 0, 4\]", (1, 2, 0, 4), (2, 3, 3, 3), {}),
    ],
)  # fmt: skip
def test_refusals_of_transposed_convolutions(message, x_shape, w_shape, arguments):
    with pytest.raises(RuntimeError, match=message):
        conv_transpose2d(tt.zeros(*x_shape), tt.zeros(*w_shape), **arguments)


def test_a_transposed_convolution_takes_no_padding_by_name():
    with pytest.raises(TypeError, match="`padding` must be an int"):
        conv_transpose2d(tt.zeros(1, 2, 4, 4), tt.zeros(2, 3, 3, 3), padding="same")


def test_empty_batches_and_channels_are_convolved():
    assert conv2d(tt.zeros(0, 2, 4, 4), tt.zeros(3, 2, 3, 3)).shape == (0, 3, 2, 2)
    assert conv2d(tt.zeros(1, 0, 4, 4), tt.zeros(2, 0, 3, 3)).tolist() == np.zeros((1, 2, 2, 2)).tolist()
    assert conv_transpose2d(tt.zeros(0, 2, 4, 4), tt.zeros(2, 3, 3, 3)).shape == (0, 3, 6, 6)
