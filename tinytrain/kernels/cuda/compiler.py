"""CUDA C++ for the GPU at hand: from the sources in `src` to functions that can be launched.

A source is compiled through CuPy's NVRTC once for each element type and set of constants; CuPy keeps the result on
disk, by the text it was compiled from. The text has its includes in place, so that a change of a header is a change of
the text, and no header of CUDA is needed: CuPy alone, without a toolkit, can compile it.

What a kernel's parameters are: every array is a pointer, every whole number an `i64`, every other number a `float`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numpy as np

from tinytrain.device import Array, cupy

ELEMENTS = {"float32": "float", "float16": "half_t", "bfloat16": "bfloat_t"}
"""What the sources call the element types that kernels compute on, by their names in NumPy."""

OPTIONS = ("-std=c++17",)
"""No `--use_fast_math`: divisions, roots and exponentials round as IEEE 754 has it, or to the last two places."""

ADDED_BY_CUPY = ("-ftz=true",)
"""What CuPy puts behind our options, ours or not: float32 numbers below 1.2e-38 count as 0, read and written."""

THREADS = 256
"""In a block, at most. Eight such blocks fill a multiprocessor."""

Kernel = Callable[..., Any]


@functools.cache
def kernel(source: str, name: str, dtype: Any, **constants: int | str) -> Kernel:
    """Return a kernel, compiled when it is first launched.

    Args:
        source: the file under `src`, without its ending.
        name: of the function in it.
        dtype: of the elements it computes on, which the source calls `ELEMENT`.
        constants: macros of the source, as `PACK=4`.

    Raises:
        KeyError: there are no kernels for elements of this type.
    """
    return _kernel(source, name, np.dtype(dtype).name, tuple(sorted(constants.items())))


@functools.cache
def _kernel(source: str, name: str, element: str, constants: tuple[tuple[str, int | str], ...]) -> Kernel:
    return _module(source, element, constants).get_function(name)


@functools.cache
def _module(source: str, element: str, constants: tuple[tuple[str, int | str], ...]) -> Any:
    return cupy().RawModule(code=source_text(source), options=compile_options(element, dict(constants)))


def compile_options(element: str, constants: dict[str, int | str]) -> tuple[str, ...]:
    """Return what a compiler is told beside the text of a source.

    Args:
        element: the name of an element type, as `float16`.
        constants: macros.
    """
    macros = {"ELEMENT": ELEMENTS[element], **constants}
    return (*OPTIONS, *(f"-D{name}={value}" for name, value in macros.items()))


@functools.cache
def source_text(source: str) -> str:
    """Return the text of a source, with the text of each header that it includes in the place of the first include."""
    return _with_includes(f"{source}.cuh", set())


def _with_includes(name: str, seen: set[str]) -> str:
    if name in seen:
        return ""
    seen.add(name)
    text = files("tinytrain.kernels.cuda").joinpath("src", name).read_text(encoding="utf-8")
    text = text.replace("#pragma once\n", "")
    return re.sub(r'^#include "([\w.]+)"\n', lambda found: _with_includes(found[1], seen), text, flags=re.MULTILINE)


def launch(
    function: Kernel, grid: tuple[int, ...], block: tuple[int, ...], *arguments: Array | float | None, shared: int = 0
) -> None:
    """Start a kernel on the current stream; nothing is started where the grid is empty.

    Args:
        function: see `kernel`.
        grid: how many blocks.
        block: how many threads in each.
        arguments: arrays (None: a null pointer), whole numbers, and `float`s.
        shared: bytes of shared memory in each block.
    """
    if 0 not in grid:
        function(grid, block, tuple(map(_parameter, arguments)), shared_mem=shared)


def _parameter(value: Array | float | None) -> Any:
    if value is None:
        return 0
    if isinstance(value, float):
        return np.float32(value)
    return int(value) if isinstance(value, int) else value.data.ptr


def num_blocks(count: int, each: int, share: int = 1) -> int:
    """Return how many blocks go through `count` pieces of work, `each` a turn, in strides of the grid.

    Not more than the multiprocessors hold at a time: further ones would only wait, and read their factors anew.

    Args:
        count: pieces of work.
        each: how many a block does in one turn.
        share: how many rows of such blocks there are in the grid.
    """
    return min(-(-count // each), max(1, 8 * num_multiprocessors() // share))


def num_multiprocessors() -> int:
    """Return how many multiprocessors the current GPU has."""
    return _num_multiprocessors(cupy().cuda.runtime.getDevice())


@functools.cache
def _num_multiprocessors(number: int) -> int:
    return int(cupy().cuda.Device(number).attributes["MultiProcessorCount"])
