"""What a training shows: bars with curves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from rich.console import Console

from tinytrain.cli import progress
from tinytrain.cli.progress import Screen
from tinytrain.training import EpochResult, Scores


def shown(monkeypatch, *, is_terminal: bool) -> str:
    """Return what a screen shows of two epochs of four batches."""
    file = io.StringIO()
    options = {"file": file, "force_terminal": is_terminal, "width": 150, "soft_wrap": True, "highlight": False}
    monkeypatch.setattr(progress, "Console", lambda **_: Console(**options))
    with Screen() as screen:
        screen.begin(Path("runs/x"), 2, 0, 4)
        for epoch in (1, 2):
            for step in range(1, 5):
                screen.batch(epoch, step, 32, 2.0 / (4 * epoch + step) if step % 2 == 0 else None, 0.05)
            screen._bar.refresh()
            scores = Scores(0.5, {1: 0.8, 5: 1.0}, 10, np.eye(2, dtype=np.int64))
            val = Scores(0.6, {1: 0.6 + 0.1 * epoch, 5: 1.0}, 10, np.eye(2, dtype=np.int64))
            screen.epoch(EpochResult(epoch, 0.05, scores, val, 1.0, 128.0, True))
        screen.evaluate("test", val)
    return file.getvalue()


def test_a_terminal_shows_bars_speed_rate_and_curves(monkeypatch):
    text = shown(monkeypatch, is_terminal=True)
    assert re.search(r"epoch 2/2.*4/4.*images/s  lr 0\.05  loss 0\.1667 [▁-█]+", text)
    assert re.search(r"training.*8/8.*val top-1 0\.7000 [▁-█]", text)
    assert "epoch 1/2  loss 0.5000 top-1 0.8000  val loss 0.6000 top-1 0.7000" in text


def test_a_log_gets_plain_lines(monkeypatch):
    text = shown(monkeypatch, is_terminal=False)
    assert text.splitlines() == [
        "runs/x: 2 epochs of 4 steps",
        "epoch 1/2  loss 0.5000 top-1 0.8000  val loss 0.6000 top-1 0.7000  lr 0.05  128 images/s  best",
        "epoch 2/2  loss 0.5000 top-1 0.8000  val loss 0.6000 top-1 0.8000  lr 0.05  128 images/s  best",
        "test: loss 0.6000 top-1 0.8000 over 10 images",
    ]
