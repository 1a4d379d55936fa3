"""`tinytrain.accelerator`: the device of a script that does not say what make of GPU it wants."""

from __future__ import annotations

import pytest

import tinytrain as tt


@pytest.mark.parametrize("there", [False, True])
def test_a_script_finds_its_device(monkeypatch, there):
    monkeypatch.setattr("tinytrain.accelerator.is_available", lambda: there)
    accelerator = tt.accelerator.current_accelerator()
    assert (accelerator and accelerator.type) == ("cuda" if there else None)
