"""`evaluate` tells how good a run's weights are, and those from elsewhere that fit their network."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinytrain import models
from tinytrain.cli.main import run
from tinytrain.datasets import Digits
from tinytrain.generator import manual_seed
from tinytrain.training import RunFolder
from tinytrain.weights import load_bundle, save_bundle

CONFIG = """
data: {dataset: digits}
model: {name: cnn, widths: [4], strides: [2]}
transforms: {eval: [ToTensor]}
"""


@pytest.fixture
def evaluate(tmp_path, capsys):
    """Return a function that evaluates arrays by name, and returns the exit code, the report and the message."""
    (tmp_path / "config.yaml").write_text(CONFIG)

    def evaluate(arrays, mapping=None):
        np.savez(tmp_path / "w.npz", **arrays)
        arguments = ["evaluate", str(tmp_path / "w.npz"), "--config", str(tmp_path / "config.yaml"), "--json"]
        if mapping is not None:
            (tmp_path / "names.json").write_text(json.dumps(mapping))
            arguments += ["--mapping", str(tmp_path / "names.json")]
        code = run(arguments)
        stdout, stderr = capsys.readouterr()
        return code, json.loads(stdout) if stdout else None, stderr

    return evaluate


@pytest.fixture
def arrays():
    manual_seed(0)
    state = models.cnn(in_channels=1, widths=[4], strides=[2]).state_dict()
    return {name: tensor.detach().numpy() for name, tensor in state.items()}


def test_a_prefix_and_a_mapping_lead_to_the_same_report(evaluate, arrays):
    code, expected, _ = evaluate(arrays)
    assert code == 0
    assert expected["count"] == 355
    prefixed = {f"state_dict.module.{name}": array for name, array in arrays.items()}
    assert evaluate(prefixed) == (0, expected, "")
    renamed = {name.replace("classifier.", "fc/"): array for name, array in arrays.items()}
    mapping = {"fc/weight": "classifier.weight", "fc/bias": "classifier.bias"}
    assert evaluate(renamed, mapping) == (0, expected, "")


def test_a_network_that_is_not_filled_is_refused_with_the_reasons(evaluate, arrays):
    arrays["classifier.weight"] = np.zeros((3, 4), np.float32)
    del arrays["classifier.bias"]
    code, report, message = evaluate(arrays)
    assert (code, report) == (3, None)
    assert (
        "w.npz: the weights do not fit the network: classifier.weight: shape (3, 4) in the file, (10, 4) in the model; "
        "classifier.bias: not in the file. `tinytrain doctor FILE` shows" in message
    )


def test_weights_that_are_there_twice_are_not_guessed_at(evaluate, arrays):
    twice = {f"{prefix}.{name}": array for prefix in ("model", "ema") for name, array in arrays.items()}
    code, _, message = evaluate(twice)
    assert code == 3
    assert "w.npz: the weights are there more than once: under 'model.', 'ema.'. Leave the others out" in message
    assert evaluate(twice, {"model.": None}) == evaluate(arrays)


def test_a_rule_that_fits_nothing_is_refused(evaluate, arrays):
    code, _, message = evaluate(arrays, {"clasifier.bias": "x"})
    assert code == 3
    assert "w.npz: mapping 'clasifier.bias': the file has no such name (did you mean 'classifier.bias'?)" in message


def test_weights_of_which_nothing_fits_are_refused(evaluate):
    code, _, message = evaluate({"x": np.zeros(3)})
    assert code == 3
    assert "w.npz: no tensor of the file fits the model CNN (x: the model has no tensor of that name)" in message


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    """A run of two epochs on the digits."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    config = Path(__file__).resolve().parents[2] / "configs/digits.yaml"
    assert run(["train", str(config), "train.epochs=2", "device=cpu", "--run-dir", str(folder)]) == 0
    return folder


def report(capsys, *arguments):
    """Return what `evaluate --json` prints."""
    assert run(["evaluate", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_temperature_is_kept_in_the_weights_and_believed_by_predict(digits_run, tmp_path, capsys):
    folder = shutil.copytree(digits_run, tmp_path / "run")
    before = report(capsys, str(folder))
    assert "calibration" not in before
    after = report(capsys, str(folder), "--calibrate")
    temperature = after["calibration"]["temperature"]
    assert temperature != 1
    assert after["calibration"]["error_with_temperature"] < after["calibration"]["error"]
    assert (after["top1"], after["loss"]) == (before["top1"], before["loss"])
    image, _ = Digits(train=False)[0]
    image.save(tmp_path / "digit.png")
    sure = []
    for source in (digits_run, folder):
        assert run(["predict", str(source), str(tmp_path / "digit.png"), "--topk", "10", "--json"]) == 0
        (found,) = json.loads(capsys.readouterr().out)
        sure.append({guess["class"]: guess["probability"] for guess in found["top"]})
    plain = np.array([sure[0][str(i)] for i in range(10)])
    expected = plain ** (1 / temperature)
    np.testing.assert_allclose([sure[1][str(i)] for i in range(10)], expected / expected.sum(), rtol=1e-3)


def test_tables_and_pictures_are_written_on_demand(digits_run, tmp_path, capsys):
    found = report(capsys, str(digits_run), "--output", str(tmp_path / "out"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "calibration.png",
        "classes.csv",
        "confusion_matrix.csv",
        "confusion_matrix.png",
        "worst_mistakes.png",
    }
    rows = list(csv.reader((tmp_path / "out/confusion_matrix.csv").open()))
    counts = np.array([row[1:] for row in rows[1:]], int)
    assert rows[0] == ["true / predicted", *"0123456789"]
    assert counts.sum() == 355
    assert counts.trace() / 355 == found["top1"]
    classes = list(csv.DictReader((tmp_path / "out/classes.csv").open()))
    assert [row["class"] for row in classes] == list("0123456789")
    assert float(classes[3]["recall"]) == pytest.approx(counts[3, 3] / counts[3].sum())


@pytest.fixture
def class_folders(tmp_path):
    """Test digits as files in folders of their classes, of three classes only."""
    digits = Digits(train=False)
    for i in range(60):
        image, target = digits[i]
        if target in (3, 5, 9):
            (tmp_path / "digits" / str(target)).mkdir(parents=True, exist_ok=True)
            image.save(tmp_path / "digits" / str(target) / f"{i}.png")
    return tmp_path / "digits"


def test_any_folder_with_the_right_class_names_is_judged(digits_run, class_folders, capsys):
    found = report(capsys, str(digits_run), "--data", str(class_folders))
    counts = {row["class"]: row["count"] for row in found["per_class"]}
    assert found["count"] == len(list(class_folders.rglob("*.png")))
    assert {name for name, count in counts.items() if count} == {"3", "5", "9"}
    assert run(["predict", str(digits_run), str(class_folders), "--json"]) == 0
    named = [(Path(each["path"]).parent.name, each["top"][0]["class"]) for each in json.loads(capsys.readouterr().out)]
    assert found["top1"] == sum(truth == guess for truth, guess in named) / len(named)


def test_a_folder_with_another_class_is_refused_by_name(digits_run, class_folders, capsys):
    (class_folders / "tree").mkdir()
    assert run(["evaluate", str(digits_run), "--data", str(class_folders)]) == 3
    assert "digits/tree: the weights know no class 'tree'. Known: 0, 1, 2" in capsys.readouterr().err


def test_a_folder_that_the_digits_do_not_read_is_refused(digits_run, tmp_path, capsys):
    for folder in (tmp_path, tmp_path / "absent"):
        assert run(["evaluate", str(digits_run), "--data", str(folder)]) == 3
        assert capsys.readouterr().err == (
            f"error: {folder}: digits is read from no folder, and this one has no folders of its classes. "
            "Leave --data out, or name a folder with one folder a class\n"
        )


def test_a_split_that_is_not_there_is_told_with_the_one_that_is(digits_run, tmp_path, capsys):
    bundle = load_bundle(digits_run)
    bundle.extra["data"] |= {"dataset": "image_folder", "root": str(tmp_path)}
    save_bundle(tmp_path / "w.safetensors", bundle)
    assert run(["evaluate", str(tmp_path / "w.safetensors")]) == 3
    assert "there is no test split. Use --split val, or name a folder of classes" in capsys.readouterr().err


def test_calibrating_is_for_runs_as_they_are(digits_run, capsys):
    assert run(["evaluate", str(digits_run), "--calibrate", "--tta", "flip"]) == 2
    assert "--calibrate is for the weights of a run as they are, not with --tta" in capsys.readouterr().err


def test_calibrating_looks_at_the_data_that_is_named(digits_run, class_folders, tmp_path, capsys):
    folder = shutil.copytree(digits_run, tmp_path / "run")
    own = report(capsys, str(folder), "--calibrate")["calibration"]["temperature"]
    named = report(capsys, str(folder), "--calibrate", "--data", str(class_folders))["calibration"]["temperature"]
    assert named != own


def test_a_temperature_stays_with_its_weights_when_the_run_goes_on(digits_run, tmp_path, capsys):
    folder = shutil.copytree(digits_run, tmp_path / "run")
    temperature = report(capsys, str(folder), "--calibrate")["calibration"]["temperature"]
    config = folder / "config.yaml"
    assert run(["train", str(config), "--run-dir", str(folder), "--resume"]) == 0
    assert load_bundle(folder).extra["temperature"] == temperature
    (folder / "best.safetensors").write_bytes(b"torn")
    assert run(["train", str(config), "--run-dir", str(folder), "--resume"]) == 0
    assert "temperature" not in load_bundle(folder).extra


def test_a_run_in_training_is_not_calibrated(digits_run, capsys):
    with RunFolder(digits_run).locked():
        code = "import sys; from tinytrain.cli.main import run; sys.exit(run(sys.argv[1:]))"
        command = [sys.executable, "-c", code, "evaluate", str(digits_run), "--calibrate"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "is in use" in done.stderr
    assert "temperature" not in load_bundle(digits_run).extra


BOTH = ["predict", "evaluate"]


def with_loss(loss):
    """Return the change of a bundle to a loss."""
    return {"extra": {"data": {"dataset": "digits"}, "loss": loss}}


@pytest.mark.parametrize("temperature", [0, -1.0, "hot", True, None])
def test_a_temperature_that_is_none_is_refused(digits_run, tmp_path, capsys, temperature):
    bundle = load_bundle(digits_run)
    bundle.extra["temperature"] = temperature
    save_bundle(tmp_path / "w.safetensors", bundle)
    image, _ = Digits(train=False)[0]
    image.save(tmp_path / "digit.png")
    for command in (["evaluate"], ["predict", str(tmp_path / "digit.png")]):
        assert run([command[0], str(tmp_path / "w.safetensors"), *command[1:]]) == 3
        assert f"w.safetensors: the metadata is damaged: the temperature is {temperature!r}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("commands", "changes", "message"),
    [
        (BOTH, {"model": {"name": 5}}, "model.name: expected text, found 5. Put text"),
        (BOTH, {"model": {"foo": 1}}, "model: expected either `name` or `layers`, found {foo: 1}"),
        (BOTH, {"model": {"name": "cnn", "foo": 1}}, "model"),
        (BOTH, {"model": 5}, "model: the metadata should have keys and values here, not 5"),
        (BOTH, {"eval_transforms": 5}, "eval_transforms: the metadata should have a list here, not 5"),
        (BOTH, {"eval_transforms": [5]}, "transforms.eval"),
        (BOTH, {"class_names": 5}, "class_names: the metadata should have a list of names here, not 5"),
        (BOTH, {"class_names": [1, 2]}, "class_names: the metadata should have a list of names here, not [1, 2]"),
        (BOTH, {"class_names": []}, "class_names: the metadata should have a list of names here, not []"),
        (BOTH, {"input_shape": [1, 8]}, "input_shape: the metadata should have three whole numbers from 1 here"),
        (BOTH, {"version": 1}, "version: the metadata should have text here, not 1"),
        (BOTH, {"extra": 5}, "extra: the metadata should have keys and values here, not 5"),
        (BOTH, {"more": 5}, "more: unknown key of the metadata"),
        (["evaluate"], {"extra": {}}, "data: this key is missing"),
        (["evaluate"], {"extra": {"data": 5}}, "data: expected keys and values, found 5"),
        (["evaluate"], {"extra": {"data": {"dataset": "digits"}, "seed": "x"}}, "seed: expected a whole number"),
        (["evaluate"], with_loss(5), "train.loss: expected keys and values, found 5"),
        (["evaluate"], with_loss({"name": "none"}), "train.loss.name: there is no loss called 'none'"),
        (["evaluate"], with_loss({"name": "cross_entropy", "weight": [1.0]}), "train.loss: `weight` must be balanced"),
    ],
)
def test_metadata_of_another_kind_are_told_with_their_key(digits_run, tmp_path, capsys, commands, changes, message):
    bundle = load_bundle(digits_run)
    vars(bundle).update(changes)
    save_bundle(tmp_path / "w.safetensors", bundle)
    Digits(train=False)[0][0].save(tmp_path / "digit.png")
    for command in commands:
        paths = [str(tmp_path / "digit.png")] if command == "predict" else []
        assert run([command, str(tmp_path / "w.safetensors"), *paths]) == 3
        error = capsys.readouterr().err
        assert error.splitlines()[-1].startswith(f"error: {tmp_path / 'w.safetensors'}: {message}")


def test_a_loss_that_the_metadata_do_not_name_is_cross_entropy(digits_run, tmp_path, capsys):
    bundle = load_bundle(digits_run)
    del bundle.extra["loss"]
    save_bundle(tmp_path / "w.safetensors", bundle)
    found, smoothed = (report(capsys, str(source)) for source in (tmp_path / "w.safetensors", digits_run))
    assert found["top1"] == smoothed["top1"]
    assert found["loss"] < smoothed["loss"]


def test_what_weights_without_numbers_give_is_null(digits_run, tmp_path, capsys):
    bundle = load_bundle(digits_run)
    name = next(iter(bundle.weights))
    bundle.weights[name] = np.full_like(bundle.weights[name], np.nan)
    save_bundle(tmp_path / "w.safetensors", bundle)
    assert report(capsys, str(tmp_path / "w.safetensors"))["loss"] is None
    Digits(train=False)[0][0].save(tmp_path / "digit.png")
    assert run(["predict", str(tmp_path / "w.safetensors"), str(tmp_path / "digit.png"), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert [guess["probability"] for guess in found["top"]] == [None] * 5
