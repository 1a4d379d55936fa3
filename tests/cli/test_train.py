"""`train` and `evaluate` from the command line: a run folder, one JSON document, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinytrain.cli.main import run
from tinytrain.cli.progress import Screen
from tinytrain.config import load_config
from tinytrain.config.schema import plain_values
from tinytrain.training import EpochResult

CONFIG = """\
name: small
data: {dataset: digits, batch_size: 256}
transforms: {train: [ToTensor], eval: [ToTensor]}
model: {name: cnn, widths: [4], strides: [2]}
train:
  epochs: 2
  optimizer: {name: adam, lr: 1e-2}
  loss: {name: cross_entropy, label_smoothing: 0.1, weight: balanced}
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "small.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def finished(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    assert run(["train", str(config), "--run-dir", str(folder)]) == 0
    return folder


def test_train_prints_the_test_accuracy_and_the_folder(config: Path, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["train", str(config), "train.epochs=1"]) == 0
    stdout, stderr = capsys.readouterr()
    accuracy, place = stdout.splitlines()
    assert accuracy.startswith("test accuracy 0.")
    assert place == "results in runs/small"
    assert "runs/small: 1 epoch of 6 steps\n" in stderr
    assert "epoch 1/1  loss " in stderr


def test_a_second_run_of_a_name_gets_a_folder_of_its_own(config: Path, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("runs/small", "runs/small-2"):
        assert run(["train", str(config), "train.epochs=1"]) == 0
        assert capsys.readouterr().out.endswith(f"results in {folder}\n")


def test_train_json_is_the_summary_alone(config: Path, tmp_path: Path, capsys):
    folder = tmp_path / "run"
    assert run(["train", str(config), "train.epochs=1", "--run-dir", str(folder), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == {"run": str(folder), **json.loads((folder / "summary.json").read_text())}


def test_profile_leaves_a_table_and_a_trace_and_changes_nothing(config: Path, finished: Path, tmp_path: Path, capsys):
    assert run(["train", str(config), "--profile", "--run-dir", str(tmp_path / "run"), "--json"]) == 0
    stdout, stderr = capsys.readouterr()
    document = json.loads(stdout)
    text = (tmp_path / "run" / "profile.txt").read_text()
    assert text in stderr
    first, heads, *rows = text.splitlines()
    assert first.startswith("10 steps of ")
    assert first.endswith(" ms when nobody looks")
    assert heads.split()[:2] == ["layer", "type"]
    assert {"features.0.0", "classifier", "(loss)", "(optimizer)"} <= {row.split()[0] for row in rows}
    trace = json.loads((tmp_path / "run" / "profile.json").read_text())
    assert {event["cat"] for event in trace["traceEvents"]} == {"phase", "load", "update", "forward", "backward"}
    assert document["profile"] == trace["otherData"]
    summary = json.loads((finished / "summary.json").read_text())
    assert document["weights_sha256"] == summary["weights_sha256"]


def test_the_run_keeps_its_config_resolved(config: Path, finished: Path):
    kept, given = load_config(finished / "config.yaml"), load_config(config)
    assert plain_values(kept) == plain_values(given)
    assert "# default" in (finished / "config.yaml").read_text()


def test_evaluate_finds_the_accuracy_that_train_told(finished: Path, capsys):
    summary = json.loads((finished / "summary.json").read_text())
    for source in (finished, finished / "best.safetensors"):
        for split, count in (("val", 145), ("test", 355)):
            assert run(["evaluate", str(source), "--split", split, "--json"]) == 0
            report = json.loads(capsys.readouterr().out)
            assert list(report) == ["split", "top1", "top5", "loss", "count", "per_class"]
            assert {key: report[key] for key in ("top1", "top5", "loss")} == pytest.approx(summary[split])
            assert (report["split"], report["count"]) == (split, count)
            assert [row["class"] for row in report["per_class"]] == list("0123456789")


def test_evaluate_counts_any_number_of_guesses(finished: Path, capsys):
    assert run(["evaluate", str(finished), "--topk", "10", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["top10"] == 1.0


def test_evaluate_judges_several_views_of_each_image(finished: Path, capsys):
    reports = []
    for options in ([], ["--tta", "flip"]):
        assert run(["evaluate", str(finished), "--json", *options]) == 0
        reports.append(json.loads(capsys.readouterr().out))
    assert reports[0]["count"] == reports[1]["count"] == 355
    assert reports[0]["loss"] != reports[1]["loss"]


def test_evaluate_refuses_crops_of_images_that_are_not_cropped(finished: Path, capsys):
    assert run(["evaluate", str(finished), "--tta", "ten_crop"]) == 2
    assert capsys.readouterr().err.endswith(
        "transforms.eval: ten_crop needs a CenterCrop among the evaluation transforms, there are 1 others. Use flip\n"
    )


def test_evaluate_prints_a_table_of_the_classes(finished: Path, capsys):
    assert run(["evaluate", str(finished), "--topk", "2"]) == 0
    first, heads, *rows = capsys.readouterr().out.splitlines()
    assert first.startswith("test: top-1 0.")
    assert ", top-2 0." in first
    assert heads.split() == ["class", "count", "precision", "recall", "f1"]
    assert len(rows) == 10


def test_an_interrupted_training_says_how_it_goes_on(config: Path, tmp_path: Path, capsys, monkeypatch):
    def interrupt(screen: Screen, result: EpochResult) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Screen, "epoch", interrupt)
    assert run(["train", str(config), "--run-dir", str(tmp_path / "run")]) == 130
    assert capsys.readouterr().err.endswith("\ninterrupted; the same command goes on from the last checkpoint\n")


def test_a_finished_run_taken_up_again_comes_to_the_same(config: Path, finished: Path, capsys):
    before = json.loads((finished / "summary.json").read_text())
    assert run(["train", str(config), "--run-dir", str(finished), "--resume", "--json"]) == 0
    after = json.loads(capsys.readouterr().out)
    assert after["weights_sha256"] == before["weights_sha256"]
    assert after["test"] == before["test"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run-dir", "RUN"], "RUN: the run folder exists already. Name another one with --run-dir, or go on with"),
        (
            ["--run-dir", "RUN", "--resume", "seed=1"],
            "RUN: the run has seed=0, this config 1. A run goes on with the config it began with; begin a new one with",
        ),
        (["--run-dir", "elsewhere", "--resume"], "elsewhere: this is no run folder: it has no config.yaml"),
        (["--resume", "name=other"], "runs: there is no run called 'other' to go on with. Leave out --resume, or"),
        (["train.optimizer.lr=fast"], "override: train.optimizer.lr: expected a number, found 'fast'"),
        (["train.optimizer.name=sdg"], "override: train.optimizer.name: there is no optimizer called 'sdg' (did you "),
        (["data.dataset=digit"], "override: data.dataset: there is no dataset called 'digit' (did you mean 'digits'"),
        (["model.wdths=[1]"], "override: model.wdths: unknown key for model 'cnn' (did you mean 'widths'?). Known "),
        (["model.num_classes=3"], "override: model.num_classes: the program sets this itself. Leave it out"),
        (["model.conv=depthwise"], "override: model.conv: model cnn: `conv` must be one of standard, separable; got "),
        (["train.loss.name=hinge"], "override: train.loss.name: there is no loss called 'hinge'"),
        (["train.schedule.name=cosin"], "override: train.schedule.name: there is no schedule called 'cosin' (did you"),
        (["train.schedule={name: step}"], "override: train.schedule: schedule 'step' needs the key 'step_size'"),
        (["train.optimizer.lr=-1"], "override: train.optimizer.lr: Adam: `lr` must be at least 0"),
        (["transforms.train.0=ToTensr"], "override: transforms.train.0: there is no transform called 'ToTensr' (did"),
        (["transforms.train.0={Pad: {pading: 1}}"], "override: transforms.train.0.Pad.pading: unknown key for transfo"),
        (["transforms.eval=[]"], "override: transforms.eval: the pipeline ends with a Pillow image, a model takes a "),
        (
            ["train.best_metric=f1"],
            "override: train.best_metric: expected 'top1', 'top5', 'macro_recall' or 'loss', f",
        ),
        (
            ["train.optimizer.groups=[{prefix: stem, lr_scale: 1}]"],
            "override: train.optimizer.groups: no parameter's name be",
        ),
        (["train.optimizer.layer_decay=2"], "override: train.optimizer.layer_decay: expected a number of at most 1.0"),
        (["data.options={split: x}"], "override: data.options.split: unknown key for dataset 'digits'. It takes none"),
        (["--device", "cuda:77"], "override: device: device 'cuda:77' is not available: "),
    ],
)
def test_train_refuses_in_one_line(
    config: Path, finished: Path, tmp_path: Path, capsys, monkeypatch, arguments: list[str], message: str
):
    monkeypatch.chdir(tmp_path)
    arguments = [str(finished) if each == "RUN" else each for each in arguments]
    assert run(["train", str(config), *arguments]) == 2
    stdout, stderr = capsys.readouterr()
    expected = message.replace("RUN", str(finished), 1).replace("CONFIG", str(config), 1)
    assert stdout == ""
    assert stderr.startswith(f"error: {expected}")
    assert stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_data_that_are_not_there_exit_with_3(config: Path, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["train", str(config), "data.dataset=image_folder", "data.root=photos"]) == 3
    assert capsys.readouterr().err == f"error: photos: there is no such folder in {tmp_path}. Check data.root\n"


def test_weights_that_are_not_there_exit_with_3(tmp_path: Path, capsys):
    assert run(["evaluate", str(tmp_path / "none.safetensors")]) == 3
    assert "none.safetensors: there is no such file. Name a run folder or a weights file" in capsys.readouterr().err


def test_weights_of_other_classes_exit_with_3(finished: Path, tmp_path: Path, capsys):
    from PIL import Image

    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("L", (8, 8)).save(tmp_path / split / name / "0.png")
    config = tmp_path / "pets.yaml"
    config.write_text(CONFIG.replace("dataset: digits", f"dataset: image_folder, root: {tmp_path}"))
    assert run(["evaluate", str(finished), "--config", str(config)]) == 3
    assert "the data has the classes cat, dog, the weights 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in capsys.readouterr().err


def test_weights_from_elsewhere_need_a_config(config: Path, finished: Path, tmp_path: Path, capsys):
    from safetensors.numpy import load_file, save_file

    bare = tmp_path / "bare.safetensors"
    save_file(load_file(finished / "best.safetensors"), bare)
    assert run(["evaluate", str(bare)]) == 3
    assert capsys.readouterr().err == (
        f"error: {bare}: the file does not say which network it is for. Name a config with --config\n"
    )
    assert run(["evaluate", str(bare), "--config", str(config), "--json"]) == 0
    summary = json.loads((finished / "summary.json").read_text())
    assert json.loads(capsys.readouterr().out)["top1"] == summary["test"]["top1"]


def test_weights_of_another_network_exit_with_3(config: Path, finished: Path, tmp_path: Path, capsys):
    wider = tmp_path / "wider.yaml"
    wider.write_text(CONFIG.replace("widths: [4]", "widths: [5]"))
    assert run(["evaluate", str(finished), "--config", str(wider)]) == 3
    assert f"error: {finished}: the weights do not fit the network: " in capsys.readouterr().err
