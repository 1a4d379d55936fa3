// Maximum over sliding windows with the winning tap, and the mean over all pixels of an image.
//
// A block has blockDim.x packs of channels and blockDim.y pixels at a time; blockIdx.y says which channels.
#include "common.cuh"

namespace tinytrain {

constexpr int AHEAD = 4;  // pixels that a thread reads before it adds

__device__ __forceinline__ i64 first_channel() { return ((i64)blockIdx.y * blockDim.x + threadIdx.x) * PACK; }

}  // namespace tinytrain

using namespace tinytrain;

// As the reference: the first winning tap, or the last NaN. Limited by memory: reads x, from the cache where windows overlap.
extern "C" __global__ void max_pool(const ELEMENT* x, i64 step, const float* scale, const float* shift, i64 kind, float low,
                                    float high, i64 n, i64 h, i64 w, i64 c, i64 oh, i64 ow, i64 kh, i64 kw, i64 sh, i64 sw,
                                    i64 ph, i64 pw, i64 dh, i64 dw, ELEMENT* y, u8* winners) {
  const i64 i = first_channel(), pixels = n * oh * ow;
  if (i >= c) return;
  const Activation act{(int)kind, low, high};
  const Line<PACK> line(scale, shift, i);
  for (i64 p = (i64)blockIdx.x * blockDim.y + threadIdx.y; p < pixels; p += (i64)gridDim.x * blockDim.y) {
    const i64 row = p / ow, image = row / oh, top = row % oh * sh - ph, left = p % ow * sw - pw;
    const int first_kh = top < 0 ? (int)((-top + dh - 1) / dh) : 0, first_kw = left < 0 ? (int)((-left + dw - 1) / dw) : 0;
    float best[PACK];
    Pack<u8, PACK> winner;
#pragma unroll
    for (int k = 0; k < PACK; k++) best[k] = -__int_as_float(0x7f800000), winner.at[k] = (u8)(first_kh * kw + first_kw);
    for (int a = first_kh; a < kh && top + a * dh < h; a++) {
      const ELEMENT* from = x + ((image * h + top + a * dh) * w + left) * step + i;
      for (int b = first_kw; b < kw && left + b * dw < w; b++) {
        float v[PACK];
        load(from + b * dw * step, v);
        line.apply(v);
        act.apply(v);
#pragma unroll
        for (int k = 0; k < PACK; k++)
          if (v[k] > best[k] || v[k] != v[k]) best[k] = v[k], winner.at[k] = (u8)(a * kw + b);
      }
    }
    store(y + p * c + i, best);
    if (winners) *reinterpret_cast<Pack<u8, PACK>*>(winners + p * c + i) = winner;
  }
}

namespace tinytrain {

// The windows along one axis that reach over a position, some of them with a gap between two taps there.
struct Covering {
  i64 at, first, last;

  // `at` is counted from where the first window begins.
  __device__ __forceinline__ Covering(i64 at, i64 taps, i64 stride, i64 dilation, i64 windows) : at(at) {
    const i64 before = at - (taps - 1) * dilation;
    first = before <= 0 ? 0 : (before + stride - 1) / stride;
    last = min(windows - 1, at / stride);
  }
  // The tap of a window that lies there, -1 where none does.
  __device__ __forceinline__ int tap(i64 window, i64 stride, i64 dilation) const {
    const i64 apart = at - window * stride;
    if (dilation == 1) return (int)apart;
    return apart % dilation ? -1 : (int)(apart / dilation);
  }
};

}  // namespace tinytrain

// Every input pixel gathers from the windows over it, the last tap first. Limited by memory: reads g and the winners, from
// the cache where windows overlap; writes once. Divisions are kept out of the loops: they would take longer than that.
extern "C" __global__ void max_pool_grad(const ELEMENT* g, i64 step, const u8* winners, i64 n, i64 h, i64 w, i64 c, i64 oh,
                                         i64 ow, i64 kh, i64 kw, i64 sh, i64 sw, i64 ph, i64 pw, i64 dh, i64 dw,
                                         ELEMENT* grad) {
  const i64 i = first_channel(), pixels = n * h * w;
  if (i >= c) return;
  for (i64 p = (i64)blockIdx.x * blockDim.y + threadIdx.y; p < pixels; p += (i64)gridDim.x * blockDim.y) {
    const i64 row = p / w, image = row / h;
    const Covering down(row - image * h + ph, kh, sh, dh, oh), across(p - row * w + pw, kw, sw, dw, ow);
    float sum[PACK] = {};
    for (i64 oy = down.first; oy <= down.last; oy++) {
      const int a = down.tap(oy, sh, dh);
      if (a < 0) continue;
      for (i64 ox = across.first; ox <= across.last; ox++) {
        const int b = across.tap(ox, sw, dw);
        if (b < 0) continue;
        const i64 window = (image * oh + oy) * ow + ox;
        const Pack<u8, PACK> winner = load_pack<PACK>(winners + window * c + i);
        float v[PACK];
        load(g + window * step + i, v);
#pragma unroll
        for (int k = 0; k < PACK; k++) sum[k] += winner.at[k] == (u8)(a * kw + b) ? v[k] : 0.0f;
      }
    }
    store(grad + p * c + i, sum);
  }
}

// A block an image and tile of channels. Limited by memory: reads x once.
extern "C" __global__ void mean_pixels(const ELEMENT* x, i64 step, const float* scale, const float* shift, i64 kind, float low,
                                       float high, i64 pixels, i64 c, ELEMENT* y) {
  extern __shared__ float shared[];
  const i64 i = first_channel(), image = blockIdx.x, rows = blockDim.y;
  float sum[PACK] = {};
  if (i < c) {
    const Activation act{(int)kind, low, high};
    const Line<PACK> line(scale, shift, i);
    for (i64 p = threadIdx.y; p < pixels; p += AHEAD * rows) {
      Pack<ELEMENT, PACK> packs[AHEAD];
#pragma unroll
      for (int u = 0; u < AHEAD; u++) {
        if (p + u * rows >= pixels) break;
        packs[u] = load_pack<PACK>(x + (image * pixels + p + u * rows) * step + i);
      }
#pragma unroll
      for (int u = 0; u < AHEAD; u++) {
        if (p + u * rows >= pixels) break;
        float v[PACK];
        unpack(packs[u], v);
        line.apply(v);
        act.apply(v);
#pragma unroll
        for (int k = 0; k < PACK; k++) sum[k] += v[k];
      }
    }
  }
  sum_rows(sum, shared);
  if (threadIdx.y || i >= c) return;
#pragma unroll
  for (int k = 0; k < PACK; k++) sum[k] /= (float)pixels;
  store(y + image * c + i, sum);
}

// Each image's share for every one of its pixels. Limited by memory: writes once.
extern "C" __global__ void spread_pixels(const ELEMENT* g, i64 step, i64 n, i64 pixels, i64 c, ELEMENT* grad) {
  const i64 i = first_channel(), all = n * pixels;
  if (i >= c) return;
  for (i64 p = (i64)blockIdx.x * blockDim.y + threadIdx.y; p < all; p += (i64)gridDim.x * blockDim.y) {
    float v[PACK];
    load(g + p / pixels * step + i, v);
#pragma unroll
    for (int k = 0; k < PACK; k++) v[k] /= (float)pixels;
    store(grad + p * c + i, v);
  }
}
