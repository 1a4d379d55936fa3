"""Whatever is wrong with a file is told in one line, at once, and nothing else happens."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

import pytest

from tinytrain.cli.main import run

from .bad_inputs import BadInput, cases, photos
from .trials import REPOSITORY, finish, peak_memory

SECONDS = 2.0
FREE_BYTES = 200 << 20

CASES = list(cases())


def promised() -> dict[tuple[str, str], tuple[str, int]]:
    """Return message and exit code by group and what is wrong, as the document has them."""
    rows, group = {}, ""
    for line in (REPOSITORY / "docs" / "reliability.md").read_text(encoding="utf-8").splitlines():
        if heading := re.fullmatch(r"\*\*(.+)\*\*", line):
            group = heading[1]
        elif row := re.fullmatch(r"\| (.+?) \| (`+ ?)(.+?)( ?`+) \| (\d+) \|", line):
            rows[group, row[1]] = row[3].replace("\\|", "|"), int(row[5])
    return rows


def contents(folder: Path) -> dict[str, bytes]:
    """Return the regular files below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, int]:
    """Run a command; return its message, without the folder of its files, and its exit code."""
    before = contents(folder)
    code = run(arguments)
    stdout, stderr = capsys.readouterr()
    after = contents(folder)
    assert {name: after.get(name) for name in before if "checkpoint" not in name} == {
        name: content for name, content in before.items() if "checkpoint" not in name
    }
    assert not Path("executed").exists()
    assert stdout == ""
    *_, last = stderr.splitlines()
    assert "Traceback" not in stderr
    assert stderr.count("error: ") == 1
    assert last.startswith("error: ")
    return last.removeprefix("error: ").replace(f"{folder}/", "").replace(str(folder), "DIR"), code


@pytest.mark.skipif(sys.platform != "linux", reason="messages of the system are listed as Linux words them")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.group}: {case.what}")
def test_a_bad_input_is_refused_as_the_document_says(case: BadInput, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "case"
    folder.mkdir()
    arguments = case.make(folder)
    size = sum(len(content) for content in contents(folder).values())
    begin = time.process_time()
    with peak_memory() as peak:
        assert refused(arguments, folder, capsys) == promised()[case.group, case.what]
    assert time.process_time() - begin < SECONDS
    assert peak() < 2 * size + FREE_BYTES


def test_the_document_lists_every_case_and_no_other():
    assert [*promised()] == [(case.group, case.what) for case in CASES]


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="this system has no names that are not UTF-8")
def test_names_that_are_not_utf_8_are_names_like_others(tmp_path: Path):
    photos(tmp_path)
    for split in ("train", "val"):
        folder = os.fsencode(tmp_path / split)
        os.rename(folder + b"/b", folder + b"/caf\xe9")
        os.rename(folder + b"/caf\xe9/0.png", folder + b"/caf\xe9/\xff.png")
    config, folder = tmp_path / "x.yaml", tmp_path / "run"
    config.write_text(
        f"data: {{dataset: image_folder, root: {tmp_path}, workers: 1}}\n"
        "model: {name: cnn, widths: [4], strides: [2]}\ntrain: {epochs: 1}\n"
    )

    def output(*arguments: str | Path) -> bytes:
        done = finish(*arguments, text=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    output("train", config, "--run-dir", folder)
    assert b"caf\xe9" in output("evaluate", folder, "--split", "val")
    report = json.loads(output("evaluate", folder, "--split", "val", "--json"))
    assert [row["class"] for row in report["per_class"]] == ["a", "caf\udce9"]
    photo = os.fsencode(tmp_path) + b"/val/caf\xe9/\xff.png"
    assert photo in output("predict", folder, os.fsdecode(photo))
    assert b"caf\xe9" in output("check", config)
    assert "caf?" in (folder / "report.html").read_text(encoding="utf-8")
