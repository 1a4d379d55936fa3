// Reading activations and gradients with what is still to be done to them, into scratch memory.
#pragma once

#include <type_traits>

#include "gemm.h"
#include "kernels.h"
#include "pool.h"

namespace TT_ISA {

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

// Scale and shift of some channels in registers.
template <int N>
struct Line {
  vec scale[N], shift[N];
  bool is_there;
  template <class W>
  Line(W w, const float* scale_at, const float* shift_at, int64_t i) : is_there(scale_at) {
    for (int k = 0; k < N; k++) {
      scale[k] = scale_at ? w.get(scale_at + i + k * VL) : (vec){};
      shift[k] = scale_at ? w.get(shift_at + i + k * VL) : (vec){};
    }
  }
  vec operator()(int k, vec v) const { return is_there ? v * scale[k] + shift[k] : v; }
};

// Pixels of fewer channels than a vector has lanes, side by side in memory, are VL at a time taken for one pixel with VL times
// the channels. That has a channel's factor, or nothing, again and again.
class Repeated {
 public:
  Repeated(const float* factors, int64_t c) : is_there_(factors) {
    for (float* to = floats_; is_there_ && to < floats_ + VL * c; to += c)
      for (int64_t i = 0; i < c; i++) to[i] = factors[i];
  }
  const float* get() const { return is_there_ ? floats_ : nullptr; }

 private:
  float floats_[VL * VL];
  bool is_there_;
};

// Writes `count` pixels from pixel `first` to `to`, `pitch` floats apart, the vectors of a pixel `apart` floats from each
// other. Where vectors have a place of their own (`apart` is not VL) the lanes behind the last channel become zeros.
static void read_pixels(const Source& s, int64_t first, int64_t count, int64_t c, float* to, int64_t pitch,
                        int64_t apart = VL) {
  const float* from = s.x + first * s.step;
  if (s.plain() && pitch == c && s.step == c && apart == VL) {
    std::memcpy(to, from, count * c * sizeof(float));
    return;
  }
  if (c < VL && count >= VL && pitch == c && s.step == c && apart == VL) {
    const Repeated scale(s.scale, c), shift(s.shift, c);
    const int64_t together = count / VL, done = together * VL;
    read_pixels({from, VL * c, scale.get(), shift.get(), s.act}, 0, together, VL * c, to, VL * c);
    return read_pixels(s, first + done, count - done, c, to + done * c, c);
  }
  with_kind(s.act.kind, [&](auto kind) {
    const vec low = fill(s.act.low), high = fill(s.act.high);
    by_vectors<4>(c, [&](auto w, int64_t i) {
      const Line<w.n> line(w, s.scale, s.shift, i);
      const float* x = from + i;
      float* y = to + i / VL * apart;
      for (int64_t p = 0; p < count; p++, x += s.step, y += pitch)
#pragma GCC unroll 4
        for (int k = 0; k < w.n; k++) {
          const vec v = activate<kind.value>(line(k, w.get(x + k * VL)), low, high);
          if (apart == VL) w.put(y + k * VL, v);
          else store(y + k * apart, v);
        }
    });
  });
}

// A GradSource with its factors for some channels in registers.
template <int KIND, int N>
struct GradLine {
  Line<N> at;
  vec alpha[N], beta[N], gamma[N], low, high;
  bool scales, shifts;
  template <class W>
  GradLine(W w, const GradSource& s, int64_t i)
      : at(w, s.of.scale, s.of.shift, i), low(fill(s.of.act.low)), high(fill(s.of.act.high)), scales(s.alpha), shifts(s.beta) {
    for (int k = 0; k < N; k++) {
      alpha[k] = scales ? w.get(s.alpha + i + k * VL) : (vec){};
      beta[k] = shifts ? w.get(s.beta + i + k * VL) : (vec){};
      gamma[k] = shifts ? w.get(s.gamma + i + k * VL) : (vec){};
    }
  }
  template <class W>
  vec read(W w, int k, const float* g, const float* y) const {
    vec v = w.get(g + k * VL), raw = {};
    if (KIND != ACT_NONE || shifts) raw = w.get(y + k * VL);
    if (KIND != ACT_NONE) v = through<KIND>(v, at(k, raw), low, high);
    if (scales) v *= alpha[k];
    if (shifts) v += raw * beta[k] + gamma[k];
    return v;
  }
};

// As `read_pixels`, for a gradient.
static void read_grads(const GradSource& s, int64_t first, int64_t count, int64_t c, float* to, int64_t pitch,
                       int64_t apart = VL) {
  if (s.shared_by > 1) {
    for (int64_t done = 0; done < count;) {
      const int64_t pixel = first + done, image = pixel / s.shared_by;
      const int64_t together = std::min(count - done, (image + 1) * s.shared_by - pixel);
      GradSource one = s;
      one.g += image * s.step, one.step = 0, one.shared_by = 1;
      one.of.x += pixel * s.of.step;
      read_grads(one, 0, together, c, to + done * pitch, pitch, apart);
      done += together;
    }
    return;
  }
  if (s.plain()) {
    Source plain;
    plain.x = s.g, plain.step = s.step;
    read_pixels(plain, first, count, c, to, pitch, apart);
    return;
  }
  if (c < VL && count >= VL && pitch == c && s.step == c && s.of.step == c && apart == VL) {
    const Repeated scale(s.of.scale, c), shift(s.of.shift, c), alpha(s.alpha, c), beta(s.beta, c), gamma(s.gamma, c);
    const int64_t together = count / VL, done = together * VL;
    const Source of{s.of.x + first * c, VL * c, scale.get(), shift.get(), s.of.act};
    read_grads({s.g + first * c, VL * c, of, alpha.get(), beta.get(), gamma.get()}, 0, together, VL * c, to, VL * c);
    return read_grads(s, first + done, count - done, c, to + done * c, c);
  }
  with_kind(s.of.act.kind, [&](auto kind) {
    by_vectors<4>(c, [&](auto w, int64_t i) {
      const GradLine<kind.value, w.n> line(w, s, i);
      const float* g = s.g + first * s.step + i;
      const float* y = s.of.x + first * s.of.step + i;
      float* place = to + i / VL * apart;
      for (int64_t p = 0; p < count; p++, g += s.step, y += s.of.step, place += pitch)
#pragma GCC unroll 4
        for (int k = 0; k < w.n; k++) {
          const vec v = line.read(w, k, g, y);
          if (apart == VL) w.put(place + k * VL, v);
          else store(place + k * apart, v);
        }
    });
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
