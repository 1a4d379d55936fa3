"""Images that stay in memory once they are read, for sets that fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PIL import Image


class RamCache:
    """A loader that reads each image once; every worker process has its own.

    Args:
        loader: reads an image, given its path.
        max_bytes: of decoded images to keep; those that come later are read each time.
    """

    def __init__(self, loader: Callable[[str], Image.Image], max_bytes: int = 1 << 31):
        self.loader = loader
        self.max_bytes = max_bytes
        self._images: dict[str, Image.Image] = {}
        self._num_bytes = 0

    def __call__(self, path: str) -> Image.Image:
        if path in self._images:
            return self._images[path]
        image = self.loader(path)
        num_bytes = image.width * image.height * len(image.getbands())
        if self._num_bytes + num_bytes <= self.max_bytes:
            self._images[path] = image
            self._num_bytes += num_bytes
        return image

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_images": {}, "_num_bytes": 0}
