"""The GPU's pooling kernels give what the reference gives."""

from __future__ import annotations

import numpy as np
import pytest

from tests.kernels.gpu import MEMORY_ORDERS, ROUNDING, draw, elements, exact, vectors
from tests.kernels.native_reference import ACTIVATIONS, near, value_of
from tests.kernels.test_native_elementwise import POOLS, out_size
from tinytrain.kernels.cuda import pooling
from tinytrain.kernels.reference import pooling as reference

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("gpu")]

SMALL_POOLS = {name: pool for name, pool in POOLS.items() if np.prod(pool[1]) <= 256}
IMAGES = [(3, 1, 4, 5), (2, 24, 7, 7), (3, 33, 17), (2, 1056, 3, 3), (40, 20), (0, 8, 4, 4)]


def window_of(kernel, stride, padding, dilation):
    if len(kernel) == 1:
        return (1, *kernel, 1, *stride, 0, *padding, 1, *dilation)
    return (*kernel, *stride, *padding, *dilation)


@elements
@pytest.mark.parametrize("ceil", [False, True], ids=["floor", "ceil"])
@pytest.mark.parametrize("values", ["any", "ties", "NaN", "infinite"])
@pytest.mark.parametrize("pool", SMALL_POOLS.values(), ids=SMALL_POOLS)
def test_max_pool_and_its_gradient(pool, values, ceil, element):
    size, *window = pool
    out = out_size(*pool, ceil)
    numbers = window_of(*window)
    for channels in (1, 18, 24):
        x = draw((2, channels, *size), element)
        if values == "ties":
            x[...] = (x / 2).round()
        elif values == "NaN":
            x[abs(x) > 3] = np.nan
            x[1, -1] = np.nan
        elif values == "infinite":
            x[x > 1] = np.inf
            x[x < 0] = -np.inf
            x[1, -1] = -np.inf
        y, winners = pooling.max_pool(x, *(1, *out)[-2:], numbers, True)
        expected, expected_winners = reference.max_pool_forward(exact(x), out, *window, True)
        assert y.dtype == x.dtype
        assert np.array_equal(exact(y), expected, equal_nan=True)
        assert np.array_equal(exact(winners), expected_winners)
        assert pooling.max_pool(x, *(1, *out)[-2:], numbers, False)[1] is None

        g = draw(y.shape, element, 2)
        expected = reference.max_pool_input_grad(exact(g), expected_winners, size, *window)
        for order in ("channels-last", "channels-first", "gaps between pixels"):
            found = pooling.max_pool_grad(MEMORY_ORDERS[order](g), winners, *(1, *size)[-2:], numbers)
            assert near(exact(found), expected, ROUNDING[element])


def test_winners_of_another_shape_are_refused():
    y, winners = pooling.max_pool(draw((2, 8, 6, 6)), 3, 3, (2, 2, 2, 2, 0, 0, 1, 1), True)
    with pytest.raises(ValueError, match="the winners have another shape"):
        pooling.max_pool_grad(y[:1], winners, 6, 6, (2, 2, 2, 2, 0, 0, 1, 1))


@elements
@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_pools_scale_and_activate_while_they_read(activation, element):
    x = draw((2, 24, 6, 5), element)
    scale, shift = vectors(2, 24)
    source = (x, scale, shift, *activation)
    right = value_of(exact(source))
    window = ((3, 2), (2, 1), (1, 1), (1, 1))
    out = out_size((6, 5), *window, False)
    y, _ = pooling.max_pool(source, *out, (3, 2, 2, 1, 1, 1, 1, 1), True)
    assert near(exact(y), reference.max_pool_forward(right, out, *window, False)[0], ROUNDING[element])
    assert near(exact(pooling.mean_pixels(source)), right.mean((2, 3), keepdims=True), ROUNDING[element])


@elements
@pytest.mark.parametrize("shape", IMAGES, ids=str)
@pytest.mark.parametrize("order", ["channels-last", "channels-first", "gaps between pixels"])
def test_the_mean_of_pixels_and_its_gradient(shape, order, element):
    x = draw(shape, element)
    axes = tuple(range(2, x.ndim))
    y = pooling.mean_pixels(MEMORY_ORDERS[order](x))
    assert near(exact(y), exact(x).mean(axes, keepdims=True), ROUNDING[element], scale=2)
    h, w = (1, 1, *shape[2:])[-2:]
    grad = pooling.spread_pixels(y, h, w)
    assert near(exact(grad), np.broadcast_to(exact(y) / (h * w), shape), ROUNDING[element])


def test_pools_of_an_empty_batch_are_empty():
    x = draw((0, 8, 6, 6))
    y, winners = pooling.max_pool(x, 3, 3, (2, 2, 2, 2, 0, 0, 1, 1), True)
    assert y.shape == winners.shape == (0, 8, 3, 3)
    assert pooling.max_pool_grad(y, winners, 6, 6, (2, 2, 2, 2, 0, 0, 1, 1)).shape == x.shape
