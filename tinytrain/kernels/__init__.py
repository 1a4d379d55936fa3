"""The heavy loops by name: which function computes `conv_forward` for this array on this machine.

A kernel set is a table from kernel names to functions of one signature each. The reference set defines what must be
computed, for NumPy and CuPy arrays of any dtype; a faster set says which arrays it takes, may lack any name, and may
have names of its own for what it does in one go. Sets are asked in order, the reference last.
`TINYTRAIN_KERNELS=reference` in the environment leaves the reference alone; the name of an instruction set chooses the
native kernels for that.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tinytrain.device import Array
from tinytrain.errors import UsageError
from tinytrain.kernels import cuda, fused, native
from tinytrain.kernels.fused.backends import leaving_back_ends_out
from tinytrain.kernels.reference import KERNELS as REFERENCE_KERNELS
from tinytrain.pending import Pending, settled

ENVIRONMENT_VARIABLE = "TINYTRAIN_KERNELS"
CHOICES = ("auto", "reference", *native.INSTRUCTION_SETS)


@dataclass(frozen=True)
class KernelSet:
    """Kernels that belong together.

    Args:
        name: what `doctor` calls the set.
        kernels: name to function; empty where the set cannot be used here.
        takes: whether the set computes on arrays of this class and dtype; asked once for each pair.
        reason: why the set is or is not in use, for `doctor`; or what tells whether it is, and why, when asked.
    """

    name: str
    kernels: Mapping[str, Callable[..., Any]]
    takes: Callable[[type, Any], bool]
    reason: str | Callable[[], tuple[bool, str]]

    def report(self) -> dict[str, Any]:
        """Return the name, why the set is or is not in use, and the names that it offers, sorted."""
        is_usable, reason = (True, self.reason) if isinstance(self.reason, str) else self.reason()
        return {"set": self.name, "reason": reason, "kernels": sorted(self.kernels) if is_usable else []}


def kernel(name: str, array: Array) -> Callable[..., Any]:
    """Return the function that computes the kernel `name` on arrays like this one.

    Args:
        name: an entry of the reference table, as `conv_forward`.
        array: an operand; its class and dtype decide.

    Raises:
        KeyError: there is no such kernel.
    """
    found = find_kernel(name, array)
    if found is None:
        raise KeyError(f"no kernel is called {name!r}")
    return found


def find_kernel(name: str, array: Array | Pending) -> Callable[..., Any] | None:
    """Return the function that computes the kernel `name` on arrays like this one, None where no set has it."""
    key = (name, array.__class__, array.dtype)
    try:
        return _chosen[key]
    except KeyError:
        found = _chosen[key] = _choose(*key)
        return found


def kernels_in_use(array: Array | None = None) -> list[dict[str, Any]]:
    """Return what `tinytrain doctor` says of each set, in the order in which they are asked.

    Args:
        array: the sets for arrays like this one; None: all.

    Returns:
        One `{"set", "reason", "kernels"}` per set: its name, why it is in use, and the names it offers, sorted.
    """
    sets = [each for each in _sets if array is None or each.takes(array.__class__, array.dtype)]
    return [each.report() for each in sets]


@contextmanager
def using_reference_kernels() -> Iterator[None]:
    """Compute by the reference kernels alone within the block, in all of this process.

    Values that are pending from before are computed where the reference reads them. A backward pass belongs into the
    block with its forward pass: rules recorded outside keep the kernels that they were recorded with.
    """
    global _sets, _chosen
    before = _sets, _chosen
    _sets, _chosen = _sets_for("reference"), {}
    try:
        with leaving_back_ends_out():
            yield
    finally:
        _sets, _chosen = before


def _choose(name: str, array_type: type, dtype: Any) -> Callable[..., Any] | None:
    for each in _sets:
        if name in each.kernels and each.takes(array_type, dtype):
            function = each.kernels[name]
            is_definition = each.kernels is REFERENCE_KERNELS
            return _on_arrays(function) if is_definition and issubclass(array_type, Pending) else function
    return None


def _on_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a reference kernel that computes first what is pending among its operands."""

    @functools.wraps(function)
    def call(*operands: Any, **options: Any) -> Any:
        return function(*map(settled, operands), **options)

    return call


def _sets_for(choice: str) -> list[KernelSet]:
    """Return the sets to ask for a value of the environment variable.

    Raises:
        UsageError: it is not one of the choices.
    """
    if choice not in CHOICES:
        raise UsageError(
            f"expected one of {', '.join(CHOICES)}; got {choice!r}",
            place=f"environment variable {ENVIRONMENT_VARIABLE}",
        )
    forced = choice == "reference"
    reason = f"{ENVIRONMENT_VARIABLE}=reference" if forced else "the definition, for NumPy and CuPy arrays of any dtype"
    reference = KernelSet("reference", REFERENCE_KERNELS, lambda array_type, dtype: True, reason)
    if forced:
        return [reference]
    is_usable, why = native.choose(choice)
    return [
        KernelSet("native", fused.KERNELS if is_usable else {}, native.takes, why),
        KernelSet("cuda", fused.KERNELS, cuda.takes, cuda.choose),  # the GPU is not touched before an array lies on it
        reference,
    ]


_sets = _sets_for(os.environ.get(ENVIRONMENT_VARIABLE, "auto"))
_chosen: dict[tuple[str, type, Any], Callable[..., Any] | None] = {}
