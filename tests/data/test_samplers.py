"""The order in which samples are asked for."""

from collections import Counter

import pytest

import tinytrain as tt
from tinytrain.utils.data import (
    BatchSampler,
    ClassBalancedSampler,
    DistributedSampler,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)


def seeded(seed=0):
    return tt.Generator().manual_seed(seed)


def test_sequential_sampler_counts():
    assert list(SequentialSampler(range(4))) == [0, 1, 2, 3]


def test_random_sampler_gives_every_index_once_and_another_order_each_pass():
    sampler = RandomSampler(range(50))
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second


def test_random_sampler_can_draw_more_or_fewer_than_there_are():
    assert len(list(RandomSampler(range(10), num_samples=4))) == 4
    more = list(RandomSampler(range(10), num_samples=25))
    assert len(more) == 25
    assert sorted(more[:10]) == list(range(10))


def test_random_sampler_with_replacement_repeats_indices():
    drawn = list(RandomSampler(range(5), replacement=True, num_samples=70, generator=seeded()))
    assert len(drawn) == 70
    assert set(drawn) == set(range(5))


@pytest.mark.parametrize("count", [0, -1, 2.5, True])
def test_random_sampler_refuses_a_count_that_is_no_positive_integer(count):
    with pytest.raises(ValueError, match=f"num_samples={count}"):
        RandomSampler(range(3), num_samples=count)


def test_subset_random_sampler_permutes_what_it_is_given():
    assert sorted(SubsetRandomSampler([3, 8, 5], seeded())) == [3, 5, 8]


def test_weighted_sampler_never_draws_weight_zero():
    drawn = list(WeightedRandomSampler([0.0, 1.0, 3.0], 4000, generator=seeded()))
    counts = Counter(drawn)
    assert counts[0] == 0
    assert 2.6 < counts[2] / counts[1] < 3.4


def test_weighted_sampler_refuses_a_table_of_weights():
    with pytest.raises(ValueError, match=r"shape \(1, 2\)"):
        WeightedRandomSampler([[1.0, 2.0]], 3)


def test_class_balanced_sampler_takes_as_many_of_every_class():
    labels = [0] * 9 + [1] * 2 + [5]
    drawn = list(ClassBalancedSampler(labels, samples_per_class=4, generator=seeded()))
    assert Counter(labels[i] for i in drawn) == {0: 4, 1: 4, 5: 4}
    assert Counter(drawn)[9] == Counter(drawn)[10] == 2
    assert len(ClassBalancedSampler(labels)) == 27


def test_batch_sampler_makes_lists_and_may_drop_the_short_one():
    assert list(BatchSampler(range(5), 2, False)) == [[0, 1], [2, 3], [4]]
    assert list(BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]]
    assert [len(BatchSampler(range(5), 2, drop)) for drop in (False, True)] == [3, 2]


@pytest.mark.parametrize("size", [0, -3, True, 1.5])
def test_batch_sampler_refuses_a_size_that_is_no_positive_integer(size):
    with pytest.raises(ValueError, match=f"batch_size={size}"):
        BatchSampler(range(3), size, False)


@pytest.mark.parametrize("drop_last", [False, True])
def test_distributed_samplers_share_the_set(drop_last):
    parts = [list(DistributedSampler(range(10), 4, rank, drop_last=drop_last)) for rank in range(4)]
    assert {len(part) for part in parts} == {2 if drop_last else 3}
    together = Counter(i for part in parts for i in part)
    assert set(together.values()) <= ({1} if drop_last else {1, 2})
    assert drop_last or set(together) == set(range(10))


def test_distributed_sampler_has_another_order_each_epoch():
    sampler = DistributedSampler(range(20))
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first


def test_distributed_sampler_refuses_a_rank_outside():
    with pytest.raises(ValueError, match=r"Invalid rank 4, rank should be in the interval \[0, 3\]"):
        DistributedSampler(range(10), 4, 4)
