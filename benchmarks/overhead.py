"""Microseconds of common operations on tiny tensors beside PyTorch's: `python benchmarks/overhead.py [--json FILE]`.

The tensors have a few elements, so that what is measured is the way to the kernel and back: Python, checks, the tape.
Forward is measured with gradients recorded, and again with the backward of a sum behind it; a gradient that has come
is forgotten first, as `zero_grad` does. What an operation has its native kernels do is measured by itself, too: the
rest of its forward is Python.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from measure import Rows, arguments_of, medians, print_rows, repeated, share_cores

import tinytrain
from tinytrain.kernels.fused import backends

CALLS = 200  # in a row, of one measurement
TURN = 0.05  # seconds


def operations(library: Any) -> dict[str, Callable[[Any], Any]]:
    """Return operations of an image batch (1, 4, 4, 4) in a library of PyTorch's interface."""
    library.manual_seed(0)
    nn, functional = library.nn, library.nn.functional
    other = library.randn(1, 4, 4, 4)
    conv, depthwise = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False)
    pointwise, norm, linear = nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4), nn.Linear(4, 4)
    return {
        "relu": functional.relu,
        "add": lambda x: x + other,
        "conv2d 3x3": conv,
        "conv2d depthwise": depthwise,
        "conv2d 1x1": pointwise,
        "batch_norm": norm,
        "linear": linear,
        "max_pool2d": lambda x: functional.max_pool2d(x, 2),
        "conv2d, batch_norm, relu": nn.Sequential(
            nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()
        ),
    }


def parameters_of(operation: Any) -> list[Any]:
    """Return what an operation learns."""
    return list(operation.parameters()) if hasattr(operation, "parameters") else []


def forward(library: Any, operation: Any) -> Callable[[], object]:
    """Return `CALLS` calls of an operation, recorded."""
    x = library.randn(1, 4, 4, 4).requires_grad_()

    def calls() -> None:
        for _ in range(CALLS):
            operation(x)

    return calls


def forward_and_backward(library: Any, operation: Any) -> Callable[[], object]:
    """Return `CALLS` calls of an operation with the backward of its sum."""
    x = library.randn(1, 4, 4, 4).requires_grad_()
    leaves = [x, *parameters_of(operation)]

    def calls() -> None:
        for _ in range(CALLS):
            for leaf in leaves:
                leaf.grad = None
            operation(x).sum().backward()

    return calls


class Recorder:
    """Stands in for the native kernels and keeps the calls that are made of them."""

    def __init__(self, kernels: Any):
        self.kernels = kernels
        self.made: list[Callable[[], object]] = []

    def __getattr__(self, name: str) -> Callable[..., object]:
        kernel = getattr(self.kernels, name)

        def call(*arguments: Any) -> object:
            self.made.append(partial(kernel, *arguments))
            return kernel(*arguments)

        return call


def kernels_of(operation: Any) -> Callable[[], object]:
    """Return `CALLS` times the calls of native kernels that the forward of an operation makes."""
    x = tinytrain.randn(1, 4, 4, 4).requires_grad_()
    usual = backends.native
    recorder = Recorder(usual())
    backends.native = lambda: recorder
    try:
        operation(x)
    finally:
        backends.native = usual
    made = recorder.made * CALLS

    def calls() -> None:
        for call in made:
            call()

    return calls


def main() -> None:
    options = arguments_of(__doc__, rounds=9).parse_args()
    libraries = {"tinytrain": tinytrain}
    if share_cores():
        import torch

        libraries["PyTorch"] = torch
    found = {name: operations(library) for name, library in libraries.items()}
    rows: Rows = []
    for operation in found["tinytrain"]:
        row: dict[str, object] = {"operation": operation}
        for what, kind in (("forward", forward), ("both", forward_and_backward)):
            contenders = {
                name: repeated(kind(library, found[name][operation]), seconds=TURN)
                for name, library in libraries.items()
            }
            if what == "forward":
                contenders["kernels"] = repeated(kernels_of(found["tinytrain"][operation]), seconds=TURN)
            times = medians(contenders, rounds=options.rounds, warmup=2)
            row |= {f"{name} {what} µs": 1e6 * seconds / CALLS for name, seconds in times.items()}
            if what == "forward":
                row["Python µs"] = row["tinytrain forward µs"] - row.pop("kernels forward µs")
        rows.append(row)
    print_rows(rows, options.json)


if __name__ == "__main__":
    main()
