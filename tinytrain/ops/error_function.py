"""The error function of arrays, to the accuracy of their type.

The rational approximations and their coefficients are those of W. J. Cody, "Rational Chebyshev approximations for
the error function", Mathematics of Computation 23 (1969): relative errors of about 1e-16.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tinytrain.device import Array, array_module
from tinytrain.dtypes import is_low

_SMALL, _LARGE, _VANISHED = 0.46875, 4.0, 30.0
"""Where the approximations change, and where erfc has long been zero in float64."""

# erf(x) / x as a function of x², for |x| up to _SMALL; highest power first.
_SMALL_OVER = (
    1.85777706184603153e-1,
    3.16112374387056560e0,
    1.13864154151050156e2,
    3.77485237685302021e2,
    3.20937758913846947e3,
)
_SMALL_UNDER = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)

# exp(x²) erfc(x) as a function of x, from _SMALL to _LARGE.
_MIDDLE_OVER = (
    2.15311535474403846e-8,
    5.64188496988670089e-1,
    8.88314979438837594e0,
    6.61191906371416295e1,
    2.98635138197400131e2,
    8.81952221241769090e2,
    1.71204761263407058e3,
    2.05107837782607147e3,
    1.23033935479799725e3,
)
_MIDDLE_UNDER = (
    1.0,
    1.57449261107098347e1,
    1.17693950891312499e2,
    5.37181101862009858e2,
    1.62138957456669019e3,
    3.29079923573345963e3,
    4.36261909014324716e3,
    3.43936767414372164e3,
    1.23033935480374942e3,
)

# x² (1 / sqrt(pi) - x exp(x²) erfc(x)) as a function of 1 / x², from _LARGE on.
_LARGE_OVER = (
    1.63153871373020978e-2,
    3.05326634961232344e-1,
    3.60344899949804439e-1,
    1.25781726111229246e-1,
    1.60837851487422766e-2,
    6.58749161529837803e-4,
)
_LARGE_UNDER = (
    1.0,
    2.56852019228982242e0,
    1.87295284992346725e0,
    5.27905102951428412e-1,
    6.05183413124413191e-2,
    2.33520497626869185e-3,
)


def erf_array(x: Array) -> Array:
    """Return 2 / sqrt(pi) times the integral of exp(-t²) from 0 to each element of an array of floats."""
    if is_low(x.dtype):
        return erf_array(x.astype(np.float32)).astype(x.dtype)
    xp = array_module(x)
    a = xp.abs(x)
    inner = _inner(xp.minimum(a, _SMALL))
    return xp.copysign(xp.where(a <= _SMALL, inner, 1 - _tail(a)), x)


def erfc_array(x: Array) -> Array:
    """Return one minus the error function of an array of floats, without cancellation for large elements."""
    if is_low(x.dtype):
        return erfc_array(x.astype(np.float32)).astype(x.dtype)
    xp = array_module(x)
    a = xp.abs(x)
    inner = 1 - xp.copysign(_inner(xp.minimum(a, _SMALL)), x)
    tail = _tail(a)
    return xp.where(a <= _SMALL, inner, xp.where(x < 0, 2 - tail, tail))


def _inner(a: Array) -> Array:
    """Return erf(a) for 0 <= a <= _SMALL."""
    return a * _ratio(_SMALL_OVER, _SMALL_UNDER, a * a)


def _tail(a: Array) -> Array:
    """Return erfc(a) for a >= _SMALL; what is below counts as _SMALL, so that nothing overflows."""
    xp = array_module(a)
    a = xp.minimum(a, _VANISHED)
    middle = _ratio(_MIDDLE_OVER, _MIDDLE_UNDER, xp.clip(a, _SMALL, _LARGE))
    far = xp.maximum(a, _LARGE)
    with np.errstate(all="ignore"):
        inverse = 1 / far
        square = inverse * inverse
        large = (1 / math.sqrt(math.pi) - square * _ratio(_LARGE_OVER, _LARGE_UNDER, square)) * inverse
        return _gauss(a) * xp.where(a <= _LARGE, middle, large)


def _gauss(a: Array) -> Array:
    """Return exp(-a²): split, for exp multiplies what rounding a² loses."""
    xp = array_module(a)
    coarse = xp.trunc(a * 16) / 16
    return xp.exp(-coarse * coarse) * xp.exp(-(a - coarse) * (a + coarse))


def _ratio(over: Sequence[float], under: Sequence[float], x: Array) -> Array:
    return _polynomial(over, x) / _polynomial(under, x)


def _polynomial(coefficients: Sequence[float], x: Array) -> Array:
    """Return the value of a polynomial by Horner's rule, the highest power first."""
    value = x * coefficients[0] + coefficients[1]
    for each in coefficients[2:]:
        value = value * x + each
    return value
