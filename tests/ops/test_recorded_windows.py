"""What brings tables from the host is recorded as a CUDA graph, and computes there what it computes anyway."""

from __future__ import annotations

import numpy as np
import pytest

import tinytrain as tt
import tinytrain.nn.functional as F
from tinytrain.capturing import capture
from tinytrain.device import cuda_problem

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(cuda_problem() is not None, reason=str(cuda_problem()))]

OPS = {
    "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    "avg_pool2d with windows of several sizes": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, 3),
    "max_pool2d with overlapping windows": lambda x: F.max_pool2d(x, 3, 2, 1),
    "interpolate": lambda x: F.interpolate(x, size=(5, 11), mode="bilinear"),
}


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_a_recording_computes_the_same(op):
    draws = np.random.default_rng(0)
    x = tt.tensor(draws.normal(size=(2, 3, 7, 7)).astype(np.float32), device="cuda").requires_grad_()

    def step():
        x.grad = None
        y = op(x)
        (y * y).sum().backward()
        return y.detach(), x.grad

    step()
    graph, (y, grad) = capture(step)
    for _ in range(2):
        x.data.copy_(tt.tensor(draws.normal(size=(2, 3, 7, 7)).astype(np.float32)))
        graph.launch()
        found = y.cpu().numpy(), grad.cpu().numpy()
        expected = step()
        for mine, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(mine, theirs.cpu().numpy())
