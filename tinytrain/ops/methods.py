"""Ops as methods and operators of `Tensor`, and their in-place forms.

`METHODS` are ops whose first argument is the tensor. `IN_PLACE` ops also get a form with a trailing underscore
that gives the tensor the op's result as its new values.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from tinytrain.ops import conversion
from tinytrain.ops.common import is_number
from tinytrain.ops.creation import as_tensor
from tinytrain.recording import become_view, rewrite
from tinytrain.tensor import Tensor

METHODS = """
    add sub subtract mul multiply div divide true_divide floor_divide remainder fmod pow float_power square maximum
    minimum fmax fmin
    abs absolute neg negative positive sign sgn exp exp2 expm1 log log2 log10 log1p sqrt rsqrt reciprocal sin cos
    tan asin acos atan atan2 sinh cosh erf erfc floor ceil round trunc fix frac clamp clip clamp_min clamp_max lerp
    addcmul addcdiv nan_to_num isnan isinf isfinite isposinf isneginf logit hypot
    arcsin arccos arctan arctan2 asinh arcsinh acosh arccosh atanh arctanh
    eq ne not_equal lt less le less_equal gt greater ge greater_equal equal allclose isclose logical_and logical_or
    logical_xor logical_not bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift
    isin
    sum mean nansum nanmean prod var std norm amax amin aminmax max min argmax argmin any all count_nonzero logsumexp
    cumsum cumprod cummax cummin logcumsumexp median nanmedian mode dist
    sort argsort topk kthvalue msort unique unique_consecutive bincount histc
    matmul mm bmm mv dot vdot inner outer ger addmm addmv addbmm baddbmm addr tril triu trace kron cross
    view view_as reshape reshape_as permute transpose swapaxes swapdims t movedim moveaxis flatten unflatten ravel
    squeeze unsqueeze expand expand_as repeat tile repeat_interleave narrow select diagonal diag diag_embed broadcast_to
    contiguous clone flip fliplr flipud roll rot90 as_strided
    split split_with_sizes chunk tensor_split unbind hsplit vsplit dsplit
    index_select masked_select gather scatter scatter_add scatter_reduce masked_fill masked_scatter index_put
    index_add index_copy index_fill take take_along_dim put nonzero argwhere select_scatter slice_scatter
    diagonal_scatter narrow_copy
    relu sigmoid tanh softmax log_softmax prelu hardshrink
    bernoulli multinomial new_tensor new_zeros new_ones new_full new_empty
    float_power_ uniform_ normal_ random_ bernoulli_ exponential_ zero_
""".split()

IN_PLACE = """
    add sub subtract mul multiply div divide true_divide floor_divide remainder fmod pow square
    abs absolute neg negative sign sgn exp exp2 expm1 log log2 log10 log1p sqrt rsqrt reciprocal sin cos
    tan asin acos atan atan2 sinh cosh erf erfc floor ceil round trunc fix frac clamp clip clamp_min clamp_max lerp
    addcmul addcdiv nan_to_num logit hypot
    arcsin arccos arctan arctan2 asinh arcsinh acosh arccosh atanh arctanh
    eq ne not_equal lt less le less_equal gt greater ge greater_equal logical_and logical_or logical_xor logical_not
    bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift
    cumsum cumprod addmm addmv addbmm baddbmm addr tril triu
    scatter scatter_add scatter_reduce masked_fill masked_scatter index_put index_add index_copy index_fill put
    relu sigmoid tanh fill copy
""".split()

VIEW_IN_PLACE = "as_strided squeeze swapaxes swapdims t transpose unsqueeze".split()

OPERATORS = {
    "__add__": "add",
    "__radd__": "add",
    "__sub__": "sub",
    "__rsub__": "rsub",
    "__mul__": "mul",
    "__rmul__": "mul",
    "__truediv__": "div",
    "__floordiv__": "floor_divide",
    "__mod__": "remainder",
    "__pow__": "pow",
    "__matmul__": "matmul",
    "__neg__": "neg",
    "__pos__": "positive",
    "__abs__": "abs",
    "__invert__": "bitwise_not",
    "__and__": "bitwise_and",
    "__rand__": "bitwise_and",
    "__or__": "bitwise_or",
    "__ror__": "bitwise_or",
    "__xor__": "bitwise_xor",
    "__rxor__": "bitwise_xor",
    "__lshift__": "bitwise_left_shift",
    "__rshift__": "bitwise_right_shift",
    "__lt__": "lt",
    "__le__": "le",
    "__gt__": "gt",
    "__ge__": "ge",
}

EQUALITY = {"__eq__": "eq", "__ne__": "ne"}

REFLECTED = {
    "__rdiv__": "div",
    "__rtruediv__": "div",
    "__rfloordiv__": "floor_divide",
    "__rmod__": "remainder",
    "__rpow__": "pow",
    "__rmatmul__": "matmul",
    "__rlshift__": "bitwise_left_shift",
    "__rrshift__": "bitwise_right_shift",
}

IN_PLACE_OPERATORS = {
    "__iadd__": "add_",
    "__isub__": "sub_",
    "__imul__": "mul_",
    "__itruediv__": "div_",
    "__ifloordiv__": "floor_divide_",
    "__imod__": "remainder_",
    "__ipow__": "pow_",
    "__iand__": "bitwise_and_",
    "__ior__": "bitwise_or_",
    "__ixor__": "bitwise_xor_",
}


def in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the form of an op that gives its first tensor the result as new values, and returns that tensor."""

    @functools.wraps(function)
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return rewrite(self, lambda old: function(old, *args, **kwargs))

    method.__name__ = f"{function.__name__}_"
    method.__doc__ = f"Change this tensor in place as `{function.__name__}` would; return it."
    return method


def view_in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the form of a view op that makes its first tensor that view, and returns that tensor."""

    @functools.wraps(function)
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return become_view(self, lambda old: function(old, *args, **kwargs))

    method.__name__ = f"{function.__name__}_"
    method.__doc__ = f"Make this tensor the view of itself that `{function.__name__}` makes; return it."
    return method


def _operator(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a binary operator that leaves operands it does not know to the other side."""

    @functools.wraps(function)
    def method(self: Tensor, *other: Any) -> Any:
        if not isinstance(self, Tensor):
            raise TypeError(f"{function.__name__}: expected a Tensor, not {type(self).__name__}")
        for each in other:
            if not isinstance(each, Tensor) and not is_number(each):
                return NotImplemented
        return function(self, *other)

    return method


def _equality(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `==` or `!=`, which compare with the elements of an array too: NumPy leaves that to the tensor."""
    compare = _operator(function)

    @functools.wraps(function)
    def method(self: Tensor, other: Any) -> Any:
        return compare(self, as_tensor(other) if isinstance(other, np.ndarray) else other)

    return method


def _reflected(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return an operator with its operands exchanged."""

    @functools.wraps(function)
    def method(self: Tensor, other: Any) -> Any:
        return function(other, self)

    return method


def attach(ops: dict[str, Any]) -> None:
    """Give `Tensor` its methods and operators.

    Args:
        ops: the ops by name.
    """
    for name in METHODS:
        setattr(Tensor, name, ops[name])
    for name in ("to", "type", "type_as", "cpu", "cuda", "pin_memory", "is_pinned"):
        setattr(Tensor, name, getattr(conversion, name))
    for name, dtype in conversion.CASTS.items():
        setattr(Tensor, name, conversion.caster(name, dtype))
    special = {
        "where": lambda input, condition, other: ops["where"](condition, input, other),
        "unfold": ops["windows"],
        "T": property(ops["reversed_dims"]),
        "mT": property(ops["matrix_transpose"]),
        "__getitem__": ops["getitem"],
        "__setitem__": ops["setitem"],
    }
    for name, member in special.items():
        setattr(Tensor, name, member)
    for name in IN_PLACE:
        setattr(Tensor, f"{name}_", in_place(ops[name]))
    for name in VIEW_IN_PLACE:
        setattr(Tensor, f"{name}_", view_in_place(ops[name]))
    for name, op in OPERATORS.items():
        setattr(Tensor, name, _operator(ops[op]))
    for name, op in EQUALITY.items():
        setattr(Tensor, name, _equality(ops[op]))
    for name, op in REFLECTED.items():
        setattr(Tensor, name, _operator(_reflected(ops[op])))
    for name, method in IN_PLACE_OPERATORS.items():
        setattr(Tensor, name, getattr(Tensor, method))
