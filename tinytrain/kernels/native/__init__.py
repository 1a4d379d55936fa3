"""Kernels in C++ for float32 on the CPU, fused across layers.

They stand under the names of the reference kernels where they compute the same, and under names of their own where they
do more at once: those take and return values that are not computed yet (`tinytrain.pending`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinytrain.errors import UsageError
from tinytrain.kernels.native.extension import EXTENSION, PROBLEM
from tinytrain.pending import Pending

INSTRUCTION_SETS = ("avx512", "avx2", "baseline")
"""What the kernels are compiled for; `baseline` is SSE2 on x86-64 and NEON on ARM."""


def load_kernels(choice: str) -> tuple[dict[str, Callable[..., Any]], str]:
    """Return the kernels, and why they are these.

    Args:
        choice: `auto` for the widest instruction set of this processor, or the name of one.

    Raises:
        UsageError: the instruction set was asked for by name and cannot be used.
    """
    if EXTENSION is None:
        if choice != "auto":
            raise UsageError(f"the native kernels are {PROBLEM}")
        return {}, str(PROBLEM)
    found = EXTENSION.instruction_sets()
    if choice != "auto" and choice not in found:
        raise UsageError(f"this processor has no {choice}; it has {', '.join(found)}")
    used = found[0] if choice == "auto" else choice
    EXTENSION.use(used)
    from tinytrain.kernels.native import activations, convolution, gradients, normalization, pooling

    functions = (
        convolution.conv_forward,
        convolution.conv_input_grad,
        convolution.conv_weight_grad,
        convolution.conv_bias_grad,
        convolution.conv_with_moments,
        convolution.conv_gradients,
        normalization.normalize_batch,
        normalization.normalize_by,
        normalization.batch_norm_gradients,
        activations.activation,
        activations.total,
        activations.join_channels,
        gradients.through_activation,
        gradients.shared,
        pooling.max_pool_forward,
        pooling.max_pool_input_grad,
        pooling.mean_of_pixels,
        pooling.mean_of_pixels_grad,
    )
    why = "the widest that this processor has" if choice == "auto" else "as the environment says"
    reason = f"compiled for {used} ({why}), {EXTENSION.get_threads()} threads"
    return {each.__name__: each for each in functions}, reason


def takes(array_type: type, dtype: Any) -> bool:
    """Whether the kernels compute on arrays of this class and dtype."""
    return dtype == np.float32 and (array_type is np.ndarray or issubclass(array_type, Pending))
