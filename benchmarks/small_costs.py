"""What a training step costs beside its network: `python benchmarks/small_costs.py [out.json]`.

Update rules, clipping and the loss, in microseconds, beside PyTorch's fastest form of each (`fused` where a rule has
it, else `foreach`), on as many threads: for 20 small parameters, 13 thousand numbers, and for 11 million.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from measure import has_torch, medians, print_rows, seconds_of

import tinytrain as tt
from tinytrain import nn, optim
from tinytrain.nn import functional as F

SMALL = [
    *((16, 3, 3, 3), (16,), (16,), (32, 16, 3, 3), (32,), (32,), (32, 1, 3, 3), (64, 32, 1, 1), (64,), (64,)),
    *((64, 1, 3, 3), (64,), (64,), (64, 64, 1, 1), (64,), (64,), (10, 64), (10,), (10,), (10,)),
]
LARGE = [*[(512, 512, 3, 3)] * 4, *[(256, 256, 3, 3)] * 2, *[(512,)] * 20, (1000, 512)]
RULES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 1e-3, "momentum": 0.9, "weight_decay": 5e-4}),
    ("AdamW", {"lr": 1e-3}),
    ("RMSprop", {"lr": 1e-3}),
    ("Lion", {"lr": 1e-4}),
]
MAX_NORM = 1e9  # nothing is clipped twice


def many(call: Callable[[], object], times: int) -> Callable[[], float]:
    """Return a measurement of one of several calls in a row."""
    return lambda: seconds_of(lambda: [call() for _ in range(times)]) / times


def with_gradients(make: Callable[[np.ndarray], Any], shapes: list[tuple[int, ...]]) -> list[Any]:
    """Return parameters with gradients, the same for both libraries."""
    rng = np.random.default_rng(0)
    params = []
    for shape in shapes:
        param = make(rng.normal(size=shape).astype(np.float32)).requires_grad_()
        param.grad = make(rng.normal(size=shape).astype(np.float32))
        params.append(param)
    return params


def their_rule(torch: Any, name: str, params: list[Any], options: dict[str, Any]) -> Any:
    """Return PyTorch's fastest form of a rule, None where it has no such rule."""
    rule = getattr(torch.optim, name, None)
    if rule is None:
        return None
    form = "fused" if name in ("SGD", "Adam", "AdamW") else "foreach"
    return rule(params, **options, **{form: True})


def main(output: str | None = None) -> None:
    """Measure each cost in turns."""
    torch: Any = None
    if has_torch():
        import torch

        torch.set_num_threads(2)
    rows: list[dict[str, object]] = []

    def compare(what: str, ours: Callable[[], object], theirs: Callable[[], object] | None, times: int) -> None:
        contenders = {"tinytrain": many(ours, times)}
        if theirs is not None:
            contenders["PyTorch"] = many(theirs, times)
        found = {name: seconds * 1e6 for name, seconds in medians(contenders, rounds=15, warmup=3).items()}
        ratio = found["PyTorch"] / found["tinytrain"] if theirs is not None else ""
        rows.append(
            {"what": what, "tinytrain us": found["tinytrain"], "PyTorch us": found.get("PyTorch", ""), "ratio": ratio}
        )

    for size, shapes, times in (("small", SMALL, 100), ("11 M", LARGE, 2)):
        params = with_gradients(tt.from_numpy, shapes)
        theirs = None if torch is None else with_gradients(torch.from_numpy, shapes)
        for name, options in RULES:
            rule = None if torch is None else their_rule(torch, name, theirs, options)
            compare(f"{name}, {size}", getattr(optim, name)(params, **options).step, rule and rule.step, times)
        compare(
            f"clip_grad_norm_, {size}",
            lambda params=params: nn.utils.clip_grad_norm_(params, MAX_NORM),
            None if torch is None else lambda theirs=theirs: torch.nn.utils.clip_grad_norm_(theirs, MAX_NORM),
            times,
        )
    for n, classes, times in ((64, 10, 100), (256, 1000, 10)):
        rng = np.random.default_rng(0)
        scores, target = rng.normal(size=(n, classes)).astype(np.float32), rng.integers(0, classes, n)

        def both_ways(
            lib: Any, function: Any, scores: np.ndarray = scores, target: np.ndarray = target
        ) -> Callable[[], object]:
            x, t = lib.from_numpy(scores).requires_grad_(), lib.from_numpy(target)
            return lambda: function.cross_entropy(x, t).backward()

        other = None if torch is None else both_ways(torch, torch.nn.functional)
        compare(f"cross_entropy, backward, ({n}, {classes})", both_ways(tt, F), other, times)
    print_rows(rows, output)


if __name__ == "__main__":
    main(*sys.argv[1:2])
