"""Archives that nobody vouches for."""

import io
import stat
import tarfile
import zipfile

import numpy as np
import pytest

from tinytrain.datasets import archive
from tinytrain.datasets.archive import extract_member, read_members, unpack
from tinytrain.errors import DataError, StorageError

FILES = {"set/a.txt": b"first", "set/deep/b.txt": b"second" * 1000}


def make_tar(path, files=FILES, mode="w:gz", **extra):
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in extra.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(content))
    return path


def make_zip(path, files=FILES, **extra):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for key, value in extra.items():
                setattr(info, key, value)
            file.writestr(info, content)
    return path


@pytest.fixture(params=["tar", "zip"])
def make(request):
    return make_tar if request.param == "tar" else make_zip


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_files_are_read_and_unpacked(make, tmp_path):
    path = make(tmp_path / "archive")
    assert read_members(path, {"b.txt", "none"}, 10_000) == {"b.txt": FILES["set/deep/b.txt"]}
    unpack(path, tmp_path / "out")
    assert tree(tmp_path / "out") == FILES
    assert extract_member(path, "set/a.txt", tmp_path).read_bytes() == b"first"


@pytest.mark.parametrize("name", ["../out.txt", "a/../../out.txt", "/out.txt", "c:/out.txt", "..\\out.txt"])
def test_a_path_that_leads_elsewhere_is_refused(make, tmp_path, name):
    path = make(tmp_path / "archive", {"a.txt": b"fine", name: b"not"})
    with pytest.raises(DataError, match="leads elsewhere"):
        unpack(path, tmp_path / "in" / "out")
    assert list(tmp_path.rglob("*.txt")) == []
    assert not (tmp_path / "in" / "out").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    path = make_tar(tmp_path / "archive", {"set/a.txt": b""}, type=kind, linkname="/etc/passwd")
    with pytest.raises(DataError, match=r"set/a\.txt is a link or a device"):
        unpack(path, tmp_path / "out")


def test_links_in_a_zip_are_refused(tmp_path):
    path = make_zip(tmp_path / "archive", {"a.txt": b"/etc/passwd"}, external_attr=(stat.S_IFLNK | 0o777) << 16)
    with pytest.raises(DataError, match=r"a\.txt is a link"):
        unpack(path, tmp_path / "out")


def test_a_bomb_is_refused_before_it_is_unpacked(make, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "FREE_BYTES", 1_000_000)
    path = make(tmp_path / "archive", {"zeros": bytes(10_000_000)})
    with pytest.raises(DataError, match="which no data set needs"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_too_many_files_are_refused(make, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    path = make(tmp_path / "archive", {f"{i}.txt": b"" for i in range(5)})
    with pytest.raises(DataError, match="or 3 files"):
        unpack(path, tmp_path / "out")


def test_a_file_larger_than_expected_is_refused(make, tmp_path):
    path = make(tmp_path / "archive")
    with pytest.raises(DataError, match="has 6000 bytes; at most 5999 are expected"):
        read_members(path, {"b.txt"}, 5999)


def test_a_damaged_archive_leaves_nothing_behind(make, tmp_path):
    path = make(tmp_path / "archive")
    content = path.read_bytes()
    for end in (0, 10, len(content) // 2, len(content) - 30):
        path.write_bytes(content[:end])
        with pytest.raises(DataError, match="cannot be read as an archive") as caught:
            unpack(path, tmp_path / "out")
        assert caught.value.place == str(path)
        assert [each.name for each in tmp_path.iterdir()] == ["archive"]


def test_an_existing_folder_is_not_overwritten(make, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="exists already"):
        unpack(make(tmp_path / "archive"), tmp_path / "out")


def test_a_member_that_is_not_there_is_named(make, tmp_path):
    with pytest.raises(DataError, match=r"there is no set/c\.txt in it"):
        extract_member(make(tmp_path / "archive"), "set/c.txt", tmp_path)


def test_a_place_that_cannot_be_written_is_told_apart_from_a_damaged_archive(make, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be written"):
        unpack(make(tmp_path / "archive"), tmp_path / "file" / "out")


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path):
    inner = make_zip(tmp_path / "inner").read_bytes()
    path = make_tar(tmp_path / "archive", {"inner.zip": inner}, mode="w")
    assert read_members(path, {"inner.zip"}, 1 << 20) == {"inner.zip": inner}


def test_any_damage_is_told(make, tmp_path):
    path = make(tmp_path / "archive")
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    told = set()
    for attempt in range(200):
        damaged = bytearray(content)
        for at in rng.integers(len(content), size=rng.integers(1, 4)):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            unpack(path, tmp_path / f"out-{attempt}")
        except DataError as error:
            told.add(error.place == str(path))
    assert told == {True}


def test_a_zip_whose_names_are_no_text_is_refused(tmp_path):
    path = make_zip(tmp_path / "archive", {"é.txt": b"first"})
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff\xfe"))
    with pytest.raises(DataError, match="cannot be read as an archive: 'utf-8' codec can't decode"):
        read_members(path, {"a.txt"}, 1 << 20)
