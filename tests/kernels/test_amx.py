"""Products on tiles of bf16 numbers are those of float32 numbers, and are taken where they are faster."""

from __future__ import annotations

import numpy as np
import pytest

from tests.kernels.native_reference import channels_last
from tinytrain.kernels import native

_native = native.EXTENSION
if native.PROBLEM or "amx" not in _native.instruction_sets():
    pytest.skip("this processor, or its system, has no AMX", allow_module_level=True)

POINTWISE = (1, 1, 0, 0, 0, 0, 1, 1, 1)
STRIDED = (2, 2, 1, 1, 1, 1, 1, 1, 1)
SAME = (1, 1, 1, 1, 1, 1, 1, 1, 1)
KERNELS = {"pointwise": (1, POINTWISE), "strided": (3, STRIDED), "winograd": (3, SAME)}


pytestmark = [
    pytest.mark.usefixtures("instruction_set"),
    pytest.mark.parametrize("instruction_set", ["amx always"], indirect=True),
]


def drawn(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def images(rng, *shape):
    return channels_last(drawn(rng, *shape))


def results(x, w, g, geometry):
    """Return what each kernel gives: results, gradients of the input and of the weights, together and alone."""
    return (
        _native.conv_forward(x, w, geometry, None, False),
        _native.conv_input_grad(g, w, x.shape, geometry, None)[0],
        _native.conv_weight_grad(g, x, w.shape, geometry),
        *(each for each in _native.conv_backward(g, x, w, geometry, None) if each is not None),
    )


def operands(kind, seed=0):
    rng = np.random.default_rng(seed)
    size, geometry = KERNELS[kind]
    g = images(rng, 2, 48, 12 // geometry[0], 12 // geometry[1])
    return images(rng, 2, 40, 12, 12), drawn(rng, 48, 40, size, size), g, geometry


@pytest.mark.parametrize("channels", [16, 40, 48, 64])
def test_numbers_of_24_bits_come_through_whole(channels):
    x = images(np.random.default_rng(0), 2, channels, 9, 9)
    identity = np.eye(channels, dtype=np.float32).reshape(channels, channels, 1, 1)
    found, expected = _native.conv_forward(x, identity, POINTWISE, None, False), x
    assert np.array_equal(found, expected)
    grad, *_ = _native.conv_input_grad(x, identity, x.shape, POINTWISE, None)
    assert np.array_equal(grad, x)


def test_sums_of_whole_numbers_are_exact():
    rng = np.random.default_rng(1)
    x = channels_last(rng.integers(-4095, 4096, (3, 100, 7, 7)).astype(np.float32))
    w = rng.integers(-30, 31, (50, 100, 1, 1)).astype(np.float32)
    found = _native.conv_forward(x, w, POINTWISE, None, False)
    assert np.array_equal(found, np.einsum("nchw,oc->nohw", x.astype(np.float64), w[:, :, 0, 0]))


@pytest.mark.parametrize("exponents", [0, 30], ids=["alike", "of any magnitude"])
def test_errors_are_those_of_float32_arithmetic(exponents):
    rng = np.random.default_rng(2)

    def draw(*shape):
        return np.ldexp(drawn(rng, *shape), rng.integers(-exponents, exponents + 1, shape)).astype(np.float32)

    x, w = channels_last(draw(2, 300, 8, 8)), draw(70, 300, 1, 1)
    terms = [each.astype(np.float64) for each in (x, w[:, :, 0, 0])]
    exact = np.einsum("nchw,oc->nohw", *terms)
    whole = np.einsum("nchw,oc->nohw", *map(np.abs, terms))
    errors = {}
    for name in ("amx", "avx512"):
        _native.use(name)
        errors[name] = np.abs(_native.conv_forward(x, w, POINTWISE, None, False) - exact) / whole
    assert errors["amx"].max() < 1.5 * errors["avx512"].max()
    assert errors["amx"].mean() < 1.5 * errors["avx512"].mean()


@pytest.mark.parametrize("kind", KERNELS)
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3.4e38], ids=str)
@pytest.mark.parametrize("where", ["input", "weight", "gradient"])
def test_what_has_no_parts_is_multiplied_on_vectors(kind, value, where):
    x, w, g, geometry = operands(kind)
    {"input": x, "weight": w, "gradient": g}[where][1, 33, 0, 0] = value
    found = results(x, w, g, geometry)
    _native.use("avx512")
    for one, other in zip(found, results(x, w, g, geometry), strict=True):
        if np.isfinite(one).all():  # on tiles: the value did not go into it
            assert np.abs(one - other).max() <= 8e-6 * np.abs(other).max()  # twice what Winograd's algorithm may err
        else:
            assert np.array_equal(one, other, equal_nan=True)


def test_small_numbers_are_exact_to_the_least_normal_one():
    rng = np.random.default_rng(3)
    x, w = images(rng, 2, 64, 8, 8), drawn(rng, 64, 64, 1, 1)
    for scale in (1e-25, 1e-30, 1e-33, 1e-36, 1e-40):
        small = x * np.float32(scale)
        exact = np.einsum("nchw,oc->nohw", small.astype(np.float64), w[:, :, 0, 0].astype(np.float64))
        errors = np.abs(_native.conv_forward(small, w, POINTWISE, None, False) - exact)
        assert errors.max() < 1e-6 * np.abs(exact).max() + 64 * np.abs(w).max() * np.finfo(np.float32).smallest_normal


def on_and_off(x, w, geometry):
    found = []
    for choice in (True, False):
        _native.use_tiles(choice)
        found.append(_native.conv_forward(x, w, geometry, None, False))
    return found


def test_tiles_are_taken_where_there_is_much_to_multiply():
    rng = np.random.default_rng(4)
    w = drawn(rng, 128, 128, 1, 1)
    assert not np.array_equal(*on_and_off(images(rng, 8, 128, 16, 16), w, POINTWISE))
    assert np.array_equal(*on_and_off(images(rng, 1, 128, 4, 4), w, POINTWISE))
    assert np.array_equal(*on_and_off(images(rng, 8, 16, 16, 16), np.ascontiguousarray(w[:, :16]), POINTWISE))
    assert not np.array_equal(
        *on_and_off(images(rng, 8, 16, 16, 16), drawn(rng, 32, 16, 5, 5), (1, 1, 2, 2, 2, 2, 1, 1, 1))
    )


def test_the_switch_takes_no_other_value():
    with pytest.raises(ValueError, match="expected True, False or 'always'"):
        _native.use_tiles("sometimes")
