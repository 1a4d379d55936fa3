"""How far from the machine's limits a step is: the fastest matrix product and the fastest copy stand for those.

The least work of a step is counted, not what a library does: two operations a multiply-add, once forward, once for the
weight gradient and once for the input gradient (which the first layer does not need); and the bytes that must pass
between memory and the processor if every layer with multiply-adds reads its input once and writes its output once, and
in backward reads both, reads the gradient of the output and writes that of the input, while all that lies between
(normalisation, activation, sums) rides along. To these come the weights: read forward and backward, their gradients
written, and gradient, weight and velocity read and two of them written by the update. What stays in a cache costs
less, so that more than the whole bandwidth can seem to be used.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from measure import THREADS, medians, seconds_of
from networks import Network

from tinytrain.inspection import layer_costs

SIDE = 2048  # of the matrices
COPIED = 1 << 26  # float32 elements of the array that is copied, 256 MiB
_FLOAT = 4  # bytes


@dataclass(frozen=True)
class Limits:
    """What this machine can do on `THREADS` cores.

    Attributes:
        flops: floating-point operations a second, of a float32 matrix product.
        bandwidth: bytes a second, read and written, of a copy.
    """

    flops: float
    bandwidth: float

    def shares(self, work: Work, seconds: float) -> dict[str, object]:
        """Return the columns of a table: the shares of the limits that were used, from 0 to 1."""
        return {
            "of peak": work.operations / seconds / self.flops,
            "of bandwidth": work.bytes / seconds / self.bandwidth,
        }


@dataclass(frozen=True)
class Work:
    """The least that a step has to do.

    Attributes:
        operations: floating-point operations.
        bytes: to and from memory.
    """

    operations: float
    bytes: float


def measure_limits(with_torch: bool, rounds: int = 5) -> Limits:
    """Measure the limits: the faster matrix product of NumPy's and PyTorch's, and a copy by `THREADS` threads."""
    a = np.random.default_rng(0).standard_normal((SIDE, SIDE), np.float32)
    products = {"NumPy": lambda: seconds_of(lambda: a @ a)}
    if with_torch:
        import torch

        t = torch.from_numpy(a)
        products["PyTorch"] = lambda: seconds_of(lambda: t @ t)
    source, target = np.ones(COPIED, np.float32), np.zeros(COPIED, np.float32)
    parts = list(zip(np.array_split(target, THREADS), np.array_split(source, THREADS), strict=True))
    with ThreadPoolExecutor(THREADS) as pool:
        copies = {"copy": lambda: seconds_of(lambda: list(pool.map(lambda part: np.copyto(*part), parts)))}
        copied = medians(copies, rounds=rounds)["copy"]
    product = min(medians(products, rounds=rounds).values())
    return Limits(2 * SIDE**3 / product, 2 * COPIED * _FLOAT / copied)


def training_work(network: Network, *, batch: int | None = None, width: int = _FLOAT) -> Work:
    """Return the least work of a training step with SGD and momentum.

    Args:
        network: what is trained.
        batch: images; None: those of the network.
        width: bytes of an element of an activation; weights have four.
    """
    n = batch or network.batch
    costs = [layer for layer in layer_costs(network.model(), network.image) if layer.macs]
    passes = sum((2 if number == 0 else 3) * layer.macs for number, layer in enumerate(costs))
    elements = sum(3 * math.prod(layer.input) + 3 * math.prod(layer.output) for layer in costs)
    params = sum(layer.params for layer in costs)
    return Work(2.0 * passes * n, width * elements * n + _FLOAT * 8.0 * params)


def evaluation_work(network: Network, batch: int) -> Work:
    """Return the least work of an evaluation of `batch` images."""
    costs = [layer for layer in layer_costs(network.model(), network.image) if layer.macs]
    elements = sum(math.prod(layer.input) + math.prod(layer.output) for layer in costs)
    params = sum(layer.params for layer in costs)
    return Work(2.0 * sum(layer.macs for layer in costs) * batch, _FLOAT * (elements * batch + float(params)))
