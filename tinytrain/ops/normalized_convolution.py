"""A convolution, the normalisation by the batch and an activation behind it, recorded as one operation.

The values and gradients are those of the three one after the other, by the same kernels. What it saves is Python:
behind a kernel that has filled the caches of both cores, each line of it waits for memory.
"""

from __future__ import annotations

from typing import NamedTuple

from tinytrain.kernels import find_kernel
from tinytrain.ops.batch_normalization import given
from tinytrain.ops.convolution import Options, known_plan
from tinytrain.ops.fusion import RELU
from tinytrain.recording import record, touch
from tinytrain.tensor import Tensor


class Activated(NamedTuple):
    """What an operation does last.

    Args:
        name: PyTorch's name of the operation.
        kind: which activation, as kernels know it; 0 for none.
        low, high: its parameters.
    """

    name: str
    kind: int = 0
    low: float = 0.0
    high: float = 0.0


def normalized_convolution(
    input: Tensor,
    weight: Tensor,
    options: Options,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    scale: Tensor | None,
    shift: Tensor | None,
    momentum: float,
    eps: float,
    activated: Activated,
) -> Tensor | None:
    """Return `conv2d` of a batch without bias, normalised by its own statistics, and activated.

    Args:
        input: (n, c, h, w).
        weight: (o, c / groups, kh, kw).
        options: of the convolution.
        running_mean, running_var: (o,), which move; or None.
        scale, shift: weight and bias of the normalisation, (o,), or None.
        momentum, eps: as for `batch_norm`.
        activated: the activation, or `NativeBatchNorm`.

    Returns:
        The result; None, and nothing has changed, where such operands have not passed the convolution's checks before,
        or no kernel set computes them so.
    """
    x, w = input.value, weight.array
    plan = known_plan("conv2d", x, w, None, options)
    compute = find_kernel("convolve_and_normalize", x)
    if plan is None or compute is None:
        return None
    arrays = [None if each is None else each.array for each in (running_mean, running_var, scale, shift)]
    found = compute(x, w, plan.steps, *arrays, momentum, eps, *activated[1:])
    if found is None:
        return None
    for each in (running_mean, running_var):
        if each is not None:
            touch(each)
    return record(
        found.result,
        activated.name,
        given(input, weight, scale, shift),
        found.gradients,
        saved=given(input, weight, scale),
        saves_output=activated.kind == RELU,  # as in `fusion.pending_activation`
        takes_pending=True,
    )
