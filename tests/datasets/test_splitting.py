"""Stratified splits and balanced subsets."""

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.datasets import balanced_subset, stratified_split

TARGETS = [0] * 50 + [2] * 30 + [1] * 7 + [5]


def counts(indices):
    return {label: int((np.array(TARGETS)[indices] == label).sum()) for label in (0, 1, 2, 5)}


def test_a_stratified_split_keeps_the_proportions_and_every_sample():
    kept, held = stratified_split(TARGETS, 0.1, seed=3)
    assert counts(held) == {0: 5, 1: 1, 2: 3, 5: 0}
    assert sorted([*kept, *held]) == list(range(88))


def test_both_parts_have_every_class_of_two():
    kept, held = stratified_split([0, 0, 1, 1], 0.01)
    assert (len(kept), len(held)) == (2, 2)
    assert [len(part) for part in stratified_split([0, 0, 1, 1], 0.0)] == [4, 0]
    assert [len(part) for part in stratified_split([0, 0, 1, 1], 1.0)] == [0, 4]


def test_the_seed_decides_and_tensors_will_do():
    first = stratified_split(TARGETS, 0.3, seed=1)[1]
    assert np.array_equal(first, stratified_split(tt.tensor(TARGETS), 0.3, seed=1)[1])
    assert not np.array_equal(first, stratified_split(TARGETS, 0.3, seed=2)[1])


def test_what_is_added_to_one_class_does_not_change_the_others():
    held = stratified_split(TARGETS, 0.2)[1]
    more = stratified_split([*TARGETS, 5, 5, 5], 0.2)[1]
    assert [i for i in held if i < 87] == [i for i in more if i < 87]


def test_a_fraction_outside_is_refused():
    with pytest.raises(ValueError, match=r"`fraction` \(=1.5\)"):
        stratified_split(TARGETS, 1.5)


def test_a_balanced_subset_has_as_many_of_each_and_grows():
    small, large = (balanced_subset(TARGETS[:87], n) for n in (3, 6))
    assert counts(large) == {0: 6, 1: 6, 2: 6, 5: 0}
    assert set(small) <= set(large)
    with pytest.raises(ValueError, match="class 5 has 1 samples, fewer than `per_class`"):
        balanced_subset(TARGETS, 2)
