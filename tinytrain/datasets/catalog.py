"""The sets that a config can name, and their division into train, validation and test."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinytrain.datasets.cifar import CIFAR10, CIFAR100
from tinytrain.datasets.class_choice import reduce_to_classes
from tinytrain.datasets.digits import Digits
from tinytrain.datasets.folder import ImageFolder
from tinytrain.datasets.idx_dataset import IDX
from tinytrain.datasets.image_reading import read_image
from tinytrain.datasets.labels_file import LabelsFile
from tinytrain.datasets.mnist import EMNIST, KMNIST, MNIST, QMNIST, FashionMNIST
from tinytrain.datasets.ram_cache import RamCache
from tinytrain.datasets.splits import stratified_split
from tinytrain.errors import DataError
from tinytrain.registry import Registry
from tinytrain.utils.data import Subset

SPLITS = ("train", "val", "test")

DATASETS: Registry[Callable[..., Any]] = Registry("dataset")
"""Name -> `build(root, split, **options)`: a set with `classes` and `targets`, or None where there is no such split."""

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_OF_A_SET = {"root", "train", "transform", "target_transform", "transforms", "download"}
"""Arguments that every set takes and the catalogue gives; the others are its options."""


class MissingSplit(DataError):
    """A data set lacks a split that is needed."""


@dataclass
class Splits:
    """A dataset divided for an experiment.

    Args:
        train, val, test: the parts; None where there is none.
        classes: the names of the labels.
    """

    train: Any
    val: Any
    test: Any
    classes: list[str]


def load_splits(
    name: str,
    root: str | os.PathLike[str] | None = None,
    *,
    train_transform: Callable[[Any], Any] | None = None,
    eval_transform: Callable[[Any], Any] | None = None,
    val_fraction: float = 0.1,
    seed: int = 0,
    download: bool = False,
    keep_classes: Sequence[str] | None = None,
    needed: Collection[str] = SPLITS,
    **options: Any,
) -> Splits:
    """Load a dataset by its name in the config.

    Where the set has no validation split of its own, a stratified part of the training split becomes it.

    Args:
        name: an entry of `DATASETS`.
        root: folder of the data; None: the user's cache.
        train_transform: of the training images.
        eval_transform: of the others.
        val_fraction: of the training images that become validation images, from 0 to 1.
        seed: chooses them.
        download: get what is missing, where the set is public.
        keep_classes: the names of those to keep, in the order of their new indices; None: all.
        needed: the splits to load; the others are not looked at, except train where validation images come from it.
        **options: of the dataset, as EMNIST's `split`; for image files `shortest_edge` (of `read_image`) and
            `cache: ram`, which keeps the images in memory once they are read.

    Raises:
        ConfigError: there is no dataset, or no class, of that name.
        DataError: the data is missing or damaged, the splits have different classes, or one has no image.
    """
    build = DATASETS.find(name)
    load = functools.partial(build, root, download=download, **options)
    parts = {split: load(split) if split in needed else None for split in SPLITS}
    if "val" in needed and parts["val"] is None and "train" not in needed:
        parts["train"] = load("train")
    if keep_classes is not None:
        parts = {k: None if part is None else reduce_to_classes(part, keep_classes) for k, part in parts.items()}
    present = {split: part for split, part in parts.items() if part is not None}
    if not present or ("train" in needed and "train" not in present):
        missing = "training" if "train" in needed else " or ".join(needed)
        raise MissingSplit(f"there is no {missing} split", place=root or name, remedy=_what_is_read(name))
    first, classes = next((split, part.classes) for split, part in present.items())
    for split, part in present.items():
        if part.classes != classes:
            differing = sorted(set(part.classes) ^ set(classes))
            raise DataError(
                f"the classes of {split} differ from those of {first}: {', '.join(differing) or 'another order'}",
                place=root,
            )
    train = present["train"].with_transform(train_transform) if "train" in present else None
    val, test = (
        present[split].with_transform(eval_transform) if split in present else None for split in ("val", "test")
    )
    if train is not None and val is None and val_fraction > 0:
        kept, held_out = stratified_split(train.targets, val_fraction, seed)
        for purpose, rest in (("validation", held_out), ("training", kept)):
            if len(rest) == 0 < len(train):
                raise DataError(
                    f"data.val_fraction={val_fraction} of the {len(train)} training images leaves none for {purpose}",
                    place=root or name,
                    remedy="Set it to 0 to train without validation, or add images: a class of two has one for each",
                )
        val = Subset(present["train"].with_transform(eval_transform), held_out.tolist())
        train = Subset(train, kept.tolist())
    for split, part in (("train", train), ("val", val), ("test", test)):
        if part is not None and len(part) == 0:
            raise DataError(f"the {split} split has no image", place=root or name)
    return Splits(train, val, test, list(classes))


def reads_folder(name: str) -> bool:
    """Return whether a data set lies in a folder, and does not come with the package."""
    return name not in _BUNDLED


def reads_files(name: str) -> bool:
    """Return whether each image of a data set is a file, so that `shortest_edge` and `cache` have a meaning."""
    return "cache" in inspect.signature(DATASETS.find(name)).parameters


def _what_is_read(name: str) -> str:
    """Return a sentence on where a kind of data set looks."""
    first_line = (inspect.getdoc(DATASETS.find(name)) or "").partition("\n")[0]
    return f"{name} reads {first_line[:1].lower()}{first_line[1:].removesuffix('.')}"


_BUNDLED = {"digits"}


def _in_two(kind: Callable[..., Any]) -> Callable[..., Any]:
    """A set that comes as train and test."""

    def build(root: Any, split: str, /, **options: Any) -> Any:
        return None if split == "val" else kind(root=root, train=split == "train", **options)

    parameters = inspect.signature(kind).parameters.values()
    options = [p.replace(kind=p.KEYWORD_ONLY) for p in parameters if p.kind in _BY_NAME and p.name not in _OF_A_SET]
    build.__doc__ = kind.__doc__
    # Without root and split, which come by position: EMNIST has an option `split`.
    build.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    return build


for _name, _kind in {
    "digits": Digits,
    "mnist": MNIST,
    "fashion_mnist": FashionMNIST,
    "kmnist": KMNIST,
    "emnist": EMNIST,
    "qmnist": QMNIST,
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
}.items():
    DATASETS.register(_name)(_in_two(_kind))


@DATASETS.register("idx")
def _idx(root: Any, split: str, /, *, classes: Sequence[str] | None = None, download: bool = False) -> IDX | None:
    """Files of your own in MNIST's form; without names, the classes are the labels of the training images."""
    if split == "val":
        return None
    folder = _required_root(root, "idx")
    if split == "test" and classes is None:
        classes = IDX(folder).classes
    return IDX(folder, split == "train", classes=classes)


@DATASETS.register("image_folder")
def _image_folder(
    root: Any, split: str, /, *, download: bool = False, shortest_edge: int | None = None, cache: str | None = None
) -> ImageFolder | None:
    """Folders `train`, `val`, `test` with a folder for every class."""
    folder = _required_root(root, "image_folder") / split
    return ImageFolder(folder, loader=_loader(shortest_edge, cache)) if folder.is_dir() else None


@DATASETS.register("labels_file")
def _labels_file(
    root: Any, split: str, /, *, download: bool = False, shortest_edge: int | None = None, cache: str | None = None
) -> LabelsFile | None:
    """Files `train.csv`, `val.csv`, `test.csv`, or with `.jsonl`, that list images and labels."""
    folder = _required_root(root, "labels_file")
    files = [folder / f"{split}{suffix}" for suffix in (".csv", ".jsonl")]
    file = next((file for file in files if file.is_file()), None)
    return None if file is None else LabelsFile(file, loader=_loader(shortest_edge, cache))


def _loader(shortest_edge: int | None, cache: str | None) -> Callable[[str], Any]:
    """Return what reads the images: decoded at reduced scale, and kept in memory, where that is asked for."""
    if cache not in (None, "ram"):
        raise ValueError(f"`cache` (={cache!r}) must be null or ram")
    read = functools.partial(read_image, shortest_edge=shortest_edge)
    return read if cache is None else RamCache(read)


def _required_root(root: Any, name: str) -> Path:
    if root is None:
        raise DataError(f"the dataset {name} needs the folder of its data", place="data.root", remedy="Name it")
    folder = Path(root).expanduser()
    if not folder.is_dir():
        within = "" if folder.is_absolute() else f" in {Path.cwd()}"
        raise DataError(f"there is no such folder{within}", place=folder, remedy="Check data.root")
    return folder
