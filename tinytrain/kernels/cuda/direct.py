"""Dense and grouped convolutions on a GPU by our own kernels: where there is no cuDNN, and for what it refuses."""

from __future__ import annotations

from dataclasses import astuple

from tinytrain.device import Array, cupy
from tinytrain.kernels.cuda.compiler import kernel, launch
from tinytrain.kernels.cuda.geometry import Geometry, output_shape
from tinytrain.kernels.cuda.layout import empty, factors, floats, pixels_of
from tinytrain.kernels.cuda.sums import add_pieces

THREADS = 256
DEPTH = 16
"""Products of a slice, as in src/direct.cuh."""

MOST_PACK = 4

BLOCKS = 264
"""That fill a GPU, two for each of 132 multiprocessors: a fixed number, so that sums are the same on each GPU."""


def forward(x: Array, w: Array, geometry: Geometry, bias: Array | None) -> Array:
    """Return the convolution.

    Args:
        x: `(n, c, *size)`.
        w: `(o, c // groups, *kernel)`, contiguous, of the type of `x`.
        geometry: of the convolution, which is not empty.
        bias: `(o,)` or None.
    """
    it, pixels = geometry, pixels_of(x)
    y = empty(output_shape(x.shape, it.o, it.oh, it.ow), x.dtype)
    taps = _lay_out(w, it, backwards=False)
    filters = it.o // it.groups
    packs = {"PACK_C": _pack(pixels.pack, it.c // it.groups), "PACK_O": _pack(MOST_PACK, filters)}
    micro, grid = _tiles(it.n * it.oh * it.ow, filters, it.groups, packs)
    launch(
        kernel("direct", "forward", x.dtype, MICRO=micro, **packs),
        grid,
        (THREADS,),
        *(pixels.array, pixels.step, taps, factors(bias, it.o), y, *astuple(it)),
    )
    return y


def input_grad(g: Array, w: Array, x_shape: tuple[int, ...], geometry: Geometry) -> Array:
    """Return the gradient of the input.

    Args:
        g: gradient of the output, `(n, o, *size)`; may hold fewer windows than fit into the input.
        w: `(o, c // groups, *kernel)`, contiguous, of the type of `g`.
        x_shape: of the input.
        geometry: of the convolution, which is not empty.
    """
    it, pixels = geometry, pixels_of(g)
    grad = empty(x_shape, g.dtype)
    taps = _lay_out(w, it, backwards=True)
    channels = it.c // it.groups
    packs = {"PACK_C": _pack(MOST_PACK, channels), "PACK_O": _pack(pixels.pack, it.o // it.groups)}
    micro, grid = _tiles(it.n * it.h * it.w, channels, it.groups, packs)
    launch(
        kernel("direct", "backward_input", g.dtype, MICRO=micro, **packs),
        grid,
        (THREADS,),
        *(pixels.array, pixels.step, taps, grad, *astuple(it)),
    )
    return grad


def weight_grad(g: Array, x: Array, w_shape: tuple[int, ...], geometry: Geometry) -> Array:
    """Return the gradient of the weight, in the type of the output's.

    Args:
        g: gradient of the output, `(n, o, *size)`; may hold fewer windows than fit into the input.
        x: the input, of the type of `g`.
        w_shape: `(o, c // groups, *kernel)`.
        geometry: of the convolution, which is not empty.
    """
    it, of_g, of_x = geometry, pixels_of(g), pixels_of(x)
    channels, filters = it.c // it.groups, it.o // it.groups
    width, depth = it.kh * it.kw * channels, it.n * it.oh * it.ow
    packs = {"PACK_C": _pack(of_x.pack, channels), "PACK_O": _pack(of_g.pack, filters)}
    micro, (rows, columns) = _tiles(filters, width, it.groups, packs)
    pieces = max(1, min(BLOCKS // (rows * columns), depth // (8 * DEPTH)))
    each = -(-depth // (pieces * DEPTH)) * DEPTH
    pieces = -(-depth // each)
    partial = floats(pieces * it.o * width)
    launch(
        kernel("direct", "backward_weight", g.dtype, MICRO=micro, **packs),
        (rows, columns, pieces),
        (THREADS,),
        *(of_g.array, of_g.step, of_x.array, of_x.step, partial, each, *astuple(it)),
    )
    grad = cupy().empty(w_shape, g.dtype)
    add_pieces(partial, pieces, it.o * width, 1, 0, grad, None)
    return grad


def _lay_out(w: Array, geometry: Geometry, backwards: bool) -> Array:
    """Return the taps as the kernels read them, tap by tap: what a tile reads lies side by side."""
    it = geometry
    taps = cupy().empty(w.size, w.dtype)
    launch(
        kernel("direct", "lay_out", w.dtype, MICRO=4, PACK_C=1, PACK_O=1),
        (-(-w.size // THREADS),),
        (THREADS,),
        *(w, it.o, it.c // it.groups, it.kh * it.kw, it.groups, int(backwards), taps),
    )
    return taps


def _tiles(rows: int, columns: int, groups: int, packs: dict[str, int]) -> tuple[int, tuple[int, int]]:
    """Return how many results a side a thread computes, and the tiles: large ones where there are enough of them."""
    for micro in (8, 4):
        tile = 16 * micro
        grid = -(-rows // tile), -(-columns // tile) * groups
        if micro == 4 or (grid[0] * grid[1] >= BLOCKS and min(packs.values()) == MOST_PACK and columns > tile // 2):
            break
    return micro, grid


def _pack(most: int, channels: int) -> int:
    """Return how many of a group's channels can be read at once."""
    pack = min(most, MOST_PACK)
    while channels % pack:
        pack //= 2
    return pack
