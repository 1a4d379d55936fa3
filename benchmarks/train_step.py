"""Training steps of small networks beside PyTorch: `python benchmarks/train_step.py [out.json]`.

A step is forward, cross-entropy, backward and SGD with momentum, float32. tinytrain runs as its `train` command does,
with matrix products on one core; PyTorch has two threads and runs eager in its default and in its channels-last layout;
the better counts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from measure import has_torch, medians, print_rows, seconds_of

import tinytrain
from tinytrain.memory import keep_freed_memory
from tinytrain.threads import one_blas_thread

STEPS = 3
NETWORKS = {
    "digits 1x8x8, batch 32": ((32, 64, 128), (1, 2, 2), (32, 1, 8, 8)),
    "6 blocks 1x28x28, batch 64": ((32, 64, 128, 128, 256, 256), (1, 1, 2, 1, 2, 1), (64, 1, 28, 28)),
    "6 blocks 3x32x32, batch 64": ((32, 64, 128, 128, 256, 256), (1, 1, 2, 1, 2, 1), (64, 3, 32, 32)),
}


def network(nn: Any, conv: str, widths: tuple[int, ...], strides: tuple[int, ...], channels: int) -> Any:
    """Return a network of conv-BN-ReLU blocks, in either library's layers."""
    layers: list[Any] = []
    for width, stride in zip(widths, strides, strict=True):
        if conv == "separable":
            layers += [nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)]
            layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, width, 1, bias=False)]
        else:
            layers += [nn.Conv2d(channels, width, 3, stride, 1, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def stepper(library: Any, conv: str, name: str, *, channels_last: bool = False) -> Callable[[], float]:
    """Return a measurement of one training step with a library of PyTorch's interface, in seconds."""
    widths, strides, shape = NETWORKS[name]
    library.manual_seed(0)
    model = network(library.nn, conv, widths, strides, shape[1])
    x, y = library.randn(*shape), library.randint(0, 10, (shape[0],))
    if channels_last:
        model, x = model.to(memory_format=library.channels_last), x.to(memory_format=library.channels_last)
    optimizer = library.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def steps() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            library.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    return lambda: seconds_of(steps) / STEPS


def main() -> None:
    keep_freed_memory()
    with one_blas_thread():  # before PyTorch is loaded, which brings a BLAS of its own
        measure_all()


def measure_all() -> None:
    compare = has_torch()
    if compare:
        import torch

        torch.set_num_threads(2)
    rows = []
    for name in NETWORKS:
        for conv in ("separable", "standard"):
            contenders = {"tinytrain": stepper(tinytrain, conv, name)}
            if compare:
                contenders["eager"] = stepper(torch, conv, name)
                contenders["channels-last"] = stepper(torch, conv, name, channels_last=True)
            found = medians(contenders, rounds=7, warmup=2)
            row: dict[str, object] = {"network": name, "conv": conv, "tinytrain ms": 1e3 * found["tinytrain"]}
            if compare:
                best = min(found["eager"], found["channels-last"])
                row |= {"PyTorch ms": 1e3 * best, "times PyTorch's speed": best / found["tinytrain"]}
            rows.append(row)
    print_rows(rows, *sys.argv[1:2])


if __name__ == "__main__":
    main()
