"""Activations have the values of their formulas, the gradients of their slopes, and keep type and memory order."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck
from tinytrain.nn import functional as F
from tinytrain.tensor import wrap

# (name, options, input, value), worked out from the formulas.
VALUES = [
    ("relu", {}, -2.0, 0.0),
    ("relu", {}, 2.0, 2.0),
    ("relu6", {}, 7.0, 6.0),
    ("leaky_relu", {}, -2.0, -0.02),
    ("leaky_relu", {"negative_slope": 2.0}, -2.0, -4.0),
    ("rrelu", {}, -2.0, -2 * (1 / 8 + 1 / 3) / 2),
    ("threshold", {"threshold": 0.1, "value": 20.0}, 0.1, 20.0),
    ("hardtanh", {}, -1.5, -1.0),
    ("hardsigmoid", {}, 1.0, 2 / 3),
    ("hardswish", {}, 1.0, 2 / 3),
    ("hardswish", {}, -3.5, 0.0),
    ("hardshrink", {}, 0.5, 0.0),
    ("softshrink", {}, -2.0, -1.5),
    ("elu", {}, -1.0, math.exp(-1) - 1),
    ("selu", {}, -1.0, 1.0507009873554805 * 1.6732632423543772 * (math.exp(-1) - 1)),
    ("celu", {"alpha": 2.0}, -1.0, 2 * (math.exp(-0.5) - 1)),
    ("sigmoid", {}, 1.0, 1 / (1 + math.exp(-1))),
    ("logsigmoid", {}, -100.0, -100.0),
    ("silu", {}, 1.0, 1 / (1 + math.exp(-1))),
    ("mish", {}, 1.0, math.tanh(math.log(1 + math.e))),
    ("gelu", {}, 1.0, 0.5 * (1 + math.erf(math.sqrt(0.5)))),
    ("gelu", {"approximate": "tanh"}, 1.0, 0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * 1.044715))),
    ("softplus", {}, 0.0, math.log(2)),
    ("softplus", {"beta": 2.0, "threshold": 3.0}, 1.6, 1.6),
    ("softsign", {}, -3.0, -0.75),
    ("tanh", {}, 0.5, math.tanh(0.5)),
    ("tanhshrink", {}, 0.5, 0.5 - math.tanh(0.5)),
]
SMOOTH_ENOUGH = np.array([-6.3, -2.2, -0.7, -0.3, 0.2, 0.6, 1.7, 2.4, 6.9])  # no bend of any of them
FLOATS_ONLY = ["leaky_relu", "elu", "selu", "gelu", "silu", "mish", "hardswish", "softplus", "hardshrink"]
IN_PLACE = ["relu_", "leaky_relu_", "threshold_", "hardtanh_", "elu_", "selu_", "celu_", "rrelu_"]


@pytest.mark.parametrize(("name", "options", "x", "expected"), VALUES)
def test_values_are_those_of_the_formula(name, options, x, expected):
    result = getattr(F, name)(tt.tensor([x], dtype=tt.float64), **options)
    assert result.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("name", "options"), sorted({(n, tuple(o.items())) for n, o, _, _ in VALUES}))
def test_gradients_are_those_of_central_differences(name, options):
    x = tt.from_numpy(SMOOTH_ENOUGH.reshape(1, 3, 3).copy()).requires_grad_()
    assert gradcheck(lambda x: getattr(F, name)(x, **dict(options)), [x])


@pytest.mark.parametrize("name", sorted({n for n, *_ in VALUES}))
def test_the_type_stays(name):
    options = {"threshold": 0.0, "value": 1.0} if name == "threshold" else {}
    for dtype in (tt.float16, tt.float32, tt.float64):
        x = tt.tensor([[-0.4, 0.9]], dtype=dtype, requires_grad=True)
        y = getattr(F, name)(x, **options)
        y.sum().backward()
        assert y.dtype is dtype
        assert x.grad.dtype is dtype


@pytest.mark.parametrize("shape", [(1, 4, 1, 1), (2, 4, 16, 16), (64, 32, 1, 1)], ids=["small", "large", "one pixel"])
@pytest.mark.parametrize("is_sum", [False, True], ids=["of a value", "of a sum"])
@pytest.mark.parametrize("is_shared", [False, True], ids=["alone", "shared"])
@pytest.mark.parametrize(
    ("activate", "inside", "outside"),
    [(F.relu6, 1, 0), (F.hardtanh, 1, 0), (F.softshrink, 0, 1), (lambda x: F.leaky_relu(x, 0.1), 1, 1)],
    ids=["relu6", "hardtanh", "softshrink", "leaky_relu"],
)
def test_a_result_that_the_gradient_does_not_need_may_be_changed(activate, inside, outside, is_shared, is_sum, shape):
    a, b = (tt.full(shape, value, requires_grad=True) for value in (0.25, 9.0))
    same = tt.eye(shape[1])[:, :, None, None]  # convolutions make what the fast kernels hand on uncomputed
    made = (
        F.conv2d(each * 0.5, same) + F.conv2d(each * 0.5, same) if is_sum else F.conv2d(each, same) for each in (a, b)
    )
    y, z = (activate(each) for each in made)
    for each in (y, z):
        if is_shared:
            each.view(-1).mul_(-1)
        else:
            each *= -1
    (y.sum() + z.sum()).backward()
    assert set(a.grad.flatten().tolist()) == {-inside}
    assert set(b.grad.flatten().tolist()) == {-outside}


@pytest.mark.parametrize("name", ["relu", "relu6", "hardswish", "silu", "gelu", "leaky_relu"])
def test_memory_stays_channels_last(name):
    x = wrap(np.random.default_rng(0).normal(size=(2, 4, 5, 3)).transpose(0, 3, 1, 2))
    assert getattr(F, name)(x).array.strides == x.array.strides


@pytest.mark.parametrize("name", FLOATS_ONLY)
def test_integers_are_refused(name):
    with pytest.raises(NotImplementedError, match=rf'"{name}" not implemented for int64'):
        getattr(F, name)(tt.tensor([1, 2]))


def test_relu_takes_integers():
    assert F.relu(tt.tensor([-1, 2])).tolist() == [0, 2]


def test_relu_at_zero_has_no_slope():
    x = tt.tensor([0.0, -0.0], requires_grad=True)
    F.relu(x).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_relu_lets_nan_through():
    assert math.isnan(F.relu(tt.tensor(math.nan)).item())


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_forms_change_their_input_and_its_gradient(name):
    options = {"threshold": 0.1, "value": 20.0} if name == "threshold_" else {}
    x = tt.from_numpy(SMOOTH_ENOUGH.copy()).requires_grad_()
    expected = getattr(F, name[:-1])(x, **options)
    expected.sum().backward()
    slope, x.grad = x.grad, None
    y = x * 1
    result = getattr(F, name)(y, **options)
    result.sum().backward()
    assert result is y
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy())
    np.testing.assert_allclose(x.grad.numpy(), slope.numpy())


def test_inplace_argument_writes_into_the_input():
    x = tt.tensor([-1.0, 2.0])
    assert F.relu(x, inplace=True) is x
    assert x.tolist() == [0.0, 2.0]


def test_a_change_of_the_input_after_gelu_is_noticed():
    x = tt.tensor([1.0], requires_grad=True)
    y = x * 2
    z = F.gelu(y)
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation: GeluBackward0"):
        z.sum().backward()


@pytest.mark.parametrize("name", ["sigmoid", "logsigmoid", "softplus", "silu", "mish", "elu", "gelu", "tanhshrink"])
def test_far_values_neither_overflow_nor_warn(name):
    x = tt.tensor([-1000.0, 1000.0], requires_grad=True)
    y = getattr(F, name)(x)
    y.sum().backward()
    assert np.isfinite(y.detach().numpy()).all()
    assert np.isfinite(x.grad.numpy()).all()


def test_prelu_has_a_slope_per_channel():
    x = tt.tensor([[[-1.0, 2.0], [-3.0, -4.0]]], dtype=tt.float64, requires_grad=True)
    weight = tt.tensor([0.5, 0.25], dtype=tt.float64, requires_grad=True)
    y = F.prelu(x, weight)
    assert y.tolist() == [[[-0.5, 2.0], [-0.75, -1.0]]]
    assert gradcheck(F.prelu, [x, weight])


def test_prelu_refuses_a_wrong_number_of_slopes():
    with pytest.raises(RuntimeError, match="parameter numbers = 2 and channel size = 3"):
        F.prelu(tt.zeros(1, 3, 2), tt.zeros(2))


def test_glu_gates_one_half_by_the_other():
    x = tt.tensor([[3.0, 5.0, 0.0, 0.0]])
    assert F.glu(x).tolist() == [[1.5, 2.5]]
    assert gradcheck(lambda x: F.glu(x, 1), [tt.randn(3, 4, 1, dtype=tt.float64).requires_grad_()])


def test_glu_refuses_an_odd_size():
    with pytest.raises(RuntimeError, match="must be even, but dimension 1 is size 3"):
        F.glu(tt.zeros(2, 3))


def test_rrelu_draws_slopes_between_its_bounds():
    tt.manual_seed(0)
    y = F.rrelu(tt.full((1000,), -1.0), 0.25, 0.5, training=True).numpy()
    assert y.min() >= -0.5
    assert y.max() <= -0.25
    assert -y.mean() == pytest.approx(0.375, abs=0.01)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: F.hardtanh(x, 1.0, -1.0), ValueError, r"`min_val` \(=1.0\) must be at most `max_val` \(=-1.0\)"),
        (lambda x: F.softshrink(x, -0.5), RuntimeError, "lambda must be greater or equal to 0, but found to be -0.5"),
        (lambda x: F.celu(x, 0), RuntimeError, "alpha cannot be 0"),
        (lambda x: F.gelu(x, approximate="erf"), RuntimeError, "must be either none or tanh; got 'erf'"),
        (lambda x: F.rrelu(x, 0.3, 0.1), RuntimeError, r"`lower` \(=0.3\) must be at most `upper` \(=0.1\)"),
        (lambda x: F.relu(x > 0), RuntimeError, "Boolean inputs not supported"),
    ],
)
def test_what_makes_no_sense_is_refused(call, error, text):
    with pytest.raises(error, match=text):
        call(tt.zeros(2))


@pytest.mark.parametrize("name", ["rrelu", "hardsigmoid", "silu", "mish", "elu", "selu", "celu"])
def test_floats_of_16_bits_are_rewritten_in_place(name):
    function = getattr(F, name)
    values = tt.tensor([-1.5, -0.5, 0.5, 1.5]).half()
    expected = function(values.float()).half()
    by_name, by_position = values.clone(), values.clone()
    assert function(by_name, inplace=True) is by_name
    np.testing.assert_array_equal(by_name.array, expected.array)
    position = list(inspect.signature(function).parameters).index("inplace")
    defaults = [each.default for each in inspect.signature(function).parameters.values()][1:position]
    assert function(by_position, *defaults, True) is by_position
    np.testing.assert_array_equal(by_position.array, expected.array)
