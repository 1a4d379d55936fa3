"""What a config can name, and the division into train, validation and test."""

import pickle
import re

import numpy as np
import pytest
from PIL import Image

from tinytrain.datasets import DATASETS, Digits, load_splits
from tinytrain.datasets.ram_cache import RamCache
from tinytrain.errors import ConfigError, DataError

from .idx_files import encoded


def paint(folder, classes, count=1):
    for name in classes:
        for i in range(count):
            path = folder / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (2, 2)).save(path)


def test_the_names_of_the_contract_are_there():
    assert {"digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "image_folder", "idx"} <= set(DATASETS)


def test_an_unknown_name_offers_the_closest():
    with pytest.raises(ConfigError, match=r"no dataset called 'digit' \(did you mean 'digits'\?\)"):
        load_splits("digit")


def test_validation_is_a_stratified_part_of_train_with_the_other_transform():
    splits = load_splits("digits", train_transform=lambda _: "train", eval_transform=lambda _: "eval", val_fraction=0.1)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (1297, 145, 355)
    assert [part[0][0] for part in (splits.train, splits.val, splits.test)] == ["train", "eval", "eval"]
    assert not set(splits.train.indices) & set(splits.val.indices)
    assert splits.classes == [str(digit) for digit in range(10)]
    assert load_splits("digits", val_fraction=0).val is None


def test_another_seed_holds_other_samples_out():
    first, again, other = (load_splits("digits", seed=seed).val.indices for seed in (0, 0, 1))
    assert first == again != other


def test_an_image_folder_has_the_splits_that_are_there(tmp_path):
    paint(tmp_path / "train", "ab", 10)
    splits = load_splits("image_folder", tmp_path, val_fraction=0.2)
    assert (len(splits.train), len(splits.val), splits.test) == (16, 4, None)
    paint(tmp_path / "val", "ab", 3)
    paint(tmp_path / "test", "ab")
    splits = load_splits("image_folder", tmp_path)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (20, 6, 2)


def test_splits_with_different_classes_are_refused(tmp_path):
    paint(tmp_path / "train", "abc")
    paint(tmp_path / "val", "abd")
    with pytest.raises(DataError, match="the classes of val differ from those of train: c, d"):
        load_splits("image_folder", tmp_path)


def test_labels_files_lie_beside_each_other(tmp_path):
    paint(tmp_path, "ab")
    (tmp_path / "train.csv").write_text("path,label\na/0.png,x\nb/0.png,y\n")
    (tmp_path / "test.jsonl").write_text('{"path": "b/0.png", "label": "y"}\n{"path": "a/0.png", "label": "x"}')
    splits = load_splits("labels_file", tmp_path, val_fraction=0)
    assert (len(splits.train), splits.val, len(splits.test)) == (2, None, 2)


@pytest.mark.parametrize(
    ("name", "root", "message"),
    [
        ("image_folder", None, "needs the folder of its data"),
        ("image_folder", "nowhere", "there is no such folder"),
        ("image_folder", ".", "there is no training split. image_folder reads folders `train`, `val`, `test` with a "),
    ],
)
def test_a_folder_that_is_not_there_is_told(tmp_path, name, root, message):
    with pytest.raises(DataError, match=message):
        load_splits(name, root and tmp_path / root)


def test_images_are_read_once_where_they_are_to_be_kept(tmp_path):
    paint(tmp_path / "train", "ab")
    kept = load_splits("image_folder", tmp_path, val_fraction=0, cache="ram").train
    anew = load_splits("image_folder", tmp_path, val_fraction=0).train
    assert kept[0][0] is kept[0][0]
    assert anew[0][0] is not anew[0][0]
    with pytest.raises(ValueError, match="must be null or ram"):
        load_splits("image_folder", tmp_path, cache="disk")


def test_a_full_cache_reads_the_rest_each_time():
    reads = []
    cache = RamCache(lambda path: reads.append(path) or Image.new("RGB", (10, 10)), max_bytes=700)
    for path in "abcabc":
        cache(path)
    assert reads == ["a", "b", "c", "c"]
    empty = pickle.loads(pickle.dumps(RamCache(Image.open)))
    assert empty._images == {}


def test_reduced_scale_is_an_option(tmp_path):
    path = tmp_path / "train" / "a" / "x.jpg"
    path.parent.mkdir(parents=True)
    Image.new("RGB", (80, 64)).save(path)
    assert load_splits("image_folder", tmp_path, val_fraction=0, shortest_edge=30).train[0][0].size == (40, 32)


def test_the_classes_of_idx_files_are_those_of_the_training_labels(tmp_path):
    for part, labels in (("train", [0, 2, 1]), ("t10k", [1])):
        images = np.zeros((len(labels), 4, 4), np.uint8)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(encoded(images))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(encoded(np.array(labels, np.uint8)))
    splits = load_splits("idx", tmp_path, val_fraction=0)
    assert (splits.classes, len(splits.train), len(splits.test)) == (["0", "1", "2"], 3, 1)
    assert load_splits("idx", tmp_path, val_fraction=0, classes=["a", "b", "c"]).test.classes == ["a", "b", "c"]
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(encoded(np.array([7], np.uint8)))
    with pytest.raises(DataError, match="label 7 of image 0 is not from 0 to 2"):
        load_splits("idx", tmp_path)


def test_only_the_splits_that_are_needed_are_looked_at(monkeypatch):
    asked = []

    def build(root, split, **options):
        asked.append(split)
        return None if split == "val" else Digits(root, train=split == "train")

    monkeypatch.setitem(DATASETS._builders, "digits", build)
    splits = load_splits("digits", needed=["test"])
    assert asked == ["test"]
    assert (splits.train, splits.val, len(splits.test), len(splits.classes)) == (None, None, 355, 10)
    asked.clear()
    splits = load_splits("digits", needed=["val"])
    assert asked == ["val", "train"]
    assert len(splits.val) == len(load_splits("digits").val)


def test_a_split_that_is_needed_and_not_there_is_named(tmp_path):
    (tmp_path / "train" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match=r"there is no test split\. image_folder reads folders"):
        load_splits("image_folder", tmp_path, needed=["test"])


@pytest.mark.parametrize(("fraction", "purpose"), [(0.1, "validation"), (0.9, "training")])
def test_a_fraction_that_leaves_a_split_without_images_is_refused(tmp_path, fraction, purpose):
    paint(tmp_path / "train", "abc")
    with pytest.raises(DataError) as caught:
        load_splits("image_folder", tmp_path, val_fraction=fraction)
    assert str(caught.value) == (
        f"{tmp_path}: data.val_fraction={fraction} of the 3 training images leaves none for {purpose}. "
        "Set it to 0 to train without validation, or add images: a class of two has one for each"
    )
    splits = load_splits("image_folder", tmp_path, val_fraction=0)
    assert (len(splits.train), splits.val) == (3, None)


@pytest.mark.parametrize(("kind", "split"), [("train", "train"), ("t10k", "test")])
def test_a_split_without_images_is_refused_by_name(tmp_path, kind, split):
    for each in ("train", "t10k"):
        count = 0 if each == kind else 4
        (tmp_path / f"{each}-images-idx3-ubyte").write_bytes(encoded(np.zeros((count, 4, 4), np.uint8)))
        (tmp_path / f"{each}-labels-idx1-ubyte").write_bytes(encoded(np.arange(count, dtype=np.uint8) % 2))
    with pytest.raises(DataError, match=f"^{re.escape(str(tmp_path))}: the {split} split has no image$"):
        load_splits("idx", tmp_path, classes=["a", "b"])
