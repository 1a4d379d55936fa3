"""`.npz` files: read right, or refused with the reason; their headers are never evaluated."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from tinytrain.errors import WeightsError
from tinytrain.weights import read_weights


def npz_file(path, **entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            file.writestr(f"{name}.npy", content)
    return path


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npy_header(shape):
    """Return an `.npy` file of float32 without values, whose shape is any text."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


@pytest.mark.parametrize(
    ("text", "shape"), [("0", (0,)), ("0,", (0,)), ("0L, 4L", (0, 4)), (" 0 , 4 ,", (0, 4)), ("4,\n0", (4, 0))]
)
def test_a_shape_is_read_however_it_is_spaced(tmp_path, text, shape):
    assert read_weights(npz_file(tmp_path / "w.npz", a=npy_header(text))).tensors["a"].shape == shape


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read(tmp_path, save):
    arrays = {
        "conv1/weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">i4"),
        "flag": np.array([True, False]),
        "scalar": np.array(2.5, np.float16),
        "empty": np.zeros((0, 4)),
    }
    save(tmp_path / "w.npz", **arrays)
    file = read_weights(tmp_path / "w.npz")
    assert file.tensors.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(file.tensors[name], array)
        assert file.tensors[name].shape == array.shape
        assert file.dtypes[name] == array.dtype.name


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda raw: raw[:-1], "'a' has 11 bytes, its shape (3,) needs another number"),
        (lambda raw: raw + b"x", "'a' has 13 bytes"),
        (lambda raw: raw[:5], "is no array of NumPy's"),
        (lambda raw: raw.replace(b"NUMPY", b"NUMPI"), "is no array of NumPy's"),
        (lambda raw: raw.replace(b"(3,)", b"(9,)"), "its shape (9,) needs another number"),
        (lambda raw: raw.replace(b"(3,), ", b"(1<<9)"), "has a header that is not understood"),
        (lambda raw: raw.replace(b"(3,), }     ", b"(-1,), }    "), "has a header that is not understood"),
        (lambda raw: raw.replace(b"(3,), ", b"(1 3,)"), "has a header that is not understood"),
        (lambda raw: raw.replace(b"(3,), ", b"(L,), "), "has a header that is not understood"),
        (lambda raw: raw.replace(b"(3,), ", b"(,3), "), "has a header that is not understood"),
        (lambda raw: npy_header("9" * 5000), "has a header that is not understood"),
        (lambda raw: raw.replace(b"'<f4'", b"'|V4'"), "holds '|V4', not plain numbers"),
        (lambda raw: raw.replace(b"'<f4'", b"'<M8'"), "holds '<M8', not plain numbers"),
        (lambda raw: raw.replace(b"'fortran_order': False", b"'fortran_order': eval('')"[:22]), "not understood"),
        (lambda raw: raw[:8] + b"\xff\xff" + raw[10:], "has a header that is not understood"),
    ],
)
def test_a_damaged_array_is_refused(tmp_path, change, reason):
    path = npz_file(tmp_path / "w.npz", a=change(npy(np.arange(3, dtype=np.float32))))
    with pytest.raises(WeightsError) as caught:
        read_weights(path)
    assert reason in str(caught.value).replace("'a.npy'", "'a'")


def test_other_entries_beside_the_arrays_are_refused(tmp_path):
    path = npz_file(tmp_path / "w.npz", a=npy(np.zeros(3)))
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("a", npy(np.ones(3)))
    with pytest.raises(WeightsError, match="a zip archive with arrays and other things"):
        read_weights(path)


def test_a_bomb_of_zeros_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "w.npz", a=np.zeros(36_000_000, np.float32))
    with pytest.raises(WeightsError, match="stands for more than"):
        read_weights(tmp_path / "w.npz")
