"""The operators of arrays: each is the ufunc of its name, found as Python and NumPy find it."""

from __future__ import annotations

from typing import Any

import numpy as np

import cupy
from cupy._array import ndarray


def define_operators() -> None:
    names = "add sub:subtract mul:multiply truediv:true_divide floordiv:floor_divide mod:remainder pow:power"
    names += " lshift:left_shift rshift:right_shift and:bitwise_and or:bitwise_or xor:bitwise_xor matmul"
    for each in names.split():
        word, _, ufunc = each.partition(":")
        ufunc = ufunc or word

        def forward(self: ndarray, other: Any, ufunc: str = ufunc) -> Any:
            if getattr(other, "__array_ufunc__", ndarray) is None:
                return NotImplemented
            return (
                getattr(np, ufunc)(self, other) if not isinstance(other, ndarray) else getattr(cupy, ufunc)(self, other)
            )

        def reflected(self: ndarray, other: Any, ufunc: str = ufunc) -> Any:
            return getattr(np, ufunc)(other, self)

        def in_place(self: ndarray, other: Any, ufunc: str = ufunc) -> Any:
            return getattr(cupy, ufunc)(self, other, self)

        setattr(ndarray, f"__{word}__", forward)
        setattr(ndarray, f"__r{word}__", reflected)
        if word != "matmul":
            setattr(ndarray, f"__i{word}__", in_place)
    for word, ufunc in zip(
        "lt le eq ne gt ge".split(), "less less_equal equal not_equal greater greater_equal".split(), strict=True
    ):

        def compare(self: ndarray, other: Any, ufunc: str = ufunc) -> Any:
            if isinstance(other, ndarray):
                return getattr(cupy, ufunc)(self, other)
            if other is None and ufunc in ("equal", "not_equal"):
                return cupy.full(self.shape, ufunc == "not_equal", bool)
            return getattr(np, ufunc)(self, other)

        setattr(ndarray, f"__{word}__", compare)
    for word, ufunc in (("neg", "negative"), ("pos", "positive"), ("abs", "absolute"), ("invert", "invert")):
        setattr(ndarray, f"__{word}__", lambda self, ufunc=ufunc: getattr(cupy, ufunc)(self))


define_operators()
