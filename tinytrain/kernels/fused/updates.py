"""Update rules for all parameters of a group in one call, to the bit what the rules in `tinytrain.optim` give.

Each function takes lists with one entry a parameter: the arrays, their gradients (which are not changed), what the rule
remembers of each; and the options in force. It returns the positions of the parameters that it left alone: those whose
arrays are not contiguous float32 memory, and those that the rule remembers nothing of yet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from tinytrain.device import Array
from tinytrain.kernels.fused.backends import offered, primitives

State = dict[str, Any]
Update = Callable[[list[Array], list[Array], list[State], dict[str, Any]], Sequence[int]]


def find_update(name: str | None, param: Array) -> Update | None:
    """Return the function that computes the rule called `name` on arrays like `param`; None where there is none."""
    return UPDATES.get(name) if name is not None and offered(param) is not None else None


def can_skip(param: Array) -> bool:
    """Return whether updates of arrays like `param` can be told in the device's memory to change nothing."""
    return hasattr(primitives(param), "during_step")


def skipping_where(flag: Array | None, param: Array) -> AbstractContextManager[None]:
    """Have updates of arrays like `param` change nothing meanwhile where `flag`, float32 of one element, is not 0."""
    if flag is None or not can_skip(param):
        return nullcontext()
    skipping: AbstractContextManager[None] = primitives(param).during_step(is_void=flag)
    return skipping


def update_sgd(params: list[Array], grads: list[Array], states: list[State], group: dict[str, Any]) -> Sequence[int]:
    """Compute `SGD.update`."""
    momentum = group["momentum"]
    left = primitives(params[0]).sgd(
        params,
        grads,
        _remembered(states, "momentum_buffer") if momentum else None,
        group["lr"],
        momentum,
        1 - group["dampening"],
        group["weight_decay"],
        bool(momentum and group["nesterov"]),
        bool(group["maximize"]),
    )
    return left or ()


def update_adam(params: list[Array], grads: list[Array], states: list[State], group: dict[str, Any]) -> Sequence[int]:
    """Compute `Adam.update`, in one call for all parameters that have seen as many steps."""
    beta1, beta2 = group["betas"]
    lr, decay, decoupled = group["lr"], group["weight_decay"], group["decoupled_weight_decay"]
    left: list[int] = []
    for number, members in _by_step(states).items():
        whole = len(members) == len(params)
        part = states if whole else [states[i] for i in members]
        step = number + 1
        skipped = primitives(params[0]).adam(
            params if whole else [params[i] for i in members],
            grads if whole else [grads[i] for i in members],
            _remembered(part, "exp_avg"),
            _remembered(part, "exp_avg_sq"),
            _remembered(part, "max_exp_avg_sq") if group["amsgrad"] else None,
            lr / (1 - beta1**step),
            math.sqrt(1 - beta2**step),
            1 - beta1,
            beta2,
            1 - beta2,
            group["eps"],
            0 if decoupled else decay,
            1 - lr * decay if decoupled else 1,
            bool(group["maximize"]),
        )
        if skipped:
            left += [members[i] for i in skipped]
        for i in set(range(len(part))).difference(skipped) if skipped else range(len(part)):
            part[i]["step"] = step
    return left


def update_rmsprop(
    params: list[Array], grads: list[Array], states: list[State], group: dict[str, Any]
) -> Sequence[int]:
    """Compute `RMSprop.update`."""
    left = primitives(params[0]).rmsprop(
        params,
        grads,
        _remembered(states, "square_avg"),
        _remembered(states, "grad_avg") if group["centered"] else None,
        _remembered(states, "momentum_buffer") if group["momentum"] else None,
        group["lr"],
        group["alpha"],
        1 - group["alpha"],
        group["eps"],
        group["weight_decay"],
        group["momentum"],
        bool(group["maximize"]),
    )
    return left or ()


def update_lion(params: list[Array], grads: list[Array], states: list[State], group: dict[str, Any]) -> Sequence[int]:
    """Compute `Lion.update`."""
    beta1, beta2 = group["betas"]
    left = primitives(params[0]).lion(
        params,
        grads,
        _remembered(states, "exp_avg"),
        group["lr"],
        beta1,
        1 - beta1,
        beta2,
        1 - beta2,
        1 - group["lr"] * group["weight_decay"],
        bool(group["maximize"]),
    )
    return left or ()


UPDATES: dict[str, Update] = {
    "sgd": update_sgd,
    "adam": update_adam,
    "rmsprop": update_rmsprop,
    "lion": update_lion,
}


def _remembered(states: list[State], key: str) -> list[Array | None]:
    return [state.get(key) for state in states]


def _by_step(states: list[State]) -> dict[int, Sequence[int]]:
    """Return the positions of the states by how many steps they have seen; nearly always all are in one place."""
    first = states[0].get("step", 0)
    if all(state.get("step", 0) == first for state in states):
        return {first: range(len(states))}
    positions: dict[int, list[int]] = {}
    for position, state in enumerate(states):
        positions.setdefault(state.get("step", 0), []).append(position)
    return dict(positions)
