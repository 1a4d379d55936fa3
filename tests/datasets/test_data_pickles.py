"""Pickles as data: arrays come out, nothing is executed."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from tinytrain.datasets.data_pickle import read_pickle
from tinytrain.errors import DataError

PLACE = Path("batch")


def same(a, b):
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value",
    [
        {"labels": [1, 2, 300, -4, 1 << 70], "name": "photo", "mean": 0.5, "flags": (True, False, None)},
        [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {}, [], "é", b"\x00\xff", bytearray(b"ab")],
        {"data": np.arange(12, dtype=np.uint8).reshape(3, 4), "other": np.arange(6, dtype=">f8").reshape(2, 3).T},
    ],
)
def test_plain_values_and_arrays_are_read_as_they_were_written(value, protocol):
    if protocol < 3 and isinstance(value, list):
        value = value[:-2]  # bytes were text then
    if protocol < 5 and isinstance(value, list):
        value = [item for item in value if not isinstance(item, bytearray)]
    assert same(read_pickle(pickle.dumps(value, protocol), PLACE), value)


def test_a_numpy_number_is_a_number():
    assert read_pickle(pickle.dumps([np.float64(1.5), np.int64(-3)]), PLACE) == [1.5, -3]


def test_strings_of_python_2_are_text():
    assert read_pickle(b"\x80\x02}U\x03keyU\x02\xe9xs.", PLACE) == {"key": "\xe9x"}


class Command:
    def __reduce__(self):
        return os.system, ("echo executed > traces",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_function_call_is_refused_by_name_and_not_made(protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps({"data": Command()}, protocol)
    with pytest.raises(DataError, match=r"batch: the pickle names (posix|nt)\.system"):
        read_pickle(content, PLACE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy.core.multiarray\nfromfile\n.",
        b"cnumpy.testing._private.utils\nrunstring\n.",
        pickle.dumps(np.random.default_rng(0)),
    ],
)
def test_every_other_name_is_refused(content):
    with pytest.raises(DataError, match="the pickle names"):
        read_pickle(content, PLACE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"(S'a'\nios\nsystem\n.", "names os.system"),
        (b"\x80\x02P1\n.", "the instruction PERSID"),
        (b"\x82\x01.", "the instruction EXT1"),
        (b"", "damaged"),
        (b"\x80\x02]", "damaged"),
        (b"\x80\x02e.", "damaged"),
        (b"\x80\x02h\x05.", "damaged"),
        (b"\x80\x02B\xff\xff\xff\x7f", "damaged"),
        (b"\x80\x02K\x01K\x02R.", "damaged: a Global was expected, not a int"),
        (b"\x80\x02K\x01K\x02b.", "damaged"),
        (b"\x80\x02}(K\x01K\x02K\x01K\x03u.", "damaged: a dict has the key 1 twice"),
        (b"\x80\x02}K\x01K\x02sK\x01K\x03s.", "damaged: a dict has the key 1 twice"),
        (b"(I1\nI2\nI1\nI3\nd.", "damaged: a dict has the key 1 twice"),
        (b"\x80\x02}(K\x01u.", "damaged: a dict has a key without a value"),
    ],
)
def test_a_damaged_or_strange_pickle_is_refused(content, message):
    with pytest.raises(DataError, match=message):
        read_pickle(content, PLACE)


def test_arrays_of_objects_are_refused():
    with pytest.raises(DataError, match="arrays of type 'O8' are not read"):
        read_pickle(pickle.dumps(np.array([{}, {}])), PLACE)


def test_what_a_pickle_builds_is_counted_however_short_it_says_it():
    text = b"X" + (1_000_000).to_bytes(4, "little") + b"a" * 1_000_000
    remembered = b"c_codecs\nencode\nq\x00" + text + b"q\x01X\x06\0\0\0latin1q\x02"
    array = b"cnumpy._core.numeric\n_frombuffer\nq\x03cnumpy\ndtype\nX\x02\0\0\0u1\x85Rq\x04K\x00\x85q\x05"
    encode, from_text = b"h\x00h\x01h\x02\x86R", b"h\x03(h\x01h\x04J\x40\x42\x0f\x00\x85X\x01\0\0\0CtR"
    for begin, once in ((remembered, encode), (remembered + array, from_text)):
        with pytest.raises(
            DataError, match=r"^batch: the file stands for more than \d+ bytes, far more than its size$"
        ):
            read_pickle(begin + b"](" + once * 600 + b"e.", PLACE)


def test_any_cut_of_a_pickle_is_refused_or_read_without_crashing():
    content = pickle.dumps({"data": np.arange(9, dtype=np.uint8), "labels": [1, 2, 3]}, 2)
    for end in range(len(content)):
        with pytest.raises(DataError):
            read_pickle(content[:end], PLACE)


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
def test_any_changed_byte_is_read_or_refused_but_never_crashes():
    content = pickle.dumps({"data": np.arange(9, dtype=np.uint8), "labels": [1, 2, 3]}, 2)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(3000):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] = rng.integers(256)
        try:
            read_pickle(bytes(damaged), PLACE)
        except DataError:
            refused += 1
    assert refused > 1000
