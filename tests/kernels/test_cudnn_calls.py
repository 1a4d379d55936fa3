"""What is handed to cuDNN, and what becomes of its results: a stub on the host reads and writes the same memory.

The stub gets what a plan gets, the addresses of dense channels-last arrays, and computes by the reference kernels.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinytrain.kernels import reference
from tinytrain.kernels.cuda import cudnn
from tinytrain.kernels.cuda.frontend import BIAS, INPUT, OTHER, OUTPUT, Convolution
from tinytrain.kernels.cuda.plans import NoPlanError, PlanCache, UnplannedError

CASES = {
    "3x3": ((2, 8, 7, 5), (6, 8, 3, 3), ((1, 1), (1, 1)), (1, 1), (1, 1), 1),
    "1x1": ((2, 8, 7, 5), (6, 8, 1, 1), ((0, 0), (0, 0)), (1, 1), (1, 1), 1),
    "strided, padded behind": ((3, 4, 9, 8), (4, 4, 3, 2), ((0, 1), (0, 2)), (2, 3), (1, 1), 1),
    "dilated, 2 groups": ((2, 6, 9, 9), (4, 3, 3, 3), ((2, 2), (2, 2)), (1, 1), (2, 2), 2),
    "one axis": ((2, 4, 11), (6, 4, 5), ((2, 1),), (2,), (1,), 1),
}


class HostArray(np.ndarray):
    """A NumPy array that tells its address as CuPy's arrays do."""

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self.ctypes.data)


class StubPlan:
    """Computes a convolution by the reference, on dense channels-last arrays that lie at the given addresses."""

    def __init__(self, what: Convolution):
        self.what = what

    def run(self, pointers: dict[int, int]) -> None:
        what = self.what
        assert all(pointer % 16 == 0 for pointer in pointers.values())
        axes = (what.stride, tuple(zip(what.before, what.after, strict=True)), what.dilation, what.x[1] // what.w[1])
        operands = {
            "fprop": (what.x, what.w, what.y),
            "dgrad": (what.y, what.w, what.x),
            "wgrad": (what.x, what.y, what.w),
        }
        shapes = dict(zip((INPUT, OTHER, OUTPUT), operands[what.operation], strict=True))
        if what.has_bias:
            shapes[BIAS] = (1, what.w[0], 1, 1)
        arrays = {uid: self._array(pointers[uid], shape) for uid, shape in shapes.items()}
        if what.operation == "fprop":
            bias = arrays[BIAS].ravel() if what.has_bias else None
            found = reference.KERNELS["conv_forward"](arrays[INPUT], arrays[OTHER], *axes, bias)
        elif what.operation == "dgrad":
            found = reference.KERNELS["conv_input_grad"](arrays[INPUT], arrays[OTHER], what.x, *axes)
        else:
            found = reference.KERNELS["conv_weight_grad"](arrays[OTHER], arrays[INPUT], what.w, *axes)
        arrays[OUTPUT][...] = found

    def _array(self, pointer: int, shape: tuple[int, ...]) -> np.ndarray:
        n, c, h, w = shape
        dtype = np.dtype(self.what.dtype)
        buffer = (ctypes.c_char * (n * c * h * w * dtype.itemsize)).from_address(pointer)
        return np.frombuffer(buffer, dtype).reshape(n, h, w, c).transpose(0, 3, 1, 2)


class StubPlanner:
    """Knows a plan for everything, or for nothing."""

    knows = True

    def known(self, what: Convolution) -> StubPlan | None:
        return StubPlan(what) if self.knows else None

    def choose(self, what: Convolution, seconds: Any) -> StubPlan:
        return StubPlan(what)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Put the stub in the place of cuDNN, and NumPy in that of CuPy."""
    found = SimpleNamespace(planner=StubPlanner(), is_capturing=False)
    stream = SimpleNamespace(is_capturing=lambda: found.is_capturing)
    cuda = SimpleNamespace(Device=lambda: SimpleNamespace(id=0), get_current_stream=lambda: stream)
    fake = SimpleNamespace(cuda=cuda, empty=lambda shape, dtype: host(np.full(shape, np.nan, dtype)))
    monkeypatch.setattr(cudnn, "cupy", lambda: fake)
    monkeypatch.setattr(cudnn, "_planner", lambda index: found.planner)
    return found


def host(array: np.ndarray) -> HostArray:
    """Return a copy of the array at an address that the engines' accesses can start at."""
    room = np.empty(array.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    found = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    found[...] = array
    return found.view(HostArray)


def layouts(array: np.ndarray) -> dict[str, HostArray]:
    """Return arrays of these values that lie in memory in different ways."""
    last = tuple(range(2, array.ndim))
    shifted = np.zeros((array.shape[0] + 1, *(array.shape[i] for i in last), array.shape[1]), array.dtype)
    shifted[1:] = np.moveaxis(array, 1, -1)
    flat = host(np.concatenate([np.zeros(1, array.dtype), shifted[1:].ravel()]))
    return {
        "C order": host(array),
        "channels last": np.moveaxis(host(np.moveaxis(array, 1, -1)), -1, 1),
        "every second": host(np.repeat(array, 2, axis=-1))[..., ::2],
        "at an odd address": np.moveaxis(flat[1:].reshape(shifted[1:].shape), -1, 1),
    }


def values(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return small whole numbers, whose sums of products are exact in every type."""
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


def geometry_of(stride: Any, padding: Any, dilation: Any, groups: int) -> tuple[int, ...]:
    if len(stride) == 1:
        stride, padding, dilation = (1, *stride), ((0, 0), *padding), (1, *dilation)
    return (*stride, *(before for before, _ in padding), *(after for _, after in padding), *dilation, groups)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("layout", ["C order", "channels last", "every second", "at an odd address"])
@pytest.mark.parametrize("case", CASES)
def test_results_are_those_of_the_reference_for_every_layout(stub, case, layout, dtype):
    x_shape, w_shape, padding, stride, dilation, groups = CASES[case]
    axes = (stride, padding, dilation, groups)
    where = geometry_of(*axes)
    x, w, b = values(x_shape, 1), values(w_shape, 2), values(w_shape[:1], 3)
    y = reference.KERNELS["conv_forward"](x, w, *axes, b)
    g = values(y.shape, 4)
    x_there, w_there, g_there = (layouts(each.astype(dtype))[layout] for each in (x, w, g))

    got = cudnn.fprop(x_there, w_there, where, host(b.astype(dtype)))
    np.testing.assert_array_equal(got, y.astype(dtype))
    assert np.moveaxis(got, 1, -1).flags.c_contiguous
    without = cudnn.fprop(x_there, w_there, where)
    np.testing.assert_array_equal(without, reference.KERNELS["conv_forward"](x, w, *axes).astype(dtype))

    got = cudnn.dgrad(g_there, w_there, x_shape, where)
    np.testing.assert_array_equal(got, reference.KERNELS["conv_input_grad"](g, w, x_shape, *axes).astype(dtype))
    assert np.moveaxis(got, 1, -1).flags.c_contiguous

    got = cudnn.wgrad(g_there, x_there, w_shape, where)
    np.testing.assert_array_equal(got, reference.KERNELS["conv_weight_grad"](g, x, w_shape, *axes).astype(dtype))
    assert got.flags.c_contiguous


def test_gradients_of_fewer_windows_than_fit_are_those_of_the_reference(stub):
    x_shape, w_shape, axes = (2, 4, 9, 9), (6, 4, 3, 3), ((2, 2), ((1, 2), (1, 2)), (1, 1), 1)
    x, w, g = values(x_shape, 1), values(w_shape, 2), values((2, 6, 4, 5), 3)
    where = geometry_of(*axes)
    got = cudnn.dgrad(host(g), host(w), x_shape, where)
    np.testing.assert_array_equal(got, reference.KERNELS["conv_input_grad"](g, w, x_shape, *axes))
    got = cudnn.wgrad(host(g), host(x), w_shape, where)
    np.testing.assert_array_equal(got, reference.KERNELS["conv_weight_grad"](g, x, w_shape, *axes))


def test_arrays_of_two_types_are_refused(stub):
    x, w, b = host(values((1, 2, 3, 3), 1)), host(values((2, 2, 1, 1), 2)), host(values((2,), 3))
    where = (1, 1, 0, 0, 0, 0, 1, 1, 1)
    with pytest.raises(NoPlanError, match="not for float16 and float32"):
        cudnn.fprop(x.astype("float16"), w, where)
    with pytest.raises(NoPlanError, match="not for float16 and float32"):
        cudnn.fprop(x.astype("float16"), w.astype("float16"), where, b)


def test_shapes_that_do_not_go_together_are_refused(stub):
    x, w, where = host(values((2, 4, 5, 5), 1)), host(values((6, 2, 3, 3), 2)), (1, 1, 1, 1, 1, 1, 1, 1, 2)
    with pytest.raises(ValueError, match=r"x=\(2, 3, 5, 5\), w=\(6, 2, 3, 3\), g=None and 2 groups do not go together"):
        cudnn.fprop(x[:, :3], w, where)
    with pytest.raises(ValueError, match="do not go together"):
        cudnn.dgrad(host(values((2, 5, 5, 5), 3)), w, x.shape, where)
    with pytest.raises(ValueError, match="do not go together"):
        cudnn.wgrad(host(values((1, 6, 5, 5), 3)), x, w.shape, where)
    with pytest.raises(ValueError, match=r"expected a bias of shape \(6,\), got \(5,\)"):
        cudnn.fprop(x, w, where, host(values((5,), 3)))


def test_tf32_is_asked_for_where_it_is_allowed_alone(stub, monkeypatch):
    asked = []
    monkeypatch.setattr(stub.planner, "known", lambda what: asked.append(what.tf32) or StubPlan(what), raising=False)
    x, w, where = host(values((1, 2, 3, 3), 1)), host(values((2, 2, 1, 1), 2)), (1, 1, 0, 0, 0, 0, 1, 1, 1)
    for wanted in ("highest", "high"):
        monkeypatch.setattr(cudnn, "get_float32_matmul_precision", lambda wanted=wanted: wanted)
        g = cudnn.fprop(x, w, where)
        cudnn.dgrad(g, w, x.shape, where)
        cudnn.wgrad(g, x, w.shape, where)
    assert asked == [False] * 3 + [True] * 3


def test_a_plan_that_is_not_known_is_not_chosen_while_the_stream_is_captured(stub):
    x, w, where = host(values((1, 2, 3, 3), 1)), host(values((2, 2, 1, 1), 2)), (1, 1, 0, 0, 0, 0, 1, 1, 1)
    stub.is_capturing = True
    cudnn.fprop(x, w, where)
    stub.planner.knows = False
    with pytest.raises(UnplannedError, match=r"fprop float32 nhwc x=1x2x3x3 .*: run it once before the stream"):
        cudnn.fprop(x, w, where)
    stub.is_capturing = False
    cudnn.fprop(x, w, where)


class Library:
    """Records what the frontend is asked for, in order; its graphs fail where they are told to."""

    cudnnGraphNotSupportedError = type("cudnnGraphNotSupportedError", (Exception,), {})

    def __init__(self):
        self.calls: list[Any] = []
        self.error: Exception | None = None

    def set_stream(self, handle: int, stream: int) -> None:
        self.calls.append(("stream", handle, stream))

    def get_workspace_size_plan_at_index(self, index: int) -> int:
        return 100 * index

    def execute_plan_at_index(self, pointers: dict[int, int], workspace: int, index: int, handle: int) -> None:
        if self.error is not None:
            raise self.error
        self.calls.append(("execute", pointers, workspace, index, handle))


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    """Put a recording library in the place of the frontend, with a clock that ticks 6 ms from event to event."""
    found = Library()

    class Event:
        def record(self) -> None:
            found.calls.append("event")

        def synchronize(self) -> None:
            found.calls.append("synchronize")

    cuda = SimpleNamespace(
        Event=Event,
        alloc=lambda size: found.calls.append(("alloc", size)) or SimpleNamespace(ptr=4096),
        get_current_stream=lambda: SimpleNamespace(ptr=77),
        get_elapsed_time=lambda start, end: 6.0,
        memory=SimpleNamespace(OutOfMemoryError=MemoryError),
    )
    monkeypatch.setattr(cudnn, "cupy", lambda: SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(cudnn.frontend, "load", lambda: found)
    monkeypatch.setattr(cudnn, "_wait_kernel", lambda: lambda grid, block, arguments: found.calls.append("wait"))
    return found


def plan_of(library: Library, index: int) -> cudnn._Plan:
    return cudnn._Plan("eng1", library, index, cudnn.Planner(PlanCache({}), 0, handle=5))


def test_a_plan_runs_on_the_current_stream_with_a_workspace_of_its_own(library):
    plan_of(library, 2).run({1: 10, 2: 20, 3: 30})
    plan_of(library, 0).run({1: 10, 2: 20, 3: 30})
    assert library.calls == [
        ("alloc", 200),
        ("stream", 5, 77),
        ("execute", {1: 10, 2: 20, 3: 30}, 4096, 2, 5),
        ("stream", 5, 77),
        ("execute", {1: 10, 2: 20, 3: 30}, 0, 0, 5),
    ]


def test_launches_are_timed_behind_a_wait_that_hides_the_host(library):
    assert cudnn._time(plan_of(library, 0), {}, 3) == pytest.approx(2e-3)
    one = [("stream", 5, 77), ("execute", {}, 0, 0, 5)]
    assert library.calls == ["wait", "event", *one, *one, *one, "event", "synchronize"]


@pytest.mark.parametrize("error", [RuntimeError("x"), MemoryError("x"), Library.cudnnGraphNotSupportedError("x")])
def test_a_plan_that_fails_while_it_is_timed_is_no_plan(library, error):
    library.error = error
    with pytest.raises(NoPlanError, match="cannot run: x"):
        cudnn._time(plan_of(library, 0), {}, 1)
