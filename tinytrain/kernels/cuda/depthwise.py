"""Depthwise convolutions on a GPU: they read pending values, and do to a gradient what its sink asks.

Square windows of 3, 5 or 7 taps a side with stride 1 or 2 have kernels of their own, which compute both gradients in
one pass over memory; the others share some that go tap by tap. All sums have two stages, in an order that depends on
shapes alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinytrain.device import Array, cupy
from tinytrain.kernels.cuda.compiler import kernel, launch
from tinytrain.kernels.cuda.geometry import Geometry, output_shape
from tinytrain.kernels.cuda.layout import Pixels, empty, factors, floats
from tinytrain.kernels.cuda.sources import Gradient, Sink, Source
from tinytrain.kernels.cuda.sums import add_pieces, merge_moments

THREADS = 128
"""In a block: with the registers that the kernels take, small blocks fill a multiprocessor better than large ones."""

MULTIPROCESSORS = 132
"""Of the GPU that work is divided for; not asked of the GPU at hand, so that sums are the same on each."""

FACTORS_OF_INPUT, FACTORS_OF_GRADIENT, FACTORS_OF_SINK = 2, 5, 3
"""Rows of shared memory that src/sources.cuh takes for them."""

MOST_COLUMNS = 32
"""Threads of a block beside each other: a warp reads whole lines of memory."""

INT32 = 2**31
"""Elements from which on places do not fit into 32 bits, which the specialised kernels count with."""


@dataclass(frozen=True, slots=True)
class Column:
    """What a thread of a specialised kernel holds in registers.

    Args:
        pack: channels.
        band: rows of results (forward), or of stride x stride inputs (backward).
        resident: blocks that a multiprocessor holds then.
    """

    pack: int
    band: int
    resident: int


FORWARD = {
    (3, 1): Column(2, 4, 5),
    (3, 2): Column(2, 2, 5),
    (5, 1): Column(2, 4, 4),
    (5, 2): Column(2, 2, 4),
    (7, 1): Column(2, 4, 2),
    (7, 2): Column(2, 1, 3),
}
BACKWARD = {
    (3, 1): Column(2, 4, 3),
    (3, 2): Column(2, 2, 3),
    (5, 1): Column(1, 4, 3),
    (5, 2): Column(1, 2, 3),
    (7, 1): Column(1, 2, 2),
    (7, 2): Column(1, 1, 2),
}
"""By taps a side and stride: the tallest columns that the compiler keeps in registers for every element type.

A tall column reads less of what its neighbours read too, and uses each tap more often."""

ANY = Column(4, 1, 8)
"""A pixel of the kernels for any geometry."""

SHORTEST = 4
"""Results in a row that are worth a thread: it reads a window's width more than it computes."""


def forward(
    x: Any, w: Array, geometry: Geometry, bias: Array | None, want_moments: bool
) -> tuple[Array, Array | None, Array | None]:
    """Return the convolution, and its moments where wanted.

    Args:
        x: an array, or `(y, scale, shift, kind, low, high)`.
        w: `(c, 1, *kernel)`, contiguous.
        geometry: of the convolution, which is depthwise and not empty.
        bias: `(c,)` or None.
        want_moments: whether mean and sum of squared deviations of each channel are.
    """
    source = Source.of(x)
    c, shape = geometry.c, source.present.array.shape
    y = empty(output_shape(shape, c, geometry.oh, geometry.ow), w.dtype)
    column = _column(FORWARD, geometry, source.pixels)
    plan = Plan.of(geometry, column, source.pack, (geometry.oh, geometry.ow))
    partial, counts = (floats(2 * plan.pieces * c), floats(plan.pieces)) if want_moments else (None, None)
    plan.launch(
        "depthwise_any" if column is None else "depthwise",
        "forward",
        w.dtype,
        *(*source.line, *source.activation, w, factors(bias, c), y, partial, counts),
        **({} if column is None else {"MOMENTS": int(want_moments)}),
    )
    return y, *((None, None) if partial is None else merge_moments(partial, plan.pieces, c, counts=counts))


def backward(
    g: Any,
    x: Any,
    w: Array | None,
    geometry: Geometry,
    grad_x: Array | None,
    w_shape: tuple[int, ...] | None,
    sink: Any,
) -> tuple[Array | None, Array | None, Array | None]:
    """Compute one or both gradients.

    Args:
        g: gradient of the output: an array, or `(g, y, scale, shift, kind, low, high, alpha, beta, gamma)`.
        x: an array, or `(y, scale, shift, kind, low, high)`; None where the weight's gradient is not wanted.
        w: `(c, 1, *kernel)`, contiguous; None where the input's gradient is not wanted.
        geometry: of the convolution, which is depthwise and not empty.
        grad_x: where the input's gradient goes, dense and channels-last, or None.
        w_shape: the shape of the weight where its gradient is wanted.
        sink: `(add, m, scale, shift, kind, low, high, y, mean)` or None: what happens to the input's gradient.

    Returns:
        The sum of the input's gradient and of its products with y - mean, per channel, where the sink has a y; the
        weight's gradient in the type of `g`.
    """
    gradient, source, drain = Gradient.of(g), Source.of(x), Sink.of(sink, grad_x)
    column = _column(BACKWARD, geometry, gradient.pixels, gradient.y, source.pixels, *drain.operands)
    pack = min(each.pack for each in (gradient, source, drain))
    taps = 0 if w_shape is None else geometry.kh * geometry.kw
    others = 2 if drain.has_sums else 0
    dtype = gradient.pixels.array.dtype
    grad_w = None if w_shape is None else cupy().empty(w_shape, dtype)
    sums = floats(others * geometry.c)
    arguments = (*gradient.arguments, *source.line, *source.activation, w, *drain.arguments)

    def run(source: str, name: str, area: tuple[int, int], taps: int, others: int, **constants: int) -> None:
        plan = Plan.of(geometry, column, pack, area)
        partial = floats(plan.pieces * (taps + others) * geometry.c)
        plan.launch(source, name, dtype, *arguments, partial, depth=1 if column else max(1, taps), **constants)
        add_pieces(partial, plan.pieces, geometry.c, taps, others, grad_w, sums)

    if column is not None:
        wanted = (grad_x is not None) + 2 * (taps > 0)
        run("depthwise_backward", "backward", _blocks(geometry), taps, others, GRADIENTS=wanted)
    else:
        if grad_x is not None:
            run("depthwise_any", "backward_input", (geometry.h, geometry.w), 0, others)
        if taps:
            run("depthwise_any", "backward_weight", (geometry.oh, geometry.ow), taps, 0)
    total, total_y = (sums[: geometry.c], sums[geometry.c :]) if others else (None, None)
    return total, total_y, grad_w


@dataclass(frozen=True, slots=True)
class Plan:
    """How the work of a kernel is divided, by shape alone.

    Args:
        geometry: of the convolution.
        column: of a specialised kernel, else None.
        pack: channels of a thread.
        columns, rows: threads of a block beside each other, over the channels; and those over the pixels.
        tiles: blocks beside each other over the channels.
        bands, segments: pieces of an image's rows, and of a row.
        length: results in a segment.
        turns: pieces that a thread works on, one after the other.
        pieces: blocks one after the other.
    """

    geometry: Geometry
    column: Column | None
    pack: int
    columns: int
    rows: int
    tiles: int
    bands: int
    segments: int
    length: int
    turns: int
    pieces: int

    @classmethod
    def of(cls, geometry: Geometry, column: Column | None, pack: int, area: tuple[int, int]) -> Plan:
        """Return the division of `area`, rows and columns of an image, among threads.

        Args:
            geometry: of the convolution.
            column: of a specialised kernel, or None for a pixel a thread.
            pack: channels that all operands allow to be read at once.
            area: results; or where a kernel goes by inputs, blocks of stride x stride of them.
        """
        size = column or ANY
        pack = min(pack, size.pack)
        packs = geometry.c // pack
        tiles = -(-packs // MOST_COLUMNS)
        columns = -(-packs // tiles)
        rows = THREADS // columns
        bands = -(-area[0] // size.band)
        room = size.resident * MULTIPROCESSORS
        wanted = -(-room * THREADS // (geometry.n * bands * packs))
        segments = area[1] if column is None else max(1, min(wanted, area[1] // SHORTEST))
        length = -(-area[1] // segments)
        segments = -(-area[1] // length)
        items = geometry.n * bands * segments
        turns = -(-items // (max(1, room // tiles) * rows))
        pieces = -(-items // (turns * rows))
        return cls(geometry, column, pack, columns, rows, tiles, bands, segments, length, turns, pieces)

    def launch(self, source: str, name: str, dtype: Any, *arguments: Any, depth: int = 1, **constants: int) -> None:
        """Start a kernel; `depth` is the size of its grid's third axis."""
        it, column = self.geometry, self.column
        sizes = [it.n, it.h, it.w, it.c, it.oh, it.ow, it.ph, it.pw]
        constants |= {"PACK": self.pack, "THREADS": THREADS}
        rows_of_factors = FACTORS_OF_INPUT + FACTORS_OF_GRADIENT + FACTORS_OF_SINK
        if column is None:
            sizes += [it.kh, it.kw, it.sh, it.sw, it.dh, it.dw, self.turns]
        else:
            constants |= {"KERNEL": it.kh, "STRIDE": it.sh, "BAND": column.band, "RESIDENT": column.resident}
            sizes += [self.bands, self.segments, self.length, self.turns]
            rows_of_factors += it.kh * it.kw
        room = max(rows_of_factors * self.columns * self.pack, (2 * self.pack + 1) * self.columns * self.rows)
        launch(
            kernel(source, name, dtype, **constants),
            (self.pieces, self.tiles, depth),
            (self.columns, self.rows),
            *arguments,
            *sizes,
            shared=4 * room,
        )


def _column(columns: dict[tuple[int, int], Column], geometry: Geometry, *operands: Pixels | None) -> Column | None:
    """Return the registers of the specialised kernel for a geometry; None where there is none."""
    it = geometry
    if it.kh != it.kw or it.sh != it.sw or (it.dh, it.dw) != (1, 1) or min(it.ph, it.pw) < 0:
        return None
    # A column may reach beyond the last pixel by less than the rows of the tallest.
    reach = [(each.count + 16 * each.w) * each.step for each in operands if each is not None]
    if max(it.n * it.oh * it.ow * it.c, *reach) >= INT32:
        return None
    return columns.get((it.kh, it.sh))


def _blocks(geometry: Geometry) -> tuple[int, int]:
    """Return how many rows and columns of stride x stride pixels an input has, counted from the padding's corner."""
    it = geometry
    return ((it.h - 1 + it.ph) // it.sh - it.ph // it.sh + 1, (it.w - 1 + it.pw) // it.sw - it.pw // it.sw + 1)
