// The update rules of tinytrain.optim over many parameters at once, operation by operation as they stand there.
#pragma once

#include <algorithm>
#include <new>

#include "exact.h"
#include "pool.h"
#include "simd.h"

namespace TT_ISA {

using namespace tinytrain;

constexpr int64_t UPDATE_FLOATS = 64 << 10;  // of each operand in a piece

// Calls visit(parameter, begin, end) for every stretch of every parameter: what of it lies in one piece. Stretches
// are the same for any number of threads.
template <class F>
static void for_each_stretch(const Parameters& parameters, F&& visit) {
  parallel((parameters.size() + UPDATE_FLOATS - 1) / UPDATE_FLOATS, [&](int64_t piece) {
    const int64_t begin = piece * UPDATE_FLOATS, end = std::min(begin + UPDATE_FLOATS, parameters.size());
    int64_t low = 0, high = parameters.count;
    while (high - low > 1) {
      const int64_t middle = (low + high) / 2;
      (parameters.each[middle].first <= begin ? low : high) = middle;
    }
    for (int64_t n = low; n < parameters.count && parameters.each[n].first < end; n++) {
      const Parameter& p = parameters.each[n];
      visit(p, std::max<int64_t>(begin - p.first, 0), std::min(p.size, end - p.first));
    }
  });
}

// Calls change(parameter, i, left) for every vector of every parameter: VL elements from i on, or the `left` last ones.
template <class F>
static void for_each_vector(const Parameters& parameters, F&& change) {
  for_each_stretch(parameters, [&](const Parameter& p, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += VL) change(p, i, end - i);
  });
}

static inline vec root(vec v) {
#if defined(__AVX512F__)
  return (vec)_mm512_maskz_sqrt_ps((__mmask16)-1, (__m512)v);
#elif defined(__AVX2__)
  return (vec)_mm256_sqrt_ps((__m256)v);
#else
  for (int i = 0; i < VL; i++) v[i] = __builtin_sqrtf(v[i]);
  return v;
#endif
}

// The gradient as a rule gets it: its sign turned to go up, the weight decay added.
static inline vec read_gradient(const Parameter& p, int64_t i, int64_t left, vec w, bool maximize, float decay) {
  vec g = load_some(p.g + i, left);
  if (maximize) g = -g;
  if (decay != 0) g += fill(decay) * w;
  return g;
}

static void sgd(const Parameters& parameters, const Sgd& o) {
  const vec lr = fill(o.lr), momentum = fill(o.momentum), keep = fill(o.keep);
  for_each_vector(parameters, [&](const Parameter& p, int64_t i, int64_t left) {
    const vec w = load_some(p.w + i, left);
    vec g = read_gradient(p, i, left, w, o.maximize, o.decay);
    if (p.state[0]) {
      vec v = load_some(p.state[0] + i, left) * momentum;
      v += keep * g;
      store_some(p.state[0] + i, v, left);
      g = o.nesterov ? g + momentum * v : v;
    }
    store_some(p.w + i, w - lr * g, left);
  });
}

static void adam(const Parameters& parameters, const Adam& o) {
  const vec rate = fill(o.rate), divisor = fill(o.root), mean_keep = fill(o.mean_keep), eps = fill(o.eps);
  const vec square_fade = fill(o.square_fade), square_keep = fill(o.square_keep);
  for_each_vector(parameters, [&](const Parameter& p, int64_t i, int64_t left) {
    vec w = load_some(p.w + i, left);
    if (o.shrink != 1) w *= fill(o.shrink);
    const vec g = read_gradient(p, i, left, w, o.maximize, o.decay);
    vec mean = load_some(p.state[0] + i, left), square = load_some(p.state[1] + i, left);
    mean += mean_keep * (g - mean);
    square *= square_fade;
    square += square_keep * g * g;
    store_some(p.state[0] + i, mean, left);
    store_some(p.state[1] + i, square, left);
    if (p.state[2]) {  // the larger of both; NaN where one of them is
      const vec largest = load_some(p.state[2] + i, left);
      square = select((largest >= square) | (largest != largest), largest, square);
      store_some(p.state[2] + i, square, left);
    }
    store_some(p.w + i, w - rate * (mean / (root(square) / divisor + eps)), left);
  });
}

static void rmsprop(const Parameters& parameters, const RmsProp& o) {
  const vec lr = fill(o.lr), fade = fill(o.fade), keep = fill(o.keep), eps = fill(o.eps), momentum = fill(o.momentum);
  for_each_vector(parameters, [&](const Parameter& p, int64_t i, int64_t left) {
    const vec w = load_some(p.w + i, left);
    const vec g = read_gradient(p, i, left, w, o.maximize, o.decay);
    vec square = load_some(p.state[0] + i, left) * fade;
    square += keep * g * g;
    store_some(p.state[0] + i, square, left);
    if (p.state[1]) {
      vec mean = load_some(p.state[1] + i, left);
      mean += keep * (g - mean);
      store_some(p.state[1] + i, mean, left);
      square -= mean * mean;
    }
    vec step = g / (root(square) + eps);
    if (p.state[2]) {
      step += load_some(p.state[2] + i, left) * momentum;
      store_some(p.state[2] + i, step, left);
    }
    store_some(p.w + i, w - lr * step, left);
  });
}

static void lion(const Parameters& parameters, const Lion& o) {
  const vec lr = fill(o.lr), one = fill(1), zero = {};
  const vec fade_now = fill(o.fade_now), keep_now = fill(o.keep_now), fade = fill(o.fade), keep = fill(o.keep);
  for_each_vector(parameters, [&](const Parameter& p, int64_t i, int64_t left) {
    const vec w = load_some(p.w + i, left) * fill(o.shrink);
    const vec g = read_gradient(p, i, left, w, o.maximize, 0);
    const vec mean = load_some(p.state[0] + i, left);
    const vec way = fade_now * mean + keep_now * g;
    const vec sign = select(way > zero, one, select(way < zero, -one, select(way == zero, zero, way)));  // NaN stays
    store_some(p.w + i, w - lr * sign, left);
    store_some(p.state[0] + i, mean * fade + keep * g, left);
  });
}

constexpr int LANES = 16;  // of a sum, whatever the width of a vector

static double square_sum(const float* x, int64_t count) {
  double sums[LANES] = {};
  int64_t i = 0;
  for (; i + LANES <= count; i += LANES)
    for (int k = 0; k < LANES; k++) sums[k] += (double)x[i + k] * (double)x[i + k];
  for (int k = 0; i + k < count; k++) sums[k] += (double)x[i + k] * (double)x[i + k];
  for (int width = LANES / 2; width; width /= 2)
    for (int k = 0; k < width; k++) sums[k] += sums[k + width];
  return sums[0];
}

static void square_sums(const Parameters& parameters, double* sums) {
  for (int64_t n = 0; n < parameters.count; n++) sums[n] = 0;
  const int64_t total = parameters.size();
  if (!total) return;
  // A parameter's sum is that of its stretches in their order. At most two stretches of a piece go on in another piece: those
  // at its ends; all others are whole parameters.
  const int64_t pieces = (total + UPDATE_FLOATS - 1) / UPDATE_FLOATS;
  double* ends = static_cast<double*>(take_block(2 * pieces * sizeof(double)));
  if (!ends) throw std::bad_alloc();
  for (int64_t i = 0; i < 2 * pieces; i++) ends[i] = 0;
  for_each_stretch(parameters, [&](const Parameter& p, int64_t begin, int64_t end) {
    const double sum = square_sum(p.g + begin, end - begin);
    const int64_t piece = (p.first + begin) / UPDATE_FLOATS;
    if (begin > 0) ends[2 * piece] = sum;
    else if (end < p.size) ends[2 * piece + 1] = sum;
    else sums[&p - parameters.each] = sum;
  });
  for (int64_t n = 0; n < parameters.count; n++) {
    const Parameter& p = parameters.each[n];
    if (!p.size) continue;
    const int64_t first = p.first / UPDATE_FLOATS, last = (p.first + p.size - 1) / UPDATE_FLOATS;
    if (first == last) continue;
    sums[n] = ends[2 * first + 1];
    for (int64_t piece = first + 1; piece <= last; piece++) sums[n] += ends[2 * piece];
  }
  give_block(ends);
}

static void scale(const Parameters& parameters, float factor) {
  const vec by = fill(factor);
  for_each_vector(parameters, [&](const Parameter& p, int64_t i, int64_t left) {
    store_some(p.w + i, load_some(p.w + i, left) * by, left);
  });
}

}  // namespace TT_ISA
