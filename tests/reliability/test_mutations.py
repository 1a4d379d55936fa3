"""Thousands of damaged files: nothing is executed, every refusal is one line, nothing hangs or fills the memory."""

from __future__ import annotations

import contextlib
import pickle
import random
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinytrain.cli.main import run
from tinytrain.config import load_config
from tinytrain.config.build import build_experiment
from tinytrain.datasets.idx import read_idx
from tinytrain.datasets.image_reading import read_image
from tinytrain.errors import ConfigError, DataError, TinytrainError

from ..datasets.idx_files import encoded
from ..weights.test_fuzzing import corpus
from .mutations import mutate_bytes, mutate_text
from .trials import REPOSITORY, peak_memory, trials
from .watching import nothing_executed

WEIGHTS = trials(full=10_000, some=280)
CONFIGS = trials(full=10_000, some=150)
SECONDS = 2.0  # of computing, for one file
FREE_BYTES = 200 << 20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is measured as Linux tells it")


@pytest.fixture(autouse=True)
def _nothing_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in a folder of its own, in which nothing may appear."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield
    assert list(folder.iterdir()) == []


@pytest.mark.timeout(300 + WEIGHTS)
def test_damaged_weights_files_are_read_or_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    valid = [path.read_bytes() for path in corpus(tmp_path).values()]
    chance = random.Random("weights")
    path = tmp_path / "damaged"
    codes = {0: 0, 3: 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a damaged escape in a pickle's text
        for number in range(WEIGHTS):
            content = mutate_bytes(valid[number % len(valid)], chance)
            path.write_bytes(content)
            begin = time.process_time()
            with peak_memory() as peak, nothing_executed():
                code = run(["doctor", str(path)])
            assert time.process_time() - begin < SECONDS
            assert peak() < 2 * len(content) + FREE_BYTES
            codes[code] += 1
            message = capsys.readouterr().err
            assert (code == 0) == (message == "")
            if code:
                assert message.startswith(f"error: {path}: ")
                assert message.count("\n") == 1
    assert codes[3] > WEIGHTS // 2, "most are refused"
    assert codes[0] > 0, "some are whole enough"


@contextlib.contextmanager
def limited_memory(size: int) -> Iterator[None]:
    """Let this process have so many bytes of addresses more, and no more: what needs them fails at once."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.timeout(300 + CONFIGS)
def test_damaged_configs_are_read_or_refused(tmp_path: Path):
    """Reading, checking, and building data and network; a network may need memory, and says so where there is none."""
    valid = [path.read_bytes() for path in sorted((REPOSITORY / "configs").glob("*.yaml"))]
    chance = random.Random("configs")
    path = tmp_path / "damaged.yaml"
    refused = built = 0
    for number in range(CONFIGS):
        path.write_bytes(mutate_text(valid[number % len(valid)], chance))
        begin = time.process_time()
        with peak_memory() as peak, limited_memory(1 << 30), nothing_executed():
            config, refusal = None, None
            try:
                config = load_config(path)
            except ConfigError as error:
                refused, refusal = refused + 1, str(error)
            assert refusal is None or (str(path) in refusal and "\n" not in refusal)
            assert peak() < FREE_BYTES
            assert time.process_time() - begin < SECONDS
            if config is not None and config.data.dataset == "digits":
                with contextlib.suppress(TinytrainError):
                    build_experiment(config)
                    built += 1
    assert refused > CONFIGS // 3
    assert built > 0


@pytest.mark.timeout(300 + CONFIGS)
def test_damaged_labels_and_images_are_read_or_refused(tmp_path: Path):
    values = np.random.default_rng(0).integers(0, 256, (12, 8, 8), np.uint8)
    for name in ("a.png", "a.jpg", "a.gif", "a.bmp", "a.webp", "a.tif"):
        Image.fromarray(values[0]).resize((40, 40)).convert("RGB").save(tmp_path / name)
    valid = [(read_image, path.read_bytes()) for path in sorted(tmp_path.glob("a.*"))]
    valid += [(read_idx, encoded(values))]
    chance = random.Random("images")
    path = tmp_path / "damaged"
    refused = 0
    for number in range(CONFIGS):
        read, content = valid[number % len(valid)]
        path.write_bytes(mutate_bytes(content, chance))
        begin = time.process_time()
        refusal = None
        with nothing_executed():
            try:
                read(path)
            except DataError as error:
                refused, refusal = refused + 1, str(error)
        assert refusal is None or (refusal.startswith(f"{path}: ") and "\n" not in refusal)
        assert time.process_time() - begin < SECONDS
    assert refused > CONFIGS // 3


def test_what_would_be_executed_is_seen():
    for act in (
        lambda: pickle.loads(b"cos\ngetpid\n."),
        lambda: eval("1"),
        lambda: subprocess.run(["true"], check=True),
    ):
        with pytest.raises(AssertionError), nothing_executed():
            act()
