"""Tensors as text, to the letter as PyTorch prints them, so that outputs can be compared with any
tutorial.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytrain import dtypes
from tinytrain.device import CPU, move
from tinytrain.dtypes import FLOATS

if TYPE_CHECKING:
    from tinytrain.tensor import Tensor

__all__ = ["format_tensor", "get_printoptions", "set_printoptions"]

_PREFIX = "tensor("


@dataclass(frozen=True)
class PrintOptions:
    """How tensors are printed.

    Args:
        precision: digits after the point of floats.
        threshold: tensors with more elements are summarised.
        edgeitems: elements shown at each end of a summarised dimension.
        linewidth: columns after which a row of elements is broken.
        sci_mode: whether floats are written with an exponent; None: where their range asks for it.
    """

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_PROFILES = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=math.inf),
}
_options = PrintOptions()


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors are printed; see `PrintOptions`. What is left out stays, but `sci_mode` falls back to
    None.

    Args:
        precision: digits after the point of floats.
        threshold: tensors with more elements are summarised.
        edgeitems: elements shown at each end of a summarised dimension.
        linewidth: columns after which a row of elements is broken.
        profile: `default`, `short` or `full`, to start from.
        sci_mode: whether floats are written with an exponent; None: where their range asks for it.
    """
    global _options
    base = _options if profile is None else replace(_PROFILES[profile], linewidth=_options.linewidth)
    given: dict[str, Any] = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    _options = replace(base, sci_mode=sci_mode, **{k: v for k, v in given.items() if v is not None})


def get_printoptions() -> dict[str, Any]:
    """Return the options in force, by name."""
    return asdict(_options)


def format_tensor(tensor: Tensor) -> str:
    """Return a tensor as text: its values, then what cannot be told from them: size, device, dtype, tape."""
    suffixes = [] if tensor.device == CPU else [f"device='{tensor.device}'"]
    if tensor.grad_fn is not None:
        tape = f"grad_fn=<{tensor.grad_fn.name()}>"
    else:
        tape = "requires_grad=True" if tensor.requires_grad else ""
    return format_array(move(tensor.array, CPU), suffixes, tape)


def format_array(array: np.ndarray, before: list[str] | None = None, after: str = "") -> str:
    """Return an array as the text of a tensor.

    Args:
        array: of one of the types that tensors have.
        before: suffixes before those that follow from the array itself.
        after: a last suffix; empty for none.
    """
    suffixes = list(before or [])
    dtype, default = dtypes.from_numpy_dtype(array.dtype), dtypes.get_default_dtype()
    if array.size == 0:
        text = "[]"
        if array.ndim != 1:
            suffixes.append(f"size={tuple(array.shape)}")
        if dtype is not default:
            suffixes.append(f"dtype={dtype}")
    else:
        if not _options.edgeitems:
            suffixes.append(f"size={tuple(array.shape)}")
        if dtype not in (default, dtypes.int64, dtypes.bool_):
            suffixes.append(f"dtype={dtype}")
        summarise = array.size > _options.threshold
        words = _Words(_shown(array) if summarise else array)
        text = _format_nested(array, len(_PREFIX), summarise, words)
    if after:
        suffixes.append(after)
    return _with_suffixes(_PREFIX + text, suffixes)


def _with_suffixes(text: str, suffixes: list[str]) -> str:
    """Append suffixes, each on a new line where it would not fit."""
    used = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if used + len(suffix) + 2 > _options.linewidth:
            text += ",\n" + " " * len(_PREFIX) + suffix
            used = len(_PREFIX) + len(suffix)
        else:
            text += ", " + suffix
            used += len(suffix) + 2
    return text + ")"


def _format_nested(array: np.ndarray, indent: int, summarise: bool, words: _Words) -> str:
    """Return an array in brackets, the first one at column `indent`."""
    if array.ndim == 0:
        return words(array.item())
    edge = _options.edgeitems
    cut = summarise and len(array) > 2 * edge
    if array.ndim == 1:
        return _format_row(array, indent, cut, words)
    ends = (array[:edge], array[len(array) - edge :]) if cut else (array,)
    parts = [[_format_nested(row, indent + 1, summarise, words) for row in end] for end in ends]
    separator = "," + "\n" * (array.ndim - 1) + " " * (indent + 1)
    return "[" + separator.join([*parts[0], "...", *parts[1]] if cut else parts[0]) + "]"


def _format_row(array: np.ndarray, indent: int, cut: bool, words: _Words) -> str:
    edge = _options.edgeitems
    if cut:
        head, tail = array[:edge].tolist(), array[len(array) - edge :].tolist()
        shown = [*map(words, head), " ..." if edge else "...", *map(words, tail)]
    else:
        shown = [words(value) for value in array.tolist()]
    per_line = max(1, (_options.linewidth - indent) // (words.width + 2))
    lines = [", ".join(shown[i : i + per_line]) for i in range(0, len(shown), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _shown(array: np.ndarray) -> np.ndarray:
    """Return the elements that a summary shows: those at both ends of every dimension."""
    edge = _options.edgeitems
    for axis, length in enumerate(array.shape):
        if length > 2 * edge:
            array = array.take([*range(edge), *range(length - edge, length)], axis)
    return array


class _Words:
    """Turns numbers into words that are as wide as the widest of those it was made for.

    Floats are written as integers with a point where all are whole, with an exponent where they range over
    more than a factor of 1000, above 1e8 or below 1e-4, and with fixed digits otherwise.

    Args:
        array: the numbers that will be shown.
    """

    def __init__(self, array: np.ndarray):
        self.is_float = array.dtype.kind in FLOATS
        shown = array.ravel()
        if self.is_float:
            shown = shown[np.isfinite(shown) & (shown != 0)].astype(np.float64)
            self.is_whole = bool((shown == np.ceil(shown)).all())
            self.is_scientific = _needs_exponent(np.abs(shown))
        self.width = max(map(len, map(self._word, shown.tolist())), default=1)

    def __call__(self, value: Any) -> str:
        return self._word(value).rjust(self.width)

    def _word(self, value: Any) -> str:
        if not self.is_float:
            return str(value)
        if self.is_scientific:
            return f"{value:.{_options.precision}e}"
        if self.is_whole:
            return f"{value:.0f}." if math.isfinite(value) else f"{value:.0f}"
        return f"{value:.{_options.precision}f}"


def _needs_exponent(sizes: np.ndarray) -> bool:
    if sizes.size == 0:
        return False
    if _options.sci_mode is not None:
        return _options.sci_mode
    low, high = float(sizes.min()), float(sizes.max())
    return high / low > 1000 or high > 1e8 or low < 1e-4
