"""The IDX format: what is right is read exactly, what is wrong is refused by name."""

import gzip
import lzma
import struct

import numpy as np
import pytest

from tinytrain.datasets.idx import read_idx, read_images, read_labels
from tinytrain.errors import DataError

from .idx_files import encoded

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
ZIPPED = gzip.compress(encoded(IMAGES), mtime=0)


@pytest.fixture
def write(tmp_path):
    def write(content, name="file-idx"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "float32", "float64"])
def test_every_element_type_is_read(write, dtype):
    array = np.array([[1, 2, 3], [100, -5 if dtype != "uint8" else 5, 7]], dtype=dtype)
    result = read_idx(write(encoded(array)))
    assert result.dtype == array.dtype
    assert np.array_equal(result, array)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress])
def test_compression_is_told_by_the_content(write, compress):
    assert np.array_equal(read_images(write(compress(encoded(IMAGES)))), IMAGES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file: it begins with nothing"),
        (b"\x89PNG\r\n", "not an IDX file: it begins with 89 50 4e 47"),
        (b"\0\0\x07\x01\0\0\0\0", "not an IDX file"),
        (b"\0\0\x08\x00", "not an IDX file"),
        (b"\0\0\x08\x41" + b"\0\0\0\x01" * 65 + b"x", "not an IDX file"),
        (b"\0\0\x08\x03\0\0\0\x01", "the header ends before the sizes of its 3 dimensions"),
        (encoded(IMAGES)[:-1], "announces 24 bytes of values, the file ends after 23"),
        (encoded(IMAGES) + b"x", "there is more after the 24 bytes"),
        (ZIPPED[:-6], "cannot be read"),
        (ZIPPED[:-8] + bytes(8), "cannot be read: CRC check failed"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "the limit is"),
        (b"\0\0\x08\x04\0\0\0\0" + b"\xff" * 12, "the limit is"),
    ],
)
def test_what_is_wrong_is_refused_with_the_name_of_the_file(write, content, message):
    path = write(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert caught.value.place == str(path)


def test_a_header_that_announces_gigabytes_allocates_none(write):
    path = write(b"\0\0\x08\x01" + struct.pack(">I", 0xFFFFFFF0) + b"abc")
    with pytest.raises(DataError, match="announces 4294967280 bytes of values, the file ends after 3"):
        read_idx(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_idx(tmp_path / "nothing")


def test_images_and_labels_are_not_taken_for_each_other(write):
    with pytest.raises(DataError, match=r"labels must be uint8 of 1 dimension; these are uint8 of shape \(2, 3, 4\)"):
        read_labels(write(encoded(IMAGES)))
    with pytest.raises(DataError, match="images must be uint8 of 3 dimensions"):
        read_images(write(encoded(np.zeros(3, np.uint8))))


def test_a_label_beyond_the_classes_is_named(write):
    with pytest.raises(DataError, match="label 12 of image 2 is not from 0 to 9"):
        read_labels(write(encoded(np.array([3, 9, 12, 11], np.uint8))), num_classes=10)
