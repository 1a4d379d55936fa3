"""How wide the numbers are that a training computes with; its weights, statistics and results are float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal

from tinytrain import dtypes
from tinytrain.device import device as Device
from tinytrain.ops.autocasting import autocast
from tinytrain.optim.grad_scaler import GradScaler

Precision = Literal["fp32", "tf32", "bf16", "fp16"]

LOWER: dict[str, dtypes.dtype] = {"bf16": dtypes.bfloat16, "fp16": dtypes.float16}
"""The types that convolutions and matrix products compute in, by the precisions that have such."""


@contextlib.contextmanager
def computing_in(precision: Precision, device: Device) -> Iterator[None]:
    """Compute in a precision inside; casts of weights are kept until the end.

    Args:
        precision: of a training.
        device: that it computes on.
    """
    if precision in LOWER:
        with autocast(device.type, LOWER[precision]):
            yield
        return
    before = dtypes.get_float32_matmul_precision()
    dtypes.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        dtypes.set_float32_matmul_precision(before)


def build_scaler(precision: Precision, device: Device) -> GradScaler:
    """Return what scales the loss of a training: nothing, but for float16."""
    return GradScaler(device.type, enabled=precision == "fp16")


def bytes_per_activation(precision: Precision) -> int:
    """Return how many bytes an activation takes."""
    return 2 if precision in LOWER else 4
