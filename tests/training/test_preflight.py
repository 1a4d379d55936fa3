"""What would stop a training in the middle is refused before its first step."""

from __future__ import annotations

import re

import pytest

import tinytrain as tt
from tinytrain import nn
from tinytrain.errors import ConfigError, DataError
from tinytrain.training import Experiment
from tinytrain.training.freezing import Freezing
from tinytrain.training.preflight import check_batches
from tinytrain.utils.data import DataLoader, TensorDataset

from .toys import Listener, experiment, run


class Labelled(TensorDataset):
    """A tensor set that tells its labels as data sets do."""

    @property
    def targets(self) -> tt.Tensor:
        return self.tensors[1]


def flat() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))


def with_images(count: int, batch_size: int, *, drop_last: bool = False, model: nn.Module | None = None) -> Experiment:
    e = experiment(model or flat())
    data = Labelled(tt.zeros(count, 1, 4, 4), tt.arange(count) % 3)
    e.train = DataLoader(data, batch_size, shuffle=True, seed=1, drop_last=drop_last)
    return e


def test_a_last_batch_of_one_image_is_refused_where_a_layer_normalises_over_it():
    with pytest.raises(ConfigError) as caught:
        check_batches(with_images(9, 4))
    assert str(caught.value) == (
        "the last batch of the 9 training images has one image, and 2 (BatchNorm1d) gets one value of it a channel, "
        "which has no variance. Choose another data.batch_size, or set data.drop_last to true"
    )


class WithDamage(Labelled):
    """The first sample cannot be read."""

    def __getitem__(self, index: int) -> tuple[tt.Tensor, ...]:
        if index == 0:
            raise DataError("is torn", place="0.png")
        return super().__getitem__(index)


def test_a_batch_that_damage_leaves_one_image_of_is_left_out_where_a_layer_normalises_over_it(tmp_path):
    e = with_images(6, 2)
    e.train = DataLoader(WithDamage(*e.train.dataset.tensors), 2, shuffle=True, seed=1, skip_damaged=True)
    check_batches(e)
    listener = Listener()
    result = run(e, tmp_path / "run", events=listener)
    assert [each.train.count for each in result.epochs] == [4, 4, 4]
    assert "left out: 0.png: is torn" in listener.messages
    assert any(
        re.fullmatch(r"left out: number \d, what is left of its batch is too small to learn from", message)
        for message in listener.messages
    )


def test_what_damage_leaves_is_learned_where_no_layer_needs_more():
    e = with_images(6, 2, model=nn.Sequential(nn.Flatten(), nn.Linear(16, 3)))
    e.train = DataLoader(WithDamage(*e.train.dataset.tensors), 2, shuffle=True, seed=1, skip_damaged=True)
    check_batches(e)
    assert sorted(len(images) for images, _ in e.train) == [1, 2, 2]


def test_batches_of_one_image_are_refused_where_a_layer_normalises_over_them():
    with pytest.raises(ConfigError, match=r"a batch has one image, and 2 .BatchNorm1d. gets one value of it a channel"):
        check_batches(with_images(9, 1))


@pytest.mark.parametrize(
    "e",
    [
        with_images(10, 4),
        with_images(9, 4, drop_last=True),
        with_images(9, 4, model=nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))),
        with_images(9, 4, model=nn.Sequential(nn.Flatten(), nn.Linear(16, 3))),
    ],
    ids=["two at the end", "the last dropped", "several values of an image", "no normalisation"],
)
def test_others_are_not(e: Experiment):
    check_batches(e)


def test_a_layer_that_stays_frozen_normalises_over_nothing():
    e = with_images(9, 4)
    e.freezing = Freezing(e.model, ["1", "2"])
    check_batches(e)
    e.freezing = Freezing(e.model, ["1", "2"], until_epoch=1)
    with pytest.raises(ConfigError, match="the last batch of the 9 training images has one image"):
        check_batches(e)


def test_no_batch_at_all_is_refused():
    with pytest.raises(ConfigError) as caught:
        check_batches(with_images(3, 4, drop_last=True))
    assert str(caught.value) == (
        "no batch is left: there are 3 training images, a batch has 4, and a shorter one is dropped. "
        "Lower data.batch_size, or set data.drop_last to false"
    )


def test_a_class_without_images_is_refused():
    e = with_images(10, 4)
    e.class_names = ["a", "b", "c", "d", "e"]
    with pytest.raises(DataError) as caught:
        check_batches(e)
    assert str(caught.value) == (
        "there is no training image of d, e. Add some, or name the classes to keep in data.keep_classes"
    )


def test_a_place_that_is_empty_by_design_is_not():
    e = with_images(10, 4)
    e.class_names = ["a", "b", "c", "N/A"]
    check_batches(e)
