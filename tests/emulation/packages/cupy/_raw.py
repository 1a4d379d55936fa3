"""CUDA sources as modules of kernels, compiled for the host (`tests/emulation/host.py`)."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from cupy import _capture, _memory
from cupy._array import ndarray
from cupy.cuda import compiler
from tests.emulation import host


class RawKernel:
    """A kernel by its name: `kernel((grid,), (block,), (arguments,), shared_mem=bytes)`."""

    def __init__(
        self,
        code: str,
        name: str,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        *,
        enable_cooperative_groups: bool = False,
        jitify: Any = None,
    ):
        self.code, self.name, self.options, self.backend = code, name, options, backend
        self.max_dynamic_shared_size_bytes = 48 << 10
        self._names: tuple[str, ...] = ()

    @functools.cached_property
    def _kernel(self) -> host.Kernel:
        return _kernel(self.code, self.options, self._names, self.name)

    def compile(self, log_stream: Any = None) -> None:
        self._kernel

    @property
    def attributes(self) -> dict[str, int]:
        return {"max_threads_per_block": 1024, "max_dynamic_shared_size_bytes": self.max_dynamic_shared_size_bytes}

    def __call__(self, grid: Any, block: Any, args: Any, *, shared_mem: int = 0) -> None:
        if not isinstance(grid, tuple) or not isinstance(block, tuple):
            raise TypeError("grid and block must be tuples")
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise RuntimeError(
                "CUDA_ERROR_INVALID_VALUE: invalid argument (more shared memory than the kernel allows itself)"
            )
        kernel = self._kernel
        grid, block = (tuple(max(1, each) for each in sizes) for sizes in (grid, block))
        given = [_argument(each) for each in args]
        addresses = [each for each in given if type(each) is int and each > 1 << 20]

        def launch() -> None:
            kernel(grid, block, given, shared_mem)
            _memory.check_guards(addresses)

        _capture.run(launch)


class RawModule:
    """A source with several kernels."""

    def __init__(
        self,
        *,
        code: str | None = None,
        path: str | None = None,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        name_expressions: Any = None,
        jitify: Any = None,
    ):
        if (code is None) == (path is None):
            raise TypeError("Exactly one of `code` and `path` keyword arguments must be given.")
        if code is None:
            raise NotImplementedError("the emulation runs sources only")
        if not isinstance(options, tuple):
            raise TypeError("Argument 'options' has incorrect type (expected tuple)")
        self.code, self.options, self.backend = code, options, backend
        self.name_expressions = None if name_expressions is None else tuple(name_expressions)

    def compile(self, log_stream: Any = None) -> None:
        _library(self.code, self.options, self.name_expressions or ())

    def get_function(self, name: str) -> RawKernel:
        kernel = RawKernel(self.code, name, self.options, self.backend)
        kernel._names = self.name_expressions or ()
        kernel.compile()
        return kernel


def _library(code: str, options: tuple[str, ...], names: tuple[str, ...]) -> host.Library:
    try:
        return host.compile_source(code, options, names)
    except host.CompileError as error:
        raise compiler.CompileException(str(error), code, "kernels.cu", options) from None


def _kernel(code: str, options: tuple[str, ...], names: tuple[str, ...], name: str) -> host.Kernel:
    library = _library(code, options, names)
    if name not in library.names:
        raise RuntimeError(f"CUDA_ERROR_NOT_FOUND: named symbol not found: {name}; there are {library.names}")
    return library.kernel(name)


def _argument(value: Any) -> Any:
    """Return what the parameter's memory holds: an address, a number, or a structure by value.

    Raises:
        TypeError: as CuPy, for NumPy arrays of more than one element above all.
    """
    if value is None:
        return np.uint64(0)
    if isinstance(value, ndarray):
        return value.data.ptr if value.size else 0
    if isinstance(value, _memory.MemoryPointer):
        return value.ptr
    if isinstance(value, np.ndarray):
        if value.size != 1:
            raise TypeError(f"You are trying to pass a numpy.ndarray of shape {value.shape} as a kernel parameter.")
        return value.tobytes()
    if isinstance(value, np.generic) or type(value) in (int, float, bool):
        return value
    raise TypeError(f"Unsupported type {type(value)}")
