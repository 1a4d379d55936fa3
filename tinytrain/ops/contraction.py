"""Sums of products over labelled dimensions: `einsum` and the contraction that it shares with others."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytrain.device import Array, array_module
from tinytrain.dtypes import is_low, promote_types
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import cast, same_device
from tinytrain.recording import record
from tinytrain.tensor import Tensor

__all__ = ["einsum"]

_LETTERS = string.ascii_uppercase + string.ascii_lowercase
_ELLIPSIS = len(_LETTERS)
"""Labels are ints: letters from 0, the dimensions that an ellipsis stands for from here on."""

Labels = Sequence[int]


@by_autocast
def einsum(*args: Any) -> Tensor:
    """Return the sums of products that an equation describes.

    Args:
        args: an equation as in `"bij,bjk->bik"` and the operands, one by one or as a list; or operands and lists of
            labels (ints below 52 and `...`) in turn, with a last list for the result. Dimensions with the same
            letter are multiplied element by element, those that the result has not are summed, `...` stands for
            leading dimensions that broadcast. Without `->` the result has the letters that occur once, in order.

    Raises:
        RuntimeError: the equation is malformed, does not fit the operands, or sums products of two types.
        ValueError: there is no operand.
    """
    terms, output, operands = _parse(args)
    if not operands:
        raise ValueError("einsum(): must specify the equation string and at least one operand")
    same_device("einsum", *operands)
    if len(terms) != len(operands):
        more = "more" if len(operands) > len(terms) else "fewer"
        raise RuntimeError(
            f"einsum(): {more} operands were provided than specified in the equation: "
            f"{len(operands)} for {len(terms)} terms"
        )
    rest = max(_ellipsis_size(term, each) for term, each in zip(terms, operands, strict=True))
    labels = [
        _with_ellipsis(term, _ellipsis_size(term, each), rest) for term, each in zip(terms, operands, strict=True)
    ]
    if output is None:
        flat = [label for term in labels for label in term]
        once = sorted({label for label in flat if label < _ELLIPSIS and flat.count(label) == 1})
        output = [..., *once] if any(... in term for term in terms) else once
    result = _with_ellipsis(output, rest if ... in output else 0, rest)
    for label in result:
        if result.count(label) > 1:
            raise RuntimeError(f"einsum(): output subscript {_name(label)} appears more than once in the output")
        if all(label not in term for term in labels):
            raise RuntimeError(
                f"einsum(): output subscript {_name(label)} does not appear in the equation for any input operand"
            )
    return contract(operands, labels, result)


@by_autocast
def contract(operands: Sequence[Tensor], labels: Sequence[Labels], output: Labels) -> Tensor:
    """Return the product of tensors over labelled dimensions, summed over every label that `output` has not.

    The gradient of an operand is again a contraction: of the result's gradient with the other operands.

    Args:
        operands: tensors; types that differ promote to one where no sum of products runs over both.
        labels: one label per dimension of each; a label may occur twice in one (its diagonal).
        output: the labels of the result, each once.

    Raises:
        RuntimeError: dimensions with one label differ in size and neither is 1, or types differ within a sum.
    """
    sizes = _sizes(operands, labels)
    if any(each.array.dtype != operands[0].array.dtype for each in operands):
        operands = _promoted(operands, labels, output, sizes)
    arrays, terms = [], []
    for operand, term in zip(operands, labels, strict=True):
        array, distinct = _diagonal(operand.array, term)
        wide = [axis for axis, label in enumerate(distinct) if array.shape[axis] == sizes[label]]
        arrays.append(array.squeeze(tuple(axis for axis in range(array.ndim) if axis not in wide)))
        terms.append([distinct[axis] for axis in wide])

    def rule_of(position: int) -> Any:
        others = [i for i in range(len(arrays)) if i != position]

        def rule(g: Array) -> Array:
            target = terms[position]
            known = {label for term in [output, *(terms[i] for i in others)] for label in term}
            found = [label for label in target if label in known]
            part = _contract_arrays([g, *(arrays[i] for i in others)], [output, *(terms[i] for i in others)], found)
            shape = [sizes[label] if label in known else 1 for label in target]
            whole = array_module(g).broadcast_to(part.reshape(shape), arrays[position].shape)
            return _undiagonal(whole, target, labels[position], operands[position].array.shape)

        return rule

    out = _contract_arrays(arrays, terms, output)
    rules = tuple(rule_of(position) for position in range(len(operands)))
    return record(out, "Einsum", tuple(operands), rules, saved=tuple(operands))


def _promoted(
    operands: Sequence[Tensor], labels: Sequence[Labels], output: Labels, sizes: dict[int, int]
) -> list[Tensor]:
    """Return operands in the type that they promote to, multiplied from the left.

    Raises:
        RuntimeError: products of two types would be summed, which PyTorch leaves to matrix products of one type.
    """
    to = operands[0].dtype
    for position in range(1, len(operands)):
        found = operands[position].dtype
        before = {label for term in labels[:position] for label in term}
        needed = {label for term in [*labels[position + 1 :], output] for label in term}
        is_sum = any(label in before and label not in needed and sizes[label] > 1 for label in labels[position])
        if is_sum and found is not to:
            raise RuntimeError(
                f"einsum(): expected scalar type {to.name} but found {found.name}; sums need operands of one type"
            )
        to = promote_types(to, found)
    return [cast(each, to) for each in operands]


def _contract_arrays(arrays: Sequence[Array], terms: Sequence[Labels], output: Labels) -> Array:
    """Multiply arrays one after the other, from the left, summing each label as soon as nothing needs it."""
    dtype = arrays[0].dtype
    if is_low(dtype):
        arrays = [each.astype(np.float32) for each in arrays]
    array, term = arrays[0], list(terms[0])
    for position in range(1, len(arrays)):
        needed = {label for later in [*terms[position + 1 :], output] for label in later}
        array, term = _multiply(array, term, arrays[position], list(terms[position]), needed)
    array, term = _sum_out(array, term, set(output))
    return array.transpose([term.index(label) for label in output]).astype(dtype)


def _multiply(x: Array, a: list[int], y: Array, b: list[int], needed: set[int]) -> tuple[Array, list[int]]:
    """Return the product of two arrays as one batch of matrix products, with its labels."""
    x, a = _sum_out(x, a, needed | set(b))
    y, b = _sum_out(y, b, needed | set(a))
    batch = [label for label in a if label in b and label in needed]
    inner = [label for label in a if label in b and label not in needed]
    rows = [label for label in a if label not in b]
    columns = [label for label in b if label not in a]
    size = {**dict(zip(a, x.shape, strict=True)), **dict(zip(b, y.shape, strict=True))}

    def arranged(array: Array, term: list[int], *groups: list[int]) -> Array:
        ordered = array.transpose([term.index(label) for group in groups for label in group])
        return ordered.reshape([math.prod(size[label] for label in group) for group in groups])

    out = arranged(x, a, batch, rows, inner) @ arranged(y, b, batch, inner, columns)
    labels = batch + rows + columns
    return out.reshape([size[label] for label in labels]), labels


def _sum_out(array: Array, term: list[int], needed: set[int]) -> tuple[Array, list[int]]:
    """Sum over the labels that nothing needs."""
    axes = tuple(axis for axis, label in enumerate(term) if label not in needed)
    return (array.sum(axis=axes), [label for label in term if label in needed]) if axes else (array, term)


def _diagonal(array: Array, term: Labels) -> tuple[Array, list[int]]:
    """Return the diagonal over each label that occurs twice, and the labels, each once."""
    labels = list(term)
    for label in dict.fromkeys(term):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            array = array_module(array).diagonal(array, axis1=first, axis2=second)
            labels = [each for axis, each in enumerate(labels) if axis not in (first, second)] + [label]
    return array, labels


def _undiagonal(g: Array, target: Labels, term: Labels, shape: tuple[int, ...]) -> Array:
    """Put the gradient of the squeezed diagonals back into the shape of the operand."""
    xp = array_module(g)
    if len(set(term)) == len(term):
        return g.reshape(shape)
    out = xp.zeros(shape, g.dtype)
    view, labels = out, list(term)
    for label in dict.fromkeys(term):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            view = _writable_diagonal(view, first, second)
            labels = [each for axis, each in enumerate(labels) if axis not in (first, second)] + [label]
    view[...] = g.reshape(view.shape)
    return out


def _writable_diagonal(array: Array, first: int, second: int) -> Array:
    """Return the diagonal over two axes as the last axis of a view that can be written to."""
    kept = [axis for axis in range(array.ndim) if axis not in (first, second)]
    return array_module(array).lib.stride_tricks.as_strided(
        array,
        [array.shape[axis] for axis in kept] + [array.shape[first]],
        [array.strides[axis] for axis in kept] + [array.strides[first] + array.strides[second]],
    )


def _sizes(operands: Sequence[Tensor], labels: Sequence[Labels]) -> dict[int, int]:
    """Return the size of every label; a dimension of size 1 broadcasts."""
    sizes: dict[int, int] = {}
    for operand, term in zip(operands, labels, strict=True):
        own: dict[int, int] = {}
        for label, size in zip(term, operand.array.shape, strict=True):
            if own.setdefault(label, size) != size:
                raise RuntimeError(
                    f"einsum(): subscript {_name(label)} is repeated for an operand but the sizes don't match, "
                    f"{size} != {own[label]}"
                )
        for label, size in own.items():
            known = sizes.setdefault(label, size)
            if known != size and 1 not in (known, size):
                raise RuntimeError(
                    f"einsum(): operands do not broadcast with remapped shapes: subscript {_name(label)} has sizes "
                    f"{known} and {size}"
                )
            if known == 1:
                sizes[label] = size
    return sizes


def _ellipsis_size(term: Sequence[Any], operand: Tensor) -> int:
    """Return how many dimensions the ellipsis of a term stands for."""
    named = len(term) - (... in term)
    ndim = operand.array.ndim
    if ndim < named or (... not in term and ndim > named):
        raise RuntimeError(
            f"einsum(): the number of subscripts in the equation ({named}) does not match the number of dimensions "
            f"({ndim}) for an operand" + ("" if ... in term else " and no ellipsis was given")
        )
    return ndim - named


def _with_ellipsis(term: Sequence[Any], size: int, rest: int) -> list[int]:
    """Replace the ellipsis by labels for its dimensions; the last of them is the same in every term."""
    dots = range(_ELLIPSIS + rest - size, _ELLIPSIS + rest)
    return [label for each in term for label in (dots if each is ... else [each])]


def _parse(args: Sequence[Any]) -> tuple[list[list[Any]], list[Any] | None, list[Tensor]]:
    """Return the terms, the output (None where it is implied) and the operands."""
    if args and isinstance(args[0], str):
        operands = list(args[1]) if len(args) == 2 and isinstance(args[1], (list, tuple)) else list(args[1:])
        left, arrow, right = args[0].replace(" ", "").partition("->")
        return [_letters(term) for term in left.split(",")], _letters(right) if arrow else None, operands
    if len(args) < 2:
        raise ValueError("einsum(): must specify the equation string and at least one operand, or operands and labels")
    pairs = len(args) // 2
    output = _sublist(args[-1]) if len(args) % 2 else None
    return [_sublist(args[2 * i + 1]) for i in range(pairs)], output, [args[2 * i] for i in range(pairs)]


def _letters(term: str) -> list[Any]:
    """Return the labels of a term, with `...` for its ellipsis."""
    before, dots, after = term.partition("...")
    for letter in before + after:
        if letter not in _LETTERS:
            raise RuntimeError(
                f"einsum(): invalid subscript given: {letter!r} in {term!r}; subscripts must be in [a-zA-Z], "
                "with at most one '...' in a term"
            )
    return [*map(_LETTERS.index, before), *([...] if dots else []), *map(_LETTERS.index, after)]


def _sublist(term: Sequence[Any]) -> list[Any]:
    for label in term:
        if label is not ... and not 0 <= label < _ELLIPSIS:
            raise RuntimeError(f"einsum(): not within the valid range [0, 52): subscript {label}")
    return list(term)


def _name(label: int) -> str:
    return _LETTERS[label] if 0 <= label < _ELLIPSIS else "..."
