"""The loader in one process: PyTorch's arguments, its errors, and randomness that depends on nothing else."""

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.errors import DataError
from tinytrain.random_streams import current_stream
from tinytrain.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, Subset, TensorDataset


class Noise(Dataset):
    """Each sample is its index and two random numbers."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        stream = current_stream()
        return index, stream.uniform(), stream.uniform()


class NoiseTable(Noise):
    """The same, a batch at once."""

    def __getitem__(self, index):
        return super().__getitem__(index)

    def load_batch(self, indices, streams):
        columns = (np.array(indices), streams.uniform(), streams.uniform())
        return [tt.from_numpy(column) for column in columns]


class Damaged(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        if index in (1, 4, 5):
            raise DataError("is torn", place=f"file{index}.png")
        return index


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(7))


def batches(loader):
    return [[column.tolist() for column in batch] for batch in loader]


def test_batches_come_in_order_with_a_short_last_one():
    loader = DataLoader(TensorDataset(tt.arange(5)), batch_size=2)
    assert batches(loader) == [[[0, 1]], [[2, 3]], [[4]]]
    assert len(loader) == 3
    assert len(DataLoader(TensorDataset(tt.arange(5)), batch_size=2, drop_last=True)) == 2


def test_without_batch_size_samples_come_one_by_one():
    assert list(DataLoader([np.float32(3), "x"], batch_size=None)) == [tt.tensor(3.0), "x"]


def test_a_batch_sampler_chooses_the_batches():
    loader = DataLoader(TensorDataset(tt.arange(5)), batch_sampler=[[4, 0], [1]])
    assert batches(loader) == [[[4, 0]], [[1]]]


def test_a_collate_function_of_your_own_is_used():
    assert list(DataLoader(range(4), batch_size=2, collate_fn=tuple)) == [(0, 1), (2, 3)]


def test_getitems_is_asked_for_the_whole_batch():
    class Many(Dataset):
        def __getitems__(self, indices):
            return [10 * i for i in indices]

        def __len__(self):
            return 4

    assert [batch.tolist() for batch in DataLoader(Many(), batch_size=2)] == [[0, 10], [20, 30]]
    assert [b.tolist() for b in DataLoader(Subset(Many(), [3, 2]), batch_size=2)] == [[30, 20]]


def test_a_stream_is_cut_into_batches():
    assert [batch.tolist() for batch in DataLoader(Stream(), batch_size=3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert len(list(DataLoader(Stream(), batch_size=3, drop_last=True))) == 2
    assert list(DataLoader(Stream(), batch_size=None)) == list(range(7))


@pytest.mark.parametrize("seed", [None, 5])
def test_a_whole_batch_equals_its_samples(seed):
    found = []
    for kind in (Noise, NoiseTable):
        tt.manual_seed(3)
        found.append(batches(DataLoader(kind(), batch_size=4, shuffle=True, seed=seed)))
    assert found[0] == found[1]


def test_a_sample_draws_the_same_numbers_in_any_order_and_batch_size():
    orders = [DataLoader(Noise(), batch_size=size, shuffle=size > 3, seed=5) for size in (3, 4, 10)]
    tables = [sorted(zip(*map(sum, zip(*batches(loader), strict=True), [[]] * 3), strict=True)) for loader in orders]
    assert tables[0] == tables[1] == tables[2]


def test_a_subset_draws_by_its_own_indices():
    part = batches(DataLoader(Subset(Noise(), [7, 8]), batch_size=2, seed=5))[0]
    whole = batches(DataLoader(Noise(), batch_size=2, seed=5))[0]
    assert part[0] == [7, 8]
    assert part[1:] == whole[1:]


def test_with_a_seed_the_epoch_decides_the_order_and_the_numbers():
    loader = DataLoader(Noise(), batch_size=10, shuffle=True, seed=1)
    first, second = batches(loader), batches(loader)
    assert first[0][0] != second[0][0]
    assert sorted(first[0][1]) != sorted(second[0][1])
    loader.set_epoch(0)
    assert batches(loader) == first
    fresh = DataLoader(Noise(), batch_size=10, shuffle=True, seed=1)
    fresh.set_epoch(1)
    assert batches(fresh) == second


def test_manual_seed_repeats_everything():
    loader = DataLoader(Noise(), batch_size=4, shuffle=True)
    tt.manual_seed(8)
    first = [batches(loader), batches(loader)]
    tt.manual_seed(8)
    assert [batches(loader), batches(loader)] == first
    assert first[0] != first[1]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("persistent", [False, True])
def test_a_pass_that_begins_within_an_epoch_gives_the_rest_of_it(workers, persistent):
    whole = DataLoader(Noise(), batch_size=3, shuffle=True, seed=1)
    whole.set_epoch(2)
    expected = batches(whole)
    loader = DataLoader(
        Noise(), batch_size=3, shuffle=True, seed=1, num_workers=workers, persistent_workers=persistent and workers > 0
    )
    for first in (3, 1, 0, 4):
        loader.set_epoch(2, first)
        iterator = iter(loader)
        assert iterator.position == first
        assert batches(iterator) == expected[first:]
        assert iterator.position == 4
    assert batches(loader) == batches(whole), "the next epoch begins with its first batch"


def test_a_pass_counts_the_batches_that_were_left_out():
    loader = DataLoader(Damaged(), batch_size=2, skip_damaged=True)
    iterator = iter(loader)
    assert [iterator.position for _ in iterator] == [1, 2]
    assert iterator.position == 3


def test_the_samples_of_a_batch_can_be_told_afterwards():
    loader = DataLoader(Noise(), batch_size=3, shuffle=True, seed=1)
    loader.set_epoch(2)
    seen = [batch[0].tolist() for batch in loader]
    assert [loader.keys_of_batch(2, number) for number in range(4)] == seen


def test_a_stream_has_no_place_to_begin_within():
    with pytest.raises(ValueError, match="an IterableDataset cannot begin with batch 2"):
        DataLoader(Stream(), batch_size=2, seed=1).set_epoch(0, 2)


def test_damaged_samples_raise_unless_they_are_to_be_skipped():
    with pytest.raises(DataError, match=r"file1\.png: is torn"):
        list(DataLoader(Damaged(), batch_size=2))
    loader = DataLoader(Damaged(), batch_size=2, skip_damaged=True)
    assert [batch.tolist() for batch in loader] == [[0], [2, 3]]
    assert loader.skipped == [(1, "file1.png: is torn"), (4, "file4.png: is torn"), (5, "file5.png: is torn")]


@pytest.mark.parametrize("workers", [0, 2])
def test_what_damage_leaves_of_a_batch_may_be_too_small(workers: int):
    loader = DataLoader(Damaged(), batch_size=2, skip_damaged=True, min_batch=2, num_workers=workers)
    assert [batch.tolist() for batch in loader] == [[2, 3]]
    assert loader.skipped[:2] == [
        (1, "file1.png: is torn"),
        (0, "number 0, what is left of its batch is too small to learn from"),
    ]
    with pytest.raises(DataError) as caught:
        list(DataLoader(Subset(Damaged(), [0, 1, 4]), batch_size=2, skip_damaged=True, min_batch=2))
    assert str(caught.value) == (
        "no batch is left, for every one has damaged samples, as file1.png: is torn. "
        "Mend or remove them, or make batches larger"
    )
    whole = DataLoader(TensorDataset(tt.arange(3)), batch_size=2, skip_damaged=True, min_batch=2)
    assert len(list(whole)) == 2, "a last batch that nothing is missing in is not the loader's to leave out"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_workers": -1}, "num_workers option should be non-negative"),
        ({"timeout": -1}, "timeout option should be non-negative"),
        ({"prefetch_factor": 2}, "prefetch_factor option could only be specified in multiprocessing"),
        ({"num_workers": 1, "prefetch_factor": -1}, "prefetch_factor option should be non-negative"),
        ({"persistent_workers": True}, "persistent_workers option needs num_workers > 0"),
        ({"sampler": range(3), "shuffle": True}, "sampler option is mutually exclusive with shuffle"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "batch_sampler option is mutually exclusive"),
        ({"batch_sampler": [[0]], "drop_last": True}, "batch_sampler option is mutually exclusive"),
        ({"batch_size": None, "drop_last": True}, "mutually exclusive with drop_last"),
        ({"batch_size": 0}, "batch_size should be a positive integer"),
        ({"multiprocessing_context": "spawn"}, "can only be used with multi-process loading"),
        ({"multiprocessing_context": "thread", "num_workers": 1}, "specify a valid start method"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DataLoader(range(4), **arguments)


@pytest.mark.parametrize("arguments", [{"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}])
def test_a_stream_refuses_an_order(arguments):
    with pytest.raises(ValueError, match=f"expected unspecified {next(iter(arguments))} option"):
        DataLoader(Stream(), **arguments)


def test_what_was_built_in_cannot_be_changed():
    loader = DataLoader(range(4))
    with pytest.raises(ValueError, match="batch_size attribute should not be set after DataLoader is initialized"):
        loader.batch_size = 3


def test_pinned_memory_without_a_gpu_warns():
    if tt.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.warns(UserWarning, match="no accelerator is found"):
        DataLoader(range(4), pin_memory=True)


def test_an_empty_set_with_shuffle_is_refused():
    with pytest.raises(ValueError, match="num_samples=0"):
        DataLoader([], shuffle=True)
    assert list(DataLoader([])) == []


def test_a_sampler_and_its_generator_may_be_given():
    generator = tt.Generator().manual_seed(0)
    order = list(RandomSampler(range(6), generator=generator))
    loader = DataLoader(range(6), sampler=RandomSampler(range(6), generator=generator.manual_seed(0)), batch_size=6)
    assert next(iter(loader)).tolist() == order
