"""The run folder: never overwritten, its files whole or not there."""

from __future__ import annotations

import os

import pytest

from tinytrain.errors import StorageError, UsageError
from tinytrain.training import RunFolder


def test_runs_of_one_name_get_numbers(tmp_path):
    names = [RunFolder.create("digits", root=tmp_path).path.name for _ in range(3)]
    assert names == ["digits", "digits-2", "digits-3"]


def test_a_named_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"exists already\. Name another one with --run-dir"):
        RunFolder.create("digits", tmp_path)
    assert (tmp_path / "kept.txt").read_text() == "mine"


def test_a_file_is_replaced_whole(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_text("a.txt", "one")
    folder.write_text("a.txt", "two")
    assert (tmp_path / "a.txt").read_text() == "two"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_text("a.txt", "one")

    def fail_half_way() -> None:
        with folder.replacing("a.txt") as path:
            path.write_text("tw")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        fail_half_way()
    assert (tmp_path / "a.txt").read_text() == "one"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_is_a_storage_error_with_the_files_name(tmp_path):
    def fill() -> None:
        with RunFolder(tmp_path).replacing("a.txt"):
            raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match=r"a\.txt: cannot be written: No space left on device"):
        fill()
    assert os.listdir(tmp_path) == []


def test_numbers_that_json_lacks_are_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        RunFolder(tmp_path).write_json("a.json", {"loss": float("nan")})
