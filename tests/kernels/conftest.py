"""The native kernels, once with each instruction set of this processor; and the GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import ModuleType

import pytest

from tinytrain import kernels
from tinytrain.device import cuda_problem, cupy
from tinytrain.kernels import native


def ways_to_compute() -> list[str]:
    """Return the instruction sets of this processor, and once more the one with tiles, for whatever they can do."""
    found = native.EXTENSION.instruction_sets()
    return [*(["amx always"] if "amx" in found else []), *found]


@pytest.fixture(params=[None] if native.PROBLEM else ways_to_compute())
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    """Compute in one way, and afterwards again with the instruction set that the environment asks for."""
    if native.PROBLEM:
        pytest.skip(f"the native kernels are {native.PROBLEM}")
    name, *everywhere = request.param.split()
    native.EXTENSION.use(name)
    native.EXTENSION.use_tiles(everywhere[0] if everywhere else True)
    yield name
    native.EXTENSION.use_tiles(True)
    choice = os.environ.get(kernels.ENVIRONMENT_VARIABLE, "auto")
    found = native.EXTENSION.instruction_sets()
    native.EXTENSION.use(choice if choice in found else found[0])


@pytest.fixture
def gpu() -> ModuleType:
    """Return CuPy; the test is skipped where no GPU can be used, nor an emulated one."""
    problem = cuda_problem()
    if problem is not None:
        pytest.skip(f"{problem} (TINYTRAIN_EMULATED_GPU=1 runs the kernels on the CPU)")
    return cupy()
