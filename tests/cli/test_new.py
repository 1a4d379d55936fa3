"""`tinytrain new` writes configs that can train; editors and shells are told what there is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tinytrain.cli.main import run
from tinytrain.config import load_config
from tinytrain.config.json_schema import reference

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path):
    """Photos of two classes, some grey only, 40 by 70 pixels."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 2)):
        for name, colour in (("sky", (40, 90, 200)), ("grass", (60, 160, 40))):
            place = tmp_path / "my photos" / split / name
            place.mkdir(parents=True)
            for i in range(count):
                pixels = np.clip(np.array(colour) + rng.integers(-30, 30, (70, 40, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{i}.png")
    return tmp_path / "my photos"


def test_a_folder_gets_a_config_that_fits_it(folder, tmp_path, capsys):
    output = tmp_path / "c.yaml"
    assert run(["new", str(folder), "--output", str(output)]) == 0
    assert "12 training images of 2 classes (6 each), shorter sides of 40 pixels, colour" in (capsys.readouterr().out)
    config = load_config(output)
    assert config.name == "my-photos"
    assert config.data.root == str(folder)
    (normalize,) = [step for step in config.transforms.eval if step.name == "Normalize"]
    np.testing.assert_allclose(normalize.arguments["mean"], [50 / 255, 125 / 255, 120 / 255], atol=0.02)
    arguments = ["train", str(output), "train.epochs=1", "device=cpu", "--run-dir", str(tmp_path / "run")]
    assert run(arguments) == 0


@pytest.mark.parametrize("dataset", ["digits", "fashion_mnist", "cifar100"])
def test_public_data_get_a_config_without_being_there(dataset, tmp_path, capsys):
    assert run(["new", dataset, "--output", str(tmp_path / "c.yaml"), "--name", "mine"]) == 0
    config = load_config(tmp_path / "c.yaml")
    assert (config.name, config.data.dataset) == ("mine", dataset)
    capsys.readouterr()
    assert run(["inspect-conv", str(tmp_path / "c.yaml"), "--json"]) == 0
    # The last feature map keeps a few pixels.
    layers = [each for each in json.loads(capsys.readouterr().out)["layers"] if each["kind"] == "Conv2d"]
    assert 2 <= layers[-1]["output"][-1] <= 10


def test_it_can_be_printed_and_a_config_stays(folder, tmp_path, capsys):
    assert run(["new", str(folder), "--output", "-"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["data"]["dataset"] == "image_folder"
    (tmp_path / "c.yaml").write_text("mine")
    assert run(["new", str(folder), "--output", str(tmp_path / "c.yaml")]) == 2
    assert "c.yaml: the file exists already. Name another one with --output" in capsys.readouterr().err
    assert (tmp_path / "c.yaml").read_text() == "mine"


def test_what_is_no_data_is_refused(folder, capsys):
    assert run(["new", "fashion_mnits", "--output", "-"]) == 3
    assert (
        "fashion_mnits: this is no folder and no data set whose images are known (did you mean 'fashion_mnist'?)"
        in (capsys.readouterr().err)
    )
    assert run(["new", str(folder / "train"), "--output", "-"]) == 3
    assert "there is no folder train in it, but grass. Image folders hold train/" in capsys.readouterr().err


def test_the_schema_takes_the_configs_of_the_repository_and_refuses_mistakes(capsys):
    jsonschema = pytest.importorskip("jsonschema")
    assert run(["config-schema"]) == 0
    validator = jsonschema.Draft202012Validator(json.loads(capsys.readouterr().out))
    validator.check_schema(validator.schema)
    for file in sorted((REPOSITORY / "configs").glob("*.yaml")):
        validator.validate(yaml.safe_load(file.read_text()))
    good = yaml.safe_load((REPOSITORY / "configs/digits.yaml").read_text())
    for path, value in [
        (("data", "dataset"), "digit"),
        (("train", "epochs"), 0),
        (("train", "epoch"), 3),
        (("model", "name"), "resnet19"),
        (("transforms", "eval"), ["ToTenser"]),
        (("transforms", "train"), [{"RandomCrop": {"sise": 8}}]),
    ]:
        bad = json.loads(json.dumps(good))
        bad[path[0]][path[1]] = value
        assert not validator.is_valid(bad), path


def test_the_config_reference_is_the_schemas():
    assert (REPOSITORY / "docs/config.md").read_text(encoding="utf-8") == reference()


def test_a_shell_completes_commands_and_options():
    script = subprocess.run(
        [sys.executable, "-m", "tinytrain", "completion", "bash"], capture_output=True, text=True, check=True
    ).stdout
    assert "_TINYTRAIN_COMPLETE=complete_bash" in script
    for words, expected in (("tinytrain ins", "inspect-conv"), ("tinytrain export --batch", "--batch-norm")):
        environment = {
            **os.environ,
            "_TINYTRAIN_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
        found = subprocess.run(
            [sys.executable, "-c", "from tinytrain.cli.main import main; main()"],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert expected in found.stdout.split(), found.stderr
