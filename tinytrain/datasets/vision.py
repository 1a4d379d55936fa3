"""What the image sets have in common: transforms, a description, and the whole-batch path of those in memory."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from tinytrain.device import CPU, Array, move
from tinytrain.device import device as Device
from tinytrain.random_streams import BatchStream
from tinytrain.tensor import Tensor, wrap
from tinytrain.transforms.batch import steps_in_a_row
from tinytrain.transforms.composition import Compose
from tinytrain.transforms.late import put_off_conversion
from tinytrain.utils.data import Dataset

Self = TypeVar("Self", bound="VisionDataset")


class VisionDataset(Dataset):
    """A map-style set of (image, target) with torchvision's `root`, `transform`, `target_transform`.

    Args:
        root: folder of the data; shown by `repr`.
        transforms: takes and returns (image, target); instead of the other two.
        transform: takes and returns the image.
        target_transform: takes and returns the target.

    Raises:
        ValueError: `transforms` comes together with one of the other two.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        transforms: Callable[[Any, Any], tuple[Any, Any]] | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
    ):
        if transforms is not None and (transform is not None or target_transform is not None):
            raise ValueError("Only transforms or transform/target_transform can be passed as argument")
        self.root = None if root is None else os.path.expanduser(os.fspath(root))
        self.transform, self.target_transform = transform, target_transform
        self.transforms = transforms

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__")

    def with_transform(self: Self, transform: Callable[[Any], Any] | None) -> Self:
        """Return a set of the same samples, sharing their memory, with another `transform`."""
        other = copy.copy(self)
        other.transform = transform
        return other

    def extra_repr(self) -> str:
        """Return lines of the description that only this set has."""
        return ""

    def __repr__(self) -> str:
        body = [f"Number of datapoints: {len(self)}"]
        if self.root is not None:
            body.append(f"Root location: {self.root}")
        body += self.extra_repr().splitlines()
        if self.transforms is not None:
            body.append(repr(self.transforms))
        elif self.transform is not None or self.target_transform is not None:
            steps = _labelled("Transform: ", self.transform) + _labelled("Target transform: ", self.target_transform)
            body.append("\n".join(["StandardTransform", *steps]))  # only its first line is indented, as torchvision's
        return "\n".join([f"Dataset {type(self).__name__}", *("    " + entry for entry in body)])

    def _transformed(self, image: Any, target: Any) -> tuple[Any, Any]:
        if self.transforms is not None:
            return self.transforms(image, target)
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return image, target


class FileDataset(VisionDataset):
    """Images in files, each read when it is asked for.

    Attributes:
        samples: list of (path, class index).
        targets: list of class indices.
        classes: their names.
        class_to_idx: name -> index.
        loader: reads an image, given its path.
    """

    samples: list[tuple[str, int]]
    targets: list[int]
    classes: list[str]
    class_to_idx: dict[str, int]
    loader: Callable[[str], Any]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.samples[index]
        return self._transformed(self.loader(path), target)

    def put_off(self) -> tuple[VisionDataset, Callable[[Any], Any]] | None:
        """Return a set of the same images as pixels, and what makes a batch of floats of a batch of those."""
        parts = None if self.transforms is not None else put_off_conversion(self.transform)
        if parts is None:
            return None
        to_pixels, convert = parts
        return self.with_transform(to_pixels), lambda batch: [convert(batch[0]), *batch[1:]]


class ArrayDataset(VisionDataset):
    """Images and labels that lie in memory as two arrays, or tensors, of the same length.

    Args:
        data: (n, h, w) grey or (n, h, w, 3) colour, uint8.
        targets: (n,) labels from 0, or (n, k) with k numbers a sample: a tensor or a list.
        classes: the names of the classes.
        root, transform, target_transform: as in `VisionDataset`.
    """

    def __init__(
        self,
        data: Tensor | np.ndarray,
        targets: Tensor | Sequence[int],
        classes: Sequence[str],
        root: str | os.PathLike[str] | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
    ):
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.data, self.targets = data, targets
        self.classes = list(classes)
        self._place: Device = CPU
        self._copies: dict[Device, tuple[Any, Array]] = {}  # of `data`; shared by all sets of the same samples

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The label of each class name."""
        return {name: label for label, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(_values(self.data))

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = Image.fromarray(_values(self.data)[index])
        target = _values(self.targets)[index]
        return self._transformed(image, wrap(target) if np.ndim(target) else int(target))

    def resident(self, place: Device) -> ArrayDataset:
        """Return a set of the same samples whose whole batches are made on a device, where the images lie once for all.

        Args:
            place: of the images, which are copied there with the first batch; sets that share memory share the copy.
        """
        other = copy.copy(self)
        other._place = place
        return other

    def whole_batch_problem(self) -> str | None:
        """Return why a batch cannot be made as a whole, None where it can."""
        if self.transforms is not None or self.target_transform is not None:
            return "targets have a transform of their own"
        if _values(self.data).dtype != np.uint8:
            return "the images have more than 8 bits"
        if getattr(self.transform, "has_batch", False):
            return None
        steps = self.transform.transforms if isinstance(self.transform, Compose) else [self.transform]
        names = [type(step).__name__ for step in steps if steps_in_a_row([step]) is None]
        return f"{' and '.join(names) or 'the pipeline'} work{'' if len(names) > 1 else 's'} on one image at a time"

    def load_batch(self, indices: Sequence[int], streams: BatchStream) -> list[Tensor] | None:
        """Return a collated batch made in array code, or None where the transforms have no such form.

        Args:
            indices: of the samples.
            streams: their random streams.

        Returns:
            Images (n, c, h, w) and targets (n,), equal to the bit to the collated samples, on the CPU unless the set is
            `resident` elsewhere.
        """
        if self.whole_batch_problem() is not None:
            return None
        rows, labels = np.asarray(indices), _values(self.targets)
        rows = np.where(rows < 0, rows + len(self), rows)
        chosen = labels[rows] if isinstance(labels, np.ndarray) else [labels[i] for i in indices]
        targets = move(np.array(chosen, dtype=np.int64), self._place)
        return [wrap(self.transform.batch(self._images(), rows, streams)), wrap(targets)]  # type: ignore[union-attr]

    def _images(self) -> Array:
        """Return all images, (n, h, w, c), where batches are made."""
        images = _values(self.data)
        images = images[..., None] if images.ndim == 3 else images
        if self._place == CPU:
            return images
        original, copied = self._copies.get(self._place, (None, None))
        if original is not self.data:
            copied = move(np.ascontiguousarray(images), self._place)
            self._copies[self._place] = self.data, copied
        return copied

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_copies": {}}


def _values(data: Any) -> Any:
    return data.array if isinstance(data, Tensor) else data


def _labelled(label: str, transform: Any) -> list[str]:
    if transform is None:
        return []
    first, *rest = repr(transform).splitlines()
    return [label + first, *(" " * len(label) + line for line in rest)]
