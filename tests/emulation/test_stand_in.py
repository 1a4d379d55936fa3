"""The stand-in for CuPy refuses what CuPy refuses, counts memory, and replays what a stream captured.

Runs where `TINYTRAIN_EMULATED_GPU=1` puts the stand-in on the path.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

if os.environ.get("TINYTRAIN_EMULATED_GPU") != "1":
    pytest.skip("the emulated GPU is not asked for (TINYTRAIN_EMULATED_GPU=1)", allow_module_level=True)

import cupy

from tests.emulation.host import LaunchError

SOURCE = r"""
extern "C" __global__ void add(float* x, const float* y, int n, float factor) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] += factor * y[i];
}
"""


@pytest.fixture
def x():
    return cupy.arange(12, dtype="float32").reshape(3, 4)


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x + np.ones(4),
        lambda x: np.ones(4) * x,
        lambda x: cupy.maximum(x, np.ones(4)),
        lambda x: cupy.where(x > 0, np.ones(4), x),
        lambda x: cupy.sum(np.ones(4)),
        lambda x: cupy.concatenate([x, np.ones((1, 4))]),
        lambda x: np.asarray(x),
        lambda x: x.__iadd__(np.ones(4)),
        lambda x: x.sum(where=x > 0),
        lambda x: x.max(initial=0),
        lambda x: range(int)[x[0, 0]],
    ],
)
def test_arrays_of_host_and_device_do_not_mix(x, mix):
    with pytest.raises(TypeError):
        mix(x)


def test_a_host_array_is_assigned_by_an_index_array_only(x):
    with pytest.raises(ValueError, match="non-scalar"):
        x[0] = np.ones(4)
    x[[0]] = np.ones(4)
    assert x[0].tolist() == [1, 1, 1, 1]


def test_results_without_dimensions_stay_on_the_device(x):
    for each in (x.sum(), x[0, 0], x.max(), x.argmax(), cupy.float32(2) * x[1, 1]):
        assert isinstance(each, cupy.ndarray)
    assert (x + np.float64(1)).dtype == np.float64
    assert (x + 1.0).dtype == np.float32


def test_indices_out_of_range_wrap_around(x):
    assert x[cupy.asarray([4])].tolist() == x[1:2].tolist()
    with pytest.raises(IndexError):
        x[4]


@pytest.mark.parametrize("name", ["errstate", "insert", "vecdot", "unstack"])
def test_names_that_cupy_lacks_are_missing(name):
    assert hasattr(np, name)
    assert not hasattr(cupy, name)


def test_fresh_memory_is_not_zero_and_freed_memory_is_reused():
    pool = cupy.get_default_memory_pool()
    before = pool.used_bytes()
    x = cupy.empty(1000, "float32")
    assert np.isnan(x.get()).all()
    assert pool.used_bytes() == before + 4096
    place = x.data.ptr
    del x
    assert pool.used_bytes() == before
    assert cupy.empty(1000, "float32").data.ptr == place


def test_a_graph_repeats_its_work_on_the_same_memory(x):
    total, kernel = cupy.zeros((3, 4), "float32"), cupy.RawModule(code=SOURCE).get_function("add")
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        doubled = x * 2
        total += doubled
        kernel((1,), (32,), (total, x, np.int32(12), np.float32(0.5)))
        for wait in (lambda: float(total[0, 0]), stream.synchronize, lambda: x @ x.T, lambda: cupy.asarray(np.ones(3))):
            with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorStreamCaptureUnsupported"):
                wait()
        graph = stream.end_capture()
    assert not total.any()
    graph.launch()
    x += 1
    graph.launch()
    expected = np.arange(12).reshape(3, 4) * 2.5
    np.testing.assert_array_equal(total.get(), expected + (expected + 2.5))


def test_a_kernel_that_writes_beside_its_array_is_caught():
    source = 'extern "C" __global__ void beyond(float* x, int n) { x[n] = 1; }'
    kernel = cupy.RawKernel(source, "beyond")
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="wrote beside the block of 40 bytes"):
        kernel((1,), (1,), (cupy.zeros(10, "float32"), np.int32(10)))


def test_a_kernels_arguments_must_have_the_parameters_sizes(x):
    kernel = cupy.RawModule(code=SOURCE).get_function("add")
    with pytest.raises(LaunchError, match=r"argument 3 is 0\.5 of 8 bytes; the parameter is f4"):
        kernel((1,), (32,), (x, x, np.int32(12), 0.5))
    with pytest.raises(TypeError, match=r"numpy.ndarray of shape \(3,\)"):
        kernel((1,), (32,), (x, np.ones(3), np.int32(12), np.float32(1)))
    with pytest.raises(cupy.cuda.compiler.CompileException, match=r"kernels\.cu:1"):
        cupy.RawModule(code="__global__ void broken( {}").get_function("broken")
