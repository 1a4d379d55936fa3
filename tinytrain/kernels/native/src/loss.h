// The cross-entropy between the softmax of scores and class indices, one pass forward and one back.
#pragma once

#include <algorithm>
#include <cmath>

#include "exact.h"
#include "pool.h"
#include "simd.h"

namespace TT_ISA {

using namespace tinytrain;

static inline int64_t rows_in_piece(int64_t c) { return std::max<int64_t>((16 << 10) / c, 1); }

// All bits set in the first `count` lanes.
static inline mask first_lanes(int count) {
  mask lanes;
  for (int i = 0; i < VL; i++) lanes[i] = i;
  return lanes < count;
}

static inline float sum_of(vec v) {
  float sum = 0;
  for (int i = 0; i < VL; i++) sum += v[i];
  return sum;
}

static inline float highest_of(const float* x, int64_t count) {
  vec high = fill(x[0]);
  for (int64_t i = 0; i < count; i += VL) {
    const vec v = load_some(x + i, count - i);
    mask higher = v > high;
    if (count - i < VL) higher &= first_lanes((int)(count - i));
    high = select(higher, v, high);
  }
  float highest = high[0];
  for (int i = 1; i < VL; i++) highest = high[i] > highest ? high[i] : highest;
  return highest;
}

// exp(x) for x <= 0 to 1 unit in the last place, 0 below the normal numbers; NaN stays NaN.
static inline vec exp_below(vec x) {
  const vec shifter = fill(12582912.0f);  // 1.5 * 2^23: adding it rounds to whole numbers
  const vec t = x * fill(1.44269504f) + shifter;
  const vec n = t - shifter;
  const vec r = (x - n * fill(0.693359375f)) + n * fill(2.12194440e-4f);  // ln 2 in two parts
  vec p = fill(1.9875691500e-4f);  // Cephes, expf
  p = p * r + fill(1.3981999507e-3f);
  p = p * r + fill(8.3334519073e-3f);
  p = p * r + fill(4.1665795894e-2f);
  p = p * r + fill(1.6666665459e-1f);
  p = p * r + fill(5.0000001201e-1f);
  p = p * r * r + r + fill(1);
  mask bits;
  __builtin_memcpy(&bits, &t, sizeof bits);
  bits = (bits + 127) << 23;  // 2^n: the low bits of t are n
  vec power;
  __builtin_memcpy(&power, &bits, sizeof power);
  return select(x < fill(-87.0f), (vec){}, p * power);
}

// Probabilities go to `p`, (n, c); the loss of each row to `losses`.
static void cross_entropy_forward(const CrossEntropy& e, float* probabilities, float* losses) {
  const int64_t each = rows_in_piece(e.c);
  const float even = e.smoothing / (float)e.c;
  parallel((e.n + each - 1) / each, [&](int64_t piece) {
    for (int64_t row = piece * each; row < std::min(e.n, (piece + 1) * each); row++) {
      const float* x = e.x + row * e.c;
      float* p = probabilities + row * e.c;
      const float highest = highest_of(x, e.c);
      vec sum = {}, weighted = {};
      float total_weight = 0;
      for (int64_t i = 0; i < e.c; i += VL) {
        const int64_t left = e.c - i;
        const vec below = load_some(x + i, left) - fill(highest);
        vec power = exp_below(below);
        if (left < VL) power = (vec)((mask)power & first_lanes((int)left));
        sum += power;
        store_some(p + i, power, left);
        if (e.smoothing != 0) {
          const vec w = e.weight ? load_some(e.weight + i, left) : fill(1);
          weighted += left < VL ? (vec)((mask)(below * w) & first_lanes((int)left)) : below * w;
        }
      }
      const float total = sum_of(sum), log_total = std::log(total);
      for (int64_t i = 0; i < e.c; i += VL) store_some(p + i, load_some(p + i, e.c - i) / fill(total), e.c - i);
      const int64_t target = e.target[row];
      if (target == e.ignored) {
        losses[row] = 0;
        continue;
      }
      losses[row] = (log_total - (x[target] - highest)) * (e.weight ? e.weight[target] : 1);
      if (e.smoothing != 0) {
        for (int64_t i = 0; i < e.c; i++) total_weight += e.weight ? e.weight[i] : 1;
        losses[row] = (1 - e.smoothing) * losses[row] - even * (sum_of(weighted) - total_weight * log_total);
      }
    }
  });
}

// The scores' gradient, from that of the losses: `g` for each row, or one for all where `g_step` is 0.
static void cross_entropy_backward(const CrossEntropy& e, const float* probabilities, const float* g, int64_t g_step,
                                   float* grad) {
  const int64_t each = rows_in_piece(e.c);
  const float even = e.smoothing / (float)e.c;
  float total_weight = (float)e.c;
  if (e.weight) {
    total_weight = 0;
    for (int64_t i = 0; i < e.c; i++) total_weight += e.weight[i];
  }
  parallel((e.n + each - 1) / each, [&](int64_t piece) {
    for (int64_t row = piece * each; row < std::min(e.n, (piece + 1) * each); row++) {
      const float* p = probabilities + row * e.c;
      float* to = grad + row * e.c;
      const int64_t target = e.target[row];
      if (target == e.ignored) {
        std::memset(to, 0, e.c * sizeof(float));
        continue;
      }
      const float at_target = (1 - e.smoothing) * (g[row * g_step] * (e.weight ? e.weight[target] : 1));
      const float spread = even * g[row * g_step];
      const vec factor = fill(at_target + spread * total_weight);
      for (int64_t i = 0; i < e.c; i += VL) {
        const int64_t left = e.c - i;
        vec v = load_some(p + i, left) * factor;
        if (e.smoothing != 0) v -= e.weight ? load_some(e.weight + i, left) * fill(spread) : fill(spread);
        store_some(to + i, v, left);
      }
      to[target] -= at_target;
    }
  });
}

}  // namespace TT_ISA
