"""Linear maps along axes: every tap counts once, and the transpose is the transpose."""

from __future__ import annotations

import numpy as np

from tinytrain.kernels.reference.resampling import ALL, resample, transposed

# out[0] = 2 x[1] + x[0], out[1] = 3 x[1], out[2] = x[1]: x[1] is read by three targets of one tap.
TAPS = [
    (ALL, np.array([1, 1, 1]), np.array([2.0, 3.0, 1.0])),
    (np.array([0]), np.array([0]), None),
]
MATRIX = np.array([[1.0, 2, 0, 0], [0, 3, 0, 0], [0, 1, 0, 0]])


def test_taps_are_the_rows_of_a_matrix():
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    found = resample(x, [(3, TAPS), None])
    np.testing.assert_allclose(found, np.einsum("ij,ncjw->nciw", MATRIX, x), rtol=1e-12)
    assert np.moveaxis(found, 1, -1).flags.c_contiguous


def test_transposed_taps_are_the_transposed_matrix():
    g = np.random.default_rng(0).standard_normal((2, 3, 5, 3))
    found = resample(g, [None, (4, transposed(TAPS))])
    np.testing.assert_allclose(found, np.einsum("ij,nchi->nchj", MATRIX, g), rtol=1e-12, atol=1e-12)


def test_slices_are_transposed_too():
    taps = [(slice(0, 2), slice(1, 4, 2), None)]
    g = np.arange(3.0).reshape(1, 1, 3) + 1
    np.testing.assert_array_equal(resample(g, [(5, transposed(taps))]).ravel(), [0, 1, 0, 2, 0])


def test_a_single_copy_keeps_negative_zero_and_does_not_alias_its_input():
    x = np.array([-0.0, 1.0]).reshape(1, 1, 2)
    found = resample(x, [(2, [(ALL, slice(0, 2), None)])])
    assert np.signbit(found[0, 0, 0])
    assert not np.shares_memory(found, x)


def test_float16_is_summed_in_float32():
    x = np.full((1, 1, 4), 40000, np.float16)
    average = [(ALL, np.array([i]), np.array([0.25])) for i in range(4)]
    found = resample(x, [(1, average)])
    assert found.dtype == np.float16
    assert found.item() == np.float16(40000)


def test_no_taps_give_zeros():
    assert resample(np.ones((1, 1, 2)), [(3, [])]).tolist() == [[[0, 0, 0]]]
