// Convolutions with few pixels of results, as a linear layer's for one image: each weight is used a few times only, so they
// are read once, where they lie, and not packed for a product first.
#pragma once

#include "unfolded.h"

namespace TT_ISA {

constexpr int FEW_PIXELS = 4;  // with two filters: eight sums in registers

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
  Block patches(2 * pixels * depth);  // as they are written, and in the order of a filter's weights
  const float* turned = patches.get();
  write_patches(g, x, patches.get());
  if (g.kh * g.kw > 1) {
    float* to = patches.get() + pixels * depth;
    for (int64_t p = 0; p < pixels; p++) turn(turned + p * depth, g.kh * g.kw, g.c, to + p * depth);
    turned = to;
  }
  parallel_if_worth(work_of(g) + g.o * depth, (g.o + VL - 1) / VL, [&](int64_t piece) {
    const int64_t first = piece * VL;
    const int filters = (int)std::min<int64_t>(g.o - first, VL);
    const vec shift = bias ? load_some(bias + first, filters) : (vec){};
    vec sums[FEW_PIXELS];
    with_count<FEW_PIXELS>(pixels, [&](auto n) {
      filters_times_patches<n.value>(w + first * depth, depth, filters, turned, sums);
    });
    for (int64_t p = 0; p < pixels; p++) store_some(y + p * g.o + first, sums[p] + shift, filters);
    if (moments.mean) moments_of(y + first, g.o, pixels, filters, moments.mean + first, moments.m2 + first);
  });
}

}  // namespace TT_ISA
