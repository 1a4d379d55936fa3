// Reading activations and gradients with what is still to be done to them, into scratch memory.
#pragma once

#include <type_traits>

#include "gemm.h"
#include "kernels.h"
#include "pool.h"

namespace TT_ISA {

using namespace tinytrain;

// The activation and its derivative at v; NaN goes through as in PyTorch.
template <int KIND>
static inline vec activate(vec v, vec low, vec high) {
  if (KIND == ACT_RELU) return select(v < (vec){}, (vec){}, v);
  if (KIND == ACT_CLIP) return select(v < low, low, select(v > high, high, v));
  if (KIND == ACT_LEAKY) return select(v < (vec){}, v * low, v);
  if (KIND == ACT_HARDSWISH) {
    vec t = v + 3.0f;
    t = select(t < (vec){}, (vec){}, select(t > fill(6), fill(6), t));
    return v * t * (1.0f / 6.0f);
  }
  return v;
}

template <int KIND>
static inline vec through(vec g, vec v, vec low, vec high) {
  if (KIND == ACT_RELU) return select(v <= (vec){}, (vec){}, g);
  if (KIND == ACT_CLIP) return select((v <= low) | (v >= high), (vec){}, g);
  if (KIND == ACT_LEAKY) return select(v <= (vec){}, g * low, g);
  if (KIND == ACT_HARDSWISH) {
    vec slope = v * (1.0f / 3.0f) + 0.5f;
    return select(v <= fill(-3), (vec){}, select(v >= fill(3), g, g * slope));
  }
  return g;
}

// Calls f with the activation's kind as a compile-time number.
template <class F>
static inline void with_kind(int kind, F&& f) {
  switch (kind) {
    case ACT_RELU: f(std::integral_constant<int, ACT_RELU>()); break;
    case ACT_CLIP: f(std::integral_constant<int, ACT_CLIP>()); break;
    case ACT_LEAKY: f(std::integral_constant<int, ACT_LEAKY>()); break;
    case ACT_HARDSWISH: f(std::integral_constant<int, ACT_HARDSWISH>()); break;
    default: f(std::integral_constant<int, ACT_NONE>());
  }
}

// The same values without their first channels.
static Source from_channel(Source s, int64_t first) {
  if (s.x) s.x += first;
  if (s.scale) s.scale += first, s.shift += first;
  return s;
}

static GradSource from_channel(GradSource s, int64_t first) {
  s.g += first;
  s.of = from_channel(s.of, first);
  for (const float** each : {&s.alpha, &s.beta, &s.gamma})
    if (*each) *each += first;
  return s;
}

// Channels from `i` on of the pixel at `x`, `left` of them.
template <int KIND>
static inline vec read_value(const Source& s, const float* x, int64_t i, int64_t left, vec low, vec high) {
  vec v = load_some(x + i, left);
  if (s.scale) v = v * load_some(s.scale + i, left) + load_some(s.shift + i, left);
  return activate<KIND>(v, low, high);
}

// Writes `count` pixels from pixel `first` to `to`, `pitch` floats apart, in order, the vectors of a pixel `apart` floats
// from each other. Whole vectors are stored: up to VL floats behind the last pixel are overwritten.
static void read_pixels(const Source& s, int64_t first, int64_t count, int64_t c, float* to, int64_t pitch,
                        int64_t apart = VL) {
  const float* from = s.x + first * s.step;
  if (s.plain()) {
    if (pitch == c && s.step == c && apart == VL) {
      std::memcpy(to, from, count * c * sizeof(float));
      return;
    }
    for (int64_t p = 0; p < count; p++)
      for (int64_t i = 0, j = 0; i < c; i += VL, j += apart)
        store(to + p * pitch + j, load_some(from + p * s.step + i, c - i));
    return;
  }
  with_kind(s.act.kind, [&](auto kind) {
    const vec low = fill(s.act.low), high = fill(s.act.high);
    for (int64_t p = 0; p < count; p++)
      for (int64_t i = 0, j = 0; i < c; i += VL, j += apart)
        store(to + p * pitch + j, read_value<kind.value>(s, from + p * s.step, i, c - i, low, high));
  });
}

template <int KIND>
static inline vec read_grad(const GradSource& s, const float* g, const float* y, int64_t i, int64_t left, vec low, vec high) {
  vec v = load_some(g + i, left);
  vec raw = {};
  if (KIND != ACT_NONE || s.alpha) raw = load_some(y + i, left);
  if (KIND != ACT_NONE) {
    vec at = s.of.scale ? raw * load_some(s.of.scale + i, left) + load_some(s.of.shift + i, left) : raw;
    v = through<KIND>(v, at, low, high);
  }
  if (s.alpha) {
    v = v * load_some(s.alpha + i, left);
    if (s.beta) v += raw * load_some(s.beta + i, left) + load_some(s.gamma + i, left);
  }
  return v;
}

static void read_grads(const GradSource& s, int64_t first, int64_t count, int64_t c, float* to, int64_t pitch,
                       int64_t apart = VL) {
  if (s.plain()) {
    Source plain;
    plain.x = s.g, plain.step = s.step;
    read_pixels(plain, first, count, c, to, pitch, apart);
    return;
  }
  with_kind(s.of.act.kind, [&](auto kind) {
    const vec low = fill(s.of.act.low), high = fill(s.of.act.high);
    for (int64_t p = 0; p < count; p++) {
      const float* g = s.g + (first + p) * s.step;
      const float* y = s.of.x + (first + p) * s.of.step;
      for (int64_t i = 0, j = 0; i < c; i += VL, j += apart)
        store(to + p * pitch + j, read_grad<kind.value>(s, g, y, i, c - i, low, high));
    }
  });
}

// A rectangle of pixels of one image, read into scratch with zeros where it reaches beyond the image.
struct Window {
  int64_t image, top, left, rows, columns;
};

template <class Read>
static void read_window(const Window& at, int64_t h, int64_t w, float* to, int64_t pitch, Read&& read) {
  int64_t before = std::clamp<int64_t>(-at.left, 0, at.columns);
  int64_t inside = std::clamp<int64_t>(std::min(at.left + at.columns, w) - std::max<int64_t>(at.left, 0), 0, at.columns);
  int64_t after = at.columns - before - inside;
  for (int64_t r = 0; r < at.rows; r++) {
    int64_t y = at.top + r;
    float* row = to + r * at.columns * pitch;
    if (y < 0 || y >= h) {
      std::memset(row, 0, at.columns * pitch * sizeof(float));
      continue;
    }
    std::memset(row, 0, before * pitch * sizeof(float));
    if (inside) read((at.image * h + y) * w + std::max<int64_t>(at.left, 0), inside, row + before * pitch);
    std::memset(row + (before + inside) * pitch, 0, after * pitch * sizeof(float));
  }
}

}  // namespace TT_ISA
