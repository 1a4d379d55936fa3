"""Rules that divide by the root of gathered squares: RMSprop, Adagrad."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinytrain.device import Array, array_module
from tinytrain.optim.optimizer import Group, Optimizer, State, has_kernel, takes_hints

__all__ = ["Adagrad", "RMSprop"]


class RMSprop(Optimizer):
    """`v ← α v + (1 - α) g²`, then `w ← w - lr g / (sqrt(v) + ε)` (Hinton, "Neural networks", lecture 6e, 2012).

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        alpha: α.
        eps: ε.
        weight_decay: the factor of the weights added to the gradient.
        momentum: gather the steps with this momentum.
        centered: take the squared mean of the gradients off v (Graves, 2013).
        maximize: go up instead of down.
        foreach: hints of PyTorch, without effect.
    """

    at_least_zero = ("lr", "alpha", "eps", "weight_decay", "momentum")

    @takes_hints("foreach")
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ):
        options = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "maximize": maximize,
        }
        super().__init__(params, options)

    @has_kernel("rmsprop")
    def update(self, param: Array, grad: Array, state: State, group: Group) -> None:
        """Change `param` in place by one step."""
        xp = array_module(param)
        if not state:
            state["square_avg"] = xp.zeros_like(param)
            if group["centered"]:
                state["grad_avg"] = xp.zeros_like(param)
            if group["momentum"]:
                state["momentum_buffer"] = xp.zeros_like(param)
        if group["weight_decay"]:
            grad += group["weight_decay"] * param
        square = state["square_avg"]
        square *= group["alpha"]
        square += (1 - group["alpha"]) * grad * grad
        scale = square
        if group["centered"]:
            mean = state["grad_avg"]
            mean += (1 - group["alpha"]) * (grad - mean)
            scale = square - mean * mean
        step = grad / (xp.sqrt(scale) + group["eps"])
        if group["momentum"]:
            velocity = state["momentum_buffer"]
            velocity *= group["momentum"]
            velocity += step
            step = velocity
        param -= group["lr"] * step


class Adagrad(Optimizer):
    """`v ← v + g²`, then `w ← w - lr / (1 + (t - 1) d) g / (sqrt(v) + ε)` (Duchi et al., 2011).

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        lr_decay: d.
        weight_decay: the factor of the weights added to the gradient.
        initial_accumulator_value: the first v.
        eps: ε.
        maximize: go up instead of down.
        foreach, fused: hints of PyTorch, without effect.
    """

    at_least_zero = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    @takes_hints("foreach", "fused")
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ):
        options = {
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
            "maximize": maximize,
        }
        super().__init__(params, options)

    def update(self, param: Array, grad: Array, state: State, group: Group) -> None:
        """Change `param` in place by one step."""
        xp = array_module(param)
        if not state:
            state.update(step=0, sum=xp.full_like(param, group["initial_accumulator_value"]))
        state["step"] += 1
        if group["weight_decay"]:
            grad += group["weight_decay"] * param
        total = state["sum"]
        total += grad * grad
        lr = group["lr"] / (1 + (state["step"] - 1) * group["lr_decay"])
        param -= lr * (grad / (xp.sqrt(total) + group["eps"]))
