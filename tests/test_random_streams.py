"""Random streams: the published vectors of Philox, and independence of order, batch and process state."""

import itertools
from collections import Counter

import numpy as np
import pytest

from tinytrain.random_streams import (
    BatchStream,
    SampleStream,
    current_stream,
    random_bits,
    sample_stream,
    seed_process_stream,
)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # the known-answer vectors of philox4x32-10 in Random123's kat_vectors; the first two of four words
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB),
        ),
    ],
)
def test_random_bits_are_philox4x32_10(counter, key, expected):
    index, epoch, draw = counter[0] | counter[1] << 32, counter[2], counter[3]
    assert random_bits(key[0] | key[1] << 32, epoch, index, draw) == expected[0] | expected[1] << 32


def test_a_batch_draws_what_its_samples_draw():
    indices = [5, 0, 2**40, 7]
    batch, samples = BatchStream(3, 9, indices), [SampleStream(3, 9, i) for i in indices]
    assert batch.uniform(-1.5, 2.25).tolist() == [s.uniform(-1.5, 2.25) for s in samples]
    assert batch.integers(-3, 90).tolist() == [s.integers(-3, 90) for s in samples]
    assert [g.normal() for g in batch.generators()] == [s.generator().normal() for s in samples]


def test_rows_draw_without_moving_the_other_rows():
    batch, samples = BatchStream(0, 0, range(4)), [SampleStream(0, 0, i) for i in range(4)]
    some = batch.rows(np.array([False, True, True, False]))
    assert some.rows(np.array([1])).uniform().tolist() == [samples[2].uniform()]
    assert some.uniform().tolist() == [samples[1].uniform(), samples[2].uniform()]
    assert batch.uniform().tolist() == [s.uniform() for s in samples]


def test_uniform_numbers_fill_the_interval_evenly():
    numbers = BatchStream(1, 0, range(100_000)).uniform()
    counts = np.histogram(numbers, bins=10, range=(0.0, 1.0))[0]
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 27.9  # chi-square, 9 degrees of freedom, p = 0.001


def test_epochs_and_seeds_give_other_numbers():
    drawn = {SampleStream(seed, epoch, 4).bits() for seed in range(5) for epoch in range(5)}
    assert len(drawn) == 25


def test_the_current_stream_is_the_innermost_and_is_put_back():
    with sample_stream(0, 1, 2) as outer:
        with sample_stream(0, 1, 3) as inner:
            assert current_stream() is inner
        assert current_stream() is outer


def test_outside_a_loader_the_seed_repeats_the_numbers():
    seed_process_stream(11)
    first = [current_stream().uniform() for _ in range(3)]
    seed_process_stream(11)
    assert [current_stream().uniform() for _ in range(3)] == first


def test_a_permutation_is_one_of_all_orders_with_equal_probability():
    orders = Counter(tuple(SampleStream(0, 0, i).permutation(3)) for i in range(6000))
    assert sorted(orders) == sorted(itertools.permutations(range(3)))
    assert sum((count - 1000) ** 2 / 1000 for count in orders.values()) < 20.5  # 5 degrees of freedom, p = 0.001
