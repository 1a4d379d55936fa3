"""The native kernels, once with each instruction set of this processor; and the GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import ModuleType

import pytest

from tinytrain import kernels
from tinytrain.device import cuda_problem, cupy
from tinytrain.kernels import native


@pytest.fixture(params=[None] if native.PROBLEM else native._native.instruction_sets())
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    """Compute with one instruction set, and afterwards again with the one that the environment asks for."""
    if native.PROBLEM:
        pytest.skip(f"the native kernels are {native.PROBLEM}")
    native._native.use(request.param)
    yield request.param
    choice = os.environ.get(kernels.ENVIRONMENT_VARIABLE, "auto")
    found = native._native.instruction_sets()
    native._native.use(choice if choice in found else found[0])


@pytest.fixture
def gpu() -> ModuleType:
    """Return CuPy; the test is skipped where no GPU can be used, nor an emulated one."""
    problem = cuda_problem()
    if problem is not None:
        pytest.skip(f"{problem} (TINYTRAIN_EMULATED_GPU=1 runs the kernels on the CPU)")
    return cupy()
