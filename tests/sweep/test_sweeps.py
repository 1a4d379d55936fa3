"""A sweep loses no finished trial and repeats none, whatever is done to its processes."""

from __future__ import annotations

import csv
import html
import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tinytrain.cli.main import run
from tinytrain.sweep import runner
from tinytrain.sweep.plan import Plan
from tinytrain.sweep.study import SweepStudy

pytest.importorskip("optuna")
pytest.importorskip("filelock")

pytestmark = pytest.mark.timeout(400)  # many short trainings, on machines that may have other work

CONFIG = Path(__file__).resolve().parents[2] / "configs/digits.yaml"
SMALL = ["model.widths=[4, 4]", "model.strides=[2, 2]", "device=cpu"]
GRID = [*SMALL, "train.epochs=3", "train.optimizer.lr=0.1,0.03,0.01", "model.norm=batch,none"]


def sweep(folder: Path, *arguments: str, capsys) -> dict:
    """Return what `sweep --json` prints."""
    assert run(["sweep", str(CONFIG), *arguments, "--sweep-dir", str(folder), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def start(folder: Path) -> subprocess.Popen[str]:
    """Begin a sweep of six trials in a process of its own."""
    command = [sys.executable, "-m", "tinytrain", "sweep", str(CONFIG), *GRID, "--sweep-dir", str(folder)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for(condition, seconds: float = 90.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "this takes too long"
        time.sleep(0.02)


def summaries(folder: Path) -> dict[str, Path]:
    """Return the summaries of finished runs by trial."""
    return {path.parent.name: path for path in sorted(folder.glob("trials/*/summary.json"))}


def begun(stderr: str) -> list[int]:
    """Return the trials that a process began or went on with."""
    return [int(number) for number in re.findall(r"^trial (\d+): train\.", stderr, re.MULTILINE)]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
def test_a_killed_sweep_goes_on_with_the_trial_it_was_at(tmp_path, capsys):
    whole = sweep(tmp_path / "whole", *GRID, capsys=capsys)
    folder = tmp_path / "killed"
    process = start(folder)
    # Somewhere in the third trial: its first epoch is over.
    wait_for(lambda: (folder / "trials/0002/metrics.csv").exists())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = {name: (path.stat().st_mtime_ns, path.read_text()) for name, path in summaries(folder).items()}
    assert {"0000", "0001"} <= before.keys()
    assert len(before) < 6
    assert run(["sweep", str(CONFIG), *GRID, "--sweep-dir", str(folder), "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    told = {trial["number"] for trial in found["trials"] if trial["state"] == "complete"}
    assert told == set(range(6))
    again = begun(captured.err)
    assert len(again) == len(set(again))
    assert {0, 1}.isdisjoint(again)
    after = summaries(folder)
    assert all((after[name].stat().st_mtime_ns, after[name].read_text()) == before[name] for name in ("0000", "0001"))
    # To the bit what an undisturbed sweep gives.
    for one, other in zip(summaries(tmp_path / "whole").values(), after.values(), strict=True):
        assert json.loads(one.read_text())["weights_sha256"] == json.loads(other.read_text())["weights_sha256"]
    assert [(t["point"], t["value"]) for t in found["trials"]] == [(t["point"], t["value"]) for t in whole["trials"]]


def test_two_processes_share_a_sweep(tmp_path):
    processes = [start(tmp_path / "sweep") for _ in range(2)]
    told = [begun(process.communicate(timeout=110)[1]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(told[0] + told[1]) == list(range(6))
    assert all(told)
    assert len(summaries(tmp_path / "sweep")) == 6


def test_trials_are_ordinary_runs_with_a_table_and_a_picture(tmp_path, capsys):
    found = sweep(tmp_path, *SMALL, "train.epochs=1", "model.norm=batch,none", "--seeds", "2", capsys=capsys)
    assert [set(trial["point"]) for trial in found["trials"]] == [{"model.norm", "seed"}] * 4
    values = [trial["value"] for trial in found["trials"]]
    assert values == sorted(values, reverse=True)
    best = found["trials"][0]
    summary = json.loads((Path(best["run"]) / "summary.json").read_text())
    assert best["value"] == summary["val"]["top1"]
    assert best["result"]["test_top1"] == summary["test"]["top1"]
    assert run(["evaluate", best["run"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["top1"] == summary["test"]["top1"]
    rows = list(csv.DictReader((tmp_path / "trials.csv").open()))
    assert [float(row["val_top1"]) for row in rows] == values
    assert {row["model.norm"] for row in rows} == {"batch", "none"}
    assert Image.open(tmp_path / "parallel.png").width > 400
    assert "Mean over seeds" in (tmp_path / "sweep.html").read_text()


def test_a_trial_that_ends_while_another_process_looks_for_one_is_not_taken_over(tmp_path, monkeypatch):
    plan = Plan({"model.norm": ["batch", "none"]}, [], "grid", None, [0], False)
    ours, theirs = (SweepStudy(tmp_path, plan, {}, higher_is_better=True) for _ in range(2))
    with theirs.claimed() as claim:
        seen = ours.study.get_trials()
        theirs.finish(claim, 0.5, {})
    monkeypatch.setattr(ours.study, "get_trials", lambda **options: seen)
    with ours.claimed() as claim:
        assert (claim.trial.number, claim.is_taken_over) == (1, False)
        ours.finish(claim, 0.25, {})
    assert [(row.state, row.value) for row in theirs.rows()] == [("complete", 0.5), ("complete", 0.25)]


@pytest.fixture
def photos(tmp_path):
    """A config of eight photos in two classes, and the folder that it reads."""
    for split in ("train", "val"):
        for name, colour in (("light", 200), ("dark", 50)):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for i in range(4):
                Image.new("RGB", (8, 8), (colour, colour, colour + i)).save(folder / f"{i}.png")
    config = tmp_path / "photos.yaml"
    config.write_text(
        f"data: {{dataset: image_folder, root: '{tmp_path / 'photos'}', on_error: skip}}\n"
        "model: {layers: [Flatten, {Linear: {out_features: 2}}]}\ntransforms: {train: [ToTensor], eval: [ToTensor]}\n"
        "train: {epochs: 1, optimizer: {name: sgd, lr: 0.01}}\n"
    )
    return config


def test_what_a_training_says_is_told_with_the_number_of_its_trial(photos, tmp_path, capsys):
    (tmp_path / "photos/train/dark/1.png").write_bytes(b"nothing")
    rates = "train.optimizer.lr=0.01,0.1"
    assert run(["sweep", str(photos), rates, "--sweep-dir", str(tmp_path / "sweep")]) == 0
    error = capsys.readouterr().err
    for number in (0, 1):
        assert re.search(rf"^trial {number}: left out: .*dark/1\.png: cannot be read as an image", error, re.MULTILINE)
    assert len(re.findall(r"^val: loss", error, re.MULTILINE)) == 2


def test_hopeless_runs_are_given_up(tmp_path, capsys):
    # After four good runs those that cannot learn fall behind at once.
    rates = "train.optimizer.lr=0.1,0.09,0.08,0.07,1e-9,1e-10"
    found = sweep(tmp_path, *SMALL, "train.epochs=4", rates, "--prune", capsys=capsys)
    states = {trial["number"]: trial["state"] for trial in found["trials"]}
    assert states == {0: "complete", 1: "complete", 2: "complete", 3: "complete", 4: "pruned", 5: "pruned"}
    pruned = next(trial for trial in found["trials"] if trial["number"] == 4)
    assert pruned["result"]["error"].startswith("pruned after epoch")
    assert not (Path(pruned["run"]) / "summary.json").exists()


def test_a_search_by_scores_makes_as_many_trials_as_asked_for(tmp_path, capsys):
    arguments = [*SMALL, "train.epochs=1", "train.optimizer.lr=0.001..0.3:log", "--search", "tpe", "--trials", "3"]
    found = sweep(tmp_path, *arguments, capsys=capsys)
    assert len(found["trials"]) == 3
    assert all(0.001 <= trial["point"]["train.optimizer.lr"] <= 0.3 for trial in found["trials"])
    assert len(sweep(tmp_path, *arguments, capsys=capsys)["trials"]) == 3


def test_a_search_by_scores_repeats_itself(tmp_path, capsys):
    arguments = [*SMALL, "train.epochs=1", "train.optimizer.lr=0.001..0.3:log", "--search", "tpe", "--trials", "3"]
    first, again, other = (
        {trial["number"]: trial["point"]["train.optimizer.lr"] for trial in found["trials"]}
        for found in (
            sweep(tmp_path / "first", *arguments, capsys=capsys),
            sweep(tmp_path / "again", *arguments, capsys=capsys),
            sweep(tmp_path / "other", *arguments, "seed=1", capsys=capsys),
        )
    )
    assert first == again
    assert len({*first.values(), *other.values()}) == 6


def test_a_run_that_diverges_is_a_failed_trial_and_the_rest_go_on(tmp_path, capsys):
    found = sweep(tmp_path, *SMALL, "train.epochs=1", "train.optimizer.lr=1e18,0.1", "model.norm=none", capsys=capsys)
    assert {trial["number"]: trial["state"] for trial in found["trials"]} == {0: "failed", 1: "complete"}
    assert "the loss is" in found["trials"][1]["result"]["error"]


def test_a_trial_that_cannot_be_built_is_a_failed_one_and_the_rest_go_on(photos, tmp_path, capsys):
    steps = "transforms.train=[{Resize: {size: 0}}, ToTensor],[ToTensor],[ToTensor, RandomHorizontalFlip]"
    command = ["sweep", str(photos), steps, "--sweep-dir", str(tmp_path / "sweep"), "--json"]
    assert run(command) == 0
    captured = capsys.readouterr()
    trials = {trial["number"]: trial for trial in json.loads(captured.out)["trials"]}
    assert [trials[number]["state"] for number in range(3)] == ["failed", "complete", "complete"]
    reason = trials[0]["result"]["error"]
    assert reason.startswith("override: transforms.train")
    assert "size" in reason
    assert f"trial 0: failed: {reason}\n" in captured.err
    assert run(command) == 0
    assert "trial" not in capsys.readouterr().err, "what failed is not tried again"


def test_a_search_by_scores_passes_over_what_cannot_be_built(photos, tmp_path, capsys):
    arguments = ["train.optimizer.momentum=-0.5..0.5", "--search", "tpe", "--trials", "4"]
    assert run(["sweep", str(photos), *arguments, "--sweep-dir", str(tmp_path / "sweep"), "--json"]) == 0
    trials = json.loads(capsys.readouterr().out)["trials"]
    assert {trial["state"] for trial in trials} <= {"failed", "complete"}
    below = [trial["point"]["train.optimizer.momentum"] < 0 for trial in trials]
    assert below == [trial["state"] == "failed" for trial in trials]
    assert any(below)


def test_what_no_trial_can_do_without_ends_the_sweep_until_it_is_there(photos, tmp_path, capsys):
    command = ["sweep", str(photos), "train.optimizer.lr=0.01,0.1", "--sweep-dir", str(tmp_path / "sweep"), "--json"]
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    assert run(command) == 3
    error = capsys.readouterr().err
    assert f"error: {tmp_path / 'photos'}: there is no such folder. Check data.root\n" in error
    assert "failed" not in error
    (tmp_path / "elsewhere").rename(tmp_path / "photos")
    assert run(command) == 0
    assert [trial["state"] for trial in json.loads(capsys.readouterr().out)["trials"]] == ["complete"] * 2


def test_a_trial_that_memory_does_not_suffice_for_is_a_failed_one(photos, tmp_path, capsys, monkeypatch):
    def train(experiment, *arguments, **options):
        if experiment.train.batch_size == 64:
            raise MemoryError
        return runner_train(experiment, *arguments, **options)

    runner_train = runner.train
    monkeypatch.setattr(runner, "train", train)
    assert run(["sweep", str(photos), "data.batch_size=64,2", "--sweep-dir", str(tmp_path / "sweep"), "--json"]) == 0
    captured = capsys.readouterr()
    assert [trial["state"] for trial in json.loads(captured.out)["trials"]] == ["complete", "failed"]
    assert "trial 0: failed: there is not enough memory\n" in captured.err


def test_another_command_does_not_get_into_a_sweep(tmp_path, capsys):
    arguments = ["sweep", str(CONFIG), *SMALL, "train.epochs=1", "--sweep-dir", str(tmp_path)]
    assert run([*arguments, "model.norm=batch,none"]) == 0
    capsys.readouterr()
    assert run([*arguments, "model.norm=batch,group"]) == 2
    error = capsys.readouterr().err
    assert "the sweep there has axes={model.norm: [batch, none]}, this one axes={model.norm: [batch, group]}" in error
    assert "Name another folder with --sweep-dir, or give the same command to go on" in error


def test_the_page_says_how_to_go_on_and_the_folder_has_the_name_of_the_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = 'data.keep_classes=["1", "2"]'
    options = ["--seeds", "2", "--search", "random", "--trials", "1"]
    axes = ["model.norm=batch,none", "train.epochs=1", kept]
    assert run(["sweep", str(CONFIG), "name=two-digits", *SMALL, *axes, *options]) == 0
    page = (tmp_path / "runs/sweep-two-digits/sweep.html").read_text(encoding="utf-8")
    (command,) = re.findall("tinytrain sweep [^<]*", page)
    words = shlex.split(html.unescape(command))
    assert set(options) <= set(words)
    capsys.readouterr()
    assert run([*words[1:], "--json"]) == 0
    assert [trial["state"] for trial in json.loads(capsys.readouterr().out)["trials"]] == ["complete"] * 2


def test_a_value_that_cannot_be_is_told_before_anything_runs(tmp_path, capsys):
    folder = tmp_path / "sweep"
    assert run(["sweep", str(CONFIG), "model.norm=batch", "train.epochs=1,many", "--sweep-dir", str(folder)]) == 2
    assert "train.epochs: expected a whole number, found 'many'" in capsys.readouterr().err
    assert not folder.exists()


def test_public_weights_are_not_passed_over(tmp_path, capsys):
    models = "model={name: resnet18, pretrained: true},{name: resnet34, pretrained: true}"
    assert run(["sweep", str(CONFIG), models, "--sweep-dir", str(tmp_path / "sweep")]) == 2
    assert "`sweep` begins with random weights, the config has model.pretrained=true" in capsys.readouterr().err


def test_without_optuna_the_remedy_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert run(["sweep", str(CONFIG), "model.norm=batch,none", "--sweep-dir", str(tmp_path / "s")]) == 2
    assert "pip install 'tinytrain[sweep]'" in capsys.readouterr().err


def test_a_line_that_was_cut_off_by_a_power_failure_is_no_trial(tmp_path, capsys):
    arguments = [*SMALL, "train.epochs=1", "model.norm=batch,none"]
    sweep(tmp_path, *arguments, capsys=capsys)
    journal = tmp_path / "journal.log"
    with journal.open("ab") as file:
        file.write(b'{"op_code":6,"worker_id"')
    found = sweep(tmp_path, *arguments, capsys=capsys)
    assert [trial["state"] for trial in found["trials"]] == ["complete"] * 2
