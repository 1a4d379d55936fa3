"""What the trials of reliability share."""

from __future__ import annotations

from pathlib import Path

import pytest

from .trials import CONFIG


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of the small config that the trials train."""
    path = tmp_path_factory.mktemp("config") / "small.yaml"
    path.write_text(CONFIG)
    return path
