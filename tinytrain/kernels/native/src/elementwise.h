// What is left to be done to an activation or a gradient, done for itself; sums over pixels; pooling.
#pragma once

#include "sums.h"

namespace TT_ISA {

constexpr int64_t PIECE_FLOATS = 16 << 10;  // 64 KiB of each operand

static int64_t pixels_in_piece(int64_t c) { return std::max<int64_t>(PIECE_FLOATS / std::max<int64_t>(c, 1), 1); }

static inline vec read_source(const Source& s, int64_t p, int64_t i, int64_t left) {
  vec v = load_some(s.x + p * s.step + i, left);
  if (s.scale) v = v * load_some(s.scale + i, left) + load_some(s.shift + i, left);
  return v;
}

// act(x + other), each with its scale and shift.
static void apply(int64_t pixels, int64_t c, const Source& x, const Source& other, Activation act, float* to, int64_t step) {
  const int64_t each = pixels_in_piece(c);
  parallel((pixels + each - 1) / each, [&](int64_t piece) {
    with_kind(act.kind, [&](auto kind) {
      const vec low = fill(act.low), high = fill(act.high);
      for (int64_t p = piece * each; p < std::min(pixels, (piece + 1) * each); p++)
        for (int64_t i = 0; i < c; i += VL) {
          vec v = read_source(x, p, i, c - i);
          if (other.x) v += read_source(other, p, i, c - i);
          store_some(to + p * step + i, activate<kind.value>(v, low, high), c - i);
        }
    });
  });
}

static void apply_grad(int64_t pixels, int64_t c, const GradSource& g, float* to, int64_t step) {
  const int64_t each = pixels_in_piece(c);
  parallel((pixels + each - 1) / each, [&](int64_t piece) {
    with_kind(g.of.act.kind, [&](auto kind) {
      const vec low = fill(g.of.act.low), high = fill(g.of.act.high);
      for (int64_t p = piece * each; p < std::min(pixels, (piece + 1) * each); p++)
        for (int64_t i = 0; i < c; i += VL)
          store_some(to + p * step + i,
                     read_grad<kind.value>(g, g.g + p * g.step, g.of.x + p * g.of.step, i, c - i, low, high), c - i);
    });
  });
}

static void moments(int64_t pixels, int64_t c, const float* x, int64_t step, Moments to) {
  const int64_t each = pixels_in_piece(c), pieces = (pixels + each - 1) / each;
  Block slots(pieces * 2 * c);
  auto count = [&](int64_t piece) { return std::min(each, pixels - piece * each); };
  parallel(pieces, [&](int64_t piece) {
    float* slot = slots.get() + piece * 2 * c;
    moments_of(x + piece * each * step, step, count(piece), c, slot, slot + c);
  });
  merge_moments(slots.get(), pieces, c, count, to);
}

static void grad_sums(int64_t pixels, int64_t c, const GradSource& g, const float* mean, float* sum, float* sum_y) {
  const int64_t each = pixels_in_piece(c), pieces = (pixels + each - 1) / each;
  Block slots(pieces * 2 * c);
  GradSource bare = g;
  bare.alpha = nullptr;
  parallel(pieces, [&](int64_t piece) {
    float* slot = slots.get() + piece * 2 * c;
    with_kind(g.of.act.kind, [&](auto kind) {
      const vec low = fill(g.of.act.low), high = fill(g.of.act.high);
      for (int64_t i = 0; i < c; i += VL) {
        const int64_t left = c - i;
        const vec m = mean ? load_some(mean + i, left) : (vec){};
        vec total = {}, total_y = {};
        for (int64_t p = piece * each; p < std::min(pixels, (piece + 1) * each); p++) {
          const float* y = g.of.x + p * g.of.step;
          vec v = read_grad<kind.value>(bare, g.g + p * g.step, y, i, left, low, high);
          total += v;
          if (mean) total_y += v * (load_some(y + i, left) - m);
        }
        store_some(slot + i, total, left);
        if (mean) store_some(slot + c + i, total_y, left);
      }
    });
  });
  add_pieces(slots.get(), pieces, 2 * c, c, sum);
  if (mean) add_pieces(slots.get() + c, pieces, 2 * c, c, sum_y);
}

}  // namespace TT_ISA
