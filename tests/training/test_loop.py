"""A training repeats itself, goes on where it was stopped, and leaves the files it promises."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
from pathlib import Path

import pytest

import tinytrain as tt
from tinytrain import nn
from tinytrain.optim import SGD
from tinytrain.optim.schedules import SCHEDULES, Schedule
from tinytrain.training import DivergenceError, Events, Experiment, RunFolder, RunResult, train
from tinytrain.utils.data import DataLoader, TensorDataset
from tinytrain.weights import load_bundle, weights_sha256


def experiment(*, epochs: int = 4, lr: float = 0.1, with_val: bool = True) -> Experiment:
    """Three classes of 4x4 images that a line can tell apart, a network with batch norm and dropout."""
    generator = tt.Generator().manual_seed(5)
    targets = tt.arange(48) % 3
    images = 0.3 * tt.randn(48, 1, 4, 4, generator=generator)
    images[tt.arange(48), 0, targets, targets] += 2.0
    data = TensorDataset(images, targets)
    tt.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, 3)
    )
    optimizer = SGD(model.parameters(), lr=lr, momentum=0.9)
    held_out = DataLoader(data, 16)
    return Experiment(
        name="toy",
        seed=1,
        device=tt.device("cpu"),
        model=model,
        train=DataLoader(data, 8, shuffle=True, seed=1),
        val=held_out if with_val else None,
        test=held_out,
        class_names=["a", "b", "c"],
        input_shape=(1, 4, 4),
        loss=nn.CrossEntropyLoss(),
        optimizer=optimizer,
        schedule=Schedule(SCHEDULES["cosine"](optimizer, 4, 6), warmup_steps=3),
        epochs=epochs,
        config_yaml="name: toy\n",
        bundle={"model": {"layers": []}, "eval_transforms": ["ToTensor"]},
    )


def run(path: Path, **options: object) -> RunResult:
    path.mkdir()
    return train(experiment(**options), RunFolder(path))


def test_a_run_learns_and_leaves_the_files_it_promises(tmp_path):
    result = run(tmp_path / "run")
    assert result.test.top1 > 0.9
    found = {path.name for path in (tmp_path / "run").iterdir()}
    assert {path.name for path in (tmp_path / "run" / "checkpoint").iterdir()} == {
        "lock",
        "000004.safetensors",  # the first is of the beginning, then one an epoch
        "000005.safetensors",
    }
    assert found == {
        "config.yaml",
        "metrics.csv",
        "summary.json",
        "best.safetensors",
        "last.safetensors",
        "checkpoint",
    }
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert float(rows[-1]["val_top1"]) == pytest.approx(result.epochs[-1].val.top1)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary == result.summary
    assert set(summary["test"]) == {"top1", "top5", "loss"}
    assert summary["params"] == 4 * 9 + 8 + 16 * 3 + 3
    assert summary["macs"] == 4 * 9 * 4 + 16 * 3


def test_two_runs_are_equal_to_the_bit(tmp_path):
    a, b = run(tmp_path / "a"), run(tmp_path / "b")
    assert a.summary["weights_sha256"] == b.summary["weights_sha256"]
    assert [each.train.loss for each in a.epochs] == [each.train.loss for each in b.epochs]


class StopAfter(Events):
    """Ends the process' part in a training after an epoch, as a kill would."""

    def __init__(self, epoch: int):
        self.last = epoch

    def epoch(self, result):
        if result.epoch == self.last:
            raise KeyboardInterrupt


@pytest.mark.parametrize("stopped_after", [1, 3])
def test_a_resumed_run_equals_one_that_was_not_stopped(tmp_path, stopped_after):
    whole = run(tmp_path / "whole")
    (tmp_path / "parts").mkdir()
    folder = RunFolder(tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        train(experiment(), folder, events=StopAfter(stopped_after))
    tt.manual_seed(999)  # whatever a new process begins with
    resumed = train(experiment(), folder, resume=True)
    assert resumed.summary["weights_sha256"] == whole.summary["weights_sha256"]
    assert [each.val.loss for each in resumed.epochs] == [each.val.loss for each in whole.epochs]
    assert resumed.summary["best_epoch"] == whole.summary["best_epoch"]


def test_a_run_stopped_in_its_first_epoch_begins_again(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_text("config.yaml", "")
    resumed, whole = train(experiment(), folder, resume=True), run(tmp_path / "whole")
    assert resumed.summary["weights_sha256"] == whole.summary["weights_sha256"]


@pytest.mark.parametrize("name", ["last.safetensors", "000002.safetensors"])
def test_weights_that_do_not_fit_on_the_disk_are_a_storage_error(tmp_path, monkeypatch, name):
    write = Path.write_bytes

    def write_until_full(path: Path, data: bytes) -> int:
        if name in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", write_until_full)
    with pytest.raises(tt.errors.StorageError, match=rf"{re.escape(name)}: cannot be written: No space left"):
        run(tmp_path / "run")


def test_resuming_without_a_checkpoint_says_what_to_do(tmp_path):
    RunFolder(tmp_path).write_metrics([])
    with pytest.raises(tt.errors.StorageError, match="Leave out --resume"):
        train(experiment(), RunFolder(tmp_path), resume=True)


def test_the_digest_is_of_the_last_weights(tmp_path):
    result = run(tmp_path / "run")
    last = load_bundle(tmp_path / "run" / "last.safetensors")
    assert weights_sha256(last.state_dict()) == result.summary["weights_sha256"]


def test_a_bundle_says_what_it_is_for(tmp_path):
    run(tmp_path / "run")
    bundle = load_bundle(tmp_path / "run")
    assert bundle.class_names == ["a", "b", "c"]
    assert bundle.input_shape == (1, 4, 4)
    assert bundle.model == {"layers": []}
    assert bundle.eval_transforms == ["ToTensor"]
    assert bundle.version == tt.__version__


def test_without_a_validation_set_the_last_epoch_is_the_best(tmp_path):
    result = run(tmp_path / "run", with_val=False)
    assert result.summary["best_epoch"] == 4
    assert result.summary["val"] is None
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert rows[0]["val_loss"] == ""


@pytest.mark.filterwarnings("error")
def test_a_loss_that_is_no_number_stops_the_run_and_says_where(tmp_path):
    with pytest.raises(DivergenceError, match=r"at epoch 1, step 2: it arises in .*\. Lower train\.optimizer\.lr"):
        run(tmp_path / "run", lr=1e30)
