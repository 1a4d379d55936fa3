"""Adam and its relatives: moving means of the gradient and its square."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from tinytrain.device import Array, array_module
from tinytrain.optim.optimizer import Group, Optimizer, State, has_kernel, takes_hints

__all__ = ["Adam", "AdamW", "NAdam", "RAdam"]


class _Adaptive(Optimizer):
    """What the family shares: `m ← β₁ m + (1 - β₁) g` and `v ← β₂ v + (1 - β₂) g²`, and both forms of decay."""

    def _moments(self, param: Array, grad: Array, state: State, group: Group) -> tuple[Array, Array, int]:
        """Apply the weight decay, advance the moving means and return them with the number of the step."""
        xp = array_module(param)
        if not state:
            state.update(step=0, exp_avg=xp.zeros_like(param), exp_avg_sq=xp.zeros_like(param))
        state["step"] += 1
        if group["weight_decay"]:
            if group["decoupled_weight_decay"]:
                param *= 1 - group["lr"] * group["weight_decay"]
            else:
                grad += group["weight_decay"] * param
        beta1, beta2 = group["betas"]
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean += (1 - beta1) * (grad - mean)
        square *= beta2
        square += (1 - beta2) * grad * grad
        return mean, square, state["step"]


class Adam(_Adaptive):
    """`w ← w - lr m̂ / (sqrt(v̂) + ε)` with m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ) (Kingma and Ba, 2015, algorithm 1).

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        betas: β₁ and β₂.
        eps: ε.
        weight_decay: the factor of the weights added to the gradient, or taken off the weights if decoupled.
        amsgrad: divide by the largest v̂ so far (Reddi et al., 2018).
        maximize: go up instead of down.
        decoupled_weight_decay: take the decay off the weights themselves, as AdamW.
        foreach, fused: hints of PyTorch, without effect.
    """

    @takes_hints("foreach", "fused")
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ):
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, options)

    @has_kernel("adam")
    def update(self, param: Array, grad: Array, state: State, group: Group) -> None:
        """Change `param` in place by one step."""
        xp = array_module(param)
        mean, square, step = self._moments(param, grad, state, group)
        if group["amsgrad"]:
            square = state["max_exp_avg_sq"] = xp.maximum(state.get("max_exp_avg_sq", square), square)
        beta1, beta2 = group["betas"]
        scale = xp.sqrt(square) / math.sqrt(1 - beta2**step) + group["eps"]
        param -= group["lr"] / (1 - beta1**step) * (mean / scale)


class AdamW(Adam):
    """Adam with the weight decay taken off the weights themselves (Loshchilov and Hutter, 2019, algorithm 2).

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        betas: β₁ and β₂.
        eps: ε.
        weight_decay: the share of the weights taken off a step, times lr.
        amsgrad: divide by the largest v̂ so far.
        maximize: go up instead of down.
        foreach, fused: hints of PyTorch, without effect.
    """

    @takes_hints("foreach", "fused")
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)


class NAdam(_Adaptive):
    """Adam with Nesterov's look ahead; μₜ = β₁ (1 - 0.96^(t ψ) / 2) (Dozat, 2016).

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        betas: β₁ and β₂.
        eps: ε.
        weight_decay: the factor of the weights added to the gradient, or taken off the weights if decoupled.
        momentum_decay: ψ.
        decoupled_weight_decay: take the decay off the weights themselves.
        maximize: go up instead of down.
        foreach: hints of PyTorch, without effect.
    """

    at_least_zero = ("lr", "weight_decay", "eps", "momentum_decay")

    @takes_hints("foreach")
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ):
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, options)

    def update(self, param: Array, grad: Array, state: State, group: Group) -> None:
        """Change `param` in place by one step."""
        xp = array_module(param)
        mean, square, step = self._moments(param, grad, state, group)
        (beta1, beta2), decay = group["betas"], group["momentum_decay"]
        mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (t * decay)) for t in (step, step + 1))
        product = state["mu_product"] = state.get("mu_product", 1.0) * mu
        scale = xp.sqrt(square / (1 - beta2**step)) + group["eps"]
        param -= group["lr"] * (1 - mu) / (1 - product) * (grad / scale)
        param -= group["lr"] * mu_next / (1 - product * mu_next) * (mean / scale)


class RAdam(_Adaptive):
    """Adam whose step is scaled while v̂ is uncertain, and not adapted at all at first (Liu et al., 2020, algorithm 2).

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        betas: β₁ and β₂.
        eps: ε.
        weight_decay: the factor of the weights added to the gradient, or taken off the weights if decoupled.
        decoupled_weight_decay: take the decay off the weights themselves.
        maximize: go up instead of down.
        foreach: hints of PyTorch, without effect.
    """

    @takes_hints("foreach")
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ):
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, options)

    def update(self, param: Array, grad: Array, state: State, group: Group) -> None:
        """Change `param` in place by one step."""
        xp = array_module(param)
        mean, square, step = self._moments(param, grad, state, group)
        beta1, beta2 = group["betas"]
        corrected = mean / (1 - beta1**step)
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * step * beta2**step / (1 - beta2**step)
        if length > 5:
            rectified = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            adapted = math.sqrt(1 - beta2**step) / (xp.sqrt(square) + group["eps"])
            corrected *= math.sqrt(rectified) * adapted
        param -= group["lr"] * corrected
