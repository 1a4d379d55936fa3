"""Fixtures that every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data for development; the test is skipped where there is none.

    It is looked for beside the repository, then where TINYTRAIN_TEST_DATA says.
    """
    named = os.environ.get("TINYTRAIN_TEST_DATA")
    places = [REPOSITORY.parent / "shared" / "data", *([Path(named)] if named else [])]
    for place in places:
        if place.is_dir():
            return place
    pytest.skip(f"no real data at {' or '.join(map(str, places))} (TINYTRAIN_TEST_DATA names a folder)")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """Return each device's name in turn; the GPU's turn is skipped where no GPU can be used."""
    from tinytrain.device import cuda_problem

    if request.param == "cuda" and (problem := cuda_problem()) is not None:
        pytest.skip(problem)
    return request.param
