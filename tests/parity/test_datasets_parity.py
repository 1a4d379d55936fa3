"""Image sets against torchvision's: the same samples, in the same order, under the same names and descriptions."""

import inspect
import tarfile

import numpy as np
import pytest
from PIL import Image

from tinytrain import datasets as ours
from tinytrain.transforms import Compose, Normalize, ToTensor

from .oracle import torch  # noqa: F401  (skips without it, and stubs what torchvision registers)

theirs = pytest.importorskip("torchvision.datasets")
their_transforms = pytest.importorskip("torchvision.transforms")


def fields(function):
    return [(name, p.kind) for name, p in inspect.signature(function).parameters.items() if p.kind != p.VAR_POSITIONAL]


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100", "ImageFolder", "DatasetFolder", "QMNIST", "EMNIST"])
def test_the_arguments_are_torchvisions_in_their_order(name):
    reference = fields(getattr(theirs, name))
    assert fields(getattr(ours, name))[: len(reference)] == reference


def test_the_classes_and_sources_are_torchvisions():
    for name in ("MNIST", "FashionMNIST", "KMNIST"):
        mine, reference = getattr(ours, name), getattr(theirs, name)
        assert list(mine.class_names) == reference.classes
        assert list(mine.md5.items()) == reference.resources
        over_https = [url for url in reference.mirrors if url.startswith("https://")]
        assert list(mine.mirrors)[: len(over_https)] == over_https
        assert all(url.startswith("https://") for url in mine.mirrors)  # torchvision's others are plain http
    assert {name: list(split) for name, split in ours.EMNIST.splits.items()} == theirs.EMNIST.classes_split_dict
    assert ours.EMNIST.md5 == {"gzip.zip": theirs.EMNIST.md5}
    urls = [pair for split in theirs.QMNIST.resources.values() for pair in split]
    assert [(ours.QMNIST.mirrors[0] + name, md5) for name, md5 in ours.QMNIST.md5.items()] == urls
    for name in ("CIFAR10", "CIFAR100"):
        resource, reference = getattr(ours, name).resource, getattr(theirs, name)
        assert (resource.name, resource.md5, list(resource.urls)) == (
            reference.filename,
            reference.tgz_md5,
            [reference.url],
        )


@pytest.mark.parametrize("train", [True, False])
def test_fashion_mnist_has_torchvisions_samples(shared_data, tmp_path, train):
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for file in (shared_data / "fashion-mnist").glob("*.gz"):
        (raw / file.name).symlink_to(file)
    for file in theirs.FashionMNIST.resources:  # torchvision reads the unpacked files only
        from gzip import decompress

        (raw / file[0].removesuffix(".gz")).write_bytes(decompress((raw / file[0]).read_bytes()))
    mine, reference = ours.FashionMNIST(tmp_path, train), theirs.FashionMNIST(tmp_path, train)
    assert np.array_equal(mine.data.numpy(), reference.data.numpy())
    assert np.array_equal(mine.targets.numpy(), reference.targets.numpy())
    assert repr(mine) == repr(reference)
    for index in (0, 77, len(mine) - 1):
        assert mine[index][0].tobytes() == reference[index][0].tobytes()
        assert mine[index][1] == reference[index][1]


def test_cifar10_has_torchvisions_samples(shared_data, tmp_path, monkeypatch):
    with tarfile.open(shared_data / "cifar-10-part.tar.xz") as tar:
        tar.extractall(tmp_path, filter="data")
    monkeypatch.setattr(theirs.CIFAR10, "train_list", theirs.CIFAR10.train_list[:1])
    mine, reference = ours.CIFAR10(tmp_path, allow_partial=True), theirs.CIFAR10(tmp_path)
    assert np.array_equal(mine.data, reference.data)
    assert (mine.targets, mine.classes, mine.class_to_idx) == (
        reference.targets,
        reference.classes,
        reference.class_to_idx,
    )
    assert mine[5][0].tobytes() == reference[5][0].tobytes()
    assert repr(mine) == repr(reference)


def test_image_folder_has_torchvisions_samples(shared_data):
    root = shared_data / "flowers320" / "val"
    steps = [0.4, 0.4, 0.4], [0.2, 0.2, 0.2]
    mine = ours.ImageFolder(root, Compose([ToTensor(), Normalize(*steps)]))
    reference = theirs.ImageFolder(
        root, their_transforms.Compose([their_transforms.ToTensor(), their_transforms.Normalize(*steps)])
    )
    assert (mine.samples, mine.targets, mine.class_to_idx) == (
        reference.samples,
        reference.targets,
        reference.class_to_idx,
    )
    assert repr(mine) == repr(reference)
    for index in range(0, len(mine), 9):
        assert np.array_equal(mine[index][0].numpy(), reference[index][0].numpy())


def test_image_folders_of_any_names_are_sorted_as_torchvision_sorts_them(tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(40):
        name = "".join(rng.choice(list("abAB19_ é."), 3)).strip().lstrip(".") or "x"
        file = "".join(rng.choice(list("abAB19_ é-"), 4)).strip() or "y"
        path = tmp_path / name / ("sub" if rng.random() < 0.3 else "") / (file + rng.choice([".png", ".PNG", ".txt"]))
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (1, 1)).save(path, format="png")
    options = {"allow_empty": True}
    mine, reference = ours.ImageFolder(tmp_path, **options), theirs.ImageFolder(tmp_path, **options)
    assert (mine.classes, mine.samples) == (reference.classes, reference.samples)
