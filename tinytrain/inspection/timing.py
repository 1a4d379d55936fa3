"""How long convolutions take on this device, and what the device could do at best."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tinytrain import nn
from tinytrain.device import device as Device
from tinytrain.device import module_of, synchronize
from tinytrain.inspection.convolution import Convolution
from tinytrain.ops.creation import ones
from tinytrain.ops.random import randn
from tinytrain.tape import no_grad
from tinytrain.tensor import Tensor
from tinytrain.threads import one_blas_thread

_PRODUCT_SIDE = 1536
_COPY_BYTES = 1 << 27  # more than caches hold


@dataclass(frozen=True)
class Timing:
    """Median seconds of a batch.

    Attributes:
        forward: without recording gradients.
        backward: gradients of input, weights and biases.
        batch: images in it.
    """

    forward: float
    backward: float
    batch: int


@dataclass(frozen=True)
class Peak:
    """What the device reaches on the two things that a convolution is made of.

    Attributes:
        flops: a second, in a product of large float32 matrices.
        bytes: a second, read and written while a large array is copied.
    """

    flops: float
    bytes: float


def measure(*convolutions: Convolution, batch: int, device: Device, seconds: float = 0.5) -> Timing:
    """Return how long convolutions in a row take, with random weights and inputs.

    Args:
        convolutions: each takes the output of the one before.
        batch: images.
        device: where.
        seconds: about how long forward and backward are repeated; they are three times at least.
    """
    model = nn.Sequential(*(each.layer(device=device) for each in convolutions))
    x = randn(batch, *convolutions[0].input, device=device)
    g = ones(batch, *convolutions[-1].output, device=device)

    def forward() -> None:
        with no_grad():
            model(x).array  # noqa: B018  # a result may be computed only when it is asked for
        synchronize(device)

    def backward() -> float:
        x_learning = x.detach().requires_grad_()
        y = model(x_learning)
        y.array  # noqa: B018
        synchronize(device)
        begin = time.perf_counter()
        y.backward(g)
        synchronize(device)
        return time.perf_counter() - begin

    with one_blas_thread():
        return Timing(_median(lambda: _seconds(forward), seconds), _median(backward, seconds), batch)


def measure_inference(
    models: Sequence[nn.Module], inputs: Sequence[Tensor], *, device: Device, seconds: float = 1.0
) -> list[float]:
    """Return the median seconds in which each of several networks looks at its batch.

    They take turns, so that a slow moment of the machine hits all of them.

    Args:
        models: in evaluation mode.
        inputs: a batch for each.
        device: where they lie.
        seconds: about how long all this is repeated; three times at least, after once that does not count.
    """
    found: list[list[float]] = [[] for _ in models]
    begin = time.perf_counter()
    with one_blas_thread(), no_grad():
        while min(map(len, found)) < 4 or time.perf_counter() - begin < seconds:
            for model, x, times in zip(models, inputs, found, strict=True):
                start = time.perf_counter()
                model(x).array  # noqa: B018
                synchronize(device)
                times.append(time.perf_counter() - start)
    return [statistics.median(times[1:]) for times in found]


def measure_peak(device: Device, *, seconds: float = 0.3) -> Peak:
    """Return the device's speed on a matrix product, by all cores that BLAS uses, and on a copy."""
    xp = module_of(device)
    a = xp.ones((_PRODUCT_SIDE, _PRODUCT_SIDE), xp.float32)
    product = xp.empty_like(a)
    source = xp.zeros(_COPY_BYTES // 4, xp.float32)
    target = xp.ones_like(source)  # written once, so that its pages are there

    def multiply() -> None:
        xp.matmul(a, a, out=product)
        synchronize(device)

    def copy() -> None:
        target[...] = source
        synchronize(device)

    return Peak(
        2 * _PRODUCT_SIDE**3 / _median(lambda: _seconds(multiply), seconds),
        2 * _COPY_BYTES / _median(lambda: _seconds(copy), seconds),
    )


def _seconds(function: Callable[[], None]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def _median(run: Callable[[], float], seconds: float) -> float:
    """Return the median of what `run` measures, over some time, after one run that does not count."""
    run()
    found: list[float] = []
    begin = time.perf_counter()
    while len(found) < 3 or time.perf_counter() - begin < seconds:
        found.append(run())
    return statistics.median(found)
