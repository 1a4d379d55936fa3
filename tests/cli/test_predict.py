"""`tinytrain predict` names what is on images with nothing but a run folder."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinytrain.cli.main import run
from tinytrain.datasets import Digits


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "digits"
    repository = Path(__file__).resolve().parents[2]
    arguments = ["train", str(repository / "configs/digits.yaml"), "train.epochs=6", "device=cpu"]
    assert run([*arguments, "--run-dir", str(folder)]) == 0
    return folder


@pytest.fixture
def pictures(tmp_path):
    """Eight test digits as files, named by position and class."""
    digits = Digits(train=False)
    for position in range(8):
        image, target = digits[position]
        image.save(tmp_path / f"{position}-{target}.png")
    return tmp_path


def test_files_of_a_folder_get_their_likeliest_classes(digits_run, pictures, capsys):
    assert run(["predict", str(digits_run), str(pictures), "--topk", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [Path(each["path"]).name for each in found] == sorted(path.name for path in pictures.iterdir())
    right = 0
    for each in found:
        probabilities = [guess["probability"] for guess in each["top"]]
        assert len(probabilities) == 3
        assert probabilities == sorted(probabilities, reverse=True)
        assert all(guess["class"] == str(guess["index"]) for guess in each["top"])
        right += each["top"][0]["class"] == Path(each["path"]).stem[-1]
    assert right >= 7


def test_people_get_a_line_a_file(digits_run, pictures, capsys):
    file = sorted(pictures.iterdir())[0]
    assert run(["predict", str(digits_run), str(file), "--topk", "1"]) == 0
    line = capsys.readouterr().out
    assert line.startswith(str(file))
    assert line.rstrip().endswith(" %")


def test_a_table_and_an_annotated_grid_are_written_on_demand(digits_run, pictures, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    options = ["--topk", "2", "--csv", str(out / "guesses.csv"), "--output", str(out / "grid.png"), "--json"]
    assert run(["predict", str(digits_run), str(pictures), *options]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = list(csv.DictReader((out / "guesses.csv").open()))
    assert [(row["path"], int(row["rank"])) for row in rows] == [(each["path"], r) for each in found for r in (1, 2)]
    assert float(rows[0]["probability"]) == found[0]["top"][0]["probability"]
    assert Image.open(out / "grid.png").width == 10 + 6 * 154  # six of eight in a row
    assert run(["predict", str(digits_run), str(pictures), "--csv", str(out / "absent/x.csv")]) == 4
    assert "absent: there is no such folder. Make it first" in capsys.readouterr().err


def test_an_image_of_another_size_is_refused_by_name(digits_run, tmp_path, capsys):
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / "large.png")
    assert run(["predict", str(digits_run), str(tmp_path / "large.png")]) == 3
    error = capsys.readouterr().err
    assert "large.png: the transforms make (1, 28, 28) of the image, the network was trained on (1, 8, 8)" in error


@pytest.mark.parametrize(
    ("name", "message"),
    [("absent.png", "there is no such file or folder"), ("empty", "there is no image in this folder. Images end in")],
)
def test_a_place_without_images_is_an_error(digits_run, tmp_path, capsys, name, message):
    (tmp_path / "empty").mkdir()
    assert run(["predict", str(digits_run), str(tmp_path / name)]) == 3
    assert f"{name}: {message}" in capsys.readouterr().err


def test_weights_whose_classes_are_not_the_datas_are_refused(digits_run, pictures, tmp_path, capsys):
    folder = tmp_path / "photos"
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (folder / split / name).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(folder / split / name / "a.png")
    config = tmp_path / "photos.yaml"
    config.write_text(f"data: {{dataset: image_folder, root: '{folder}'}}\nmodel: {{name: cnn}}\n")
    weights = digits_run / "best.safetensors"
    assert run(["predict", str(weights), str(pictures), "--config", str(config)]) == 3
    assert "the data has the classes cat, dog, the weights 0, 1, 2, 3" in capsys.readouterr().err
