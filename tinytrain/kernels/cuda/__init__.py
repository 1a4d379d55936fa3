"""The back end in CUDA C++ for float32, float16 and bfloat16 on an NVIDIA GPU: the loops of the fused kernels there.

CuPy is imported when the first kernel is asked for or reported, never before.
"""

from __future__ import annotations

import functools
import importlib
import os
from types import ModuleType
from typing import Any

from tinytrain.device import cuda_problem, cupy
from tinytrain.kernels.cuda.compiler import ELEMENTS
from tinytrain.pending import Pending


@functools.cache
def backend() -> ModuleType | None:
    """Return the module of primitives; None where `TINYTRAIN_KERNELS=reference` keeps it out."""
    if os.environ.get("TINYTRAIN_KERNELS") == "reference":
        return None
    return importlib.import_module("tinytrain.kernels.cuda.primitives")


def choose() -> tuple[bool, str]:
    """Return whether there is a GPU to use the kernels on, and what they are compiled for or why there is none."""
    problem = cuda_problem()
    if problem is not None:
        return False, problem
    major, minor = divmod(int(cupy().cuda.Device().compute_capability), 10)
    library = importlib.import_module("tinytrain.kernels.cuda.cudnn").problem()
    dense = "dense convolutions by cuDNN" if library is None else f"dense convolutions by kernels of our own: {library}"
    return True, f"compiled for compute capability {major}.{minor}; {dense}"


def takes(array_type: type, dtype: Any) -> bool:
    """Whether the kernels compute on arrays of this class and dtype."""
    return dtype.name in ELEMENTS and (array_type.__module__.split(".")[0] == "cupy" or issubclass(array_type, Pending))
