"""Arrays of many shapes, ranges and types, printed by us and by PyTorch: the same text."""

from __future__ import annotations

import numpy as np
import pytest

from tinytrain import printing
from tinytrain.ops.arithmetic import add
from tinytrain.tensor import wrap

torch = pytest.importorskip("torch")

KINDS = ["float32", "float64", "float16", "int64", "int32", "uint8", "bool", "int8"]
SHAPES = [(), (0,), (1,), (0, 3), (2, 0, 3), (7,), (40,), (2, 3), (3, 30), (1, 1, 1), (2, 3, 4), (1001,), (1000,)]
SHAPES += [(40, 40), (7, 200), (2, 7, 100), (3, 4, 5, 20), (1, 1, 8, 200), (2000, 1), (6, 6, 6, 6)]
OPTIONS = [
    {"profile": "default"},
    {"precision": 2, "linewidth": 120},
    {"edgeitems": 1, "threshold": 5},
    {"edgeitems": 0, "threshold": 10},
    {"sci_mode": True},
    {"sci_mode": False, "precision": 7},
    {"profile": "short"},
    {"profile": "full"},
]


@pytest.fixture(params=OPTIONS, ids=str)
def options(request):
    """Set options in both libraries for the time of a test."""
    printing.set_printoptions(**request.param)
    torch.set_printoptions(**request.param)
    yield request.param
    for library in (printing, torch):
        library.set_printoptions(profile="default", linewidth=80)


def random_array(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """Return numbers of a random spread, sometimes whole, sometimes with zeros, infinities and NaNs."""
    spread = 10.0 ** rng.integers(-9, 10)
    values = rng.standard_normal(shape) * spread
    if rng.random() < 0.3:
        values = values * 10.0 ** rng.integers(-4, 5, shape)
    if rng.random() < 0.3:
        values = np.round(values)
    for odd in (0.0, np.inf, -np.inf, np.nan):
        if rng.random() < 0.2:
            values = np.where(rng.random(shape) < 0.3, odd, values)
    if not kind.startswith("float"):
        values = np.clip(np.nan_to_num(values), -100, 100) if kind in ("uint8", "int8") else np.nan_to_num(values)
        values = np.clip(values, -(2.0**31), 2.0**31 - 1) if kind == "int32" else np.clip(values, -1e18, 1e18)
        values = np.abs(values) if kind == "uint8" else values
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_random_arrays_print_alike(options, kind):
    rng = np.random.default_rng(0)
    for shape in SHAPES * (6 if options == OPTIONS[0] else 2):
        array = random_array(rng, shape, kind)
        assert repr(wrap(array)) == repr(torch.from_numpy(array))


@pytest.mark.parametrize("length", range(1, 40))
def test_suffixes_break_lines_alike(length):
    for kind in ("float64", "float32"):
        array = np.arange(length).astype(kind)
        ours, theirs = wrap(array).requires_grad_(), torch.from_numpy(array).requires_grad_()
        assert repr(ours) == repr(theirs)
        assert repr(add(ours, 1)) == repr(theirs + 1)
