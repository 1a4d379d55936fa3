"""Image files as Pillow images: upright, opaque, with 8 bits a channel; or refused by name.

What comes out differs from torchvision's `pil_loader` in three ways: the EXIF orientation is applied, transparent
pixels show a white ground instead of whatever colour they hide, and images of 16 bits are scaled to 8 instead of
being cut off.
"""

from __future__ import annotations

import os
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, UnidentifiedImageError

from tinytrain.errors import DataError

MAX_PIXELS = 1 << 26  # at 4 bytes a pixel and 3 copies on the way, under 1 GB
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF", "ICO")
"""What images are read from, whatever their names say; Pillow reads others, and starts a program for one (EPS)."""
GROUND = (255, 255, 255, 255)
"""The colour behind transparent pixels: white, as on a page."""

_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    EOFError,
    TypeError,
    AttributeError,
    ArithmeticError,
    NotImplementedError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow's decoders raise on damaged files."""

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {  # EXIF 2.3, table 6: what undoes each orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def pil_loader(path: str | os.PathLike[str]) -> Image.Image:
    """Read an image file as mode RGB; `read_image` with its defaults."""
    return read_image(path)


def read_image(
    path: str | os.PathLike[str],
    mode: str | None = "RGB",
    *,
    shortest_edge: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """Read an image file; of an animated one the first frame.

    Args:
        path: the file; its format is told by its first bytes.
        mode: of the result: `RGB` or `L`, on a white ground and with 8 bits a channel; None: the file's own mode,
            so that images of 16 and 32 bits keep their values.
        shortest_edge: pixels that the shorter edge is needed for; JPEGs are then decoded at 1/2, 1/4 or 1/8 of
            their size as long as it stays at least as long. Faster, and not equal to decoding in full and shrinking.
        max_pixels: refuse larger images before they are decoded.

    Returns:
        An image in memory, turned as its EXIF orientation says.

    Raises:
        DataError: the file is missing, damaged, too large, or cannot be brought into the mode without loss of range:
            32-bit integers must lie in 0..65535, floats in 0..1.
    """
    with open_image(path) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise DataError(
                f"has {width} x {height} pixels; at most {max_pixels} are read", place=path, remedy="Shrink it"
            )
        if shortest_edge is not None and image.format == "JPEG":
            image.draft(image.mode, (shortest_edge, shortest_edge))
        image.load()
        upright = _upright(image)
        return upright if mode is None else _in_mode(upright, mode)


@contextmanager
def open_image(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """Open an image file, of which only the header is read at first.

    Raises:
        DataError: the file is missing, of another format than `FORMATS`, or damaged, as far as the block looks at it.
    """
    try:
        _refuse_endless(path)
        with open(path, "rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of half-broken metadata and, below the cap, of size
            yield Image.open(stream, formats=FORMATS)
    except _DAMAGE as error:
        if isinstance(error, UnidentifiedImageError):  # whose own words name a file object
            reason = "cannot identify image file"
        else:
            reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"cannot be read as an image: {reason}", place=path) from error


def count_frames(image: Image.Image) -> int | None:
    """Return how many frames an open image has, of which only the first is read; None where the others are damaged."""
    try:
        return int(getattr(image, "n_frames", 1))
    except _DAMAGE:
        return None


def _refuse_endless(path: str | os.PathLike[str]) -> None:
    """Refuse what may have no end, or no beginning for as long as nobody writes: pipes, sockets, devices."""
    kind = stat.S_IFMT(os.stat(path).st_mode)
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        raise OSError("it is no regular file")


def _upright(image: Image.Image) -> Image.Image:
    turn = _UPRIGHT.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1, upright, where the EXIF data is damaged."""
    if image.format == "JPEG" and not {"exif", "xmp"} & image.info.keys():
        return 1  # looking for what is not there takes longer than cutting an image
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except _DAMAGE:
        return 1


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        image = _to_8_bits(image)
    elif image.has_transparency_data:
        ground = Image.new("RGBA", image.size, GROUND)
        ground.alpha_composite(image if image.mode == "RGBA" else image.convert("RGBA"))
        image = ground
    return image if image.mode == mode else image.convert(mode)


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scale full brightness, 65535 or 1.0, to 255."""
    values = np.asarray(image)
    brightest = 1.0 if image.mode == "F" else 65535
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= brightest):
        raise ValueError(
            f"its values from {low} to {high} have no 8-bit form (full brightness is {brightest}); "
            "read it with mode None"
        )
    levels = (values * (255 / brightest) + 0.5).astype(np.uint8)
    if isinstance(key := image.info.get("transparency"), int):  # the one grey level that is transparent
        levels[values == key] = GROUND[0]
    return Image.fromarray(levels)
