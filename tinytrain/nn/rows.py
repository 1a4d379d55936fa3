"""Modules in a row: `Sequential` calls one after the other, `ModuleList` holds them.

Where nothing is recorded, layers in a row hand on bare values: a tensor between two layers would be seen by nobody, and
making and checking it costs small layers more time than computing. Where it is, a convolution is recorded together with
the normalisation and the activation behind it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeVar

from tinytrain.nn.module import Module
from tinytrain.nn.normalized_convolution import calls_forward_alone, passed_together
from tinytrain.ops.autocasting import is_any_autocast_enabled
from tinytrain.tape import is_grad_enabled
from tinytrain.tensor import Tensor, wrap

__all__ = ["ModuleList", "Sequential"]

RowT = TypeVar("RowT", bound="_Row")


def in_row(input: Any, *modules: Module) -> Any:
    """Return what the last module makes of `input` after all before it."""
    if is_any_autocast_enabled():
        for module in modules:
            input = module(input)
        return input
    if is_grad_enabled():
        return _recorded(modules, input)
    result, is_private = _passed_on(modules, input, False)
    return wrap(result) if is_private else result


def _passed_on(modules: Iterable[Module], x: Any, is_private: bool) -> tuple[Any, bool]:
    """Return what the last module makes of `x`, and whether it is a bare value that nobody else holds.

    Args:
        modules: in the order in which they are called.
        x: a bare value, or what a caller of the first module gives it.
        is_private: whether `x` is a bare value.
    """
    for module in modules:
        forward, y = module.forward, None
        if calls_forward_alone(module):
            if getattr(forward, "__func__", None) is Sequential.forward:
                x, is_private = _passed_on(module, x, is_private)
                continue
            compute = getattr(forward, "on_values", None)
            if compute is not None and (is_private or isinstance(x, Tensor)):
                y = compute(module, x if is_private else x.value, is_private)
        if y is None:
            x, is_private = module(wrap(x) if is_private else x), False
        else:
            x, is_private = y, True
    return x, is_private


def _recorded(modules: Sequence[Module], x: Any) -> Any:
    """Return the same where it is recorded; a convolution and what normalises its result are one operation."""
    at = 0
    while at < len(modules):
        together = passed_together(modules, at, x)
        x, at = (modules[at](x), at + 1) if together is None else together
    return x


class _Row(Module):
    """What `Sequential` and `ModuleList` share: modules in a row, named by their positions."""

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, key_at(self._modules, index), module)

    def __delitem__(self, index: int | slice) -> None:
        keys = list(self._modules)[index]
        for key in keys if isinstance(keys, list) else [keys]:
            del self._modules[key]
        self._number(list(self._modules.values()))

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())  # type: ignore[arg-type]

    def append(self: RowT, module: Module) -> RowT:
        """Add a module at the end; return this container."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self: RowT, modules: Iterable[Module]) -> RowT:
        """Add modules at the end; return this container."""
        for module in list(modules):  # which may be this container
            self.append(module)
        return self

    def pop(self, key: int | slice) -> Any:
        """Take out the module at a position, or a container of those in a slice, and return it."""
        taken = self[key]  # type: ignore[index]  # both kinds of rows have it
        del self[key]
        return taken

    def _insert(self, index: int, module: Module) -> None:
        modules = list(self._modules.values())
        modules.insert(index, module)
        self._number(modules)

    def _number(self, modules: list[Module | None]) -> None:
        """Own these modules under the names 0, 1, ..."""
        self._modules = {str(i): module for i, module in enumerate(modules)}


class Sequential(_Row):
    """Modules called one after the other.

    Args:
        *args: modules in order, named `0`, `1`, ...; or one OrderedDict of names and modules.
    """

    def __init__(self, *args: Any):
        super().__init__()
        named = args[0].items() if len(args) == 1 and isinstance(args[0], OrderedDict) else enumerate(args)
        for name, module in named:
            self.add_module(str(name), module)

    def forward(self, input: Any) -> Any:
        """Return what the last module makes of `input` after all before it."""
        return in_row(input, *self)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return self._modules[key_at(self._modules, index)]

    def __add__(self, other: Sequential) -> Sequential:
        return Sequential(*self, *_checked(other))

    def __iadd__(self: RowT, other: Sequential) -> RowT:
        return self.extend(_checked(other))

    def __mul__(self, times: int) -> Sequential:
        return Sequential(*list(self) * _positive(times))

    __rmul__ = __mul__

    def __imul__(self: RowT, times: int) -> RowT:
        return self.extend(list(self) * (_positive(times) - 1))

    def insert(self, index: int, module: Module) -> Sequential:
        """Add a module before `index`; return this container."""
        self._insert(index, module)
        return self


class ModuleList(_Row):
    """A list of modules.

    Args:
        modules: what it begins with.
    """

    def __init__(self, modules: Iterable[Module] | None = None):
        super().__init__()
        self.extend(modules or ())

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self._modules.values())[index])  # type: ignore[arg-type]
        return self._modules[key_at(self._modules, index)]

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self: RowT, modules: Iterable[Module]) -> RowT:
        return self.extend(modules)

    def __repr__(self) -> str:
        if not self._modules:
            return f"{self._get_name()}()"
        lines, first = [], 0
        for text, equal in groupby(repr(module) for module in self._modules.values()):
            count = len(list(equal))
            block = f"({first}): {text}" if count == 1 else f"({first}-{first + count - 1}): {count} x {text}"
            lines.append("  " + block.replace("\n", "\n  "))
            first += count
        return "\n".join([f"{self._get_name()}(", *lines, ")"])

    def insert(self, index: int, module: Module) -> None:
        """Add a module before `index`."""
        self._insert(index, module)


def _checked(other: Any) -> Sequential:
    """Return what shall be added to a Sequential.

    Raises:
        ValueError: it is none itself.
    """
    if not isinstance(other, Sequential):
        raise ValueError(f"add operator supports only objects of Sequential class, but {type(other)} is given.")
    return other


def _positive(times: Any) -> int:
    """Return how often the modules of a Sequential shall be called.

    Raises:
        TypeError: it is no integer.
        ValueError: it is less than 1.
    """
    if not isinstance(times, int):
        raise TypeError(f"unsupported operand type(s) for *: {Sequential} and {type(times)}")
    if times <= 0:
        raise ValueError(f"Non-positive multiplication factor {times} for {Sequential}")
    return times


def key_at(table: Mapping[str, Any], index: int) -> str:
    """Return the name of the member at `index`.

    Raises:
        IndexError: there are not as many.
    """
    if not -len(table) <= index < len(table):
        raise IndexError(f"index {index} is out of range")
    return list(table)[index]
