"""Reads the values out of a pickle without executing anything.

A pickle is a program for a small stack machine that may call any function it can import. This interpreter knows the
instructions that build plain values. A name is looked up in a table of ours, whose entries build inert values, and
nowhere else: nothing is imported, and whatever is not in the table is refused by name.
"""

from __future__ import annotations

import pickletools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Any] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
_VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_DAMAGE = (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)

_SLOT, _ENTRY, _OBJECT = 8, 128, 256
"""Bytes of a place on the stack or in a list, of one in a dict, and of a record of ours."""

_MAX_MEMO = 1 << 32
_MAX_KEY = 1 << 60  # above it, different integers have the same hash, and a dict of them can be made slow on purpose


class PickleError(Exception):
    """A pickle that is not read, with the reason; the readers of files add the place."""


class PickleDamaged(PickleError):
    """A pickle that asks for nothing forbidden, but does not hold together."""


@dataclass(frozen=True, eq=False)
class Global:
    """A name in a pickle, as a name only.

    Args:
        name: its module and its own name, with a dot between.
        build: what stands here for calling it; None where it may only be mentioned.
    """

    name: str
    build: Callable[..., Any] | None = None


class Unbuilt:
    """A value that takes a state, and what it becomes by it."""

    def __init__(self) -> None:
        self.places: list[int] = []  # where it is remembered meanwhile

    def finish(self, state: Any) -> Any:
        """Return what it is with this state."""
        raise NotImplementedError


def read_values(
    stream: IO[bytes],
    names: Mapping[str, Callable[..., Any] | None],
    spend: Callable[[int], None],
    *,
    persistent: Callable[[Any], Any] | None = None,
    mentioned: set[str] | None = None,
) -> Any:
    """Return the value that the pickle at the stream's position stands for, and leave the stream behind it.

    Numbers, text, bytes, lists, tuples and dicts come as such, strings of Python 2 as text of Latin-1 characters.

    Args:
        stream: in memory, so that a length that is too great reads to the end and no further.
        names: what stands for each name that a pickle may hold: our own function, or None for a mere name.
        spend: told of the bytes that each value takes, however often it is built; raises where there are too many.
        persistent: returns the value for a persistent id, where there are any.
        mentioned: gets the names beside `names`, which may then stand in the pickle, but not be called; None: they
            are refused.

    Raises:
        PickleError: the pickle asks for something else.
        PickleDamaged: it is damaged.
    """
    machine = _Machine(names, spend, persistent, mentioned)
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            machine.step(opcode.name, argument)
        return machine.stack.pop()
    except _DAMAGE as error:
        raise PickleDamaged(f"the pickle is damaged: {visible(str(error))}") from error


def visible(text: str, limit: int = 120) -> str:
    """Return text from a file as any terminal can print it: no control characters, no lone surrogates, bounded."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in short)


class _Machine:
    """The stack, the marks in it, the memo, and what each instruction does to them."""

    def __init__(
        self,
        names: Mapping[str, Callable[..., Any] | None],
        spend: Callable[[int], None],
        persistent: Callable[[Any], Any] | None,
        mentioned: set[str] | None,
    ):
        self.names = names
        self.spend = spend
        self.persistent = persistent
        self.mentioned = mentioned
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Do one instruction."""
        stack = self.stack
        if name in _VALUES:
            self._push(argument)
        elif name in _CONSTANTS:
            self._push(_CONSTANTS[name])
        elif name in _EMPTY:
            self._push(_EMPTY[name]())
        elif name == "MARK":
            self.spend(_SLOT + sys.getsizeof(len(stack)))
            self.marks.append(len(stack))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._remember(int(argument))
        elif name == "MEMOIZE":
            self._remember(len(self.memo))
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.spend(_SLOT)
            stack.append(self.memo[int(argument)])
        elif name in _SHORT_TUPLES:
            count = _SHORT_TUPLES[name]
            items = stack[-count:]
            del stack[-count:]
            self._push(tuple(items))
        elif name in _COLLECTIONS:
            items = self._since_mark()
            self._push(_COLLECTIONS[name](items))
        elif name == "APPEND":
            item = stack.pop()
            self.spend(_SLOT)
            expect(list, stack[-1]).append(item)
        elif name == "APPENDS":
            items = self._since_mark()
            self.spend(_SLOT * len(items))
            expect(list, stack[-1]).extend(items)
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            self.spend(_ENTRY)
            _enter(stack[-1], [key, value])
        elif name == "SETITEMS":
            items = self._since_mark()
            self.spend(_ENTRY * (len(items) // 2))
            _enter(stack[-1], items)
        elif name == "GLOBAL":
            self._push(self._global(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            attribute, module = expect(str, stack.pop()), expect(str, stack.pop())
            self._push(self._global(module, attribute))
        elif name == "INST":
            callee = self._global(*argument.split(" ", 1))
            self._push(_call(callee, self._since_mark()))
        elif name == "REDUCE":
            arguments, callee = stack.pop(), stack.pop()
            self._push(_call(expect(Global, callee), expect(tuple, arguments)))
        elif name == "BUILD":
            state = stack.pop()
            self._build(stack[-1], state)
        elif name in ("BINPERSID", "PERSID") and self.persistent is not None:
            self._push(self.persistent(stack.pop() if name == "BINPERSID" else argument))
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise PickleError(f"the pickle holds the instruction {name}, which data does not need")

    def _push(self, value: Any) -> None:
        """Put a new value on the stack."""
        self.spend(_SLOT + _size(value))
        self.stack.append(value)

    def _since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _remember(self, place: int) -> None:
        if not 0 <= place < _MAX_MEMO:
            raise ValueError(f"value number {place} is remembered")
        self.spend(_ENTRY)
        value = self.memo[place] = self.stack[-1]
        if isinstance(value, Unbuilt):
            value.places.append(place)

    def _global(self, module: str, attribute: str) -> Global:
        name = visible(f"{module}.{attribute}")
        if name in self.names:
            return Global(name, self.names[name])
        if self.mentioned is None:
            raise PickleError(f"the pickle names {name}, which is not imported: only plain values and arrays are read")
        self.mentioned.add(name)
        return Global(name)

    def _build(self, target: Any, state: Any) -> None:
        """Give the value on top of the stack its state; what comes of it takes the place of what waited for it."""
        if isinstance(target, dict):
            return  # attributes of an OrderedDict, as the versions of layers beside a state_dict
        value = self.stack[-1] = expect(Unbuilt, target).finish(state)
        self.spend(_size(value))
        for place in target.places:
            self.memo[place] = value


def expect(kind: type, value: Any) -> Any:
    """Return `value`, which must be of a kind.

    Raises:
        ValueError: it is of another one.
    """
    if not isinstance(value, kind):
        raise ValueError(f"a {kind.__name__} was expected, not a {type(value).__name__}")
    return value


def plain_key(value: Any) -> Any:
    """Return the key of a dict, which must be plain: hashing what is nested deeply would exhaust the C stack.

    Raises:
        ValueError: it is something else than text, bytes, a small integer or None.
    """
    if not isinstance(value, (str, bytes, int, type(None))) or (isinstance(value, int) and abs(value) >= _MAX_KEY):
        raise ValueError(f"a dict has a key that is not plain: {type(value).__name__}")
    return value


def _size(value: Any) -> int:
    """Return how many bytes a value takes by itself, without what it holds."""
    if isinstance(value, np.ndarray):
        return _OBJECT + value.nbytes
    return sys.getsizeof(value) + (_OBJECT if hasattr(value, "__dict__") else 0)


def _call(callee: Global, arguments: list[Any] | tuple[Any, ...]) -> Any:
    if callee.build is None:
        raise PickleError(f"the pickle calls {callee.name}, which is neither imported nor called")
    return callee.build(*arguments)


def _enter(target: Any, items: list[Any]) -> dict[Any, Any]:
    """Enter keys and values, one after the other, into a dict that has none of these keys."""
    if len(items) % 2:
        raise ValueError("a dict has a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if plain_key(key) in expect(dict, target):
            raise ValueError(f"a dict has the key {key!r} twice")
        target[key] = value
    return target


_COLLECTIONS: dict[str, Any] = {"TUPLE": tuple, "LIST": list, "DICT": lambda items: _enter({}, items)}
