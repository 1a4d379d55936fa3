"""Sets whose images lie in the memory of a device once for all, where whole batches are made of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytrain.datasets.vision import ArrayDataset, FileDataset
from tinytrain.device import device as Device
from tinytrain.errors import DataError
from tinytrain.utils.data import Subset


class DecodedFiles(ArrayDataset):
    """The images of files, decoded one and all, in one array; they must be of one size.

    Args:
        files: the set that is read.

    Attributes:
        samples: list of (path, class index), as of the files.

    Raises:
        DataError: a file is damaged, or has another size than the first.
    """

    def __init__(self, files: FileDataset):
        pixels: np.ndarray | None = None
        for i, (path, _) in enumerate(files.samples):
            image = np.asarray(files.loader(path))
            if pixels is None:
                pixels = np.empty((len(files), *image.shape), image.dtype)
            elif image.shape != pixels.shape[1:]:
                sizes = " and ".join(f"{shape[1]}x{shape[0]}" for shape in (image.shape, pixels.shape[1:]))
                raise DataError(
                    f"images that are to stay in memory must be of one size; this one and {files.samples[0][0]} "
                    f"have {sizes} pixels",
                    place=path,
                    remedy="Write them all in one size, or leave data.resident at auto",
                )
            pixels[i] = image
        if pixels is None:
            pixels = np.empty((0, 1, 1, 3), np.uint8)
        super().__init__(pixels, files.targets, files.classes, files.root, files.transform, files.target_transform)
        self.samples = files.samples


def whole_batch_problem(dataset: Any) -> str | None:
    """Return why batches of a set cannot be made as a whole, None where they can; of files, as if they were decoded."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    if isinstance(dataset, FileDataset):
        one = np.empty((1, 1, 1, 3), np.uint8)
        like = ArrayDataset(one, [0], [], None, dataset.transform, dataset.target_transform)
        like.transforms = dataset.transforms
        return like.whole_batch_problem()
    if isinstance(dataset, ArrayDataset):
        return dataset.whole_batch_problem()
    return f"{type(dataset).__name__} does not hold its images in memory"


def num_bytes(dataset: Any) -> int | None:
    """Return the bytes of all images that a set, or the set that it is a part of, has; None where they are files."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return int(np.prod(dataset.data.shape)) if isinstance(dataset, ArrayDataset) else None


def make_resident(dataset: Any, place: Device, decoded: dict[int, DecodedFiles]) -> Any:
    """Return the same samples in a set whose images lie on a device; see `ArrayDataset.resident`.

    Args:
        dataset: without a `whole_batch_problem`.
        place: where the images are to lie.
        decoded: files that were decoded already, by the identity of their lists of samples; more are entered.

    Raises:
        DataError: files are damaged, or images are not of one size.
    """
    if isinstance(dataset, Subset):
        return Subset(make_resident(dataset.dataset, place, decoded), dataset.indices)
    if isinstance(dataset, FileDataset):
        key = id(dataset.samples)
        if key not in decoded:
            decoded[key] = DecodedFiles(dataset)
        dataset = decoded[key].with_transform(dataset.transform)
    return dataset.resident(place)
