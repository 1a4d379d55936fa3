"""`.safetensors` files: read right, or refused with the reason."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from tinytrain.errors import WeightsError
from tinytrain.weights import read_weights

from .files import safetensors_file

ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
NESTED = b"[" * 700 + b"]" * 700
RAW = b"\0\0\x80?"


@pytest.mark.parametrize(
    "dtype",
    ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64"],
)
def test_what_the_librarys_writer_writes_is_read(tmp_path, dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    save_file({"a": array, "b": array[0].copy()}, tmp_path / "w.safetensors", metadata={"format": "pt"})
    file = read_weights(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(file.tensors["a"], array)
    np.testing.assert_array_equal(file.tensors["b"], array[0])
    assert file.tensors["a"].dtype == array.dtype
    assert file.dtypes["a"] == dtype
    assert file.entries == {"format": "pt"}


def test_bfloat16_becomes_float32(tmp_path):
    header = {"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    file = read_weights(safetensors_file(tmp_path / "w.safetensors", header, b"\x80\x3f\x49\x40"))
    assert file.tensors["a"].tolist() == [1.0, 3.140625]
    assert file.dtypes["a"] == "bfloat16"


@pytest.mark.parametrize(
    ("header", "data", "reason"),
    [
        ({"a": ONE | {"data_offsets": [0, 8]}}, RAW, "'a' lies at [0, 8], outside of the 4 bytes"),
        ({"a": ONE | {"data_offsets": [-4, 0]}}, RAW, "'a' lies at [-4, 0], outside"),
        ({"a": ONE | {"data_offsets": [4, 0]}}, RAW, "'a' lies at [4, 0], outside"),
        ({"a": ONE | {"data_offsets": [0]}}, RAW, "'a' has no two offsets into the data"),
        ({"a": ONE | {"shape": [2]}}, RAW, "'a' has 4 bytes, its shape [2] of float32 needs others"),
        ({"a": ONE | {"shape": [-1]}}, RAW, "a: no shape"),
        ({"a": ONE | {"shape": [1 << 32, 1 << 32]}}, RAW, "larger than any memory"),
        ({"a": ONE | {"shape": "1"}}, RAW, "a: no shape"),
        ({"a": ONE | {"dtype": "F8_E4M3"}}, RAW, "'a' has the type 'F8_E4M3', which is not read"),
        ({"a": ONE | {"dtype": ["F32"]}}, RAW, "which is not read"),
        ({"a": ONE | {"data_offsets": "[0, 4]"}}, RAW, "'a' has no two offsets"),
        (b'{"a": {"dtype": "F32", "data_offsets": ' + NESTED + b', "shape": []}}', RAW, "'a' has no two offsets"),
        (b'{"a": {"shape": ' + NESTED + b', "data_offsets": [0, 4], "dtype": "F32"}}', RAW, "a: no shape: (list)"),
        (b'{"a": {"dtype": ' + NESTED + b', "data_offsets": [0, 4], "shape": []}}', RAW, "the type 'list'"),
        ({"a": {"dtype": "F32"}}, RAW, "'a' is not described by dtype, shape and data_offsets"),
        ({"a": ONE | {"more": 1}}, RAW, "'a' is not described by"),
        ({"a": 1}, RAW, "'a' is not described by"),
        ({"a": ONE, "b": ONE}, RAW, "overlap or leave a gap at byte 0"),
        ({"a": ONE | {"data_offsets": [4, 8]}}, RAW * 2, "overlap or leave a gap at byte 0"),
        ({"a": ONE}, RAW * 2, "4 bytes of the data belong to no tensor"),
        ({"__metadata__": {"a": 1}}, b"", "the metadata are not text by name"),
        ({"__metadata__": "x"}, b"", "the metadata are not text by name"),
        (b'{"a": 1, "a": 1}', b"", "the header is no JSON: a name comes twice"),
        (b'{"a": ', b"", "the header is no JSON"),
        (b'{"a\xff": 1}', b"", "the header is no JSON"),
        (b'{"a": ' + b"[" * 100_000, b"", "the header is no JSON"),
    ],
)
def test_a_header_that_does_not_fit_the_file_is_refused(tmp_path, header, data, reason):
    with pytest.raises(WeightsError) as caught:
        read_weights(safetensors_file(tmp_path / "w.safetensors", header, data))
    assert reason in str(caught.value)


@pytest.mark.parametrize("length", [100, 1 << 40, (1 << 64) - 1])
def test_a_header_beyond_the_file_is_refused(tmp_path, length):
    with pytest.raises(WeightsError, match=f"the header is said to have {length} bytes"):
        read_weights(safetensors_file(tmp_path / "w.safetensors", {"a": ONE}, RAW, length=length))


def test_any_cut_of_a_file_is_refused(tmp_path):
    content = safetensors_file(tmp_path / "w.safetensors", {"a": ONE}, RAW).read_bytes()
    for end in range(len(content)):
        (tmp_path / "cut.safetensors").write_bytes(content[:end])
        with pytest.raises(WeightsError):
            read_weights(tmp_path / "cut.safetensors")


def test_names_that_would_move_the_cursor_are_shown_escaped(tmp_path):
    header = {"\x1b[2J": ONE, "__metadata__": {"note": "a\nb\ud800"}}
    file = read_weights(safetensors_file(tmp_path / "w.safetensors", json.dumps(header).encode(), RAW)).describe()
    assert file["tensors"][0]["name"] == "\\x1b[2J"
    assert file["entries"][0]["value"] == "a\\nb\\ud800"
