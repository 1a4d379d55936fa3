"""The base of all update rules: parameter groups, state, the loop over parameters."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from tinytrain.capturing import refuse
from tinytrain.device import Array, array_module, number_of
from tinytrain.kernels.fused.updates import can_skip, find_update, skipping_where
from tinytrain.recording import touch
from tinytrain.tape import enable_grad, no_grad
from tinytrain.tensor import Tensor, wrap

__all__ = ["Optimizer"]

Group = dict[str, Any]
State = dict[str, Any]
Rule = TypeVar("Rule", bound=Callable[..., None])
Init = TypeVar("Init", bound=Callable[..., None])


def has_kernel(name: str) -> Callable[[Rule], Rule]:
    """Mark an `update` as the definition of a kernel that computes it for many parameters at once.

    The kernel stands for this function alone: a subclass with an `update` of its own does not meet it.
    """

    def mark(update: Rule) -> Rule:
        update.kernel = name  # type: ignore[attr-defined]
        return update

    return mark


def takes_hints(*names: str) -> Callable[[Init], Init]:
    """Let an optimizer's `__init__` be given PyTorch's hints on how to go through the parameters, to no effect.

    Kernels take all parameters of a group at once anyhow. Hints are no options: neither groups nor configs have them.

    Args:
        names: the keywords, as in `foreach`.
    """

    def mark(init: Init) -> Init:
        @functools.wraps(init)
        def run(self: Optimizer, *args: Any, **kwargs: Any) -> None:
            for name in names:
                kwargs.pop(name, None)
            init(self, *args, **kwargs)

        return run  # type: ignore[return-value]  # accepts what `init` does, and the hints

    return mark


class Optimizer:
    """Owns groups of parameters with their options, and what a rule remembers of each parameter.

    A rule is a subclass with an `update` method, called once per parameter and step with raw arrays. Where the rule
    `has_kernel`, that computes what it can of a group in one call, and `update` the rest.

    Args:
        params: parameters; or (name, parameter) pairs; or dicts with `params` and options of their own.
        defaults: the options of groups that do not set them.

    Raises:
        TypeError: `params` is a tensor, or holds something else.
        ValueError: there are none, or one appears twice.
    """

    at_least_zero: ClassVar[tuple[str, ...]] = ("lr", "weight_decay", "eps")
    """Options that must not be negative."""

    found_inf: Array | None = None
    """While a `GradScaler` takes the step: not 0 where gradients overflowed, and nothing is to be changed.

    float32 without dimensions, on the parameters' device. Where a kernel changes all parameters of a group, it may read
    the value there; else the host waits for it.
    """

    def __init__(self, params: Iterable[Any], defaults: Group):
        if isinstance(params, Tensor):
            raise TypeError("params argument given to the optimizer should be an iterable of Tensors or dicts")
        self.defaults = defaults
        self.state: dict[Tensor, State] = {}
        self.param_groups: list[Group] = []
        self._check(defaults)
        given = list(params)
        if not given:
            raise ValueError("optimizer got an empty parameter list")
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)

    def update(self, param: Array, grad: Array, state: State, group: Group) -> None:
        """Change `param` in place by one step of the rule.

        Args:
            param: the values, of one dimension at least.
            grad: the gradient, of the same shape; belongs to the rule, which may change it.
            state: what the rule remembers of this parameter, empty before its first step.
            group: the options in force.
        """
        raise NotImplementedError

    def add_param_group(self, param_group: Group) -> None:
        """Take parameters with options of their own.

        Raises:
            TypeError: what should be parameters is not.
            ValueError: a parameter is there already, or an option is out of range.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group).__name__}")
        params = param_group["params"]
        given = [params] if isinstance(params, Tensor) else list(params)
        names = [each[0] for each in given if isinstance(each, tuple)]
        params = [each[1] if isinstance(each, tuple) else each for each in given]
        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(param).__name__}")
            if not param.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
        known = [id(param) for group in self.param_groups for param in group["params"]]
        known += [id(param) for param in params]
        if len(set(known)) != len(known):
            raise ValueError("some parameters appear in more than one parameter group, or twice in one")
        group = {**self.defaults, **param_group, "params": params}
        if names:
            group["param_names"] = names
        self._check(group)
        self.param_groups.append(group)

    def _check(self, options: Group) -> None:
        """Refuse options out of range.

        Raises:
            ValueError: the message names option and value.
        """
        name = type(self).__name__
        for option in self.at_least_zero:
            if option in options and not options[option] >= 0.0:
                raise ValueError(f"{name}: `{option}` must be at least 0; got {options[option]}")
        for position, beta in enumerate(options.get("betas", ())):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"{name}: `betas[{position}]` must be at least 0 and below 1; got {beta}")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget every gradient, or fill it with zeros where `set_to_none` is False."""
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none:
                    param.grad = None
                elif param.grad is not None:
                    param.grad = wrap(array_module(param.array).zeros_like(param.array))

    @no_grad
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step with the gradients at hand; parameters without one are passed over.

        Args:
            closure: computes the loss anew, with its gradients.

        Returns:
            What the closure returned, None without one.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            held = [(param, grad.array) for param in group["params"] if (grad := param.grad) is not None]
            if not held:
                continue
            params, grads = [param for param, _ in held], [grad for _, grad in held]
            arrays = [param.strided_array() for param in params]
            update_many = find_update(getattr(self.update, "kernel", None), arrays[0])
            skips = update_many is not None and can_skip(arrays[0])
            if not skips and self._is_void():
                continue
            states = [self.state.setdefault(param, {}) for param in params]
            left: Sequence[int] = range(len(params))
            if update_many is not None:
                with skipping_where(self.found_inf, arrays[0]):
                    left = update_many(arrays, grads, states, group)
            if left and skips and self._is_void():
                left = ()
            for position in left:
                refuse(f"{type(self).__name__} has no kernel for its parameters whose numbers lie on the GPU")
                self._update_one(params[position], grads[position], states[position], group)
            for param in params:
                touch(param)
        return loss

    def _is_void(self) -> bool:
        """Return whether the step is to change nothing; waits for the device where there may be such a step."""
        if self.found_inf is None:
            return False
        refuse(f"{type(self).__name__} asks the host whether gradients have overflowed")
        return number_of(self.found_inf) > 0

    def _update_one(self, param: Tensor, grad: Array, state: State, group: Group) -> None:
        grad = _with_dimensions(grad.copy())
        if group.get("maximize"):
            grad = -grad
        self.update(_with_dimensions(param.strided_array()), grad, state, group)

    def state_dict(self) -> dict[str, Any]:
        """Return state and options, parameters replaced by their numbers; arrays become tensors."""
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for param in group["params"]:
                numbers[id(param)] = len(numbers)
            groups.append({**group, "params": [numbers[id(param)] for param in group["params"]]})
        state = {
            numbers[id(param)]: {key: _to_tensor(value, param) for key, value in remembered.items()}
            for param, remembered in self.state.items()
        }
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over state and options from `state_dict`, whose groups must be as many and as large.

        Raises:
            ValueError: the groups do not match.
        """
        groups = state_dict["param_groups"]
        if len(groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        sizes = [(len(new["params"]), len(old["params"])) for new, old in zip(groups, self.param_groups, strict=True)]
        if any(new != old for new, old in sizes):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
            )
        params = [param for group in self.param_groups for param in group["params"]]
        numbers = [number for group in groups for number in group["params"]]
        by_number = dict(zip(numbers, params, strict=True))
        for own, new in zip(self.param_groups, groups, strict=True):
            own.update({key: copy.deepcopy(value) for key, value in new.items() if key != "params"})
        self.state = {
            by_number[number]: {key: _to_array(value, by_number[number]) for key, value in remembered.items()}
            for number, remembered in state_dict["state"].items()
        }

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for number, group in enumerate(self.param_groups):
            lines += [""] * (number > 0) + [f"Parameter Group {number}"]
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def _with_dimensions(array: Array) -> Array:
    """Return a view of one dimension at least: arithmetic on arrays without any gives numbers, not arrays."""
    return array.reshape(1) if array.ndim == 0 else array


def _to_tensor(value: Any, param: Tensor) -> Any:
    """Return an array of the state as a tensor of its parameter's shape with memory of its own; numbers as they are."""
    return wrap(value.reshape(param.shape).copy()) if hasattr(value, "shape") else value


def _to_array(value: Any, param: Tensor) -> Any:
    """Return a saved tensor as an array on the parameter's device; a count saved as a tensor becomes a number."""
    if not isinstance(value, Tensor):
        return copy.deepcopy(value)
    return _with_dimensions(value.to(param.device).array.copy()) if value.shape == param.shape else value.item()
