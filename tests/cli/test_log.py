"""`--log` writes the numbers of every epoch for other programs, and only where it is asked for."""

from __future__ import annotations

import csv
import importlib.util
import sys
import types
from pathlib import Path

import pytest

from tinytrain.cli.main import run

CONFIG = Path(__file__).resolve().parents[2] / "configs/digits.yaml"
SMALL = ["model.widths=[4]", "model.strides=[2]", "train.epochs=2", "device=cpu"]


def train(folder: Path, *arguments: str) -> int:
    """Return the exit code of a short training."""
    return run(["train", str(CONFIG), *SMALL, "--run-dir", str(folder), *arguments])


def test_tensorboard_reads_the_numbers_of_the_run(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train(tmp_path / "run", "--log", "tensorboard") == 0
    events = EventAccumulator(str(tmp_path / "run/tensorboard"))
    events.Reload()
    rows = list(csv.DictReader((tmp_path / "run/metrics.csv").open()))
    for tag, column in (("val/top1", "val_top1"), ("train/loss", "train_loss"), ("lr", "lr")):
        found = events.Scalars(tag)
        assert [each.step for each in found] == [1, 2]
        assert [each.value for each in found] == pytest.approx([float(row[column]) for row in rows], rel=1e-4)
    assert len(events.Scalars("best/test_top1")) == 1


def test_nothing_is_written_where_nobody_asks(tmp_path):
    assert train(tmp_path / "run") == 0
    assert not (tmp_path / "run/tensorboard").exists()


def test_mlflow_and_wandb_are_told_the_same(tmp_path, monkeypatch):
    told: list[tuple] = []
    mlflow, wandb = types.ModuleType("mlflow"), types.ModuleType("wandb")
    for name in ("set_experiment", "start_run", "log_text", "log_metrics", "end_run"):
        setattr(mlflow, name, lambda *a, _name=name, **k: told.append((_name, a, k)))
    wandb_run = types.SimpleNamespace(
        log=lambda numbers, step: told.append(("log", (numbers,), {"step": step})),
        finish=lambda: told.append(("finish", (), {})),
    )
    wandb.init = lambda **k: told.append(("init", (), k)) or wandb_run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert train(tmp_path / "run", "--log", "mlflow", "--log", "wandb") == 0
    assert [name for name, _, _ in told].count("log_metrics") == 4  # two epochs, and two splits at the end
    logged = [(a[0], k["step"]) for name, a, k in told if name == "log_metrics"]
    assert logged == [(a[0], k["step"]) for name, a, k in told if name == "log"]
    assert logged[0][0].keys() >= {"train/loss", "val/top1", "lr"}
    assert {"end_run", "finish"} <= {name for name, _, _ in told}
    (config,) = [k["config"] for name, _, k in told if name == "init"]
    assert config["model"]["widths"] == [4]


def test_a_package_that_is_missing_is_told_before_the_training(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert train(tmp_path / "run", "--log", "wandb") == 2
    assert "--log wandb needs the package wandb, which is missing. pip install 'tinytrain[wandb]'" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "run").exists()
    assert train(tmp_path / "run", "--log", "tensorbord") == 2
    assert "--log: there is no writer called 'tensorbord' (did you mean 'tensorboard'?)" in capsys.readouterr().err
