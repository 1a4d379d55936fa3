// What is left to be done to an activation or a gradient, done for itself; sums over pixels; pooling.
#pragma once

#include "sums.h"

namespace TT_ISA {

// act(x + other), each with its scale and shift.
static void apply(int64_t pixels, int64_t c, const Source& x, const Source& other, Activation act, float* to, int64_t step) {
  const int64_t each = pixels_in_piece(c);
  parallel_if_worth(pixels * c, (pixels + each - 1) / each, [&](int64_t piece) {
    const int64_t first = piece * each, last = std::min(pixels, first + each);
    with_kind(act.kind, [&](auto kind) {
      const vec low = fill(act.low), high = fill(act.high);
      by_vectors<4>(c, [&](auto w, int64_t i) {
        const Line<w.n> line(w, x.scale, x.shift, i), other_line(w, other.scale, other.shift, i);
        for (int64_t p = first; p < last; p++)
#pragma GCC unroll 4
          for (int k = 0; k < w.n; k++) {
            vec v = line(k, w.get(x.x + p * x.step + i + k * VL));
            if (other.x) v += other_line(k, w.get(other.x + p * other.step + i + k * VL));
            w.put(to + p * step + i + k * VL, activate<kind.value>(v, low, high));
          }
      });
    });
  });
}

static void apply_grad(int64_t pixels, int64_t c, const GradSource& g, float* to, int64_t step) {
  const int64_t each = pixels_in_piece(c);
  parallel_if_worth(pixels * c, (pixels + each - 1) / each, [&](int64_t piece) {
    const int64_t first = piece * each;
    read_grads(g, first, std::min(each, pixels - first), c, to + first * step, step);
  });
}

static void moments(int64_t pixels, int64_t c, const float* x, int64_t step, Moments to) {
  const int64_t each = pixels_in_piece(c), pieces = (pixels + each - 1) / each;
  Block slots(pieces * 2 * c);
  auto count = [&](int64_t piece) { return std::min(each, pixels - piece * each); };
  parallel_if_worth(pixels * c, pieces, [&](int64_t piece) {
    float* slot = slots.get() + piece * 2 * c;
    moments_of(x + piece * each * step, step, count(piece), c, slot, slot + c);
  });
  merge_moments(slots.get(), pieces, c, count, to);
}

static void grad_sums(int64_t pixels, int64_t c, const GradSource& g, const float* mean, float* sum, float* sum_y) {
  const int64_t each = pixels_in_piece(c), pieces = (pixels + each - 1) / each;
  Block slots(pieces * 2 * c);
  parallel_if_worth(pixels * c, pieces, [&](int64_t piece) {
    float* slot = slots.get() + piece * 2 * c;
    const int64_t first = piece * each, last = std::min(pixels, first + each);
    with_kind(g.of.act.kind, [&](auto kind) {
      by_vectors<2>(c, [&](auto w, int64_t i) {
        const GradLine<kind.value, w.n> line(w, g, i);
        const bool shares = g.shared_by > 1;
        const int64_t step = shares ? 0 : g.step;
        vec m[w.n], total[w.n] = {}, total_y[w.n] = {};
        for (int k = 0; k < w.n; k++) m[k] = mean ? w.get(mean + i + k * VL) : (vec){};
        for (int64_t p = first; p < last;) {
          vec sum[w.n] = {}, sum_y[w.n] = {};
          const int64_t row = p / g.shared_by;  // of the gradients
          const int64_t until = std::min(std::min(p + STRETCH, last), shares ? (row + 1) * g.shared_by : last);
          for (const float* at = g.g + row * g.step + i; p < until; p++, at += step) {
            const float* y = g.of.x + p * g.of.step + i;
            for (int k = 0; k < w.n; k++) {
              const vec v = line.read(w, k, at, y);
              sum[k] += v;
              if (mean) sum_y[k] += v * (w.get(y + k * VL) - m[k]);
            }
          }
          for (int k = 0; k < w.n; k++) total[k] += sum[k], total_y[k] += sum_y[k];
        }
        for (int k = 0; k < w.n; k++) {
          w.put(slot + i + k * VL, total[k]);
          w.put(slot + c + i + k * VL, total_y[k]);
        }
      });
    });
  });
  add_pieces(slots.get(), pieces, 2 * c, c, sum);
  if (mean) add_pieces(slots.get() + c, pieces, 2 * c, c, sum_y);
}

}  // namespace TT_ISA
