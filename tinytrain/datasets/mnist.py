"""MNIST and the sets that were made in its image, under torchvision's names."""

from __future__ import annotations

import os
import string
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tinytrain.datasets.download import Resource
from tinytrain.datasets.idx import check_labels, read_idx
from tinytrain.datasets.idx_dataset import IDX
from tinytrain.errors import DataError

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_DIGITS = [f"{digit} - {name}" for digit, name in enumerate(_NUMBERS)]


class MNIST(IDX):
    """70,000 handwritten digits, 28 by 28 grey (LeCun, Cortes, Burges, 1998).

    Args:
        root: folder of the data: the files in it, or torchvision's layout; None: the user's cache.
        train: the 60,000 training images, else the 10,000 test images.
        transform: takes and returns the image, a Pillow image of mode L.
        target_transform: takes and returns the label.
        download: get the files that are missing, into `root/MNIST/raw`.

    Raises:
        DataError: a file is missing, damaged, or does not go with the other one.
    """

    class_names: ClassVar[Sequence[str]] = _DIGITS
    mirrors: ClassVar[Sequence[str]] = ("https://ossci-datasets.s3.amazonaws.com/mnist/",)
    md5: ClassVar[Mapping[str, str]] = {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    }

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, classes=self.class_names, **kwargs)

    def _resource(self, name: str) -> Resource | None:
        file = next(file for file in self.md5 if file.startswith(f"{name}."))
        return Resource(file, self.md5[file], [f"{mirror}{file}" for mirror in self.mirrors])


class FashionMNIST(MNIST):
    """70,000 pictures of Zalando's articles, 28 by 28 grey (Xiao, Rasul, Vollgraf, 2017). Arguments as for `MNIST`."""

    mirrors = ("https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",)
    md5: ClassVar[Mapping[str, str]] = {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }
    class_names = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )


class KMNIST(MNIST):
    """70,000 cursive Japanese characters, 28 by 28 grey (Clanuwat et al., 2018). Arguments as for `MNIST`."""

    mirrors = ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/",)
    md5: ClassVar[Mapping[str, str]] = {
        "train-images-idx3-ubyte.gz": "bdb82020997e1d708af4cf47b453dcf7",
        "train-labels-idx1-ubyte.gz": "e144d726b3acfaa3e44228e80efcd344",
        "t10k-images-idx3-ubyte.gz": "5c965bf0a639b31b8f53240b1b52f4d7",
        "t10k-labels-idx1-ubyte.gz": "7320c461ea6c1c855c0b718fb2a4b134",
    }
    class_names = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


_MERGED = set("cijklmopsuvwxyz")  # lower-case letters that look like their capitals
_CHARACTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_MERGED_CHARACTERS = [character for character in _CHARACTERS if character not in _MERGED]


class EMNIST(MNIST):
    """Handwritten digits and letters, 28 by 28 grey, each image transposed (Cohen et al., 2017).

    Args:
        root: folder of the data; None: the user's cache.
        split: `byclass`, `bymerge`, `balanced`, `letters`, `digits` or `mnist`.
        **kwargs: `train`, `transform`, `target_transform`, `download` as for `MNIST`.

    Raises:
        ValueError: there is no such split.
        DataError: a file is missing, damaged, or does not go with the other one.
    """

    splits: ClassVar[Mapping[str, Sequence[str]]] = {
        "byclass": _CHARACTERS,
        "bymerge": _MERGED_CHARACTERS,
        "balanced": _MERGED_CHARACTERS,
        "letters": ["N/A", *string.ascii_lowercase],
        "digits": string.digits,
        "mnist": string.digits,
    }
    mirrors = ("https://biometrics.nist.gov/cs_links/EMNIST/",)
    md5: ClassVar[Mapping[str, str]] = {"gzip.zip": "58c8d27c78d21e728a6bc7b3cc06412e"}

    def __init__(self, root: str | os.PathLike[str] | None = None, split: str = "balanced", **kwargs: Any):
        self.split = _one_of("split", split, self.splits)
        self.class_names = self.splits[split]  # type: ignore[misc]  # a split has its own names
        super().__init__(root, **kwargs)

    def _files(self) -> tuple[str, str]:
        part = f"emnist-{self.split}-{'train' if self.train else 'test'}"
        return f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"

    def _resource(self, name: str) -> Resource:
        urls = [f"{mirror}gzip.zip" for mirror in self.mirrors]
        return Resource("gzip.zip", self.md5["gzip.zip"], urls, member=f"gzip/{name}.gz")


class QMNIST(MNIST):
    """MNIST rebuilt from its source, with 60,000 test images and their origins (Yadav, Bottou, 2019).

    Args:
        root: folder of the data; None: the user's cache.
        what: `train`, `test`, `test10k` (the first 10,000 of test), `test50k` (the rest) or `nist`; by default as
            `train` says.
        compat: targets are the labels (n,), else all eight columns (n, 8) with class, series, writer, ...
        train: as for `MNIST`.
        **kwargs: `transform`, `target_transform`, `download` as for `MNIST`.

    Raises:
        ValueError: there is no such part.
        DataError: a file is missing, damaged, or does not go with the other one.
    """

    parts: ClassVar[dict[str, tuple[str, slice]]] = {
        "train": ("qmnist-train", slice(None)),
        "test": ("qmnist-test", slice(None)),
        "test10k": ("qmnist-test", slice(10_000)),
        "test50k": ("qmnist-test", slice(10_000, None)),
        "nist": ("xnist", slice(None)),
    }
    mirrors = ("https://raw.githubusercontent.com/facebookresearch/qmnist/master/",)
    md5: ClassVar[Mapping[str, str]] = {
        "qmnist-train-images-idx3-ubyte.gz": "ed72d4157d28c017586c42bc6afe6370",
        "qmnist-train-labels-idx2-int.gz": "0058f8dd561b90ffdd0f734c6a30e5e4",
        "qmnist-test-images-idx3-ubyte.gz": "1394631089c404de565df7b7aeaf9412",
        "qmnist-test-labels-idx2-int.gz": "5b5b05890a5e13444e108efe57b788aa",
        "xnist-images-idx3-ubyte.xz": "7f124b3b8ab81486c9d8c2749c17f834",
        "xnist-labels-idx2-int.xz": "5ed0e788978e45d4a8bd4b7caec3d79d",
    }

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        what: str | None = None,
        compat: bool = True,
        train: bool = True,
        **kwargs: Any,
    ):
        self.what = _one_of("what", what or ("train" if train else "test"), self.parts)
        self.compat = compat
        super().__init__(root, train, **kwargs)

    def extra_repr(self) -> str:
        return f"Split: {self.what}"

    def _files(self) -> tuple[str, str]:
        name = self.parts[self.what][0]
        return f"{name}-images-idx3-ubyte", f"{name}-labels-idx2-int"

    def _rows(self) -> slice:
        return self.parts[self.what][1]

    def _read_labels(self, path: Path, num_classes: int | None) -> np.ndarray:
        table = read_idx(path)
        if table.dtype != np.int32 or table.ndim != 2 or table.shape[1] != 8:
            raise DataError(f"labels must be int32 (n, 8); these are {table.dtype} {table.shape}", place=path)
        check_labels(table[:, 0], num_classes, path)
        return table[:, 0].astype(np.int64) if self.compat else table.astype(np.int64)


def _one_of(name: str, value: str, known: Collection[str]) -> str:
    if value not in known:
        raise ValueError(f"Unknown value '{value}' for argument {name}. Valid values are {', '.join(known)}.")
    return value
