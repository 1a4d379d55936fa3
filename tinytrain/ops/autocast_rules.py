"""What autocast does to the operands of each op, by device: PyTorch's lists as tables.

They are those of `ATen/autocast_mode.h` and, for the CPU, of what PyTorch 2.13 does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LOWER, FLOAT32, UNLESS_DTYPE, WIDEST, AS_THEY_COME, REFUSED = (
    *("lower", "float32", "float32 unless dtype", "widest", "as they come", "refused"),
)
"""What happens to the floats among an op's operands: all become the type of the autocast; float32; the first becomes
float32 where the caller names no `dtype`; the widest of their types; nothing, and nothing to those of the ops that it
calls; or the op raises, for it would overflow. An op that a device's table does not name is what its parts are."""

_PRODUCTS = """
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
    linear prelu matmul mm bmm addmm addbmm baddbmm
"""
_LOSSES = """
    nll_loss binary_cross_entropy_with_logits mse_loss l1_loss smooth_l1_loss huber_loss kl_div
    poisson_nll_loss hinge_embedding_loss margin_ranking_loss multi_margin_loss soft_margin_loss
    cosine_embedding_loss triplet_margin_loss
"""


def _rule_of_padding(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    widths, mode = _argument(args, kwargs, 1, "pad", ()), _argument(args, kwargs, 2, "mode", "constant")
    return FLOAT32 if mode == "replicate" or (mode == "reflect" and len(widths) <= 4) else None


def _rule_of_max_pool3d(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    return None if _argument(args, kwargs, 6, "return_indices", False) else FLOAT32


def _rule_of_volumes(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    return FLOAT32 if _is_area(args, kwargs) and _argument(args, kwargs, 0, "input", None).ndim == 5 else None


def _rule_of_resampling(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    return None if _is_area(args, kwargs) else FLOAT32


def _is_area(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return bool(_argument(args, kwargs, 3, "mode", "nearest") == "area")


def _rule_of_contraction(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """Lower a contraction that PyTorch computes by matrix products: one that sums over what two operands share."""
    operands, labels, output = args
    longer: set[int] = set()
    for operand, term in zip(operands, labels, strict=True):
        here = {label for label, size in zip(term, operand.shape, strict=True) if size > 1}
        if not (longer & here).issubset(output):
            return LOWER
        longer |= here
    return None


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str, default: Any) -> Any:
    return args[position] if len(args) > position else kwargs.get(name, default)


Choice = str | Callable[[tuple[Any, ...], dict[str, Any]], str | None]
"""One of the words above, or what chooses it, or None, by the arguments."""


def _table(**lists: str) -> dict[str, Choice]:
    words = {
        **{"lower": LOWER, "float32": FLOAT32, "unless_dtype": UNLESS_DTYPE},
        **{"widest": WIDEST, "as_they_come": AS_THEY_COME, "refused": REFUSED},
    }
    return {name: words[kind] for kind, names in lists.items() for name in names.split()}


RULES: dict[str, dict[str, Choice]] = {
    "cpu": {
        **_table(
            lower=_PRODUCTS,
            float32=f"""
                {_LOSSES} cross_entropy binary_cross_entropy prod trace
                avg_pool3d adaptive_avg_pool3d adaptive_max_pool3d
            """,
            widest="index_copy",
            as_they_come="mv addmv dot",
        ),
        "max_pool3d": _rule_of_max_pool3d,
        "pad": _rule_of_padding,
        "interpolate": _rule_of_volumes,
        "contract": _rule_of_contraction,
    },
    "cuda": {
        **_table(
            lower=f"{_PRODUCTS} einsum mv addmv addr",
            float32=f"""
                {_LOSSES} cross_entropy
                acos asin cosh exp expm1 log log10 log2 log1p reciprocal rsqrt sinh tan pow square
                softplus layer_norm rms_norm group_norm norm cosine_similarity dist logsumexp
            """,
            unless_dtype="prod softmax log_softmax cumprod cumsum sum",
            widest="addcdiv addcmul atan2 bilinear cross dot index_put tensordot scatter_add",
            refused="binary_cross_entropy",
        ),
        "interpolate": _rule_of_resampling,
    },
}
"""What becomes of the operands of each op, by device type."""
