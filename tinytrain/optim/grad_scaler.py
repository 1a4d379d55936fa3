"""Loss scaling: gradients too small for float16 are computed from a larger loss and divided again.

Micikevicius et al., "Mixed Precision Training" (2018), section 3.2; the scale moves as PyTorch's does. Scale, count and
the sign of an overflow stay on the device: nothing here waits for it but what returns Python numbers, and the step of a
rule without a kernel that can skip by itself.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tinytrain.device import Array, array_module, cuda_is_available, module_of
from tinytrain.dtypes import float16
from tinytrain.kernels.fused.clipping import unscale_arrays
from tinytrain.ops.arithmetic import mul
from tinytrain.optim.optimizer import Optimizer
from tinytrain.recording import touch, write
from tinytrain.tape import no_grad
from tinytrain.tensor import Tensor, wrap

__all__ = ["GradScaler"]

_READY, _UNSCALED, _STEPPED = range(3)


class GradScaler:
    """Scales losses, and skips the steps whose gradients overflowed.

    After an overflow the scale is multiplied by `backoff_factor`, after `growth_interval` steps without one by
    `growth_factor`.

    Args:
        device: `cuda` or `cpu`.
        init_scale: the first scale.
        growth_factor: above 1.
        backoff_factor: below 1.
        growth_interval: steps without overflow before the scale grows.
        enabled: False makes every method do nothing, and `step` the optimizer's.

    Raises:
        AssertionError: a factor is out of range.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        if enabled and device == "cuda" and not cuda_is_available():
            warnings.warn("GradScaler is enabled, but CUDA is not available. Disabling.", stacklevel=2)
            enabled = False
        if growth_factor <= 1.0:
            raise AssertionError(f"The growth factor must be > 1.0; got {growth_factor}")
        if backoff_factor >= 1.0:
            raise AssertionError(f"The backoff factor must be < 1.0; got {backoff_factor}")
        self._enabled = enabled
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval = growth_interval
        self._begin = {"scale": float(init_scale), "tracker": 0, "skipped": 0}
        self._scale: Tensor | None = None
        self._tracker: Tensor | None = None
        self._skipped: Tensor | None = None
        self._stages: dict[int, tuple[int, Array | None]] = {}

    def scale(self, outputs: Any) -> Any:
        """Return a loss, or several in a list or tuple, times the scale.

        Raises:
            ValueError: they are no tensors.
        """
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            self._settle_on(outputs)
            assert self._scale is not None
            return mul(outputs, self._scale)
        if isinstance(outputs, (list, tuple)):
            return type(outputs)(map(self.scale, outputs))
        if isinstance(outputs, Iterable):
            return map(self.scale, outputs)
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    @no_grad
    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of an optimizer's parameters by the scale in place, once a step; look for overflows.

        For what is done with gradients between backward and step, as clipping; `step` calls it else.

        Raises:
            AssertionError: no loss was scaled.
            RuntimeError: it is the second time since `update`, or comes after `step`.
            ValueError: a gradient is float16; parameters are float32 in mixed precision.
        """
        if not self._enabled:
            return
        scale = self._begun("unscale_")[0]
        stage, _ = self._stages.get(id(optimizer), (_READY, None))
        if stage == _UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if stage == _STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        xp = array_module(scale.array)
        found = xp.zeros((), np.float32)
        grads = [param.grad for group in optimizer.param_groups for param in group["params"] if param.grad is not None]
        if any(each.dtype is float16 for each in grads):
            raise ValueError("Attempting to unscale FP16 gradients.")
        if grads:
            arrays = [each.strided_array() for each in grads]
            inverse = (1 / scale.array.astype(np.float64)).astype(np.float32)
            is_bad = unscale_arrays(arrays, inverse)
            found[...] = _unscale(arrays, inverse) if is_bad is None else is_bad
            for each in grads:
                touch(each)
        self._stages[id(optimizer)] = _UNSCALED, found

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """Take the optimizer's step, with gradients that are divided by the scale, unless one of them overflowed.

        Returns:
            What the optimizer's step returns; None where it is known to be skipped.

        Raises:
            AssertionError: no loss was scaled.
            RuntimeError: it is the second time since `update`, or there is a closure.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if args or "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._begun("step")
        stage = self._stages.get(id(optimizer), (_READY, None))[0]
        if stage == _STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if stage == _READY:
            self.unscale_(optimizer)
        found = self._stages[id(optimizer)][1]
        optimizer.found_inf = found
        try:
            result = optimizer.step()
        finally:
            optimizer.found_inf = None
        self._stages[id(optimizer)] = _STEPPED, found
        return result

    @no_grad
    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Move the scale, once at the end of every step.

        Args:
            new_scale: what to set it to; None moves it by what was found.

        Raises:
            AssertionError: nothing was unscaled since the last time.
        """
        if not self._enabled:
            return
        scale, tracker, skipped = self._begun("update")
        if new_scale is not None:
            write(scale, ..., new_scale.array if isinstance(new_scale, Tensor) else new_scale)
        else:
            founds = [found for _, found in self._stages.values() if found is not None]
            if not founds:
                raise AssertionError("No inf checks were recorded prior to update.")
            self._move(scale, tracker, skipped, founds)
        self._stages.clear()

    def forget_step(self) -> None:
        """Forget what a step has unscaled that was given up before `update`."""
        self._stages.clear()

    def get_scale(self) -> float:
        """Return the scale, 1 where scaling is not enabled; waits for the device."""
        if not self._enabled:
            return 1.0
        return self._begin["scale"] if self._scale is None else float(self._scale.item())

    def is_enabled(self) -> bool:
        """Return whether anything is scaled."""
        return self._enabled

    def skipped_steps(self) -> int:
        """Return how many steps were skipped so far; waits for the device."""
        return int(self._begin["skipped"] if self._skipped is None else self._skipped.item())

    def get_growth_factor(self) -> float:
        """Return the factor by which the scale grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set the factor by which the scale grows."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """Return the factor by which the scale shrinks."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set the factor by which the scale shrinks."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """Return the number of steps before the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set the number of steps before the scale grows."""
        self._growth_interval = new_interval

    def state_dict(self) -> dict[str, Any]:
        """Return PyTorch's five numbers, and how many steps were skipped; nothing where scaling is not enabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": int(self._begin["tracker"] if self._tracker is None else self._tracker.item()),
            "skipped_steps": self.skipped_steps(),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned, here or in PyTorch.

        Raises:
            RuntimeError: it is empty, as of a scaler that was not enabled.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._begin = {
            "scale": float(state_dict["scale"]),
            "tracker": state_dict["_growth_tracker"],
            "skipped": state_dict.get("skipped_steps", 0),
        }
        for tensor, key in ((self._scale, "scale"), (self._tracker, "tracker"), (self._skipped, "skipped")):
            if tensor is not None:  # in place: a captured step reads this memory
                write(tensor, ..., self._begin[key])

    def _settle_on(self, like: Tensor) -> None:
        """Put the state onto the device of the first loss."""
        if self._scale is None:
            xp = module_of(like.device)
            self._scale = wrap(xp.full((), self._begin["scale"], np.float32))
            self._tracker = wrap(xp.full((), self._begin["tracker"], np.int32))
            self._skipped = wrap(xp.full((), self._begin["skipped"], np.int64))

    def _begun(self, name: str) -> tuple[Tensor, Tensor, Tensor]:
        if self._scale is None:
            raise AssertionError(
                f"Attempted {name} but _scale is None.  This may indicate your script did not use "
                "scaler.scale(loss or outputs) earlier in the iteration."
            )
        assert self._tracker is not None
        assert self._skipped is not None
        return self._scale, self._tracker, self._skipped

    def _move(self, scale: Tensor, tracker: Tensor, skipped: Tensor, founds: list[Array]) -> None:
        """Shrink the scale after an overflow, let it grow after enough steps without one."""
        xp = array_module(scale.array)
        overflowed = functools.reduce(xp.logical_or, founds) > 0
        wide = scale.array.astype(np.float64)
        count = tracker.array + 1
        is_due = count == self._growth_interval
        with np.errstate(over="ignore"):
            grown = (wide * self._growth_factor).astype(np.float32)
        grown = xp.where(is_due & xp.isfinite(grown), grown, scale.array)
        write(scale, ..., xp.where(overflowed, (wide * self._backoff_factor).astype(np.float32), grown))
        write(tracker, ..., xp.where(overflowed | is_due, 0, count))
        write(skipped, ..., skipped.array + overflowed)


def _unscale(arrays: list[Array], factor: Array) -> Array:
    """Multiply arrays in their memory by a number; return whether an element was infinite or NaN."""
    xp = array_module(arrays[0])
    is_finite = xp.stack([xp.isfinite(each).all() for each in arrays]).all()
    for each in arrays:
        with np.errstate(invalid="ignore"):
            each *= factor
    return ~is_finite
