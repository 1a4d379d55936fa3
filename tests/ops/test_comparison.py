"""Comparison, logic and bits."""

from __future__ import annotations

import math

import pytest

import tinytrain as tt


def test_comparison_gives_bools_and_broadcasts():
    x = tt.tensor([[1.0], [3.0]])
    found = x < tt.tensor([2.0, 4.0])
    assert found.dtype is tt.bool
    assert found.tolist() == [[True, True], [False, True]]


def test_a_number_on_the_left_is_compared_from_the_right():
    two = 2
    assert (two < tt.tensor([1, 2, 3])).tolist() == [False, False, True]
    assert (two == tt.tensor([1, 2, 3])).tolist() == [False, True, False]


def test_nan_equals_nothing_and_equal_sees_shapes():
    x = tt.tensor([math.nan])
    assert not tt.equal(x, x)
    assert not tt.equal(tt.zeros(2), tt.zeros(1, 2))
    assert tt.equal(tt.tensor([1, 2]), tt.tensor([1, 2]))


def test_closeness_counts_from_the_second_operand():
    a, b = tt.tensor([10000.0, 1e-07, math.nan]), tt.tensor([10000.1, 1e-08, math.nan])
    assert tt.isclose(a, b).tolist() == [True, False, False]
    assert tt.isclose(a, b, equal_nan=True).tolist() == [True, False, True]
    assert not tt.allclose(a, b, equal_nan=True)
    assert tt.allclose(a[:1], b[:1])


def test_closeness_of_different_types_and_negative_tolerances_are_refused():
    with pytest.raises(RuntimeError, match="float32 did not match int64"):
        tt.isclose(tt.zeros(1), tt.zeros(1, dtype=tt.int64))
    with pytest.raises(RuntimeError, match="`rtol` must be greater than or equal to zero, but got -1"):
        tt.isclose(tt.zeros(1), tt.zeros(1), rtol=-1)


def test_logic_reads_numbers_as_truth_and_bits_do_not():
    assert tt.logical_and(tt.tensor([0.5, 0.0]), tt.tensor([2, 2])).tolist() == [True, False]
    assert (tt.tensor([6]) & tt.tensor([3])).tolist() == [2]
    assert (~tt.tensor([0, 1])).tolist() == [-1, -2]
    assert (~tt.tensor([True, False])).tolist() == [False, True]
    assert (tt.tensor([1]) << 3).tolist() == [8]


def test_bits_of_floats_are_refused():
    with pytest.raises(NotImplementedError, match=r"bitwise_and.*float32"):
        tt.tensor([1.0]) & tt.tensor([1.0])


def test_shapes_that_do_not_broadcast_are_named():
    with pytest.raises(RuntimeError, match=r"tensor a \(2\) must match the size of tensor b \(3\) at non-singleton"):
        tt.eq(tt.zeros(2), tt.zeros(3))


def test_a_number_in_the_place_of_a_tensor_is_refused():
    with pytest.raises(TypeError, match=r"eq\(\): argument 1 must be Tensor, not int"):
        tt.eq(2, tt.zeros(2))


def test_isin_finds_values_and_can_be_inverted():
    x = tt.tensor([[1, 2], [3, 4]])
    assert tt.isin(x, tt.tensor([2, 3])).tolist() == [[False, True], [True, False]]
    assert tt.isin(x, 4, invert=True).tolist() == [[True, True], [True, False]]
