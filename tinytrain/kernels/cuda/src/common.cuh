// Element types, packs, activations, sums over the rows of a block: what the kernels are made of.
//
// ELEMENT is the type of activations and weights; all arithmetic is in float. PACK, where a source uses it, is the number of
// channels that a thread reads at once: up to 16 bytes of them. Needs no header of CUDA. The tests compile it as C++ for the
// host too (TINYTRAIN_EMULATION), where only the conversions of halves are not those of the device.
#pragma once

namespace tinytrain {

typedef long long i64;
typedef unsigned char u8;

struct half_t { unsigned short bits; };    // IEEE 754 binary16
struct bfloat_t { unsigned short bits; };  // the upper half of a float

// The element as a float, and the nearest element to a float (ties to even).
__device__ __forceinline__ float to_float(float v) { return v; }

__device__ __forceinline__ float to_float(bfloat_t v) { return __uint_as_float((unsigned)v.bits << 16); }

__device__ __forceinline__ float to_float(half_t v) {
#ifdef TINYTRAIN_EMULATION
  _Float16 h;
  __builtin_memcpy(&h, &v, 2);
  return (float)h;
#else
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(v.bits));
  return f;
#endif
}

__device__ __forceinline__ void from_float(float& to, float v) { to = v; }

__device__ __forceinline__ void from_float(half_t& to, float v) {
#ifdef TINYTRAIN_EMULATION
  const _Float16 h = (_Float16)v;
  __builtin_memcpy(&to, &h, 2);
#else
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(to.bits) : "f"(v));
#endif
}

__device__ __forceinline__ void from_float(bfloat_t& to, float v) {
#if !defined(TINYTRAIN_EMULATION) && defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(to.bits) : "f"(v));
#else
  const unsigned bits = __float_as_uint(v);
  to.bits = v == v ? (unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16) : 0x7fff;
#endif
}

template <class T>
__device__ __forceinline__ T rounded(float v) {
  T to;
  from_float(to, v);
  return to;
}

// N elements in one access. `from` and `to` are multiples of N elements.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack { T at[N]; };

template <int N, class T>
__device__ __forceinline__ Pack<T, N> load_pack(const T* from) { return *reinterpret_cast<const Pack<T, N>*>(from); }

template <int N, class T>
__device__ __forceinline__ void unpack(const Pack<T, N>& pack, float (&v)[N]) {
#pragma unroll
  for (int k = 0; k < N; k++) v[k] = to_float(pack.at[k]);
}

template <int N, class T>
__device__ __forceinline__ void load(const T* from, float (&v)[N]) { unpack<N>(load_pack<N>(from), v); }

template <int N, class T>
__device__ __forceinline__ void store(T* to, const float (&v)[N]) {
  Pack<T, N> pack;
#pragma unroll
  for (int k = 0; k < N; k++) from_float(pack.at[k], v[k]);
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

// One factor for each of N channels from channel i on, or `otherwise` where there is no vector.
template <int N>
__device__ __forceinline__ void load_factors(const float* vector, i64 i, float otherwise, float (&v)[N]) {
#pragma unroll
  for (int k = 0; k < N; k++) v[k] = vector ? vector[i + k] : otherwise;
}

enum ActivationKind { ACT_NONE, ACT_RELU, ACT_CLIP, ACT_LEAKY, ACT_HARDSWISH };

// clip: between `low` and `high`; leaky: `low` is the slope of the negative side. NaN goes through as in PyTorch.
struct Activation {
  int kind;
  float low, high;

  __device__ __forceinline__ float value(float v) const {
    switch (kind) {
      case ACT_RELU: return v < 0 ? 0.0f : v;
      case ACT_CLIP: return v < low ? low : v > high ? high : v;
      case ACT_LEAKY: return v < 0 ? v * low : v;
      case ACT_HARDSWISH: {
        const float t = v + 3.0f;
        return v * (t < 0 ? 0.0f : t > 6.0f ? 6.0f : t) * (1.0f / 6.0f);
      }
      default: return v;
    }
  }

  // g times the derivative at v.
  __device__ __forceinline__ float slope(float g, float v) const {
    switch (kind) {
      case ACT_RELU: return v <= 0 ? 0.0f : g;
      case ACT_CLIP: return v <= low || v >= high ? 0.0f : g;
      case ACT_LEAKY: return v <= 0 ? g * low : g;
      case ACT_HARDSWISH: return v <= -3.0f ? 0.0f : v >= 3.0f ? g : g * (v * (1.0f / 3.0f) + 0.5f);
      default: return g;
    }
  }

  template <int N>
  __device__ __forceinline__ void apply(float (&v)[N]) const {
    if (kind == ACT_NONE) return;
#pragma unroll
    for (int k = 0; k < N; k++) v[k] = value(v[k]);
  }
};

// act(scale * x + shift) for N channels; without a scale x itself goes into the activation.
template <int N>
struct Line {
  float scale[N], shift[N];
  bool is_there;

  __device__ __forceinline__ Line(const float* scales, const float* shifts, i64 i) : is_there(scales) {
    load_factors(scales, i, 1.0f, scale);
    load_factors(shifts, i, 0.0f, shift);
  }
  __device__ __forceinline__ float operator()(int k, float v) const { return is_there ? v * scale[k] + shift[k] : v; }
  __device__ __forceinline__ void apply(float (&v)[N]) const {
#pragma unroll
    for (int k = 0; k < N; k++) v[k] = (*this)(k, v[k]);
  }
};

// alpha * (g * act'(scale * y + shift)) + beta * y + gamma for N channels: see kernels/native/src/kernels.h, GradSource.
template <int N>
struct GradLine {
  Line<N> at;
  Activation act;
  float alpha[N], beta[N], gamma[N];
  bool shifts;

  __device__ __forceinline__ GradLine(const float* scales, const float* shift, Activation act, const float* alphas,
                                      const float* betas, const float* gammas, i64 i)
      : at(scales, shift, i), act(act), shifts(betas) {
    load_factors(alphas, i, 1.0f, alpha);
    load_factors(betas, i, 0.0f, beta);
    load_factors(gammas, i, 0.0f, gamma);
  }
  __device__ __forceinline__ bool reads_y() const { return shifts || act.kind != ACT_NONE; }
  __device__ __forceinline__ void apply(float (&g)[N], const float (&y)[N]) const {
#pragma unroll
    for (int k = 0; k < N; k++) {
      g[k] = act.slope(g[k], at(k, y[k])) * alpha[k];
      if (shifts) g[k] += y[k] * beta[k] + gamma[k];
    }
  }
};

// Sums v over the rows (threadIdx.y) of a block; row 0 has the sums afterwards. The order depends on the number of rows
// alone. `shared` holds N * blockDim.x * blockDim.y floats. Every thread of the block must come here.
template <int N>
__device__ __forceinline__ void sum_rows(float (&v)[N], float* shared) {
  const int columns = blockDim.x, all = blockDim.x * blockDim.y, me = threadIdx.y * columns + threadIdx.x;
  for (int rows = blockDim.y; rows > 1;) {
    const int half = (rows + 1) / 2, row = threadIdx.y;
    __syncthreads();
    if (row >= half && row < rows) {
#pragma unroll
      for (int k = 0; k < N; k++) shared[k * all + me] = v[k];
    }
    __syncthreads();
    if (row + half < rows) {
#pragma unroll
      for (int k = 0; k < N; k++) v[k] += shared[k * all + me + half * columns];
    }
    rows = half;
  }
}

// Count, mean and sum of squared deviations of N channels. Merged as Chan, Golub and LeVeque (1983) have it.
template <int N, class A = float>
struct Moments {
  A count, mean[N], m2[N];

  __device__ __forceinline__ Moments() : count(0) {
#pragma unroll
    for (int k = 0; k < N; k++) mean[k] = m2[k] = 0;
  }
  __device__ __forceinline__ void merge(A other, const A (&other_mean)[N], const A (&other_m2)[N]) {
    if (other == 0) return;
    const A total = count + other, share = other / total;
#pragma unroll
    for (int k = 0; k < N; k++) {
      const A apart = other_mean[k] - mean[k];
      mean[k] += apart * share;
      m2[k] += other_m2[k] + apart * apart * count * share;
    }
    count = total;
  }
};

// As `sum_rows`, for moments. `shared` holds (2 * N + 1) * blockDim.x * blockDim.y numbers.
template <int N, class A>
__device__ __forceinline__ void merge_rows(Moments<N, A>& moments, A* shared) {
  const int columns = blockDim.x, all = blockDim.x * blockDim.y, me = threadIdx.y * columns + threadIdx.x;
  for (int rows = blockDim.y; rows > 1;) {
    const int half = (rows + 1) / 2, row = threadIdx.y;
    __syncthreads();
    if (row >= half && row < rows) {
      shared[2 * N * all + me] = moments.count;
#pragma unroll
      for (int k = 0; k < N; k++) shared[k * all + me] = moments.mean[k], shared[(N + k) * all + me] = moments.m2[k];
    }
    __syncthreads();
    if (row + half < rows) {
      const int there = me + half * columns;
      A mean[N], m2[N];
#pragma unroll
      for (int k = 0; k < N; k++) mean[k] = shared[k * all + there], m2[k] = shared[(N + k) * all + there];
      moments.merge(shared[2 * N * all + there], mean, m2);
    }
    rows = half;
  }
}

// Sums v over the lanes of a warp, the same in all of them; the order is fixed.
template <class T>
__device__ __forceinline__ T sum_warp(T v) {
#pragma unroll
  for (int apart = 16; apart > 0; apart /= 2) v += __shfl_xor_sync(0xffffffffu, v, apart);
  return v;
}

__device__ __forceinline__ float max_warp(float v) {
#pragma unroll
  for (int apart = 16; apart > 0; apart /= 2) {
    const float other = __shfl_xor_sync(0xffffffffu, v, apart);
    v = other > v || other != other ? other : v;
  }
  return v;
}

}  // namespace tinytrain
