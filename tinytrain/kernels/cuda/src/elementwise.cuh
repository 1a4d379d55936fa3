// What is left to be done to an activation or a gradient, done for itself; sums over pixels.
//
// A block has blockDim.x packs of channels and blockDim.y pixels at a time; blockIdx.y says which channels. Sums have two
// stages: `slots` holds [piece][2][c], a piece for each stretch of `each` pixels; another kernel merges the pieces.
#include "common.cuh"

namespace tinytrain {

constexpr int AHEAD = 2;         // pixels that a thread reads before it computes: bytes in flight hide the memory's latency
constexpr int MOMENTS_AHEAD = 4;

__device__ __forceinline__ i64 first_channel() { return ((i64)blockIdx.y * blockDim.x + threadIdx.x) * PACK; }

}  // namespace tinytrain

using namespace tinytrain;

namespace tinytrain {

template <bool WITH_OTHER>
__device__ __forceinline__ void apply_to_all(const ELEMENT* x, i64 x_step, const float* x_scale, const float* x_shift,
                                             const ELEMENT* other, i64 other_step, const float* other_scale,
                                             const float* other_shift, const Activation act, ELEMENT* to, i64 to_step,
                                             i64 pixels, i64 c) {
  constexpr int AHEAD = WITH_OTHER ? 2 : 4;
  const i64 i = first_channel(), stride = (i64)gridDim.x * blockDim.y;
  if (i >= c) return;
  const Line<PACK> line(x_scale, x_shift, i), other_line(other_scale, other_shift, i);
  for (i64 p = (i64)blockIdx.x * blockDim.y + threadIdx.y; p < pixels; p += AHEAD * stride) {
    Pack<ELEMENT, PACK> mine[AHEAD], others[AHEAD];
#pragma unroll
    for (int u = 0; u < AHEAD; u++) {
      const i64 pixel = p + u * stride;
      if (pixel >= pixels) break;
      mine[u] = load_pack<PACK>(x + pixel * x_step + i);
      if (WITH_OTHER) others[u] = load_pack<PACK>(other + pixel * other_step + i);
    }
#pragma unroll
    for (int u = 0; u < AHEAD; u++) {
      const i64 pixel = p + u * stride;
      if (pixel >= pixels) break;
      float v[PACK], w[PACK];
      unpack(mine[u], v);
      line.apply(v);
      if (WITH_OTHER) {
        unpack(others[u], w);
        other_line.apply(w);
#pragma unroll
        for (int k = 0; k < PACK; k++) v[k] += w[k];
      }
      act.apply(v);
      store(to + pixel * to_step + i, v);
    }
  }
}

}  // namespace tinytrain

// act(scale * x + shift). Limited by memory: reads once, writes once.
extern "C" __global__ void apply(const ELEMENT* x, i64 x_step, const float* scale, const float* shift, i64 kind, float low,
                                 float high, ELEMENT* to, i64 to_step, i64 pixels, i64 c) {
  apply_to_all<false>(x, x_step, scale, shift, nullptr, 0, nullptr, nullptr, Activation{(int)kind, low, high}, to, to_step,
                      pixels, c);
}

// act(x + other), each with its scale and shift. Limited by memory: reads x and other once, writes once.
extern "C" __global__ void apply_to_sum(const ELEMENT* x, i64 x_step, const float* x_scale, const float* x_shift,
                                        const ELEMENT* other, i64 other_step, const float* other_scale,
                                        const float* other_shift, i64 kind, float low, float high, ELEMENT* to, i64 to_step,
                                        i64 pixels, i64 c) {
  apply_to_all<true>(x, x_step, x_scale, x_shift, other, other_step, other_scale, other_shift,
                     Activation{(int)kind, low, high}, to, to_step, pixels, c);
}

// What a gradient's tuple stands for. Limited by memory: reads g and y once, writes once.
extern "C" __global__ void apply_grad(const ELEMENT* g, i64 g_step, const ELEMENT* y, i64 y_step, const float* scale,
                                      const float* shift, i64 kind, float low, float high, const float* alpha,
                                      const float* beta, const float* gamma, ELEMENT* to, i64 pixels, i64 c) {
  const i64 i = first_channel(), stride = (i64)gridDim.x * blockDim.y;
  if (i >= c) return;
  const GradLine<PACK> line(scale, shift, Activation{(int)kind, low, high}, alpha, beta, gamma, i);
  const bool reads_y = line.reads_y();
  for (i64 p = (i64)blockIdx.x * blockDim.y + threadIdx.y; p < pixels; p += AHEAD * stride) {
    Pack<ELEMENT, PACK> grads[AHEAD], values[AHEAD] = {};
#pragma unroll
    for (int u = 0; u < AHEAD; u++) {
      const i64 pixel = p + u * stride;
      if (pixel >= pixels) break;
      grads[u] = load_pack<PACK>(g + pixel * g_step + i);
      if (reads_y) values[u] = load_pack<PACK>(y + pixel * y_step + i);
    }
#pragma unroll
    for (int u = 0; u < AHEAD; u++) {
      const i64 pixel = p + u * stride;
      if (pixel >= pixels) break;
      float v[PACK], w[PACK];
      unpack(grads[u], v);
      unpack(values[u], w);
      line.apply(v, w);
      store(to + pixel * c + i, v);
    }
  }
}

// The moments of each piece of x less the first pixel, which lets large means do no harm. Four pixels' mean and deviations
// are merged at a time: one division for all of them. Limited by memory: reads x once.
extern "C" __global__ void moments_of_pieces(const ELEMENT* x, i64 step, i64 pixels, i64 c, i64 each, float* slots) {
  extern __shared__ float shared[];
  const i64 i = first_channel(), piece = blockIdx.x, rows = blockDim.y;
  const i64 until = min(pixels, (piece + 1) * each);
  Moments<PACK> moments;
  float base[PACK] = {};
  if (i < c) load(x + i, base);
  for (i64 p = piece * each + threadIdx.y; i < c && p < until; p += MOMENTS_AHEAD * rows) {
    float v[MOMENTS_AHEAD][PACK] = {};
    const i64 left = (until - p + rows - 1) / rows;
    const int count = left < MOMENTS_AHEAD ? (int)left : MOMENTS_AHEAD;
#pragma unroll
    for (int u = 0; u < MOMENTS_AHEAD; u++)
      if (u < count) load(x + (p + u * rows) * step + i, v[u]);
    float mean[PACK], m2[PACK];
    const float inverse = 1.0f / count;
#pragma unroll
    for (int k = 0; k < PACK; k++) {
#pragma unroll
      for (int u = 0; u < MOMENTS_AHEAD; u++) v[u][k] = u < count ? v[u][k] - base[k] : 0.0f;
      mean[k] = ((v[0][k] + v[1][k]) + (v[2][k] + v[3][k])) * inverse;
      m2[k] = 0;
#pragma unroll
      for (int u = 0; u < MOMENTS_AHEAD; u++) {
        const float apart = u < count ? v[u][k] - mean[k] : 0.0f;
        m2[k] += apart * apart;
      }
    }
    moments.merge((float)count, mean, m2);
  }
  merge_rows(moments, shared);
  if (threadIdx.y || i >= c) return;
  float* slot = slots + piece * 2 * c + i;
#pragma unroll
  for (int k = 0; k < PACK; k++) slot[k] = moments.mean[k], slot[c + k] = moments.m2[k];
}

namespace tinytrain {

// Puts the sums of a block's threads into its slot.
__device__ __forceinline__ void keep_sums(float (&total)[PACK], float (&total_y)[PACK], bool with_y, i64 i, i64 c, float* slot,
                                          float* shared) {
  sum_rows(total, shared);
  if (with_y) sum_rows(total_y, shared);
  if (threadIdx.y || i >= c) return;
#pragma unroll
  for (int k = 0; k < PACK; k++) {
    slot[i + k] = total[k];
    if (with_y) slot[c + i + k] = total_y[k];
  }
}

}  // namespace tinytrain

// The sums of a gradient, and of its products with y - mean where there is a mean. Limited by memory: reads g and y once.
extern "C" __global__ void sums_of_pieces(const ELEMENT* g, i64 g_step, const ELEMENT* y, i64 y_step, const float* scale,
                                          const float* shift, i64 kind, float low, float high, const float* alpha,
                                          const float* beta, const float* gamma, const float* mean, i64 pixels, i64 c,
                                          i64 each, float* slots) {
  extern __shared__ float shared[];
  const i64 i = first_channel(), piece = blockIdx.x, rows = blockDim.y;
  const i64 until = min(pixels, (piece + 1) * each);
  float total[PACK] = {}, total_y[PACK] = {};
  if (i < c) {
    const GradLine<PACK> line(scale, shift, Activation{(int)kind, low, high}, alpha, beta, gamma, i);
    const bool reads_y = line.reads_y() || mean;
    float middle[PACK];
    load_factors(mean, i, 0.0f, middle);
    for (i64 p = piece * each + threadIdx.y; p < until; p += AHEAD * rows) {
      Pack<ELEMENT, PACK> grads[AHEAD], values[AHEAD] = {};
#pragma unroll
      for (int u = 0; u < AHEAD; u++) {
        const i64 pixel = p + u * rows;
        if (pixel >= until) break;
        grads[u] = load_pack<PACK>(g + pixel * g_step + i);
        if (reads_y) values[u] = load_pack<PACK>(y + pixel * y_step + i);
      }
#pragma unroll
      for (int u = 0; u < AHEAD; u++) {
        if (p + u * rows >= until) break;
        float v[PACK], w[PACK];
        unpack(grads[u], v);
        unpack(values[u], w);
        line.apply(v, w);
#pragma unroll
        for (int k = 0; k < PACK; k++) total[k] += v[k], total_y[k] += v[k] * (w[k] - middle[k]);
      }
    }
  }
  keep_sums(total, total_y, mean, i, c, slots + piece * (mean ? 2 : 1) * c, shared);
}

// (grad + add) * act'(scale * m + shift), stored, with its sum and its sum of products with y - mean where `slots` are given.
// `to` may be `grad`. Limited by memory: reads grad, add, m and y once (y and m are often one), writes once.
// Two blocks are to find room on a multiprocessor: its registers hold the packs of four arrays.
extern "C" __global__ void __launch_bounds__(256, 2)
    finish_pieces(const ELEMENT* grad, i64 grad_step, ELEMENT* to, const ELEMENT* add, i64 add_step, const ELEMENT* m,
                  i64 m_step, const float* scale, const float* shift, i64 kind, float low, float high, const ELEMENT* y,
                  i64 y_step, const float* mean, i64 pixels, i64 c, i64 each, float* slots) {
  extern __shared__ float shared[];
  const i64 i = first_channel(), piece = blockIdx.x, rows = blockDim.y;
  const i64 until = min(pixels, (piece + 1) * each);
  float total[PACK] = {}, total_y[PACK] = {};
  if (i < c) {
    const Activation act{(int)kind, low, high};
    const Line<PACK> line(scale, shift, i);
    const bool reads_m = act.kind != ACT_NONE, reads_y = y && !(reads_m && y == m);
    float middle[PACK];
    load_factors(mean, i, 0.0f, middle);
    for (i64 p = piece * each + threadIdx.y; p < until; p += AHEAD * rows) {
      Pack<ELEMENT, PACK> grads[AHEAD], adds[AHEAD] = {}, masks[AHEAD] = {}, values[AHEAD] = {};
#pragma unroll
      for (int u = 0; u < AHEAD; u++) {
        const i64 pixel = p + u * rows;
        if (pixel >= until) break;
        grads[u] = load_pack<PACK>(grad + pixel * grad_step + i);
        if (add) adds[u] = load_pack<PACK>(add + pixel * add_step + i);
        if (reads_m) masks[u] = load_pack<PACK>(m + pixel * m_step + i);
        if (reads_y) values[u] = load_pack<PACK>(y + pixel * y_step + i);
        else values[u] = masks[u];
      }
#pragma unroll
      for (int u = 0; u < AHEAD; u++) {
        const i64 pixel = p + u * rows;
        if (pixel >= until) break;
        float v[PACK], w[PACK];
        unpack(grads[u], v);
        unpack(adds[u], w);
#pragma unroll
        for (int k = 0; k < PACK; k++) v[k] += w[k];
        unpack(masks[u], w);
        if (reads_m) {
#pragma unroll
          for (int k = 0; k < PACK; k++) v[k] = act.slope(v[k], line(k, w[k]));
        }
        store(to + pixel * c + i, v);
        unpack(values[u], w);
#pragma unroll
        for (int k = 0; k < PACK; k++) total[k] += v[k], total_y[k] += v[k] * (w[k] - middle[k]);
      }
    }
  }
  if (slots) keep_sums(total, total_y, true, i, c, slots + piece * 2 * c, shared);
}
