"""Folders of images, by torchvision's rules."""

import os
from pathlib import Path

import pytest
from PIL import Image

from tinytrain.datasets import DatasetFolder, ImageFolder
from tinytrain.errors import DataError


def paint(path, colour=(200, 30, 90)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (5, 4), colour).save(path)


@pytest.fixture
def root(tmp_path):
    for name in ("b/2.png", "b/10.PNG", "a/x.jpg", "a/deep/er/y.Jpeg", "Z/z.webp", "10/t.bmp", "9/n.tif"):
        paint(tmp_path / name)
    (tmp_path / "b" / "notes.txt").write_text("no image")
    (tmp_path / "loose.png").write_bytes(b"in no class")
    return tmp_path


def test_classes_are_sorted_as_text_and_extensions_have_no_case(root):
    dataset = ImageFolder(root)
    assert dataset.classes == ["10", "9", "Z", "a", "b"]
    assert dataset.class_to_idx == {"10": 0, "9": 1, "Z": 2, "a": 3, "b": 4}
    names = [(os.path.relpath(path, root).replace(os.sep, "/"), target) for path, target in dataset.samples]
    expected = ["10/t.bmp", "9/n.tif", "Z/z.webp", "a/x.jpg", "a/deep/er/y.Jpeg", "b/10.PNG", "b/2.png"]
    assert names == list(zip(expected, [0, 1, 2, 3, 3, 4, 4], strict=True))
    assert dataset.targets == [0, 1, 2, 3, 3, 4, 4]
    assert dataset.imgs is dataset.samples
    image, target = dataset[6]
    assert (image.mode, image.size, image.getpixel((0, 0)), target) == ("RGB", (5, 4), (200, 30, 90), 4)


def test_hidden_files_and_folders_are_left_out(root):
    paint(root / ".ipynb_checkpoints" / "x.png")
    paint(root / "b" / ".thumbnails" / "x.png")
    paint(root / "b" / "._2.png")
    assert len(ImageFolder(root)) == 7
    assert ".ipynb_checkpoints" not in ImageFolder(root).classes


def test_links_are_followed_once(root):
    (root / "b" / "around").symlink_to(root / "b", target_is_directory=True)
    paint(root.parent / "elsewhere" / "w.png")
    (root / "b" / "there").symlink_to(root.parent / "elsewhere", target_is_directory=True)
    paths = [path for path, _ in ImageFolder(root).samples if "b" in os.path.relpath(path, root).split(os.sep)]
    assert [os.path.basename(path) for path in paths] == ["10.PNG", "2.png", "w.png"]


def test_a_class_without_images_is_refused_unless_allowed(root):
    (root / "empty").mkdir()
    with pytest.raises(DataError, match="Found no valid file for the classes empty") as caught:
        ImageFolder(root)
    assert isinstance(caught.value, FileNotFoundError)
    assert ".jpg, .jpeg" in caught.value.remedy
    assert ImageFolder(root, allow_empty=True).classes == ["10", "9", "Z", "a", "b", "empty"]


@pytest.mark.parametrize(("name", "message"), [("none", "there is no such folder"), ("9", "there is no folder in it")])
def test_a_folder_without_classes_is_named(root, name, message):
    with pytest.raises(DataError, match=message) as caught:
        ImageFolder(root / name)
    assert caught.value.place == str(root / name)


def test_which_files_are_valid_can_be_said(root):
    dataset = ImageFolder(root, is_valid_file=lambda path: path.endswith("2.png"), allow_empty=True)
    assert len(dataset) == 1


def test_any_loader_and_extension_will_do(root):
    (root / "9" / "a.txt").write_text("nine")
    dataset = DatasetFolder(root, lambda path: Path(path).read_text(), (".txt",), allow_empty=True, transform=str.upper)
    assert [dataset[i] for i in range(len(dataset))] == [("NINE", 1), ("NO IMAGE", 4)]
    with pytest.raises(ValueError, match="Both extensions and is_valid_file"):
        DatasetFolder(root, str)


def test_the_flowers_have_their_classes(shared_data):
    dataset = ImageFolder(shared_data / "flowers320" / "train")
    assert dataset.classes == ["daisy", "dandelion", "roses", "sunflowers", "tulips"]
    assert [dataset.targets.count(label) for label in range(5)] == [48] * 5
