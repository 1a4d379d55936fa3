// Activations and gradients with what is still to be done to them, for columns of pixels in registers.
//
// A block of threads stands over blockDim.x * PACK channels. The factors of these channels lie in shared memory, one row of
// `width` floats for each factor: in registers they would take the place of the window.
#pragma once

#include "common.cuh"

namespace tinytrain {

// Calls f with the activation, its kind a number that the compiler knows: one branch for many values.
template <class F>
__device__ __forceinline__ void with_kind(const Activation& act, F f) {
  switch (act.kind) {
    case ACT_RELU: f(Activation{ACT_RELU, 0.0f, 0.0f}); break;
    case ACT_CLIP: f(Activation{ACT_CLIP, act.low, act.high}); break;
    case ACT_LEAKY: f(Activation{ACT_LEAKY, act.low, 0.0f}); break;
    case ACT_HARDSWISH: f(Activation{ACT_HARDSWISH, 0.0f, 0.0f}); break;
    default: break;
  }
}

// Reads shared memory at this place of the program, and nowhere else: left to itself the compiler would keep all factors in
// registers throughout the loops.
template <int N>
__device__ __forceinline__ void load_here(const float* from, float (&v)[N]) {
#ifdef TINYTRAIN_EMULATION
  load<N>(from, v);
#else
  const unsigned at = (unsigned)__cvta_generic_to_shared(from);
  if constexpr (N % 4 == 0) {
#pragma unroll
    for (int k = 0; k < N; k += 4)
      asm volatile("ld.volatile.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
                   : "=f"(v[k]), "=f"(v[k + 1]), "=f"(v[k + 2]), "=f"(v[k + 3])
                   : "r"(at + 4 * k));
  } else if constexpr (N == 2) {
    asm volatile("ld.volatile.shared.v2.f32 {%0, %1}, [%2];" : "=f"(v[0]), "=f"(v[1]) : "r"(at));
  } else {
#pragma unroll
    for (int k = 0; k < N; k++) asm volatile("ld.volatile.shared.f32 %0, [%1];" : "=f"(v[k]) : "r"(at + 4 * k));
  }
#endif
}

// Where a thread's channels are in the rows of shared memory.
struct Rows {
  float* mine;
  int width;

  template <int N>
  __device__ __forceinline__ void get(int row, float (&v)[N]) const { load_here<N>(mine + row * width, v); }
};

// Puts one factor of each of the block's channels into a row of shared memory.
__device__ __forceinline__ void put_factors(float* row, int width, i64 first, i64 c, const float* vector, float otherwise) {
  for (int i = threadIdx.y * blockDim.x + threadIdx.x; i < width; i += blockDim.x * blockDim.y)
    row[i] = vector && first + i < c ? vector[first + i] : otherwise;
}

// Puts the taps of the block's filters, (c, taps) in memory, into `taps` rows.
__device__ __forceinline__ void put_taps(float* rows, int width, i64 first, i64 c, const ELEMENT* w, int taps) {
  for (int i = threadIdx.y * blockDim.x + threadIdx.x; i < width * taps; i += blockDim.x * blockDim.y) {
    const int tap = i / width, channel = i - tap * width;
    rows[i] = first + channel < c ? to_float(w[(first + channel) * taps + tap]) : 0.0f;
  }
}

// act(scale * x + shift): what a convolution reads.
struct Input {
  const ELEMENT* x;
  i64 step;
  Activation act;
  bool scales;
  enum { SCALE, SHIFT, FACTORS };

  __device__ __forceinline__ static void put(float* rows, int width, i64 first, i64 c, const float* scale, const float* shift) {
    put_factors(rows + SCALE * width, width, first, c, scale, 1.0f);
    put_factors(rows + SHIFT * width, width, first, c, shift, 0.0f);
  }

  // `v` as read; a pixel whose bit in `inside` is not set becomes a zero.
  template <int R, int N>
  __device__ __forceinline__ void finish(const Rows& rows, unsigned inside, float (&v)[R][N]) const {
    if (scales) {
      float scale[N], shift[N];
      rows.get(SCALE, scale), rows.get(SHIFT, shift);
#pragma unroll
      for (int r = 0; r < R; r++)
#pragma unroll
        for (int k = 0; k < N; k++) v[r][k] = v[r][k] * scale[k] + shift[k];
    }
    with_kind(act, [&](const Activation& known) {
#pragma unroll
      for (int r = 0; r < R; r++)
#pragma unroll
        for (int k = 0; k < N; k++) v[r][k] = known.value(v[r][k]);
    });
    clear_outside(inside, v);
  }

  template <int R, int N>
  __device__ __forceinline__ static void clear_outside(unsigned inside, float (&v)[R][N]) {
    if (inside == (1u << R) - 1) return;
#pragma unroll
    for (int r = 0; r < R; r++)
      if (!(inside >> r & 1))
#pragma unroll
        for (int k = 0; k < N; k++) v[r][k] = 0;
  }
};

// alpha * (g * act'(scale * y + shift)) + beta * y + gamma: see kernels/native/src/kernels.h, GradSource.
struct Gradient {
  const ELEMENT* g;
  i64 step;
  const ELEMENT* y;
  i64 y_step;
  Activation act;
  bool scales, multiplies, shifts;
  enum { SCALE, SHIFT, ALPHA, BETA, GAMMA, FACTORS };

  __device__ __forceinline__ static void put(float* rows, int width, i64 first, i64 c, const float* scale, const float* shift,
                                             const float* alpha, const float* beta, const float* gamma) {
    put_factors(rows + SCALE * width, width, first, c, scale, 1.0f);
    put_factors(rows + SHIFT * width, width, first, c, shift, 0.0f);
    put_factors(rows + ALPHA * width, width, first, c, alpha, 1.0f);
    put_factors(rows + BETA * width, width, first, c, beta, 0.0f);
    put_factors(rows + GAMMA * width, width, first, c, gamma, 0.0f);
  }

  __device__ __forceinline__ bool reads_y() const { return act.kind != ACT_NONE || shifts; }

  template <int R, int N>
  __device__ __forceinline__ void finish(const Rows& rows, unsigned inside, const Pack<ELEMENT, N> (&raw)[R],
                                         float (&v)[R][N]) const {
    if (act.kind != ACT_NONE) {
      float scale[N], shift[N];
      rows.get(SCALE, scale), rows.get(SHIFT, shift);
      with_kind(act, [&](const Activation& known) {
#pragma unroll
        for (int r = 0; r < R; r++)
#pragma unroll
          for (int k = 0; k < N; k++) {
            const float at = to_float(raw[r].at[k]);
            v[r][k] = known.slope(v[r][k], scales ? at * scale[k] + shift[k] : at);
          }
      });
    }
    if (multiplies) {
      float alpha[N];
      rows.get(ALPHA, alpha);
#pragma unroll
      for (int r = 0; r < R; r++)
#pragma unroll
        for (int k = 0; k < N; k++) v[r][k] *= alpha[k];
    }
    if (shifts) {
      float beta[N], gamma[N];
      rows.get(BETA, beta), rows.get(GAMMA, gamma);
#pragma unroll
      for (int r = 0; r < R; r++)
#pragma unroll
        for (int k = 0; k < N; k++) v[r][k] += to_float(raw[r].at[k]) * beta[k] + gamma[k];
    }
    Input::clear_outside(inside, v);
  }
};

// Where an input gradient goes, and what happens to it on the way: (it + add) * act'(scale * m + shift) is stored; with a
// `y`, what is stored is summed, and its products with y - mean.
struct Sink {
  ELEMENT* to;
  const ELEMENT* add;
  i64 add_step;
  const ELEMENT* m;
  i64 m_step;
  Activation act;
  bool scales;
  const ELEMENT* y;
  i64 y_step;
  enum { SCALE, SHIFT, MEAN, FACTORS };

  __device__ __forceinline__ static void put(float* rows, int width, i64 first, i64 c, const float* scale, const float* shift,
                                             const float* mean) {
    put_factors(rows + SCALE * width, width, first, c, scale, 1.0f);
    put_factors(rows + SHIFT * width, width, first, c, shift, 0.0f);
    put_factors(rows + MEAN * width, width, first, c, mean, 0.0f);
  }

  // Finishes and stores the gradients `v` of a column of pixels from `pixel` on, `across` pixels from one to the next, those
  // whose bit in `inside` is set; `raw` is what m is there.
  template <int R, int N, class Index>
  __device__ __forceinline__ void finish(const Rows& rows, Index pixel, Index across, unsigned inside, Index c, Index channel,
                                         const Pack<ELEMENT, N> (&raw)[R], float (&v)[R][N], float (&sum)[N],
                                         float (&sum_y)[N]) const {
    if (add) {
#pragma unroll
      for (int r = 0; r < R; r++) {
        if (!(inside >> r & 1)) continue;
        float other[N];
        load<N>(add + ((pixel + r * across) * (Index)add_step + channel), other);
#pragma unroll
        for (int k = 0; k < N; k++) v[r][k] += other[k];
      }
    }
    if (act.kind != ACT_NONE) {
      float scale[N], shift[N];
      rows.get(SCALE, scale), rows.get(SHIFT, shift);
      with_kind(act, [&](const Activation& known) {
#pragma unroll
        for (int r = 0; r < R; r++)
#pragma unroll
          for (int k = 0; k < N; k++) {
            const float at = to_float(raw[r].at[k]);
            v[r][k] = known.slope(v[r][k], scales ? at * scale[k] + shift[k] : at);
          }
      });
    }
    float mean[N];
    if (y) rows.get(MEAN, mean);
#pragma unroll
    for (int r = 0; r < R; r++) {
      if (!(inside >> r & 1)) continue;
      Pack<ELEMENT, N> stored;
#pragma unroll
      for (int k = 0; k < N; k++) from_float(stored.at[k], v[r][k]);
      *reinterpret_cast<Pack<ELEMENT, N>*>(to + ((pixel + r * across) * c + channel)) = stored;
      if (!y) continue;
      const Pack<ELEMENT, N> with =
          y == m && y_step == m_step ? raw[r] : load_pack<N>(y + ((pixel + r * across) * (Index)y_step + channel));
#pragma unroll
      for (int k = 0; k < N; k++) {
        const float kept = to_float(stored.at[k]);
        sum[k] += kept;
        sum_y[k] += kept * (to_float(with.at[k]) - mean[k]);
      }
    }
  }
};

// What the kernels of both gradients are told, whether they have a use for all of it or not.
#define BACKWARD_PARAMETERS                                                                                              \
  const ELEMENT *g, i64 g_step, const ELEMENT *gy, i64 gy_step, const float *g_scale, const float *g_shift, i64 g_kind,  \
      float g_low, float g_high, const float *alpha, const float *beta, const float *gamma, const ELEMENT *x, i64 x_step, \
      const float *x_scale, const float *x_shift, i64 x_kind, float x_low, float x_high, const ELEMENT *taps, ELEMENT *to, \
      const ELEMENT *add, i64 add_step, const ELEMENT *m, i64 m_step, const float *m_scale, const float *m_shift,        \
      i64 m_kind, float m_low, float m_high, const ELEMENT *y, i64 y_step, const float *mean, float *partial, i64 n, i64 h, \
      i64 w, i64 c, i64 oh, i64 ow, i64 ph, i64 pw

#define BACKWARD_ARGUMENTS                                                                                                 \
  g, g_step, gy, gy_step, g_scale, g_shift, g_kind, g_low, g_high, alpha, beta, gamma, x, x_step, x_scale, x_shift, x_kind, \
      x_low, x_high, taps, to, add, add_step, m, m_step, m_scale, m_shift, m_kind, m_low, m_high, y, y_step, mean, partial, \
      n, h, w, c, oh, ow, ph, pw

// The operands of both gradients, with their factors in `shared`.
struct Operands {
  Gradient gradient;
  Input input;
  Sink sink;
  Rows of_gradient, of_input, of_sink, filters;

  __device__ __forceinline__ Operands(float* shared, int num_channels, BACKWARD_PARAMETERS)
      : gradient{g, g_step, gy, gy_step, Activation{(int)g_kind, g_low, g_high}, g_scale != nullptr, alpha != nullptr,
                 beta != nullptr},
        input{x, x_step, Activation{(int)x_kind, x_low, x_high}, x_scale != nullptr},
        sink{to, add, add_step, m, m_step, Activation{(int)m_kind, m_low, m_high}, m_scale != nullptr, y, y_step} {
    const int width = blockDim.x * num_channels;
    const i64 first = (i64)blockIdx.y * width;
    float* rows = shared;
    Gradient::put(rows, width, first, c, g_scale, g_shift, alpha, beta, gamma);
    of_gradient = Rows{rows + threadIdx.x * num_channels, width}, rows += Gradient::FACTORS * width;
    Input::put(rows, width, first, c, x_scale, x_shift);
    of_input = Rows{rows + threadIdx.x * num_channels, width}, rows += Input::FACTORS * width;
    Sink::put(rows, width, first, c, m_scale, m_shift, mean);
    of_sink = Rows{rows + threadIdx.x * num_channels, width}, rows += Sink::FACTORS * width;
    filters = Rows{rows + threadIdx.x * num_channels, width};
  }
};

}  // namespace tinytrain
