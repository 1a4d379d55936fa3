"""Dense and grouped convolutions by cuDNN, for CuPy arrays of float32, float16 and bfloat16.

Each function allocates its result, takes CuPy memory as workspace, runs on CuPy's current stream and asks the host for
nothing, so that it can be captured in a CUDA graph once its plan is known. The plan of a shape is chosen when the shape
comes for the first time (`plans.py`): those that repeat their results to the bit are timed, and the fastest is kept.

Arrays are expected channels-last in memory, and copied where they are not. The weight, which lies as `(o, c // groups,
kh, kw)`, is laid out anew for each call, and its gradient back again: a small copy beside the convolution, and none
for 1x1.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytrain.device import Array, cupy
from tinytrain.dtypes import get_float32_matmul_precision
from tinytrain.kernels.cuda import frontend
from tinytrain.kernels.cuda.frontend import BIAS, INPUT, OTHER, OUTPUT, Convolution, Shape, describe
from tinytrain.kernels.cuda.plans import NoPlanError, PlanCache, UnplannedError, fastest

WORKSPACE_SHARE = 16  # a plan may ask for one part in so many of the device's memory,
MOST_WORKSPACE = 2 << 30  # and for no more than so many bytes
ALIGNMENT = 16  # bytes: what the library expects of an address
HEAD_START = 2_000_000  # clock cycles, about a millisecond: longer than the host takes to launch a sample

# Keeps the device busy while the host launches what is timed, so that no time between launches is measured.
_WAIT = r"""
extern "C" __global__ void wait(long long cycles) {
  const long long start = clock64();
  while (clock64() - start < cycles) {}
}
"""


@functools.cache
def problem() -> str | None:
    """Return why cuDNN cannot be used on the current device, with the remedy; None where it can."""
    found = frontend.problem()
    if found is not None:
        return found
    try:
        _planner(cupy().cuda.Device().id)
    except RuntimeError as error:
        return f"cuDNN does not start on this device: {error}"
    return None


def fprop(x: Array, w: Array, geometry: Shape, bias: Array | None = None) -> Array:
    """Return the convolution of `x` with `w`.

    Args:
        x: `(n, c, h, w)`, or `(n, c, l)`.
        w: `(o, c // groups, kh, kw)`, or `(o, c // groups, k)`; of the type of `x`.
        geometry: see `Steps.numbers`.
        bias: `(o,)` of the type of `x`, or None.

    Returns:
        `(n, o, oh, ow)`, or `(n, o, ol)`, channels-last in memory.

    Raises:
        NoPlanError: cuDNN cannot do this.
        UnplannedError: the stream is captured, and the plan is not known yet.
        ValueError: the shapes do not go together.
    """
    if bias is not None and bias.shape != w.shape[:1]:
        raise ValueError(f"expected a bias of shape {w.shape[:1]}, got {bias.shape}")
    x4, w4 = _with_rows(x), _with_rows(w)
    operands = {INPUT: x4, OTHER: w4} if bias is None else {INPUT: x4, OTHER: w4, BIAS: bias[None, :, None, None]}
    dtype = _common_type(*operands.values())
    what = describe("fprop", x4.shape, w4.shape, geometry, dtype, tf32=_allows_tf32(), has_bias=bias is not None)
    return _like(x, _compute(what, operands, what.y))


def dgrad(g: Array, w: Array, x_shape: Sequence[int], geometry: Shape) -> Array:
    """Return the gradient of a convolution's input.

    Args:
        g: gradient of the output, `(n, o, oh, ow)` or `(n, o, ol)`; may hold fewer windows than fit into the input.
        w: `(o, c // groups, kh, kw)`, or `(o, c // groups, k)`; of the type of `g`.
        x_shape: shape of the input.
        geometry: see `Steps.numbers`.

    Returns:
        `x_shape`, channels-last in memory.

    Raises:
        NoPlanError: cuDNN cannot do this.
        UnplannedError: the stream is captured, and the plan is not known yet.
        ValueError: the shapes do not go together.
    """
    g4, w4, dtype = _with_rows(g), _with_rows(w), _common_type(g, w)
    what = describe("dgrad", _shape4(x_shape), w4.shape, geometry, dtype, y_shape=g4.shape, tf32=_allows_tf32())
    return _like(g, _compute(what, {INPUT: g4, OTHER: w4}, what.x))


def wgrad(g: Array, x: Array, w_shape: Sequence[int], geometry: Shape) -> Array:
    """Return the gradient of a convolution's weight.

    Args:
        g: gradient of the output, `(n, o, oh, ow)` or `(n, o, ol)`; may hold fewer windows than fit into the input.
        x: `(n, c, h, w)`, or `(n, c, l)`; of the type of `g`.
        w_shape: shape of the weight.
        geometry: see `Steps.numbers`.

    Returns:
        `w_shape` in the type of `g`, in C order.

    Raises:
        NoPlanError: cuDNN cannot do this.
        UnplannedError: the stream is captured, and the plan is not known yet.
        ValueError: the shapes do not go together.
    """
    g4, x4, dtype = _with_rows(g), _with_rows(x), _common_type(g, x)
    what = describe("wgrad", x4.shape, _shape4(w_shape), geometry, dtype, y_shape=g4.shape, tf32=_allows_tf32())
    return _like(g, _dense(_compute(what, {INPUT: x4, OTHER: g4}, what.w)))


class Planner:
    """The plans that are known for one device.

    Args:
        cache: the choices on disk.
        workspace_limit: the most bytes that a plan may need for itself.
        device: `handle=` of the library, on the device; or `device_property=`, where plans are built but never run.
    """

    def __init__(self, cache: PlanCache, workspace_limit: int, **device: Any):
        self.cache, self.workspace_limit, self.device = cache, workspace_limit, device
        self.lock = threading.Lock()  # the stream is a property of the handle
        self._plans: dict[Convolution, _Plan | NoPlanError] = {}

    def known(self, what: Convolution) -> _Plan | None:
        """Return the plan of a convolution; None where it is to be chosen.

        Raises:
            NoPlanError: there is none, as was found before.
        """
        found = self._plans.get(what)
        if isinstance(found, NoPlanError):
            raise NoPlanError(str(found)) from found
        return found

    def choose(self, what: Convolution, seconds: Callable[[_Plan, int], float]) -> _Plan:
        """Return the plan that was kept for a convolution, or else the fastest of the candidates.

        Args:
            what: the convolution.
            seconds: launches a plan so many times and returns how long one launch took; see `plans.fastest`.

        Raises:
            NoPlanError: there is none.
        """
        try:
            kept = self.cache.find(str(what))
            plan = None if kept is None else self._named(what, kept)
            self._plans[what] = plan = plan or self._fastest(what, seconds, kept)
        except NoPlanError as error:
            self._plans[what] = error
            raise
        return plan

    def _fastest(self, what: Convolution, seconds: Callable[[_Plan, int], float], kept: str | None) -> _Plan:
        graph = self._graph(what)
        candidates = {name: _Plan(name, graph, i, self) for name, i in frontend.build_candidates(graph).items()}
        name, time = fastest(list(candidates), lambda name, launches: seconds(candidates[name], launches))
        chosen = self.cache.keep(str(what), name, time, instead_of=kept)
        # A graph of its own: the other candidates are not needed any more.
        return self._named(what, chosen) or candidates[name]

    def _named(self, what: Convolution, name: str) -> _Plan | None:
        graph = self._graph(what)
        index = frontend.build_named(graph, name)
        return None if index is None else _Plan(name, graph, index, self)

    def _graph(self, what: Convolution) -> Any:
        return frontend.build_graph(what, self.workspace_limit, **self.device)


class _Plan:
    """A built plan of a graph."""

    def __init__(self, name: str, graph: Any, index: int, planner: Planner):
        self.name = name
        self._graph, self._index, self._planner = graph, index, planner
        self._workspace = graph.get_workspace_size_plan_at_index(index)

    def run(self, pointers: dict[int, int]) -> None:
        """Launch the plan on the current stream; `pointers` tells where each of the graph's tensors lies."""
        workspace = cupy().cuda.alloc(self._workspace) if self._workspace else None
        handle = self._planner.device["handle"]
        with self._planner.lock:
            frontend.load().set_stream(handle=handle, stream=cupy().cuda.get_current_stream().ptr)
            self._graph.execute_plan_at_index(pointers, workspace.ptr if workspace else 0, self._index, handle)


@functools.cache
def _planner(index: int) -> Planner:
    """Return the planner of a device, which is the current one.

    Raises:
        RuntimeError: the library does not start on it.
    """
    library = frontend.load()
    handle = library.create_handle()
    properties = cupy().cuda.runtime.getDeviceProperties(index)
    limit = min(properties["totalGlobalMem"] // WORKSPACE_SHARE, MOST_WORKSPACE)
    environment = {
        "device": properties["name"].decode(),
        "compute capability": f"{properties['major']}.{properties['minor']}",
        "cuDNN": library.backend_version_string(),
        "frontend": library.__version__,
        "workspace": f"{limit >> 20} MiB",
    }
    return Planner(PlanCache(environment), limit, handle=handle)


def _compute(what: Convolution, operands: dict[int, Array], shape: Shape) -> Array:
    """Run a convolution's plan, chosen first where it is not known, and return the result, channels-last in memory."""
    planner = _planner(cupy().cuda.Device().id)
    plan = planner.known(what)
    if plan is None and cupy().cuda.get_current_stream().is_capturing():
        raise UnplannedError(f"{what}: run it once before the stream is captured, so that its plan is known")
    operands = {uid: _channels_last(operand) for uid, operand in operands.items()}
    n, c, h, w = shape
    out = cupy().empty((n, h, w, c), operands[INPUT].dtype).transpose(0, 3, 1, 2)
    pointers = {uid: operand.data.ptr for uid, operand in operands.items()} | {OUTPUT: out.data.ptr}
    plan = plan or planner.choose(what, lambda candidate, launches: _time(candidate, pointers, launches))
    plan.run(pointers)
    return out


def _time(plan: _Plan, pointers: dict[int, int], launches: int) -> float:
    """Return how many seconds a launch of the plan takes on the device.

    Raises:
        NoPlanError: the plan cannot run, or its workspace does not fit into the memory that is free.
    """
    cuda = cupy().cuda
    start, end = cuda.Event(), cuda.Event()
    try:
        _wait_kernel()((1,), (1,), (np.int64(HEAD_START),))
        start.record()
        for _ in range(launches):
            plan.run(pointers)
        end.record()
    except (RuntimeError, frontend.load().cudnnGraphNotSupportedError, cuda.memory.OutOfMemoryError) as error:
        raise NoPlanError(f"a plan of cuDNN cannot run: {error}") from error
    end.synchronize()
    return cuda.get_elapsed_time(start, end) / 1e3 / launches


@functools.cache
def _wait_kernel() -> Any:
    return cupy().RawKernel(_WAIT, "wait")


def _channels_last(array: Array) -> Array:
    """Return `(n, c, h, w)` dense and channels-last in memory, where the engines' accesses may start."""
    last = array.transpose(0, 2, 3, 1)
    if last.flags.c_contiguous and last.data.ptr % ALIGNMENT == 0:
        return array
    return _copy(last).transpose(0, 3, 1, 2)


def _dense(array: Array) -> Array:
    """Return the array in C order."""
    return array if array.flags.c_contiguous else _copy(array)


def _copy(array: Array) -> Array:
    """Return a copy in C order; two bytes are copied as a number, for NumPy itself has no bfloat16."""
    if array.dtype.itemsize == 2:
        return array.view(np.uint16).copy(order="C").view(array.dtype)
    return array.copy(order="C")


def _allows_tf32() -> bool:
    """Return whether float32 operands may be rounded to 11 significant bits, for the tensor cores."""
    return get_float32_matmul_precision() != "highest"


def _common_type(*arrays: Array) -> str:
    """Return the name of the type that the arrays share.

    Raises:
        NoPlanError: they differ in type.
    """
    names = {array.dtype.name for array in arrays}
    if len(names) > 1:
        raise NoPlanError(f"cuDNN is asked for arrays of one type only, not for {' and '.join(sorted(names))}")
    return names.pop()


def _with_rows(array: Array) -> Array:
    """Return an array of two spatial axes: `(n, c, l)` as `(n, c, 1, l)`."""
    return array[:, :, None] if array.ndim == 3 else array


def _shape4(shape: Sequence[int]) -> Shape:
    return (*shape[:2], 1, *shape[2:]) if len(shape) == 3 else tuple(shape)


def _like(array: Array, result: Array) -> Array:
    """Return a result of two spatial axes with as many axes as `array` has."""
    return result[:, :, 0] if array.ndim == 3 else result
