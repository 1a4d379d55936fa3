"""Order, search and counts; expected values by hand."""

from __future__ import annotations

import math

import pytest

import tinytrain as tt


def test_sorting_puts_nan_last_and_descending_first():
    x = tt.tensor([2.0, math.nan, 1.0])
    assert tt.argsort(x).tolist() == [2, 0, 1]
    assert tt.argsort(x, descending=True).tolist() == [1, 0, 2]


def test_equal_elements_keep_their_order_in_both_directions():
    x = tt.tensor([1, 0, 1, 0])
    assert tt.sort(x, stable=True).indices.tolist() == [1, 3, 0, 2]
    assert tt.sort(x, descending=True, stable=True).indices.tolist() == [0, 2, 1, 3]


def test_topk_takes_the_largest_or_the_smallest_along_a_dimension():
    x = tt.tensor([[4.0, 1.0, 7.0], [5.0, 6.0, 2.0]])
    assert tt.topk(x, 2).values.tolist() == [[7, 4], [6, 5]]
    assert tt.topk(x, 1, dim=0, largest=False).indices.tolist() == [[0, 0, 1]]


def test_topk_of_more_than_there_are_is_refused():
    with pytest.raises(RuntimeError, match="selected index k out of range"):
        tt.topk(tt.zeros(2, 3), 4)


def test_unique_counts_and_finds_elements_again():
    values, inverse, counts = tt.unique(tt.tensor([[3, 1], [1, 2]]), return_inverse=True, return_counts=True)
    assert values.tolist() == [1, 2, 3]
    assert inverse.tolist() == [[2, 0], [0, 1]]
    assert counts.tolist() == [2, 1, 1]


def test_unique_compares_slices_along_a_dimension():
    x = tt.tensor([[1, 0, 1], [2, 5, 2]])
    assert tt.unique(x, dim=1).tolist() == [[0, 1], [5, 2]]
    assert tt.unique_consecutive(tt.tensor([1, 1, 2, 2, 1])).tolist() == [1, 2, 1]


def test_searchsorted_finds_places_in_one_sequence_or_one_per_line():
    sequence = tt.tensor([[1, 3, 5, 7, 9], [2, 4, 6, 8, 10]])
    values = tt.tensor([[3, 6, 9], [3, 6, 9]])
    assert tt.searchsorted(sequence, values).tolist() == [[1, 3, 4], [1, 2, 4]]
    assert tt.searchsorted(sequence, values, right=True).tolist() == [[2, 3, 5], [1, 3, 4]]
    assert tt.searchsorted(sequence[0], 3, side="right").item() == 2


def test_searchsorted_refuses_sides_that_contradict():
    with pytest.raises(RuntimeError, match="can't be set to opposites"):
        tt.searchsorted(tt.tensor([1, 2]), 1, right=True, side="left")


def test_bincount_counts_or_weighs():
    x = tt.tensor([0, 2, 2])
    assert tt.bincount(x, minlength=4).tolist() == [1, 0, 2, 0]
    assert tt.bincount(x, tt.tensor([0.5, 1.0, 2.0])).tolist() == [0.5, 0, 3]
    with pytest.raises(RuntimeError, match="non-negative"):
        tt.bincount(tt.tensor([-1]))


def test_histc_closes_its_last_interval():
    assert tt.histc(tt.tensor([1.0, 2.0, 1.0]), bins=4, min=0, max=3).tolist() == [0, 2, 1, 0]
    assert tt.histc(tt.tensor([0.0, 1.0]), bins=2).tolist() == [1, 1]
