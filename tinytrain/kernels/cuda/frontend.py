"""cuDNN's side of a convolution: the graph that says what is computed, and the plans that could compute it.

The library is reached through its frontend, the package `nvidia-cudnn-frontend`. Nothing here touches an array. A graph
is built for a handle, or for the description of a device that need not be there, as the tests do.

Activations, gradients and filters lie channels-last in memory, which is what the fast engines read. Sums are float32
for every type. Engines that say of themselves that they do not repeat their results, or that they add up with less
than float32, are not used; in float32 neither are those that round their inputs for the tensor cores, unless asked
for (TF32: 10 bits of mantissa in place of 23).
"""

from __future__ import annotations

import functools
import importlib
from math import prod
from types import ModuleType
from typing import Any, NamedTuple

from tinytrain.kernels.cuda.plans import NoPlanError
from tinytrain.kernels.reference.windows import output_size

DTYPES = {"float32": "FLOAT", "float16": "HALF", "bfloat16": "BFLOAT16"}
INPUT, OTHER, OUTPUT, BIAS = 1, 2, 3, 4  # the numbers of a graph's tensors
NUM_CANDIDATES = 12  # plans that are tried; the library lists them with what it takes for the fastest first

MINIMUM_FRONTEND = (1, 26)  # 1.26; older ones are not tested
MINIMUM_LIBRARY = 91100  # 9.11, the first whose plans can be built without a device, as the tests do
MOST_ELEMENTS = 2**31 - 1  # above, engines differ in whether they count far enough
REMEDY = "pip install 'tinytrain[cuda13]' (or [cuda12], by your driver)"

Shape = tuple[int, ...]


class Convolution(NamedTuple):
    """What decides which plan serves: an operation and all sizes.

    Args:
        operation: `fprop` (y from x and w), `dgrad` (the gradient of x) or `wgrad` (that of w).
        dtype: of the arrays: `float32`, `float16` or `bfloat16`.
        tf32: whether float32 may be rounded for the tensor cores.
        x, w, y: `(n, c, h, w)`, `(o, c // groups, kh, kw)` and `(n, o, oh, ow)`.
        stride, before, after, dilation: two numbers each, for the rows and the columns; padding before and after.
        has_bias: whether a bias is added.
    """

    operation: str
    dtype: str
    tf32: bool
    x: Shape
    w: Shape
    y: Shape
    stride: Shape
    before: Shape
    after: Shape
    dilation: Shape
    has_bias: bool = False

    def __str__(self) -> str:
        """The text under which a choice is kept."""
        sizes = (f"{name}={'x'.join(map(str, getattr(self, name)))}" for name in self._fields[3:-1])
        words = [self.operation, self.dtype, *(["tf32"] if self.tf32 else []), "nhwc", *sizes]
        return " ".join([*words, *(["bias"] if self.has_bias else [])])


@functools.cache
def problem() -> str | None:
    """Return why the library cannot be used at all, with the remedy; None where it can, given a device."""
    try:
        frontend = load()
    except ImportError as error:
        if error.name == "cudnn":
            return f"nvidia-cudnn-frontend is not installed: {REMEDY}"
        return f"nvidia-cudnn-frontend cannot be imported: {error}"
    except (OSError, AssertionError) as error:  # it looks for the library while it is imported, and for one only
        return f"nvidia-cudnn-frontend cannot load the library: {error}"
    if tuple(map(int, frontend.__version__.split(".")[:2])) < MINIMUM_FRONTEND:
        return f"nvidia-cudnn-frontend is {frontend.__version__}, older than 1.26: {REMEDY}"
    try:
        version = frontend.backend_version()
    except RuntimeError as error:
        return f"the library cuDNN is not found ({error}): {REMEDY}"
    if version < MINIMUM_LIBRARY:
        return f"cuDNN is {frontend.backend_version_string()}, older than 9.11: {REMEDY}"
    return None


@functools.cache
def load() -> ModuleType:
    """Return the frontend, imported at the first call."""
    return importlib.import_module("cudnn")


@functools.lru_cache(maxsize=4096)
def describe(
    operation: str,
    x_shape: Shape,
    w_shape: Shape,
    geometry: Shape,
    dtype: str,
    *,
    y_shape: Shape | None = None,
    tf32: bool = False,
    has_bias: bool = False,
) -> Convolution:
    """Return the description of a convolution or of one of its gradients.

    Args:
        operation: `fprop`, `dgrad` or `wgrad`.
        x_shape: `(n, c, h, w)` of the input.
        w_shape: `(o, c // groups, kh, kw)`.
        geometry: strides, padding before, padding after, dilations and groups, as in `Steps.numbers`.
        dtype: name of the arrays' type.
        y_shape: of the output's gradient, which may hold fewer windows than fit into the input; None: all of them.
        tf32: whether float32 may be rounded for the tensor cores.
        has_bias: whether a bias is added.

    Raises:
        NoPlanError: the library cannot be asked for this.
        ValueError: the shapes do not go together.
    """
    stride, before, after, dilation = (tuple(geometry[i : i + 2]) for i in (0, 2, 4, 6))
    axes = list(zip(x_shape[2:], w_shape[2:], stride, zip(before, after, strict=True), dilation, strict=True))
    size = tuple(output_size(*axis) for axis in axes) if y_shape is None else tuple(y_shape[2:])
    after = tuple(_padding_after(num, *axis) for num, axis in zip(size, axes, strict=True))
    y = (x_shape[0], w_shape[0], *size)
    if x_shape[1] != w_shape[1] * geometry[8] or (y_shape is not None and tuple(y_shape) != y):
        raise ValueError(f"x={x_shape}, w={w_shape}, g={y_shape} and {geometry[8]} groups do not go together")
    x, w, tf32 = tuple(x_shape), tuple(w_shape), tf32 and dtype == "float32"
    found = Convolution(operation, dtype, tf32, x, w, y, stride, before, after, dilation, has_bias)
    _check(found)
    return found


def build_graph(convolution: Convolution, workspace_limit: int, **device: Any) -> Any:
    """Return the library's graph of a convolution, with its plans listed and the unsuitable ones struck out.

    Args:
        convolution: what is computed.
        workspace_limit: the most bytes that a plan may need for itself.
        device: `handle=` for the device of a handle, or `device_property=` for one that is described.

    Raises:
        NoPlanError: the library refuses the convolution, or knows no engine for it.
    """
    frontend = load()
    kind = frontend.data_type
    dtype = getattr(kind, DTYPES[convolution.dtype])
    graph = frontend.pygraph(
        name=convolution.operation,
        io_data_type=dtype,
        intermediate_data_type=kind.FLOAT,
        compute_data_type=kind.FLOAT,
        **device,
    )

    def tensor(uid: int, shape: Shape) -> Any:
        return graph.tensor(dim=list(shape), stride=list(channels_last_strides(shape)), data_type=dtype, uid=uid)

    x, w, y = convolution.x, convolution.w, convolution.y
    window = {
        "pre_padding": list(convolution.before),
        "post_padding": list(convolution.after),
        "stride": list(convolution.stride),
        "dilation": list(convolution.dilation),
    }
    try:
        if convolution.operation == "fprop":
            out, shape = graph.conv_fprop(image=tensor(INPUT, x), weight=tensor(OTHER, w), **window), y
        elif convolution.operation == "dgrad":
            out, shape = graph.conv_dgrad(loss=tensor(INPUT, y), filter=tensor(OTHER, w), **window), x
        else:
            out, shape = graph.conv_wgrad(image=tensor(INPUT, x), loss=tensor(OTHER, y), **window), w
        if convolution.has_bias:
            out = graph.bias(input=out, bias=tensor(BIAS, (1, shape[1], 1, 1)))
        out.set_output(True).set_uid(OUTPUT).set_data_type(dtype)
        out.set_dim(list(shape)).set_stride(list(channels_last_strides(shape)))
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([frontend.heur_mode.A, frontend.heur_mode.FALLBACK])
    except (frontend.cudnnGraphNotSupportedError, RuntimeError) as error:
        raise NoPlanError(f"cuDNN has no plan for {convolution}: {error}") from error
    graph.deselect_numeric_notes(_unwanted_notes(convolution))
    graph.deselect_workspace_greater_than(workspace_limit)
    return graph


def build_candidates(graph: Any, limit: int = NUM_CANDIDATES) -> dict[str, int]:
    """Build the first plans of a graph that can be built, and return the position of each by its name.

    A plan's name tells its engine and all settings: plans of one name are the same.
    """
    found: dict[str, int] = {}
    for index in range(graph.get_execution_plan_count()):
        name = graph.get_plan_name_at_index(index)
        if name not in found and _build(graph, index):
            found[name] = index
            if len(found) == limit:
                break
    return found


def build_named(graph: Any, name: str) -> int | None:
    """Build the plan of that name, and return its position in the graph; None where the graph lists no such plan."""
    for index in range(graph.get_execution_plan_count()):
        if graph.get_plan_name_at_index(index) == name and _build(graph, index):
            return index
    return None


def channels_last_strides(shape: Shape) -> Shape:
    """Return the strides, in elements, of a dense array `(n, c, h, w)` whose channels lie side by side."""
    _, c, h, w = shape
    return (h * w * c, 1, w * c, c)


def _padding_after(num: int, size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int) -> int:
    """Return the padding behind an axis with which exactly `num` windows fit, where fewer than fit are wanted."""
    before, after = padding
    return min(after, num * stride + dilation * (kernel - 1) - size - before)


def _build(graph: Any, index: int) -> bool:
    """Build a plan; False where it is struck out, or the device or the library lacks something that it needs."""
    try:
        graph.build_plan_at_index(index)
    except (load().cudnnGraphNotSupportedError, RuntimeError):
        return False
    return True


def _unwanted_notes(convolution: Convolution) -> list[Any]:
    """Return the numerical notes of the engines that are not used."""
    note = load().numerical_note
    always = [note.NONDETERMINISTIC, note.REDUCED_PRECISION_REDUCTION]
    if convolution.dtype == "float32" and not convolution.tf32:
        return [*always, note.TENSOR_CORE, note.DOWN_CONVERT_INPUTS]
    return always


def _check(convolution: Convolution) -> None:
    """Refuse what the library does not take.

    Raises:
        NoPlanError: it does not take this.
    """
    shapes = (convolution.x, convolution.w, convolution.y)
    if convolution.dtype not in DTYPES:
        raise NoPlanError(f"cuDNN is asked for {', '.join(DTYPES)} only, not for {convolution.dtype}")
    if any(size < 1 for shape in shapes for size in shape) or min(convolution.before + convolution.after) < 0:
        raise NoPlanError(f"cuDNN takes neither empty arrays nor negative padding: {convolution}")
    if any(prod(shape) > MOST_ELEMENTS for shape in shapes):
        raise NoPlanError(f"cuDNN is asked for arrays of up to {MOST_ELEMENTS} elements: {convolution}")
