"""Windows of many images at once are what NumPy's padding, slicing and reversing makes of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinytrain.device import CPU, device, move
from tinytrain.kernels import kernel
from tinytrain.kernels.reference import images as reference

RNG = np.random.default_rng(0)
FAR = 9  # pixels that a window may lie outside
SHAPES = [(7, 5, 6, 3, 5, (7, 4)), (4, 1, 1, 1, 3, (3, 3)), (9, 8, 8, 1, 11, (8, 8)), (3, 4, 5, 2, 1, (9, 11))]


def one_window(image: Any, place: list[int], size: tuple[int, int], border: str, table: Any) -> np.ndarray:
    """Return a window of an image (h, w, c), its levels looked up: (oh, ow, c)."""
    _, top, left, turns = place
    levels = np.pad(image.astype(np.int64), ((FAR, FAR + 20), (FAR, FAR + 20), (0, 0)), border, **outside(border))
    window = levels[FAR + top : FAR + top + size[0], FAR + left : FAR + left + size[1]]
    if turns & reference.MIRRORED:
        window = window[:, ::-1]
    if turns & reference.UPSIDE_DOWN:
        window = window[::-1]
    return np.stack([table[k][window[..., k]] for k in range(image.shape[2])], axis=-1)


def outside(border: str) -> dict[str, Any]:
    return {"constant_values": 256} if border == "constant" else {}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.uint8])
@pytest.mark.parametrize("border", ["constant", "edge", "reflect", "symmetric"])
@pytest.mark.parametrize("has_boxes", [False, True])
@pytest.mark.parametrize(("m", "h", "w", "c", "n", "size"), SHAPES)
def test_a_window_is_cut_turned_and_looked_up(
    m: int, h: int, w: int, c: int, n: int, size: tuple[int, int], has_boxes: bool, border: str, dtype: Any, device: str
):
    images = RNG.integers(0, 256, (m, h, w, c), np.uint8)
    corners = RNG.integers(-FAR, FAR, (2, n))
    places = np.stack([RNG.integers(0, m, n), *corners, RNG.integers(0, 4, n)], axis=1).astype(np.int32)
    table = (RNG.random((c, 257)) * 200).astype(dtype)
    boxes = RNG.integers(0, 6, (n, 4)).astype(np.int32) if has_boxes else None
    erased = (RNG.random(c) * 200).astype(dtype) if has_boxes else None
    there = [None if each is None else on(each, device) for each in (images, table, erased)]
    found = kernel("gather_images", there[1])(there[0], places, size, border, there[1], boxes, there[2])
    assert found.shape == (n, c, *size)
    assert found.transpose(0, 2, 3, 1).flags.c_contiguous
    found = move(found, CPU)
    assert found.dtype == dtype
    for i in range(n):
        expected = one_window(images[places[i, 0]], places[i].tolist(), size, border, table)
        if boxes is not None:
            top, left, height, width = boxes[i]
            expected[top : top + height, left : left + width] = erased
        assert np.array_equal(found[i], expected.transpose(2, 0, 1))


def on(array: np.ndarray, where: str) -> Any:
    return move(array, device(where))


def test_an_image_that_is_not_there_is_refused():
    images, table = np.zeros((2, 3, 3, 1), np.uint8), np.zeros((1, 257), np.float32)
    places = np.array([[2, 0, 0, 0]], np.int32)
    with pytest.raises(IndexError):
        kernel("gather_images", table)(images, places, (3, 3), "constant", table)
