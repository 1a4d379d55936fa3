"""The back end in C++ for float32 on the CPU: the loops that the fused kernels are made of there."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytrain.errors import UsageError
from tinytrain.kernels.native.extension import EXTENSION, PROBLEM
from tinytrain.pending import Pending

INSTRUCTION_SETS = ("amx", "avx512", "avx2", "baseline")
"""What the kernels are compiled for; `baseline` is SSE2 on x86-64 and NEON on ARM."""


def choose(choice: str) -> tuple[bool, str]:
    """Choose the instruction set; return whether there is one to use, and why it is this.

    Args:
        choice: `auto` for the widest instruction set of this processor, or the name of one.

    Raises:
        UsageError: the instruction set was asked for by name and cannot be used.
    """
    if EXTENSION is None:
        if choice != "auto":
            raise UsageError(f"the native kernels are {PROBLEM}")
        return False, str(PROBLEM)
    found = EXTENSION.instruction_sets()
    if choice != "auto" and choice not in found:
        raise UsageError(f"this processor has no {choice}; it has {', '.join(found)}")
    used = found[0] if choice == "auto" else choice
    EXTENSION.use(used)
    why = "the widest that this processor has" if choice == "auto" else "as the environment says"
    reason = f"compiled for {used} ({why}), {EXTENSION.get_threads()} threads"
    return True, reason


def takes(array_type: type, dtype: Any) -> bool:
    """Whether the kernels compute on arrays of this class and dtype."""
    return dtype == np.float32 and (array_type is np.ndarray or issubclass(array_type, Pending))
