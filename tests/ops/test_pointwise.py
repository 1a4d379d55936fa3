"""Functions of one element and of several: values by hand or by the math module, slopes by differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck
from tinytrain.ops.error_function import erf_array, erfc_array

SMOOTH = "exp exp2 expm1 sin cos tan atan sinh cosh asinh erf erfc square"
POSITIVE = "log log2 log10 log1p sqrt rsqrt reciprocal"


def leaf(*values, dtype=tt.float64):
    return tt.tensor(values, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize("name", SMOOTH.split())
def test_the_slope_is_that_of_the_function(name):
    assert gradcheck(getattr(tt, name), (leaf(-1.3, -0.2, 0.1, 0.9),))


@pytest.mark.parametrize("name", POSITIVE.split())
def test_the_slope_is_that_of_the_function_of_positive_numbers(name):
    assert gradcheck(getattr(tt, name), (leaf(0.1, 0.7, 2.5),))


@pytest.mark.parametrize("name", ["asin", "acos", "atanh"])
def test_the_slope_of_an_inverse_is_right_inside_its_domain(name):
    assert gradcheck(getattr(tt, name), (leaf(-0.8, 0.1, 0.6),))


def test_the_slope_of_acosh_and_logit_is_right_inside_their_domains():
    assert gradcheck(tt.acosh, (leaf(1.2, 3.0),))
    assert gradcheck(lambda x: tt.logit(x, 0.2), (leaf(0.1, 0.4, 0.7, 0.95),))


@pytest.mark.parametrize("function", [tt.atan2, tt.hypot, tt.maximum, tt.minimum, tt.fmax, tt.fmin])
def test_functions_of_two_operands_have_both_slopes_and_broadcast(function):
    assert gradcheck(function, (leaf(-1.3, 0.4, 2.0).reshape(3, 1).detach().requires_grad_(), leaf(0.7, -0.9)))


def test_the_slope_of_atan2_is_0_where_there_is_no_angle():
    y, x = leaf(0.0, 1e-200, 3.0), leaf(0.0, 1e-200, 4.0)
    tt.atan2(y, x).sum().backward()
    assert y.grad.tolist() == [0, 0, 0.16]
    assert x.grad.tolist() == [0, 0, -0.12]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_erf_and_erfc_are_accurate_to_a_few_units_in_the_last_place(dtype):
    x = np.linspace(-6, 9, 3001).astype(dtype)
    for found, function in ((erf_array(x), math.erf), (erfc_array(x), math.erfc)):
        expected = np.array([function(float(each)) for each in x])
        assert found.dtype == dtype
        normal = np.abs(expected) > 1e-36  # float32 has fewer digits below
        assert np.abs(found / np.where(normal, expected, 1) - 1)[normal].max() <= 8 * np.finfo(dtype).eps
        assert np.abs(found)[~normal].max(initial=0) <= 1e-36


def test_erf_keeps_limits_nan_and_the_sign_of_zero():
    found = erf_array(np.array([np.inf, -np.inf, np.nan, -0.0]))
    assert found[:2].tolist() == [1, -1]
    assert np.isnan(found[2])
    assert np.signbit(found[3])


def test_integers_become_floats_where_the_result_is_one():
    assert tt.exp(tt.tensor([0, 1])).dtype is tt.float32
    assert tt.sqrt(tt.tensor([4, 9])).tolist() == [2, 3]


def test_rounding_goes_to_even_and_its_slope_is_zero():
    x = leaf(-1.5, -0.5, 0.5, 1.5, 2.5)
    y = x.round()
    assert y.tolist() == [-2, 0, 0, 2, 2]
    y.sum().backward()
    assert x.grad.tolist() == [0] * 5
    assert tt.round(tt.tensor([123.456, -0.0567]), decimals=2).numpy() == pytest.approx([123.46, -0.06])
    assert tt.round(tt.tensor([1234.0]), decimals=-2).tolist() == [1200]


def test_the_sign_of_nan_is_zero():
    assert tt.sign(tt.tensor([-2.0, 0.0, 3.0, math.nan])).tolist() == [-1, 0, 1, 0]


def test_negating_a_mask_is_refused_with_the_remedy():
    with pytest.raises(RuntimeError, match="use the `~` or `logical_not"):
        -tt.tensor([True])


def test_clamp_passes_the_gradient_at_its_limits_and_not_outside():
    x = leaf(-2.0, -1.0, 0.0, 1.0, 2.0)
    tt.clamp(x, -1, 1).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


def test_clamp_gives_the_upper_limit_where_limits_cross():
    assert tt.clamp(tt.tensor([0.0, 5.0]), min=3, max=2).tolist() == [2, 2]


def test_clamp_by_tensors_sends_the_gradient_to_the_limit_that_acts():
    x, low = leaf(-2.0, 0.5), leaf(-1.0, -1.0)
    tt.clamp(x, min=low).sum().backward()
    assert x.grad.tolist() == [0, 1]
    assert low.grad.tolist() == [1, 0]


def test_clamp_without_limits_is_refused():
    with pytest.raises(RuntimeError, match="At least one of 'min' or 'max' must not be None"):
        tt.clamp(tt.zeros(2))


def test_lerp_is_exact_at_both_ends():
    a, b = tt.tensor([0.1, 1e8]), tt.tensor([0.7, 1.0])
    assert tt.lerp(a, b, 0.0).tolist() == a.tolist()
    assert tt.lerp(a, b, 1.0).tolist() == b.tolist()


def test_lerp_addcmul_and_addcdiv_have_every_slope():
    a, b, c = leaf(0.3, -1.2), leaf(2.0, 0.4), leaf(0.2, 0.8)
    assert gradcheck(tt.lerp, (a, b, c))
    assert gradcheck(lambda *each: tt.addcmul(*each, value=0.3), (a, b, c))
    assert gradcheck(lambda *each: tt.addcdiv(*each, value=0.3), (a, b, c))


def test_nan_to_num_replaces_what_is_not_finite():
    x = tt.tensor([math.nan, math.inf, -math.inf, 2.0])
    assert tt.nan_to_num(x, nan=7, posinf=8, neginf=9).tolist() == [7, 8, 9, 2]
    assert tt.nan_to_num(x)[1].item() == np.finfo(np.float32).max


def test_a_slope_that_is_infinite_raises_no_warning(recwarn):
    x = leaf(0.0)
    (x.sqrt() + tt.log(x.exp() - 1)).backward()
    assert not recwarn.list


@pytest.mark.parametrize(("base", "exponent", "result"), [(2, -1, 0), (1, -5, 1), (-1, -3, -1), (-1, -2, 1), (3, 2, 9)])
def test_integer_powers_are_cut_to_integers(base, exponent, result):
    assert (tt.tensor([base]) ** tt.tensor([exponent])).tolist() == [result]


def test_integers_to_a_negative_number_are_refused():
    with pytest.raises(RuntimeError, match="negative integer powers"):
        tt.tensor([2]) ** -1


def test_powers_have_both_slopes():
    assert gradcheck(tt.pow, (leaf(0.5, 1.7, 3.0), leaf(2.0, -0.3, 0.0)))
    assert gradcheck(lambda x: x**3, (leaf(-1.1, 0.0, 2.0),))
    assert gradcheck(lambda x: 2**x, (leaf(-1.1, 0.0, 2.0),))


def test_equal_elements_share_the_gradient_of_maximum():
    a, b = leaf(1.0, 2.0), leaf(1.0, 0.0)
    tt.maximum(a, b).sum().backward()
    assert a.grad.tolist() == [0.5, 1]
    assert b.grad.tolist() == [0.5, 0]


def test_fmax_ignores_a_nan_that_maximum_keeps():
    a, b = tt.tensor([math.nan, 1.0]), tt.tensor([2.0, math.nan])
    assert tt.fmax(a, b).tolist() == [2, 1]
    assert all(math.isnan(each) for each in tt.maximum(a, b).tolist())


@pytest.mark.parametrize("name", ["atan2", "hypot", "lerp", "lerp_weight", "clamp", "clamp_max"])
def test_shapes_that_do_not_broadcast_are_named(name):
    x, y = tt.ones(2), tt.ones(3)
    calls = {
        "lerp": lambda: tt.lerp(x, y, 0.5),
        "lerp_weight": lambda: tt.lerp(x, x, y),
        "clamp": lambda: tt.clamp(x, y, y),
        "clamp_max": lambda: tt.clamp(x, max=y),
    }
    with pytest.raises(RuntimeError, match=r"tensor a \(2\) must match the size of tensor b \(3\)"):
        calls.get(name, lambda: getattr(tt, name)(x, y))()
