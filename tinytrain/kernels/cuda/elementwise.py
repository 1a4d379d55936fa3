"""What is left to be done to an activation or a gradient on a GPU, done for itself; sums over pixels.

Primitives of the names and arguments of `kernels/native/_native.pyi`. Activations and gradients are float32, float16
or bfloat16, all of one call of one type; vectors of one number per channel are float32, as is all arithmetic. What does
not lie channels-last is copied first. Sums are taken in an order that depends on shapes alone: they repeat to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinytrain.device import Array
from tinytrain.kernels.cuda import layout
from tinytrain.kernels.cuda.compiler import kernel, launch, num_blocks
from tinytrain.kernels.cuda.layout import Pixels, empty, factors, floats, pixels_of, tile
from tinytrain.kernels.cuda.sources import Gradient, Sink, Source, check_shapes, common_pack
from tinytrain.kernels.cuda.sums import add_pieces, merge_moments

__all__ = ["apply", "apply_grad", "empty", "finish", "grad_sums", "moments"]

MOST_PIECES = 512
"""Of an array whose sums are taken: blocks for 128 multiprocessors that hold 4 each. The GPU is not asked, so that sums
are the same on each."""


def apply(x: Any, other: Any, kind: int, low: float, high: float, out: Array | None) -> Array:
    """Return act(x + other), each with its scale and shift.

    Args:
        x: an array, or `(y, scale, shift, ...)` whose activation is none.
        other: likewise, or None.
        kind, low, high: the activation.
        out: where to, channels-last, perhaps with gaps between pixels; None for a new array.

    Raises:
        ValueError: shapes differ, or `out` does not lie channels-last.
    """
    first, second = Source.of(x), Source.of(other)
    pixels, summand = first.present, second.pixels
    if summand is not None:
        check_shapes("the operands have different shapes", pixels, summand)
    c = pixels.c
    if out is None:
        out = empty(pixels.array.shape, pixels.array.dtype)
    elif out.shape != pixels.array.shape or layout.step_of(out) is None:
        raise ValueError("the output has another shape or does not lie channels-last")
    to = pixels_of(out)
    pack = common_pack(pixels, to, *([] if summand is None else [summand]))
    columns, rows, tiles = tile(c, pack)
    summands = first.line if summand is None else (*first.line, *second.line)
    launch(
        kernel("elementwise", "apply" if summand is None else "apply_to_sum", out.dtype, PACK=pack),
        (num_blocks(to.count, 2 * rows, tiles), tiles),
        (columns, rows),
        *(*summands, kind, float(low), float(high), out, to.step, to.count, c),
    )
    return out


def apply_grad(g: Any) -> Array:
    """Return the gradient that `(g, y, scale, shift, kind, low, high, alpha, beta, gamma)` stands for."""
    source = Gradient.of(g)
    pixels = source.pixels
    grad = empty(pixels.array.shape, pixels.array.dtype)
    pack = source.pack
    columns, rows, tiles = tile(pixels.c, pack)
    launch(
        kernel("elementwise", "apply_grad", grad.dtype, PACK=pack),
        (num_blocks(pixels.count, 2 * rows, tiles), tiles),
        (columns, rows),
        *(*source.arguments, grad, pixels.count, pixels.c),
    )
    return grad


def moments(x: Array) -> tuple[Array, Array]:
    """Return the mean and the sum of squared deviations of each channel, `(c,)` float32."""
    pixels = pixels_of(x)
    plan = Pieces.of(pixels, pixels.pack)
    slots = plan.slots()
    launch(
        kernel("elementwise", "moments_of_pieces", x.dtype, PACK=plan.pack),
        plan.grid,
        plan.block,
        *(pixels.array, pixels.step, pixels.count, pixels.c, plan.each, slots),
        shared=(2 * plan.pack + 1) * 4 * plan.num_threads,
    )
    return merge_moments(slots, plan.count, plan.c, each=plan.each, values=pixels.count, base=pixels.array)


def grad_sums(g: Any, mean: Array | None) -> tuple[Array, Array | None]:
    """Return the sum per channel of a gradient, and of its products with y - mean; None for those without a mean.

    Args:
        g: an array, or a tuple as for `apply_grad`; with a mean it must be one that has a y.
        mean: `(c,)`, or None.

    Raises:
        ValueError: there is a mean, but no y.
    """
    source = Gradient.of(g)
    if mean is not None and source.y is None:
        raise ValueError("expected a tuple with the values that the mean belongs to; got a gradient alone")
    c = source.pixels.c
    plan = Pieces.of(source.pixels, source.pack)
    slots = plan.slots()
    launch(
        kernel("elementwise", "sums_of_pieces", source.pixels.array.dtype, PACK=plan.pack),
        plan.grid,
        plan.block,
        *(*source.arguments, factors(mean, c), source.pixels.count, c, plan.each, slots),
        shared=plan.pack * 4 * plan.num_threads,
    )
    return _sums(plan, slots, 1 if mean is None else 2)


def finish(grad: Array, sink: tuple[Any, ...] | None) -> tuple[Array, Array | None, Array | None]:
    """Do to a computed input gradient what a `sink` asks, in its memory where that lies channels-last.

    Args:
        grad: `(n, c, *size)`; belongs to this function.
        sink: `(add, m, scale, shift, kind, low, high, y, mean)`: the result is (grad + add) * act'(scale * m + shift);
            its sum and its sum of products with y - mean are taken where there is a y.

    Returns:
        The gradient, and the two sums per channel or None.

    Raises:
        ValueError: a shape is not that of the gradient.
    """
    if sink is None:
        return grad, None, None
    source = pixels_of(grad)
    to = source.array if source.step == source.c else empty(grad.shape, grad.dtype)
    drain = Sink.of(sink, to)
    if drain.is_idle:
        return grad, None, None
    plan = Pieces.of(source, common_pack(source, *drain.operands))
    slots = plan.slots() if drain.has_sums else None
    launch(
        kernel("elementwise", "finish_pieces", grad.dtype, PACK=plan.pack),
        plan.grid,
        plan.block,
        *(source.array, source.step, *drain.arguments, source.count, source.c, plan.each, slots),
        shared=plan.pack * 4 * plan.num_threads,
    )
    sums = (None, None) if slots is None else _sums(plan, slots, 2)
    return to, *sums


@dataclass(slots=True)
class Pieces:
    """How pixels are divided among the blocks that take sums, by shape alone.

    Args:
        c: channels.
        count: pieces.
        each: pixels of a piece, but perhaps the last.
        grid, block: of the kernel that takes the sums of each piece.
        pack: channels of a thread.
    """

    c: int
    count: int
    each: int
    grid: tuple[int, int]
    block: tuple[int, int]
    pack: int

    @classmethod
    def of(cls, pixels: Pixels, pack: int) -> Pieces:
        """Return the pieces of an array: few enough to be merged quickly, each worth a block."""
        columns, rows, tiles = tile(pixels.c, pack)
        count = max(1, min(-(-pixels.count // (4 * rows)), MOST_PIECES // tiles))
        each = max(1, -(-pixels.count // count))
        count = -(-pixels.count // each)
        return cls(pixels.c, count, each, (count, tiles), (columns, rows), pack)

    @property
    def num_threads(self) -> int:
        """Threads of a block."""
        return self.block[0] * self.block[1]

    def slots(self) -> Array:
        """Return memory for two numbers of each piece and channel."""
        return floats(2 * self.count * self.c)


def _sums(plan: Pieces, slots: Array, count: int) -> tuple[Array, Array | None]:
    """Return the one or two sums of each channel that the pieces have left."""
    total = floats(count * plan.c)
    add_pieces(slots, plan.count, plan.c, 0, count, None, total)
    return total[: plan.c], total[plan.c :] if count == 2 else None
