"""PyTorch's files in all three formats: right, or refused with the reason."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from tinytrain.errors import WeightsError
from tinytrain.weights import read_weights

from .files import MAGIC, Call, Named, Storage, legacy_file, pickled, tar_file, tensor, zip_file

SIX = np.arange(6, dtype="<f4")
FLOATS = Storage("FloatStorage", "0", 6)


@pytest.fixture(params=["zip", "legacy"])
def write(request, tmp_path):
    """Return a function that writes a value with one storage of six floats, or none, in each format."""

    def write(value, has_storage=True):
        if request.param == "zip":
            return zip_file(tmp_path / "w.pth", value, {"0": SIX.tobytes()} if has_storage else {})
        return legacy_file(tmp_path / "w.pth", value, {"0": (6, SIX.tobytes())} if has_storage else {})

    return write


def test_views_of_one_storage_are_read_by_offset_and_stride(write):
    file = read_weights(
        write({"a": tensor(FLOATS, 0, (2, 3), (3, 1)), "b": tensor(FLOATS, 1, (2, 2), (1, 2)), "n": 7, "s": "x"})
    )
    np.testing.assert_array_equal(file.tensors["a"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(file.tensors["b"], [[1, 3], [2, 4]])
    assert file.dtypes == {"a": "float32", "b": "float32"}
    assert file.entries == {"n": 7, "s": "x"}


def test_values_of_any_size_are_described_shortly(write):
    value = {"many": list(range(1000)), "large": [1 << 40_000], "text": "x" * 1000, "raw": b"\x1b[2J", "none": None}
    entries = read_weights(write(value, has_storage=False)).describe()["entries"]
    assert {entry["name"]: entry["value"] for entry in entries} == {
        "many": "1000 values",
        "large": "[an integer of 40001 bits]",
        "text": "x" * 119 + "…",
        "raw": "b'\\x1b[2J'",
        "none": "None",
    }


def test_containers_become_dotted_names(write):
    value = {
        "model": {"fc.weight": tensor(FLOATS, 0, (6,), (1,))},
        "layers": [tensor(FLOATS, 2, (), ())],
        "steps": [1, 2],
    }
    file = read_weights(write(value))
    assert list(file.tensors) == ["model.fc.weight", "layers.0"]
    assert file.tensors["layers.0"] == 2
    assert file.entries == {"steps": [1, 2]}


@pytest.mark.parametrize("location", ["cuda:0", "mps", "xla:99", "no such device"])
def test_device_tags_are_ignored(write, location):
    storage = Storage("FloatStorage", "0", 6, location)
    assert read_weights(write({"a": tensor(storage, 0, (6,), (1,))})).tensors["a"].tolist() == SIX.tolist()


def test_an_expanded_tensor_repeats_its_element(write):
    assert read_weights(write({"a": tensor(FLOATS, 5, (3, 2), (0, 0))})).tensors["a"].tolist() == [[5, 5]] * 3


def test_an_empty_tensor_has_its_shape(write):
    file = read_weights(write({"a": tensor(FLOATS, 0, (0, 3), (3, 1)), "b": tensor(FLOATS, 0, (6,), (1,))}))
    assert file.tensors["a"].shape == (0, 3)


def test_a_parameter_is_its_tensor(write):
    parameter = Call(
        "torch._utils._rebuild_parameter", tensor(FLOATS, 0, (6,), (1,)), True, Call("collections.OrderedDict")
    )
    assert read_weights(write({"a": parameter})).tensors["a"].shape == (6,)


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        ((0, (7,), (1,)), "a: reaches to element 6 of a storage of 6"),
        ((4, (3,), (1,)), "a: reaches to element 6 of a storage of 6"),
        ((0, (2, 2), (4, 2)), "a: reaches to element 6 of a storage of 6"),
        ((6, (1,), (1,)), "a: reaches to element 6"),
        ((-1, (2,), (1,)), "a: no offset and strides"),
        ((0, (2,), (-1,)), "a: no offset and strides"),
        ((0, (2, 3), (1,)), "a: no offset and strides"),
        ((0, (-1,), (1,)), "a: no shape"),
        ((0, (2.0,), (1,)), "a: no shape"),
        ((0, (True,), (1,)), "a: no shape"),
        ((0, (1,) * 65, (1,) * 65), "a: no shape"),
        ((0, (1 << 31, 1 << 31), (0, 0)), "larger than any memory"),
        ((0, (0, 1 << 62), (1, 1)), "larger than any memory"),
        ((0, (2, 3), (1 << 62, 1 << 62)), "a: reaches to element"),
        ((0, (1 << 20, 1 << 20), (0, 0)), "the file stands for more than"),
        ((None, (2,), (1,)), "a: no offset and strides"),
        ((0, [2], [1]), "a tuple was expected, not a list"),
        ((0, (1 << 20_000,), (1,)), "has more than 64 bits"),
        ((-1 << 20_000, (1,), (1,)), "has more than 64 bits"),
        ((0, (1, "x", 1.5), (1, 1, 1)), r"a: no shape: \(1, str, float\)"),
    ],
)
def test_a_view_beyond_its_storage_is_refused_before_memory_is_used(write, view, reason):
    with pytest.raises(WeightsError, match=reason):
        read_weights(write({"a": tensor(FLOATS, *view)}))


def test_many_tensors_of_one_storage_cannot_fill_the_memory(write):
    views = {str(i): tensor(FLOATS, 0, (1 << 12, 1 << 12), (0, 0)) for i in range(40)}
    with pytest.raises(WeightsError, match="far more than its size"):
        read_weights(write(views))


@pytest.mark.parametrize("count", [5, 7, 1 << 40])
def test_a_storage_of_another_length_is_refused(write, count):
    with pytest.raises(WeightsError, match="tensors speak of"):
        read_weights(write({"a": tensor(Storage("FloatStorage", "0", count), 0, (1,), (1,))}))


@pytest.mark.parametrize("count", [-1, 1 << 62])
def test_a_storage_of_an_impossible_length_is_refused(write, count):
    with pytest.raises(WeightsError, match=f"storage '0' has a length of {count}"):
        read_weights(write({"a": tensor(Storage("FloatStorage", "0", count), 0, (1,), (1,))}))


def test_a_storage_of_two_types_is_refused(write):
    value = {"a": tensor(FLOATS, 0, (6,), (1,)), "b": tensor(Storage("IntStorage", "0", 6), 0, (6,), (1,))}
    with pytest.raises(WeightsError, match="named twice with different types"):
        read_weights(write(value))


def test_a_list_that_holds_itself_is_refused(write):
    endless = b"\x80\x02}X\x01\x00\x00\x00a]q\x00(h\x00]es."
    with pytest.raises(WeightsError, match="nested more than 64 deep"):
        read_weights(write(endless, has_storage=False))


def test_dicts_that_share_their_parts_cannot_take_for_ever(write):
    content = b"\x80\x02}q\x00"
    for level in range(40):
        below = b"h" + bytes([level])
        content += b"}(K\x00" + below + b"K\x01" + below + b"uq" + bytes([level + 1])
    with pytest.raises(WeightsError, match="more than 200000 entries"):
        read_weights(write(content + b".", has_storage=False))


def test_two_entries_of_one_dotted_name_are_refused(write):
    with pytest.raises(WeightsError, match=r"two entries are called 'a\.b'"):
        read_weights(write({"a": {"b": 1}, "a.b": 2}, has_storage=False))


@pytest.mark.parametrize(
    ("kind", "raw", "values", "name"),
    [
        ("BFloat16Storage", b"\x80\x3f\x49\x40", [1.0, 3.140625], "bfloat16"),
        ("HalfStorage", b"\x00\x3c\x00\xc0", [1.0, -2.0], "float16"),
        ("BoolStorage", b"\x00\x07", [False, True], "bool"),
        ("CharStorage", b"\xff\x01", [-1, 1], "int8"),
        ("ShortStorage", b"\xff\xff\x02\x00", [-1, 2], "int16"),
    ],
)
def test_element_types_are_read(tmp_path, kind, raw, values, name):
    file = read_weights(zip_file(tmp_path / "w.pt", {"a": tensor(Storage(kind, "0", 2), 0, (2,), (1,))}, {"0": raw}))
    assert file.tensors["a"].tolist() == values
    assert file.dtypes["a"] == name


def test_bfloat16_becomes_float32_and_is_told(tmp_path):
    path = zip_file(tmp_path / "w.pt", {"a": tensor(Storage("BFloat16Storage", "0", 1), 0, (), ())}, {"0": b"\x80\x3f"})
    file = read_weights(path)
    assert file.tensors["a"].dtype == np.float32
    assert file.describe()["notes"] == ["bfloat16 is read as float32 (1 of 1 tensors)"]


def test_an_untyped_storage_is_read_by_the_tensors_type(tmp_path):
    storage = Storage("storage.UntypedStorage", "0", 4)
    value = {
        "a": Call(
            "torch._utils._rebuild_tensor_v3",
            storage,
            0,
            (2,),
            (1,),
            False,
            Call("collections.OrderedDict"),
            Named("torch.uint16"),
        )
    }
    file = read_weights(zip_file(tmp_path / "w.pt", value, {"0": b"\x01\x00\x00\x80"}))
    assert file.tensors["a"].tolist() == [1, 0x8000]


def test_bytes_of_the_other_order_are_turned(tmp_path):
    value, raw = {"a": tensor(FLOATS, 0, (6,), (1,))}, SIX.astype(">f4").tobytes()
    for path in (
        zip_file(tmp_path / "w.pt", value, {"0": raw}, byteorder=b"big"),
        legacy_file(tmp_path / "w.pth", value, {"0": (6, raw)}, little=False),
    ):
        assert read_weights(path).tensors["a"].tolist() == SIX.tolist()


def test_a_part_of_an_old_storage_is_read(tmp_path):
    part = Storage("FloatStorage", "0", 6, view=(("5", 2, 3),))
    path = legacy_file(tmp_path / "w.pth", {"a": tensor(part, 1, (2,), (1,))}, {"0": (6, SIX.tobytes())})
    assert read_weights(path).tensors["a"].tolist() == [3, 4]


@pytest.mark.parametrize("part", [("5", 2, 5), ("5", -1, 2), ("5", 0, -1), ("5", 0, 1.5)])
def test_a_part_beyond_its_old_storage_is_refused(tmp_path, part):
    storage = Storage("FloatStorage", "0", 6, view=(part,))
    path = legacy_file(tmp_path / "w.pth", {"a": tensor(storage, 0, (1,), (1,))}, {"0": (6, SIX.tobytes())})
    with pytest.raises(WeightsError, match="is no part of storage '0'"):
        read_weights(path)


def test_a_part_that_is_named_twice_is_the_same_part(tmp_path):
    parts = [Storage("FloatStorage", "0", 6, view=(("5", begin, 2),)) for begin in (0, 1)]
    value = {str(i): tensor(part, 0, (2,), (1,)) for i, part in enumerate(parts)}
    with pytest.raises(WeightsError, match="storage '5' is named twice"):
        read_weights(legacy_file(tmp_path / "w.pth", value, {"0": (6, SIX.tobytes())}))


# The oldest format.


def oldest_storages(location):
    """Six floats, and the four of them that begin at the third."""
    return (
        pickle.dumps(1, 2)
        + pickled((11, location, Named("torch.FloatStorage")))
        + struct.pack("<q", 6)
        + SIX.tobytes()
        + pickled([(12, 11, 2, 4)])
    )


OLDEST_TENSORS = pickle.dumps(1, 2) + pickled((21, 12, Named("torch.FloatTensor")))
OLDEST_TENSORS += struct.pack("<ii2q2qq", 2, 0, 1, 2, 2, 1, 1)
OLDEST_VALUE = b"\x80\x02}X\x01\x00\x00\x00aU\x0221Qs."


def test_the_oldest_format_numbers_its_storages_and_tensors(tmp_path):
    members = {
        "sys_info": pickled({"little_endian": True}),
        "pickle": OLDEST_VALUE,
        "tensors": OLDEST_TENSORS,
        "storages": oldest_storages("cuda:0"),
    }
    file = read_weights(tar_file(tmp_path / "w.pt", members))
    assert file.format == "PyTorch (oldest, tar)"
    assert file.tensors["a"].tolist() == [[3, 4]]


@pytest.mark.parametrize(
    "change",
    [
        {"storages": pickled([])},
        {"storages": pickled(1) + pickled((11, "cpu"))},
        {"storages": pickled(1) + pickled((11, "cpu", "FloatStorage")) + bytes(8)},
        {"tensors": pickled(1) + pickled((21, 99, None)) + bytes(16)},
        {"pickle": b"\x80\x02}X\x01\x00\x00\x00aU\x0299Qs."},
    ],
)
def test_the_oldest_format_with_parts_of_another_form_is_damaged(tmp_path, change):
    members = {"storages": oldest_storages("cpu"), "tensors": OLDEST_TENSORS, "pickle": OLDEST_VALUE} | change
    with pytest.raises(WeightsError, match=r"is damaged: .*\. Get the file again"):
        read_weights(tar_file(tmp_path / "w.pt", members))


def test_a_tar_archive_of_other_things_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"a tar archive with 'photo\.jpg', which is none of PyTorch's"):
        read_weights(tar_file(tmp_path / "w.tar", {"photo.jpg": b"x" * 600}))
    with pytest.raises(WeightsError, match="no pickle and storages"):
        read_weights(tar_file(tmp_path / "w.tar", {"sys_info": b"x" * 600}))


# Containers.


def test_a_missing_storage_is_named(tmp_path):
    with pytest.raises(WeightsError, match="the storage 'archive/data/0' is missing"):
        read_weights(zip_file(tmp_path / "w.pt", {"a": tensor(FLOATS, 0, (6,), (1,))}, {}))


def test_two_zip_entries_of_one_name_are_refused(tmp_path):
    path = zip_file(tmp_path / "w.pt", {}, {})
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr("archive/data.pkl", pickled({}))
    with pytest.raises(WeightsError, match=r"two entries are called 'archive/data\.pkl'"):
        read_weights(path)


def test_a_zip_bomb_is_refused_by_its_announced_size(tmp_path):
    size = 140 << 20
    with zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", pickled({"a": tensor(Storage("ByteStorage", "0", size), 0, (size,), (1,))}))
        with file.open("archive/data/0", "w") as entry:
            for _ in range(140):
                entry.write(bytes(1 << 20))
    with pytest.raises(WeightsError, match="stands for more than"):
        read_weights(tmp_path / "w.pt")


def test_packed_storages_are_read(tmp_path):
    value = {"a": tensor(FLOATS, 0, (6,), (1,))}
    path = zip_file(tmp_path / "w.pt", value, {"0": SIX.tobytes()}, compression=zipfile.ZIP_DEFLATED)
    assert read_weights(path).tensors["a"].tolist() == SIX.tolist()


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_packings_are_refused(tmp_path, compression):
    with pytest.raises(WeightsError, match="packed in a way that is not read"):
        read_weights(zip_file(tmp_path / "w.pt", {}, {}, compression=compression))


def test_a_changed_byte_in_a_zip_storage_is_noticed(tmp_path):
    path = zip_file(tmp_path / "w.pt", {"a": tensor(FLOATS, 0, (6,), (1,))}, {"0": SIX.tobytes()})
    content = bytearray(path.read_bytes())
    content[content.index(SIX.tobytes()) + 9] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="the zip archive is damaged: Bad CRC-32"):
        read_weights(path)


def test_a_torchscript_program_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="a TorchScript program, which is code"):
        read_weights(zip_file(tmp_path / "w.pt", {}, {}, **{"constants.pkl": b"x"}))


def test_a_zip_archive_of_other_things_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as file:
        file.writestr("photo.jpg", b"x")
    with pytest.raises(WeightsError, match=r"neither PyTorch's \(no data.pkl\) nor NumPy's"):
        read_weights(tmp_path / "w.pt")


def test_what_follows_the_last_storage_is_refused(tmp_path):
    path = legacy_file(tmp_path / "w.pth", {"a": tensor(FLOATS, 0, (6,), (1,))}, {"0": (6, SIX.tobytes() + b"more")})
    with pytest.raises(WeightsError, match="4 bytes follow the last storage"):
        read_weights(path)


def test_a_pickle_that_is_none_of_pytorchs_is_refused(tmp_path):
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"a": 1}, 2))
    with pytest.raises(WeightsError, match="a pickle, but none of PyTorch's"):
        read_weights(tmp_path / "w.pth")
    (tmp_path / "w.pth").write_bytes(pickle.dumps(MAGIC, 2) + pickle.dumps(9, 2))
    with pytest.raises(WeightsError, match="a version of PyTorch's format that is not known"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("content", [b"", b"abc", b"<html>", b"\xff\xd8\xff\xe0", bytes(1000)])
def test_a_file_of_another_kind_is_told_apart(tmp_path, content):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"neither \.safetensors, \.npz nor a file of PyTorch's"):
        read_weights(tmp_path / "w.pth")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.pth: there is no such file"):
        read_weights(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match=r"best\.safetensors: there is no such file"):
        read_weights(tmp_path)


def test_what_is_no_file_is_not_read_for_ever():
    with pytest.raises(WeightsError, match=f"{os.devnull}: this is not a file"):
        read_weights(os.devnull)
