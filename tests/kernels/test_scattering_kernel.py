"""What is added at places on a GPU is added in the order of NumPy's `add.at`, to the bit, however places are named."""

from __future__ import annotations

import numpy as np
import pytest

from tests.kernels.gpu import dtype_of
from tinytrain.kernels.scattering import scatter_add

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("gpu")]

SHAPE = (5, 4, 6)
rng = np.random.default_rng(0)
INDICES = {
    "a vector": rng.integers(0, 5, 40),
    "a vector with negative places": rng.integers(-5, 5, 40),
    "a vector along the last axis": (slice(None), slice(None), rng.integers(0, 6, 40)),
    "a matrix": rng.integers(0, 5, (7, 9)),
    "vectors of two axes": (rng.integers(0, 5, 40), rng.integers(-4, 4, 40)),
    "vectors of all axes that broadcast": (
        rng.integers(0, 5, (9, 1)),
        rng.integers(0, 4, 8),
        rng.integers(0, 6, (9, 8)),
    ),
    "a vector behind a slice": (slice(1, 4), rng.integers(0, 4, 40)),
    "a mask": rng.integers(0, 2, SHAPE).astype(bool),
    "one place": (2, 1, 3),
    "all places": (),
    "no place": np.zeros(0, np.int64),
}


def to_gpu(gpu, index):
    if isinstance(index, tuple):
        return tuple(to_gpu(gpu, each) for each in index)
    return gpu.asarray(index) if isinstance(index, np.ndarray) else index


@pytest.mark.parametrize("is_transposed", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_sums_are_those_of_numpy_to_the_bit(index, dtype, is_transposed, gpu):
    draws = np.random.default_rng(1)
    target = draws.normal(size=SHAPE).astype(dtype)
    values = draws.normal(size=target[index].shape).astype(dtype)
    found = gpu.asarray(target.T.copy()).T if is_transposed else gpu.asarray(target)
    scatter_add(found, to_gpu(gpu, index), gpu.asarray(values))
    np.add.at(target, index, values)
    np.testing.assert_array_equal(gpu.asnumpy(found), target)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 1000])
def test_however_many_values_one_place_gets(count, gpu):
    values = np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)
    places = np.repeat([2, 0], [count - count // 3, count // 3])
    found, expected = gpu.zeros((4, 3), "float32"), np.zeros((4, 3), np.float32)
    scatter_add(found, gpu.asarray(places), gpu.asarray(values))
    np.add.at(expected, places, values)
    np.testing.assert_array_equal(gpu.asnumpy(found), expected)


@pytest.mark.parametrize("element", ["float16", "bfloat16"])
def test_halves_are_added_in_float32_and_rounded_once(element, gpu):
    values = np.random.default_rng(0).normal(size=500).astype(dtype_of(element))
    found = gpu.zeros(2, values.dtype)
    scatter_add(found, gpu.zeros(500, "int64"), gpu.asarray(values))
    expected = np.float32(0)
    for each in values.astype(np.float32):
        expected += each
    np.testing.assert_array_equal(gpu.asnumpy(found), np.array([expected, 0]).astype(values.dtype))


def test_a_value_for_all_places_is_added_to_each(gpu):
    found = gpu.zeros((3, 2), "float32")
    scatter_add(found, gpu.asarray([0, 2, 2]), gpu.asarray(1.5, "float32"))
    np.testing.assert_array_equal(gpu.asnumpy(found), [[1.5, 1.5], [0, 0], [3, 3]])
