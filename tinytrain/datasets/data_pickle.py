"""Reads the values out of a pickle without executing anything.

A pickle is a program for a small stack machine that may call any function it can import. This interpreter knows the
instructions that build plain values, and turns the calls that NumPy's arrays are made of into arrays itself. It
imports nothing and calls nothing that the file names; whatever else the file asks for is refused by name.
"""

from __future__ import annotations

import pickletools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinytrain.errors import DataError

_NUMPY_MODULES = {"numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy._core.numeric"}
_RECONSTRUCT, _ARRAY, _DTYPE, _FROM_BUFFER, _ENCODE = "_reconstruct", "ndarray", "dtype", "_frombuffer", "encode"
_KNOWN = {(module, name) for module in _NUMPY_MODULES for name in (_RECONSTRUCT, _ARRAY, _DTYPE, _FROM_BUFFER)}
_KNOWN |= {("_codecs", _ENCODE)}

_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Any] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
_VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True)
class _Name:
    """A global that the file names, as a name only."""

    module: str
    name: str


class _UnbuiltArray:
    """An array that waits for its state."""


class _DType:
    """An element type, and the byte order that its state gives."""

    def __init__(self, code: str):
        self.code = code
        self.order = "="

    def numpy(self) -> np.dtype:
        if not re.fullmatch(r"[bui][1248]|f[248]", self.code):
            raise ValueError(f"arrays of type {self.code!r} are not read")
        return np.dtype(self.code).newbyteorder(self.order)  # type: ignore[arg-type]  # checked by NumPy


def read_pickle(data: bytes, place: Path) -> Any:
    """Return the value that a pickle stands for: numbers, text, bytes, lists, tuples, dicts, NumPy arrays.

    Strings of Python 2 come as text of Latin-1 characters.

    Args:
        data: the pickle.
        place: its file, for messages.

    Raises:
        DataError: the pickle is damaged, or asks for anything else.
    """
    machine = _Machine(place)
    try:
        for opcode, argument, _ in pickletools.genops(data):
            machine.step(opcode.name, argument)
        return machine.stack.pop()
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise DataError(f"the pickle is damaged: {error}", place=place, remedy="Get the file again") from error


class _Machine:
    """The stack, the marks in it, the memo, and what each instruction does to them."""

    def __init__(self, place: Path):
        self.place = place
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "MARK":
            self.marks.append(len(stack))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[int(argument)] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[int(argument)])
        elif name in _SHORT_TUPLES:
            count = _SHORT_TUPLES[name]
            stack[-count:] = [tuple(stack[-count:])]
        elif name in _COLLECTIONS:
            items = self._since_mark()
            stack.append(_COLLECTIONS[name](items))
        elif name == "APPEND":
            item = stack.pop()
            _expect(list, stack[-1]).append(item)
        elif name == "APPENDS":
            items = self._since_mark()
            _expect(list, stack[-1]).extend(items)
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            _expect(dict, stack[-1])[key] = value
        elif name == "SETITEMS":
            items = self._since_mark()
            _expect(dict, stack[-1]).update(_pairs(items))
        elif name == "GLOBAL":
            stack.append(self._name(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(self._name(module, attribute))
        elif name == "REDUCE":
            arguments, callee = stack.pop(), stack.pop()
            stack.append(_call(_expect(_Name, callee).name, arguments))
        elif name == "BUILD":
            state = stack.pop()
            self._build(stack[-1], state)
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise DataError(f"the pickle holds the instruction {name}, which data does not need", place=self.place)

    def _since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _name(self, module: str, name: str) -> _Name:
        if (module, name) not in _KNOWN:
            raise DataError(
                f"the pickle names {module}.{name}; only plain values and NumPy arrays are read", place=self.place
            )
        return _Name(module, name)

    def _build(self, target: Any, state: Any) -> None:
        """Give the object on top of the stack its state; an array takes the place of what stood for it."""
        if isinstance(target, _DType):
            target.order = state[1]
            return
        _expect(_UnbuiltArray, target)
        _, shape, dtype, is_fortran, raw = state
        array = self.stack[-1] = _array(shape, dtype, is_fortran, raw)
        for key, value in self.memo.items():
            if value is target:
                self.memo[key] = array


def _call(name: str, arguments: tuple[Any, ...]) -> Any:
    """Return what NumPy's own functions would make of these arguments."""
    if name == _RECONSTRUCT:
        return _UnbuiltArray()
    if name == _DTYPE:
        return _DType(_expect(str, arguments[0]))
    if name == _ENCODE:
        return arguments[0].encode(_known_encoding(arguments[1]))
    if name == _FROM_BUFFER:
        raw, dtype, shape, order = arguments
        return _array(shape, dtype, order == "F", raw)
    raise ValueError(f"{name} is called")


def _array(shape: tuple[int, ...], dtype: Any, is_fortran: bool, raw: bytes | str) -> np.ndarray:
    values = np.frombuffer(raw.encode("latin-1") if isinstance(raw, str) else raw, _expect(_DType, dtype).numpy())
    return values.reshape(shape, order="F" if is_fortran else "C")


def _pairs(items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2:
        raise ValueError("a dict has a key without a value")
    return dict(zip(items[::2], items[1::2], strict=True))


def _expect(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"a {kind.__name__.strip('_')} was expected, not a {type(value).__name__}")
    return value


def _known_encoding(name: str) -> str:
    if name not in ("latin1", "latin-1"):
        raise ValueError(f"text in the encoding {name!r}")
    return name


_COLLECTIONS: dict[str, Any] = {"TUPLE": tuple, "LIST": list, "DICT": _pairs}
