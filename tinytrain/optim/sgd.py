"""Stochastic gradient descent with momentum, and its sign-taking relative."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinytrain.device import Array, array_module
from tinytrain.optim.optimizer import Group, Optimizer, State, has_kernel, takes_hints

__all__ = ["SGD", "Lion"]


class SGD(Optimizer):
    """`v ← μ v + (1 - τ) g`, then `w ← w - lr v`, or `w ← w - lr (g + μ v)` with Nesterov's look ahead.

    `g` includes `weight_decay * w`; the first `v` is `g` itself (Sutskever et al., 2013, as PyTorch has it).

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        momentum: μ.
        dampening: τ.
        weight_decay: the factor of the weights added to the gradient.
        nesterov: look ahead; needs momentum and no dampening.
        maximize: go up instead of down.
        foreach, fused: hints of PyTorch, without effect.

    Raises:
        ValueError: an option is out of range, or Nesterov goes without momentum.
    """

    at_least_zero = ("lr", "momentum", "weight_decay")

    @takes_hints("foreach", "fused")
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ):
        options = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, options)

    def _check(self, options: Group) -> None:
        super()._check(options)
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")

    @has_kernel("sgd")
    def update(self, param: Array, grad: Array, state: State, group: Group) -> None:
        """Change `param` in place by one step."""
        momentum = group["momentum"]
        if group["weight_decay"]:
            grad += group["weight_decay"] * param
        if momentum:
            velocity = state.get("momentum_buffer")
            if velocity is None:
                velocity = state["momentum_buffer"] = grad.copy()
            else:
                velocity *= momentum
                velocity += (1 - group["dampening"]) * grad
            grad = grad + momentum * velocity if group["nesterov"] else velocity
        param -= group["lr"] * grad


class Lion(Optimizer):
    """`w ← w - lr (sign(β₁ m + (1 - β₁) g) + λ w)`, then `m ← β₂ m + (1 - β₂) g` (Chen et al., 2023, program 1).

    Args:
        params: parameters or groups of them.
        lr: learning rate, 3 to 10 times smaller than AdamW's.
        betas: β₁ and β₂.
        weight_decay: λ.
        maximize: go up instead of down.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize})

    @has_kernel("lion")
    def update(self, param: Array, grad: Array, state: State, group: Group) -> None:
        """Change `param` in place by one step."""
        xp = array_module(param)
        beta1, beta2 = group["betas"]
        if not state:
            state["exp_avg"] = xp.zeros_like(param)
        mean = state["exp_avg"]
        direction = xp.sign(beta1 * mean + (1 - beta1) * grad)
        param *= 1 - group["lr"] * group["weight_decay"]
        param -= group["lr"] * direction
        mean *= beta2
        mean += (1 - beta2) * grad
