"""CIFAR-10 and CIFAR-100 in every form they are found in."""

import io
import pickle
import tarfile

import numpy as np
import pytest

from tinytrain.datasets import CIFAR10, CIFAR100
from tinytrain.errors import DataError

NAMES10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
RNG = np.random.default_rng(0)
PIXELS = {name: RNG.integers(0, 256, (4, 3072), np.uint8) for name in [*map(str, range(1, 6)), "test"]}
LABELS = {name: RNG.integers(0, 10, 4).tolist() for name in PIXELS}


def batch_name(name):
    return "test_batch" if name == "test" else f"data_batch_{name}"


def python_files(num_batches=5):
    files = {"batches.meta": pickle.dumps({"label_names": NAMES10, "num_vis": 3072}, 2)}
    for name in [*map(str, range(1, num_batches + 1)), "test"]:
        files[batch_name(name)] = pickle.dumps({"data": PIXELS[name], "labels": LABELS[name]}, 2)
    return files


def binary_files():
    files = {"batches.meta.txt": "\n".join(NAMES10).encode() + b"\n\n"}
    for name, pixels in PIXELS.items():
        records = np.concatenate([np.array(LABELS[name], np.uint8)[:, None], pixels], axis=1)
        files[batch_name(name) + ".bin"] = records.tobytes()
    return files


def put(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def archive(path, folder, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def check(dataset, names):
    pixels = np.concatenate([PIXELS[name] for name in names])
    assert np.array_equal(dataset.data.transpose(0, 3, 1, 2).reshape(-1, 3072), pixels)
    assert dataset.targets == [label for name in names for label in LABELS[name]]
    assert dataset.classes == NAMES10


@pytest.mark.parametrize("form", ["python", "binary"])
@pytest.mark.parametrize("place", ["folder", "root", "archive in root", "archive"])
def test_both_forms_are_read_from_every_usual_place(tmp_path, form, place):
    files = python_files() if form == "python" else binary_files()
    folder = "cifar-10-batches-py" if form == "python" else "cifar-10-batches-bin"
    root = tmp_path
    if place == "folder":
        put(tmp_path / folder, files)
    elif place == "root":
        put(tmp_path, files)
    else:
        path = tmp_path / f"cifar-10-{form}.tar.gz"
        archive(path, folder, files)
        root = path if place == "archive" else tmp_path
    check(CIFAR10(root), "12345")
    check(CIFAR10(root, train=False), ["test"])


def test_an_image_has_its_colours_and_its_label(tmp_path):
    put(tmp_path, python_files())
    image, label = CIFAR10(tmp_path, train=False)[2]
    assert (image.mode, image.size, label) == ("RGB", (32, 32), LABELS["test"][2])
    assert image.getpixel((5, 1)) == tuple(PIXELS["test"][2].reshape(3, 32, 32)[:, 1, 5].tolist())


def test_a_partial_set_names_what_is_missing_and_is_used_only_when_allowed(tmp_path):
    put(tmp_path, python_files(num_batches=2))
    with pytest.raises(DataError) as caught:
        CIFAR10(tmp_path)
    assert caught.value.reason == "CIFAR10 is not complete: data_batch_3, data_batch_4, data_batch_5 not found"
    assert "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz" in caught.value.remedy
    assert "there is data_batch_1, data_batch_2" in caught.value.remedy
    check(CIFAR10(tmp_path, allow_partial=True), "12")


def test_nothing_at_all_is_no_partial_set(tmp_path):
    with pytest.raises(DataError, match=r"data_batch_1, data_batch_2, .* batches\.meta not found"):
        CIFAR10(tmp_path, allow_partial=True)


def test_cifar100_reads_the_fine_labels(tmp_path):
    labels = [0, 99, 7, 7]
    put(
        tmp_path / "cifar-100-python",
        {
            "train": pickle.dumps({"data": PIXELS["1"], "fine_labels": labels, "coarse_labels": [0, 1, 2, 3]}, 2),
            "meta": pickle.dumps({"fine_label_names": [f"class {i}" for i in range(100)]}, 2),
        },
    )
    dataset = CIFAR100(tmp_path)
    assert (dataset.targets, len(dataset.classes)) == (labels, 100)
    records = np.concatenate([np.array([[1, 5], [2, 99], [3, 7], [4, 0]], np.uint8), PIXELS["test"]], axis=1)
    names = "\n".join(f"class{i}" for i in range(100)).encode()
    put(tmp_path / "cifar-100-binary", {"test.bin": records.tobytes(), "fine_label_names.txt": names})
    assert CIFAR100(tmp_path, train=False).targets == [5, 99, 7, 0]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"data": PIXELS["1"], "labels": [1, 2, 3]}, "there are 3 labels for 4 images"),
        ({"data": PIXELS["1"], "labels": [1, 2, 3, 10]}, "label 10 of image 3 is not from 0 to 9"),
        ({"data": PIXELS["1"], "labels": [1, 2, 3, 1 << 70]}, "not a batch of CIFAR10"),
        ({"data": PIXELS["1"], "labels": [1, 2, 3, -1 << 63]}, "not a batch of CIFAR10"),
        ({"data": PIXELS["1"], "labels": [1, 2, 3, 1 << 40]}, "label 1099511627776 of image 3 is not from 0 to 9"),
        ({"data": PIXELS["1"][:, :-1], "labels": [1] * 4}, "not a batch of CIFAR10"),
        ({"data": PIXELS["1"].astype(float), "labels": [1] * 4}, "not a batch of CIFAR10"),
        ({"data": PIXELS["1"]}, "not a batch of CIFAR10"),
        ([1, 2], "not a batch of CIFAR10"),
    ],
)
def test_a_batch_that_is_none_is_refused_with_its_name(tmp_path, batch, message):
    put(tmp_path, {**python_files(), "data_batch_4": pickle.dumps(batch, 2)})
    with pytest.raises(DataError, match=message) as caught:
        CIFAR10(tmp_path)
    assert caught.value.place == str(tmp_path / "data_batch_4")


@pytest.mark.parametrize("name", [1, 1 << 20_000, [[]], None], ids=["number", "large", "list", "none"])
def test_classes_that_are_not_named_by_text_are_refused(tmp_path, name):
    put(tmp_path, {**python_files(), "batches.meta": pickle.dumps({"label_names": [name] * 10}, 2)})
    with pytest.raises(DataError, match="it does not name 10 classes") as caught:
        CIFAR10(tmp_path)
    assert caught.value.place == str(tmp_path / "batches.meta")


def test_records_that_do_not_come_out_even_are_refused(tmp_path):
    put(tmp_path, {**binary_files(), "data_batch_1.bin": b"\0" * 3074})
    with pytest.raises(DataError, match="3074 bytes are no whole number of records of 3073 bytes"):
        CIFAR10(tmp_path)


def test_the_original_archive_is_read_without_being_unpacked(shared_data):
    path = shared_data / "cifar-10-part.tar.xz"
    test = CIFAR10(path, train=False)
    assert np.bincount(test.targets).tolist() == [1000] * 10
    assert test.targets[:10] == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]  # the well-known beginning: cat, ship, ship, airplane
    with pytest.raises(DataError, match="data_batch_2, data_batch_3, data_batch_4, data_batch_5 not found"):
        CIFAR10(path)
