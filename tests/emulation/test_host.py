"""CUDA sources run on the host as on a GPU, and what a GPU would not do is an error."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from tests.emulation.host import CompileError, LaunchError, compile_source, compiler_problem

pytestmark = pytest.mark.skipif(compiler_problem() is not None, reason=str(compiler_problem()))

SOURCE = r"""
#include <cuda_bf16.h>

template <class T>
__global__ void __launch_bounds__(256) sum_rows(const T* __restrict__ x, float* y, int n) {
  __shared__ float part[8];
  float sum = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) sum += float(x[(long long)blockIdx.x * n + i]);
  #pragma unroll
  for (int offset = 16; offset; offset >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    float total = 0;
    for (int i = 0; i < blockDim.x / 32; ++i) total += part[i];
    y[blockIdx.x] = total;
  }
}

extern "C" __global__ void reverse(float* x, float factor) {
  extern __shared__ __align__(16) float kept[];
  kept[threadIdx.x] = x[threadIdx.x] * factor;
  __syncthreads();
  x[threadIdx.x] = kept[blockDim.x - 1 - threadIdx.x];
}

extern "C" __global__ void lanes(unsigned* votes, int* from) {
  int lane = threadIdx.x % 32;
  votes[threadIdx.x] = __ballot_sync(0xffffffffu, lane % 3 == 0);
  from[threadIdx.x] = __shfl_down_sync(0xffffffffu, (int)threadIdx.x, 4, 8);
  if (lane < 16) from[threadIdx.x] += 100 * __shfl_sync(0x0000ffffu, (int)threadIdx.x, 15);
}

extern "C" __global__ void narrow(const float* x, __half* half, __nv_bfloat16* brain) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  half[i] = __float2half_rn(x[i]);
  brain[i] = __float2bfloat16(x[i]);
}

extern "C" __global__ void widen(const __half* half, const __nv_bfloat16* brain, float* a, float* b) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  a[i] = __half2float(half[i]);
  b[i] = __bfloat162float(brain[i]);
}

extern "C" __global__ void misaligned(float* x) { *(float4*)(x + 1) = make_float4(1, 2, 3, 4); }
extern "C" __global__ void overrun(float* x) {
  __shared__ float few[4];
  few[threadIdx.x] = x[0];
}
extern "C" __global__ void divergent(float* x) {
  if (threadIdx.x < 3) __syncwarp();
  else __syncthreads();
}
"""


def kernel(name: str, *names: str):
    return compile_source(SOURCE, ("--std=c++17", "-use_fast_math"), names or ("sum_rows<float>",)).kernel(name)


@pytest.mark.parametrize(
    ("type_name", "dtype"), [("float", "f4"), ("__half", "f2"), ("__nv_bfloat16", ml_dtypes.bfloat16)]
)
@pytest.mark.parametrize("order", ["forwards", "backwards"])
def test_shuffles_and_barriers_add_up_a_row(type_name, dtype, order, monkeypatch):
    monkeypatch.setenv("TINYTRAIN_EMULATION_ORDER", order)
    x = np.random.default_rng(0).random((5, 777), np.float32).astype(dtype)
    y = np.zeros(5, np.float32)
    kernel(f"sum_rows<{type_name}>", f"sum_rows<{type_name}>")((5,), (256,), [x, y, np.int32(777)])
    np.testing.assert_allclose(y, x.astype(np.float64).sum(1), rtol=1e-6)


def test_dynamic_shared_memory_is_what_the_launch_asked_for():
    x = np.arange(96, dtype=np.float32)
    kernel("reverse")((1,), (96,), [x, np.float32(2)], 96 * 4)
    np.testing.assert_array_equal(x, 2 * np.arange(96)[::-1])
    with pytest.raises(LaunchError, match="beyond the 256 bytes of dynamic shared memory"):
        kernel("reverse")((1,), (96,), [x, np.float32(2)], 256)


def test_votes_and_shuffles_within_parts_of_a_warp():
    votes, source = np.zeros(64, np.uint32), np.zeros(64, np.int32)
    kernel("lanes")((1,), (64,), [votes, source])
    assert set(votes) == {sum(1 << i for i in range(0, 32, 3))}
    expected = [i + 4 if i % 8 < 4 else i for i in range(64)]
    expected = [e + 100 * (i // 32 * 32 + 15) * (i % 32 < 16) for i, e in enumerate(expected)]
    assert source.tolist() == expected


def test_halves_round_as_numpys_and_ml_dtypes():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, 1 << 18, np.uint64).astype(np.uint32).view(np.float32)
    near = [(rng.standard_normal(1 << 16) * scale).astype(np.float32) for scale in (1e-7, 1e-5, 1, 6e4)]
    x = np.concatenate([bits, *near])
    half, brain = np.zeros(len(x), np.float16), np.zeros(len(x), ml_dtypes.bfloat16)
    kernel("narrow")((len(x) // 1024,), (1024,), [x, half, brain])
    with np.errstate(over="ignore", invalid="ignore"):
        for found, expected in ((half, x.astype(np.float16)), (brain, x.astype(ml_dtypes.bfloat16))):
            np.testing.assert_array_equal(found.astype(np.float32), expected.astype(np.float32))

    every = np.arange(1 << 16, dtype=np.uint16)
    a, b = np.zeros(1 << 16, np.float32), np.zeros(1 << 16, np.float32)
    kernel("widen")((64,), (1024,), [every.view(np.float16), every.view(ml_dtypes.bfloat16), a, b])
    np.testing.assert_array_equal(a, every.view(np.float16).astype(np.float32))
    np.testing.assert_array_equal(b, every.view(ml_dtypes.bfloat16).astype(np.float32))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("misaligned", "kernels.cu:[0-9]+: access to the null or misaligned address"),
        ("overrun", "kernels.cu:[0-9]+: index 4 is outside of the array"),
        ("divergent", "threads wait for others that never come"),
    ],
)
def test_what_faults_or_hangs_on_a_gpu_is_an_error(name, text):
    with pytest.raises(LaunchError, match=rf"{name}: block \(0, 0, 0\), thread \([0-9]+, 0, 0\): {text}"):
        kernel(name)((1,), (64,), [np.zeros(64, np.float32)])


def test_arguments_must_have_the_parameters_number_and_size():
    x = np.zeros(64, np.float32)
    with pytest.raises(LaunchError, match="takes 2 arguments; got 1"):
        kernel("reverse")((1,), (64,), [x], 256)
    with pytest.raises(LaunchError, match=r"argument 1 is 2.0 of 8 bytes; the parameter is f4"):
        kernel("reverse")((1,), (64,), [x, 2.0], 256)
    with pytest.raises(LaunchError, match="no block can have"):
        kernel("reverse")((1,), (2048,), [x, np.float32(2)], 256)


def test_what_the_compiler_says_is_in_the_error():
    with pytest.raises(CompileError, match=r"kernels\.cu:1"):
        compile_source("__global__ void broken( {}")
