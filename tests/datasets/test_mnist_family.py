"""MNIST and its kin: torchvision's folders, names and splits."""

import gzip
import hashlib

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.datasets import EMNIST, IDX, KMNIST, MNIST, QMNIST, FashionMNIST
from tinytrain.datasets.catalog import load_splits
from tinytrain.datasets.mnist import _DIGITS
from tinytrain.errors import DataError
from tinytrain.transforms import Compose, Normalize, RandomCrop, RandomHorizontalFlip, ToTensor
from tinytrain.utils.data import DataLoader

from .idx_files import encoded

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
LABELS = np.array([3, 0, 9, 1, 1, 4], np.uint8)


def fill(folder, part="train", images=IMAGES, labels=LABELS, suffix=""):
    folder.mkdir(parents=True, exist_ok=True)
    pack = gzip.compress if suffix == ".gz" else bytes
    (folder / f"{part}-images-idx3-ubyte{suffix}").write_bytes(pack(encoded(images)))
    (folder / f"{part}-labels-idx1-ubyte{suffix}").write_bytes(pack(encoded(labels)))


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("folder", ["MNIST/raw", "MNIST", "raw", "."])
def test_files_are_found_in_every_usual_place(tmp_path, folder, suffix):
    fill(tmp_path / folder, suffix=suffix)
    dataset = MNIST(tmp_path)
    image, label = dataset[2]
    assert (image.mode, image.size, label) == ("L", (28, 28), 9)
    assert np.array_equal(np.asarray(image), IMAGES[2])
    assert dataset.data.shape == (6, 28, 28)
    assert dataset.targets.tolist() == LABELS.tolist()
    assert dataset.targets.dtype == tt.int64
    assert dataset.classes[9] == "9 - nine"
    assert dataset.class_to_idx["0 - zero"] == 0


def test_the_test_split_has_its_own_files(tmp_path):
    fill(tmp_path, "t10k", IMAGES[:2], LABELS[:2])
    assert len(MNIST(tmp_path, train=False)) == 2


def test_a_folder_that_is_partly_there_says_what_is_missing_and_where_to_get_it(tmp_path):
    fill(tmp_path / "KMNIST" / "raw")
    (tmp_path / "KMNIST" / "raw" / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError) as caught:
        KMNIST(tmp_path)
    assert caught.value.place == str(tmp_path / "KMNIST" / "raw")
    assert caught.value.reason == "KMNIST is not complete: train-labels-idx1-ubyte (or .gz) not found"
    url = "https://codh.rois.ac.jp/kmnist/dataset/kmnist/train-labels-idx1-ubyte.gz"
    assert caught.value.remedy == f"Get it from {url}, or ask for a download (download: true)"


def test_without_a_root_the_users_cache_is_searched(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYTRAIN_HOME", str(tmp_path))
    with pytest.raises(DataError, match="not complete"):
        MNIST()
    fill(tmp_path / "datasets" / "MNIST" / "raw")
    assert len(MNIST()) == 6


def test_images_without_labels_are_refused(tmp_path):
    fill(tmp_path, labels=LABELS[:5])
    with pytest.raises(DataError, match="5 labels for the 6 images"):
        MNIST(tmp_path)


def test_a_label_beyond_the_classes_is_refused(tmp_path):
    fill(tmp_path, labels=LABELS + 10)
    with pytest.raises(DataError, match="label 13 of image 0 is not from 0 to 9"):
        MNIST(tmp_path)


def test_a_set_of_ones_own_gets_its_classes_from_its_labels(tmp_path):
    fill(tmp_path)
    assert IDX(tmp_path).classes == [str(label) for label in range(10)]
    assert IDX(tmp_path, classes=_DIGITS).classes[1] == "1 - one"


def test_the_description_is_torchvisions(tmp_path):
    fill(tmp_path)
    assert repr(MNIST(tmp_path, transform=ToTensor())) == (
        f"Dataset MNIST\n    Number of datapoints: 6\n    Root location: {tmp_path}\n    Split: Train\n"
        "    StandardTransform\nTransform: ToTensor()"
    )


def test_emnist_letters_begin_at_one(tmp_path):
    folder = tmp_path / "EMNIST" / "raw"
    fill(folder, "emnist-letters-train", labels=np.array([1, 26, 2, 3, 4, 5], np.uint8))
    dataset = EMNIST(tmp_path, "letters")
    assert dataset.classes[dataset[1][1]] == "z"
    assert [len(EMNIST.splits[name]) for name in ("byclass", "bymerge", "balanced")] == [62, 47, 47]
    with pytest.raises(ValueError, match="Unknown value 'words' for argument split"):
        EMNIST(tmp_path, "words")


def test_a_config_may_choose_emnists_split(tmp_path):
    folder = tmp_path / "EMNIST" / "raw"
    for part in ("train", "test"):
        fill(folder, f"emnist-letters-{part}", labels=np.array([1, 26, 2, 3, 4, 5], np.uint8))
    splits = load_splits("emnist", tmp_path, val_fraction=0, split="letters")
    assert splits.classes == EMNIST.splits["letters"]
    assert splits.train.targets.tolist() == splits.test.targets.tolist() == [1, 26, 2, 3, 4, 5]


def test_qmnist_keeps_where_each_digit_came_from(tmp_path):
    table = np.arange(48, dtype=np.int32).reshape(6, 8)
    table[:, 0] = LABELS
    (tmp_path / "qmnist-test-images-idx3-ubyte").write_bytes(encoded(IMAGES))
    (tmp_path / "qmnist-test-labels-idx2-int").write_bytes(encoded(table))
    assert QMNIST(tmp_path, train=False).targets.tolist() == LABELS.tolist()
    full = QMNIST(tmp_path, "test", compat=False)
    assert full[1][1].tolist() == table[1].tolist()
    assert len(QMNIST(tmp_path, "test50k")) == 0
    assert repr(full).endswith("Split: test")


PIPELINE = Compose([RandomCrop(28, padding=2), RandomHorizontalFlip(), ToTensor(), Normalize([0.3], [0.35])])


def test_a_batch_made_at_once_equals_its_samples_to_the_bit(tmp_path):
    fill(tmp_path)
    dataset = MNIST(tmp_path, transform=PIPELINE)
    assert dataset.load_batch([0], _streams([0])) is not None
    whole = next(iter(DataLoader(dataset, 6, seed=4)))
    single = next(iter(DataLoader(dataset, 6, seed=4, collate_fn=_slowly)))
    assert np.array_equal(whole[0].numpy(), single[0].numpy())
    assert whole[1].tolist() == single[1].tolist()
    assert (whole[0].dtype, whole[1].dtype) == (tt.float32, tt.int64)


def test_transforms_without_an_array_form_are_applied_sample_by_sample(tmp_path):
    fill(tmp_path)
    assert MNIST(tmp_path, transform=np.asarray).load_batch([0], None) is None
    assert MNIST(tmp_path, transform=PIPELINE, target_transform=str).load_batch([0], None) is None
    assert MNIST(tmp_path).load_batch([0], None) is None


def test_with_transform_shares_the_images(tmp_path):
    fill(tmp_path)
    dataset = MNIST(tmp_path)
    other = dataset.with_transform(ToTensor())
    assert other.data is dataset.data
    assert dataset.transform is None
    assert tuple(other[0][0].shape) == (1, 28, 28)


def test_fashion_mnist_is_what_its_authors_published(shared_data):
    for train, count in ((True, 60_000), (False, 10_000)):
        dataset = FashionMNIST(shared_data / "fashion-mnist", train=train)
        assert dataset.data.shape == (count, 28, 28)
        assert np.bincount(dataset.targets.numpy()).tolist() == [count // 10] * 10
    file = shared_data / "fashion-mnist" / "train-images-idx3-ubyte.gz"
    assert hashlib.md5(file.read_bytes()).hexdigest() == FashionMNIST.md5[file.name]


def _slowly(samples):
    from tinytrain.utils.data import default_collate

    return default_collate(samples)


def _streams(indices):
    from tinytrain.random_streams import BatchStream

    return BatchStream(0, 0, indices)
