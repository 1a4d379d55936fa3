"""A single flipped bit in a checkpoint is noticed wherever it is."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tinytrain.errors import Interrupted, WeightsError
from tinytrain.training.checkpoint_file import read_checkpoint

from ..training.toys import StopAt, experiment
from ..training.toys import run as train
from .trials import trials

FLIPS = trials(full=300, some=60)


def test_every_flipped_bit_is_noticed(tmp_path: Path):
    with pytest.raises(Interrupted):
        train(experiment(), tmp_path, events=StopAt(2, 4))
    path = sorted((tmp_path / "checkpoint").glob("*.safetensors"))[-1]
    content = path.read_bytes()
    read_checkpoint(path)
    for bit in random.Random("bits").sample(range(8 * len(content)), FLIPS):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(WeightsError, match="the checkpoint is damaged: its checksum does not match its contents"):
            read_checkpoint(path)
