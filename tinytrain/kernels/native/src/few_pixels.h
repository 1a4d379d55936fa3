// Convolutions with few pixels of results, as a linear layer's for one image: each weight is used a few times only, so they
// are read once, where they lie, and not packed for a product first.
#pragma once

#include "dense.h"

namespace TT_ISA {

constexpr int FEW_PIXELS = 4;  // with two filters: eight sums in registers

// Reads what each pixel of the results is computed from, one pixel after the other, in the order of a filter's weights.
static void read_patches(const Geometry& g, const Source& x, float* patches) {
  const int64_t taps = g.kh * g.kw, depth = g.c * taps;
  const int64_t rows = (g.kh - 1) * g.dh + 1, columns = (g.kw - 1) * g.dw + 1;
  float* window = taps == 1 ? nullptr : scratch(SCRATCH_OTHER, rows * columns * g.c + VL);
  for (int64_t p = 0; p < g.out_pixels(); p++, patches += depth) {
    const int64_t image = p / (g.oh * g.ow), top = p / g.ow % g.oh * g.sh - g.ph, left = p % g.ow * g.sw - g.pw;
    float* to = window ? window : patches;
    read_window({image, top, left, rows, columns}, g.h, g.w, to, g.c,
                [&](int64_t first, int64_t count, float* at) { read_pixels(x, first, count, g.c, at, g.c); });
    for (int64_t tap = 0; tap < taps && window; tap++) {
      const float* from = window + (tap / g.kw * g.dh * columns + tap % g.kw * g.dw) * g.c;
      for (int64_t c = 0; c < g.c; c++) patches[c * taps + tap] = from[c];
    }
  }
}

// The products of up to VL filters with N patches: sums[n] holds those of patch n.
template <int N>
static void filters_times_patches(const float* w, int64_t depth, int filters, const float* patches, vec* sums) {
  vec lanes[N][VL] = {};
  for (int f = 0; f < filters; f += 2) {
    const float* first = w + f * depth;
    const float* second = f + 1 < filters ? first + depth : first;
    vec sum[2][N] = {};
    auto add = [&](vec a, vec b, int64_t q, int64_t count) {
#pragma GCC unroll 4
      for (int n = 0; n < N; n++) {
        const vec x = load_some(patches + n * depth + q, count);
        sum[0][n] += a * x;
        sum[1][n] += b * x;
      }
    };
    int64_t q = 0;
    for (; q + VL <= depth; q += VL) add(load(first + q), load(second + q), q, VL);
    if (q < depth) add(load_some(first + q, depth - q), load_some(second + q, depth - q), q, depth - q);
    for (int n = 0; n < N; n++) {
      lanes[n][f] = sum[0][n];
      lanes[n][f + 1] = sum[1][n];
    }
  }
  for (int n = 0; n < N; n++) {
    transpose(lanes[n]);
    vec sum = lanes[n][0];
    for (int lane = 1; lane < VL; lane++) sum += lanes[n][lane];
    sums[n] = sum;
  }
}

// Calls f with `count`, 1 to MOST, as a compile-time number.
template <int MOST, class F>
static void with_count(int64_t count, F&& f) {
  if constexpr (MOST > 1)
    if (count < MOST) return with_count<MOST - 1>(count, f);
  f(std::integral_constant<int, MOST>());
}

static void conv_forward_few(const Geometry& g, const Source& x, const float* w, const float* bias, float* y, Moments moments) {
  const int64_t depth = g.c * g.kh * g.kw, pixels = g.out_pixels();
  Block patches(pixels * depth);
  read_patches(g, x, patches.get());
  parallel_if_worth(work_of(g) + g.o * depth, (g.o + VL - 1) / VL, [&](int64_t piece) {
    const int64_t first = piece * VL;
    const int filters = (int)std::min<int64_t>(g.o - first, VL);
    const vec shift = bias ? load_some(bias + first, filters) : (vec){};
    vec sums[FEW_PIXELS];
    with_count<FEW_PIXELS>(pixels, [&](auto n) {
      filters_times_patches<n.value>(w + first * depth, depth, filters, patches.get(), sums);
    });
    for (int64_t p = 0; p < pixels; p++) store_some(y + p * g.o + first, sums[p] + shift, filters);
    if (moments.mean) moments_of(y + first, g.o, pixels, filters, moments.mean + first, moments.m2 + first);
  });
}

}  // namespace TT_ISA
