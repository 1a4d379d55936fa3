"""Orders, splits, batches and refusals of utils.data against torch.utils.data."""

from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.utils import data as ours

torch = pytest.importorskip("torch")
theirs = pytest.importorskip("torch.utils.data")

SEEDS = [0, 1, 1234567890123]
Point = namedtuple("Point", ["x", "y"])


class Plain:
    """A dataset that both loaders take."""

    def __init__(self, n=23):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        return index


class OurStream(ours.IterableDataset):
    def __iter__(self):
        return iter(range(7))


class TheirStream(theirs.IterableDataset):
    def __iter__(self):
        return iter(range(7))


def seed_both(seed):
    tt.manual_seed(seed)
    torch.manual_seed(seed)


def orders(loader, epochs=3):
    return [[batch.tolist() for batch in loader] for _ in range(epochs)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n", [1, 10, 1000])
def test_shuffled_batches_come_in_pytorchs_order_epoch_after_epoch(seed, n):
    seed_both(seed)
    assert orders(ours.DataLoader(Plain(n), 4, shuffle=True)) == orders(theirs.DataLoader(Plain(n), 4, shuffle=True))
    assert tt.rand(3).tolist() == torch.rand(3).tolist()


@pytest.mark.parametrize("batch_size", [4, 23, 40])
@pytest.mark.parametrize("drop_last", [False, True])
def test_with_a_generator_the_order_is_pytorchs(batch_size, drop_last):
    options = {"batch_size": batch_size, "shuffle": True, "drop_last": drop_last}
    mine = ours.DataLoader(Plain(), generator=tt.Generator().manual_seed(5), **options)
    reference = theirs.DataLoader(Plain(), generator=torch.Generator().manual_seed(5), **options)
    assert orders(mine) == orders(reference)


@pytest.mark.parametrize("persistent", [False, True])
def test_with_workers_the_order_is_pytorchs(persistent):
    seed_both(3)
    options = {"batch_size": 5, "shuffle": True, "num_workers": 2, "persistent_workers": persistent}
    assert orders(ours.DataLoader(Plain(), **options)) == orders(theirs.DataLoader(Plain(), **options))


def test_an_unshuffled_pass_uses_up_what_pytorchs_does():
    seed_both(9)
    orders(ours.DataLoader(Plain()), 2), orders(theirs.DataLoader(Plain()), 2)
    assert tt.randperm(9).tolist() == torch.randperm(9).tolist()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "options",
    [{}, {"num_samples": 7}, {"num_samples": 50}, {"replacement": True}, {"replacement": True, "num_samples": 100}],
)
def test_random_sampler_draws_as_pytorchs(seed, options):
    seed_both(seed)
    mine, reference = ours.RandomSampler(range(25), **options), theirs.RandomSampler(range(25), **options)
    assert [list(mine), list(mine)] == [list(reference), list(reference)]
    mine = ours.RandomSampler(range(25), generator=tt.Generator().manual_seed(seed), **options)
    reference = theirs.RandomSampler(range(25), generator=torch.Generator().manual_seed(seed), **options)
    assert [list(mine), list(mine)] == [list(reference), list(reference)]


def test_subset_random_and_distributed_samplers_draw_as_pytorchs():
    seed_both(1)
    assert list(ours.SubsetRandomSampler([5, 9, 1, 3])) == list(theirs.SubsetRandomSampler([5, 9, 1, 3]))
    for n, drop_last in ((10, False), (10, True), (3, False)):
        for rank in range(4):
            mine = ours.DistributedSampler(range(n), 4, rank, seed=2, drop_last=drop_last)
            reference = theirs.distributed.DistributedSampler(range(n), 4, rank, seed=2, drop_last=drop_last)
            for epoch in (0, 3):
                mine.set_epoch(epoch), reference.set_epoch(epoch)
                assert list(mine) == list(reference)


def test_weighted_sampling_with_replacement_draws_as_pytorchs():
    seed_both(4)
    weights = np.random.default_rng(0).random(20).tolist()
    assert list(ours.WeightedRandomSampler(weights, 50)) == list(theirs.WeightedRandomSampler(weights, 50))


@pytest.mark.parametrize("lengths", [[3, 20], [0.5, 0.5], [0.3, 0.3, 0.4], [23], [0.99, 0.01]])
@pytest.mark.filterwarnings("ignore:Length of split")
def test_random_split_gives_pytorchs_parts(lengths):
    seed_both(6)
    mine, reference = ours.random_split(Plain(), lengths), theirs.random_split(Plain(), lengths)
    assert [list(part.indices) for part in mine] == [list(part.indices) for part in reference]


def description(value):
    """Return a batch as plain values with the types of its containers and tensors."""
    if isinstance(value, (tt.Tensor, torch.Tensor)):
        return str(value.dtype).replace("tinytrain", "torch"), tuple(value.shape), value.tolist()
    if isinstance(value, dict):
        return type(value).__name__, [(key, description(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [description(item) for item in value]
    return type(value).__name__, value


BATCHES = [
    [1, 2],
    [1.5, 2],
    [1, 2.5],
    [True, False],
    [True, 3],
    [np.float64(1), np.float64(2)],
    [np.int16(1), np.int16(2)],
    [np.arange(3), np.arange(3)],
    [np.float32(3), np.float32(4)],
    [np.array(3), np.array(4)],
    ["a", "b"],
    ("a", "b"),
    [b"a", b"b"],
    [(1, "a"), (2, "b")],
    [[1, [2.0, "x"]], [3, [4.0, "y"]]],
    [{"a": 1, "b": {"c": np.ones(2)}}, {"a": 2, "b": {"c": np.zeros(2)}}],
    [OrderedDict(z=1, a=2), OrderedDict(z=3, a=4)],
    [Point(1, [2]), Point(3, [4])],
    [np.bool_(True), np.bool_(False)],
]


@pytest.mark.parametrize("batch", BATCHES, ids=str)
def test_collation_is_pytorchs(batch):
    assert description(ours.default_collate(batch)) == description(theirs.default_collate(batch))
    assert description(ours.default_convert(batch)) == description(theirs.default_convert(batch))


@pytest.mark.parametrize(
    "batch", [[None], [object()], [np.array(["a"])], [[1, 2], [1]], [{1}], [np.zeros(2), np.zeros(3)], [{"a": 1}, {}]]
)
def test_collation_refuses_what_pytorchs_does(batch):
    with pytest.raises(Exception) as reference:  # noqa: PT011  # whichever it is, ours is compared with it
        theirs.default_collate(batch)
    with pytest.raises(reference.type):
        ours.default_collate(batch)


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_workers": -1},
        {"timeout": -1},
        {"prefetch_factor": 2},
        {"persistent_workers": True},
        {"sampler": range(3), "shuffle": True},
        {"batch_sampler": [[0]], "batch_size": 2},
        {"batch_size": None, "drop_last": True},
        {"batch_size": 0},
        {"batch_size": True},
        {"multiprocessing_context": "spawn"},
        {"multiprocessing_context": "thread", "num_workers": 1},
        {"multiprocessing_context": 3, "num_workers": 1},
    ],
    ids=str,
)
def test_the_loader_refuses_with_pytorchs_words(arguments):
    with pytest.raises((ValueError, TypeError)) as reference:
        theirs.DataLoader(Plain(), **arguments)
    with pytest.raises(reference.type) as mine:
        ours.DataLoader(Plain(), **arguments)
    assert str(mine.value).split(";")[0].split(".")[0] == str(reference.value).split(";")[0].split(".")[0]


@pytest.mark.parametrize("arguments", [{"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}], ids=str)
def test_streams_are_refused_an_order_with_pytorchs_words(arguments):
    with pytest.raises(ValueError) as reference:  # noqa: PT011  # the words are compared below
        theirs.DataLoader(TheirStream(), **arguments)
    with pytest.raises(ValueError) as mine:  # noqa: PT011
        ours.DataLoader(OurStream(), **arguments)
    assert str(mine.value) == str(reference.value)


@pytest.mark.parametrize("options", [{}, {"batch_size": 3}, {"batch_size": 3, "drop_last": True}, {"batch_size": None}])
def test_streams_are_cut_as_pytorch_cuts_them(options):
    mine, reference = ours.DataLoader(OurStream(), **options), theirs.DataLoader(TheirStream(), **options)
    assert [description(batch) for batch in mine] == [description(batch) for batch in reference]
