"""`tinytrain grid`: what it draws of configs, runs and files, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinytrain.cli.main import run
from tinytrain.report.grids import GAP, LINE_HEIGHT

CONFIG = """\
data: {dataset: image_folder, root: ROOT}
transforms:
  train: [{Resize: {size: [8, 8]}}, {RandomHorizontalFlip: {p: 1.0}}, ToTensor, {Normalize: {mean: [0.5], std: [0.1]}}]
  eval: [ToTensor]
model: {name: cnn, widths: [4], strides: [1]}
"""
HEAD = LINE_HEIGHT + GAP
CELL = 128


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a config of two classes of half black, half coloured images, six each for training, none for test."""
    for split, count in (("train", 6), ("val", 2)):
        for name, colour in (("blue", (0, 0, 255)), ("red", (255, 0, 0))):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                image = Image.new("RGB", (8, 8))
                image.paste(colour, (4, 0, 8, 8))
                image.save(folder / f"{i}.png")
    path = tmp_path / "pets.yaml"
    path.write_text(CONFIG.replace("ROOT", str(tmp_path / "photos")))
    return path


def centre(sheet: Image.Image, column: int, *, step: int = CELL + GAP, x: int = 96) -> tuple[int, ...]:
    """Return a pixel in the right half of an image of the first row."""
    return sheet.getpixel((GAP + column * step + x, HEAD + GAP + CELL // 2))


def test_a_config_s_images_are_spread_over_the_split(config: Path, tmp_path: Path, capsys):
    output = tmp_path / "grid.png"
    assert run(["grid", str(config), "--output", str(output), "--count", "4", "--nrow", "4"]) == 0
    assert capsys.readouterr().out == f"{output}: image_folder, train: 4 of 12 images\n"
    sheet = Image.open(output)
    assert sheet.size == (GAP + 4 * (CELL + GAP), HEAD + 2 * GAP + CELL + LINE_HEIGHT)
    assert [centre(sheet, i) for i in range(4)] == [(0, 0, 255)] * 2 + [(255, 0, 0)] * 2


def test_augmented_shows_each_image_before_and_after_in_true_colours(config: Path, tmp_path: Path):
    output = tmp_path / "grid.png"
    assert run(["grid", str(config), "--output", str(output), "--count", "2", "--augmented"]) == 0
    sheet = Image.open(output)
    before, after = centre(sheet, 0), centre(sheet, 0, x=CELL + 2 + 32)
    assert (before, after) == ((0, 0, 255), (0, 0, 255))  # flipped, its normalisation undone
    assert centre(sheet, 0, x=32) == centre(sheet, 0, x=CELL + 2 + 96) == (0, 0, 0)


def test_overrides_follow_the_config_and_the_document_tells_the_size(config: Path, tmp_path: Path, capsys):
    output = tmp_path / "grid.png"
    arguments = ["grid", str(config), "data.dataset=digits", "--split", "test", "--output", str(output), "--json"]
    assert run([*arguments, "transforms.train=[ToTensor]"]) == 0
    document = json.loads(capsys.readouterr().out)
    size = Image.open(output).size
    assert document == {"output": str(output), "images": 64, "width": size[0], "height": size[1], "damaged": []}


def test_a_run_folder_stands_for_its_config(config: Path, tmp_path: Path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(config.read_text())
    assert run(["grid", str(folder), "--split", "val", "--output", str(tmp_path / "x.png")]) == 0
    assert "image_folder, val: 4 of 4 images" in capsys.readouterr().out


def test_a_damaged_image_of_a_folder_is_named_and_has_a_place(config: Path, tmp_path: Path, capsys):
    folder = tmp_path / "photos" / "val"
    (folder / "red" / "0.png").write_bytes(b"\x89PNG and then nothing")
    output = tmp_path / "grid.png"
    assert run(["grid", str(folder), "--output", str(output)]) == 0
    stdout, stderr = capsys.readouterr()
    assert stdout == f"{output}: 4 of 4 images\n"
    damaged = folder / "red" / "0.png"
    assert stderr == f"warning: {damaged}: cannot be read as an image: cannot identify image file\n"
    with Image.open(output) as sheet:
        assert np.array_equal(centre(sheet, 2), centre(sheet, 2, x=32))  # a blank cell


def test_real_photos_of_different_sizes_fit_one_grid(shared_data: Path, tmp_path: Path):
    output = tmp_path / "grid.jpg"
    assert run(["grid", str(shared_data / "flowers320" / "val"), "--count", "6", "--output", str(output)]) == 0
    with Image.open(output) as sheet:
        assert sheet.format == "JPEG"
        assert sheet.width == GAP + 6 * (CELL + GAP)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["CONFIG"], 2, "Missing option '--output'."),
        (["CONFIG", "--output", "grid.txt"], 2, "grid.txt: a picture cannot be written as .txt. Use one of .png, "),
        (["CONFIG", "--output", "grid"], 2, "grid: a picture cannot be written as a file without an ending. Use one"),
        (["CONFIG", "--output", "no/grid.png"], 4, "no: there is no such folder. Make it first"),
        (["CONFIG", "--output", "folder.png"], 4, "folder.png: this is a folder. Name a file"),
        (["CONFIG", "--output", "x.png", "--split", "test"], 3, "ROOT: there is no test split"),
        (["CONFIG", "photos", "--output", "x.png"], 2, "expected KEY=VALUE, found 'photos'. As in "),
        (["photos", "--augmented", "--output", "x.png"], 2, "--augmented needs a config or a run, found 'photos'. "),
        (["photos", "--split", "val", "--output", "x.png"], 2, "--split needs a config or a run, found 'photos'. "),
        (["nothing.yaml", "--output", "x.png"], 2, "nothing.yaml: there is no such file"),
        (["nothing", "--output", "x.png"], 3, "nothing: there is no such file or folder"),
        (["folder.png", "--output", "x.png"], 3, "folder.png: there is no image in this folder. Images end in .jpg, "),
        (["notes.txt", "--output", "x.png"], 3, "notes.txt: cannot be read as an image: cannot identify image file"),
        (["photos", "--count", "0", "--output", "x.png"], 2, "Invalid value for '--count': "),
    ],
)
def test_grid_refuses_in_one_line_and_writes_nothing(
    config: Path, tmp_path: Path, capsys, monkeypatch, arguments: list[str], code: int, message: str
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "notes.txt").write_text("no picture")
    before = sorted(tmp_path.rglob("*"))
    assert run(["grid", *[str(config) if each == "CONFIG" else each for each in arguments]]) == code
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert stderr.startswith(f"error: {message.replace('ROOT', str(tmp_path / 'photos'))}")
    assert stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_picture_that_cannot_be_written_leaves_the_old_one(config: Path, tmp_path: Path, capsys, monkeypatch):
    output = tmp_path / "grid.png"
    output.write_bytes(b"old")

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    assert run(["grid", str(config), "--output", str(output)]) == 4
    assert capsys.readouterr().err == f"error: {output}: cannot be written: No space left on device\n"
    assert output.read_bytes() == b"old"
    assert not list(tmp_path.glob(".grid*"))
