"""Datasets over tensors and over other datasets."""

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.utils.data import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from tinytrain.utils.data.dataset import batch_loader


class Squares(Dataset):
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        return index**2


class Countdown(IterableDataset):
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __iter__(self):
        return iter(range(self.n, 0, -1))


def test_a_dataset_without_getitem_says_so():
    with pytest.raises(NotImplementedError, match="should implement __getitem__"):
        Dataset()[0]


def test_tensor_dataset_gives_rows_of_every_tensor():
    dataset = TensorDataset(tt.arange(6).reshape(3, 2), tt.tensor([7, 8, 9]))
    x, y = dataset[1]
    assert (len(dataset), x.tolist(), y.item()) == (3, [2, 3], 8)


def test_tensor_dataset_refuses_different_lengths():
    with pytest.raises(AssertionError, match="Size mismatch between tensors: their first sizes are 3, 2"):
        TensorDataset(tt.zeros(3), tt.zeros(2))


def test_concat_dataset_counts_through_its_parts_and_from_the_end():
    both = Squares(3) + Squares(2)
    assert isinstance(both, ConcatDataset)
    assert [both[i] for i in range(5)] == [0, 1, 4, 0, 1]
    assert both[-1] == 1
    with pytest.raises(ValueError, match="should not exceed dataset length"):
        both[-6]
    with pytest.raises(IndexError, match="index 5 is out of range"):
        both[5]


def test_concat_dataset_refuses_nothing_and_streams():
    with pytest.raises(AssertionError, match="should not be an empty iterable"):
        ConcatDataset([])
    with pytest.raises(AssertionError, match="does not support IterableDataset"):
        ConcatDataset([Countdown(2)])


def test_streams_chain():
    both = Countdown(2) + Countdown(1)
    assert isinstance(both, ChainDataset)
    assert (list(both), len(both)) == ([2, 1, 1], 3)
    with pytest.raises(AssertionError, match="only supports IterableDataset"):
        list(ChainDataset([Squares(2)]))


def test_stack_dataset_makes_tuples_or_dicts():
    assert StackDataset(Squares(3), Squares(3))[2] == (4, 4)
    assert StackDataset(a=Squares(3), b=Squares(3))[1] == {"a": 1, "b": 1}
    with pytest.raises(ValueError, match="their lengths are 3, 2"):
        StackDataset(Squares(3), Squares(2))
    with pytest.raises(ValueError, match="At least one dataset"):
        StackDataset()


def test_a_subset_looks_up_its_indices():
    part = Subset(Squares(10), [9, 2])
    assert (len(part), part[0], part.__getitems__([1, 0])) == (2, 81, [4, 81])


def test_random_split_covers_everything_once():
    parts = random_split(Squares(10), [3, 7], generator=tt.Generator().manual_seed(1))
    assert sorted(i for part in parts for i in part.indices) == list(range(10))
    assert [len(part) for part in parts] == [3, 7]


def test_random_split_hands_out_what_fractions_leave_over_from_the_first_on():
    assert [len(part) for part in random_split(Squares(11), [0.3, 0.3, 0.4])] == [4, 3, 4]


def test_random_split_refuses_lengths_that_do_not_add_up():
    with pytest.raises(ValueError, match=r"lengths: \[3, 6\], dataset: 10"):
        random_split(Squares(10), [3, 6])


def test_random_split_warns_of_an_empty_part():
    with pytest.warns(UserWarning, match="split at index 1 is 0"):
        random_split(Squares(3), [0.9, 0.1])


def test_a_subclass_with_its_own_samples_is_not_loaded_by_the_inherited_batch():
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            return super().__getitem__(index)[0] * 2

    assert batch_loader(TensorDataset(tt.zeros(3))) is not None
    assert batch_loader(Doubled(tt.zeros(3))) is None
    assert Subset(Doubled(tt.zeros(3)), [0, 1]).load_batch([0], None) is None


def test_a_tensor_dataset_batch_equals_its_samples():
    dataset = TensorDataset(tt.arange(12).reshape(4, 3), tt.tensor([4.0, 5.0, 6.0, 7.0]))
    x, y = dataset.load_batch([3, 1], None)
    assert np.array_equal(x.numpy(), [[9, 10, 11], [3, 4, 5]])
    assert y.tolist() == [7.0, 5.0]
