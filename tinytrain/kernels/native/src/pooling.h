// Maximum over sliding windows with the winning tap, and the mean over all pixels of an image.
#pragma once

#include "elementwise.h"

namespace TT_ISA {

// The taps of a window along one axis that lie inside the input.
struct Inside {
  int64_t first, last;
  Inside(int64_t start, int64_t taps, int64_t dilation, int64_t size) : first(0), last(taps - 1) {
    if (start >= 0 && start + last * dilation < size) return;  // most do; a division takes longer than some windows
    first = start < 0 ? (-start + dilation - 1) / dilation : 0;
    last = start >= size ? -1 : std::min(taps - 1, (size - 1 - start) / dilation);
  }
};

// As the reference: the first winning tap, or the last NaN.
static void max_pool(const PoolGeometry& g, const Source& x, float* y, uint8_t* winners) {
  parallel_if_worth(g.n * g.h * g.w * g.c, g.n * g.oh, [&](int64_t piece) {
    const int64_t image = piece / g.oh, top = piece % g.oh * g.sh - g.ph;
    const Inside rows(top, g.kh, g.dh, g.h);
    with_kind(x.act.kind, [&](auto kind) {
      const vec low = fill(x.act.low), high = fill(x.act.high);
      for (int64_t ox = 0; ox < g.ow; ox++) {
        const int64_t left = ox * g.sw - g.pw;
        const Inside columns(left, g.kw, g.dw, g.w);
        by_vectors<1>(g.c, [&](auto part, int64_t i) {
          const Line<1> line(part, x.scale, x.shift, i);
          const int64_t out = (piece * g.ow + ox) * g.c + i;
          vec best = fill(-__builtin_inff());
          mask winner = (mask){} + (int)(rows.first * g.kw + columns.first);
          for (int64_t kh = rows.first; kh <= rows.last; kh++) {
            const float* from = x.x + ((image * g.h + top + kh * g.dh) * g.w + left) * x.step + i;
            for (int64_t kw = columns.first; kw <= columns.last; kw++) {
              const vec v = activate<kind.value>(line(0, part.get(from + kw * g.dw * x.step)), low, high);
              const mask wins = (v > best) | (v != v);
              best = select(wins, v, best);
              winner = wins ? (mask){} + (int)(kh * g.kw + kw) : winner;
            }
          }
          part.put(y + out, best);
          if (winners) {
            const small_mask narrow = __builtin_convertvector(winner, small_mask);
            std::memcpy(winners + out, &narrow, part.lanes());
          }
        });
      }
    });
  });
}

static void max_pool_grad(const PoolGeometry& g, const float* grads, int64_t step, const uint8_t* winners, float* grad) {
  parallel_if_worth(g.n * g.h * g.w * g.c, g.n * g.h, [&](int64_t piece) {  // a row gathers from the windows over it
    const int64_t image = piece / g.h, iy = piece % g.h;
    float* to = grad + piece * g.w * g.c;
    std::memset(to, 0, g.w * g.c * sizeof(float));
    for (int64_t kh = g.kh - 1; kh >= 0; kh--) {
      const int64_t y = iy + g.ph - kh * g.dh;
      if (y < 0 || y % g.sh || y / g.sh >= g.oh) continue;
      for (int64_t ox = 0; ox < g.ow; ox++) {
        const int64_t left = ox * g.sw - g.pw, window = (image * g.oh + y / g.sh) * g.ow + ox;
        const Inside columns(left, g.kw, g.dw, g.w);
        by_vectors<1>(g.c, [&](auto part, int64_t i) {
          const vec value = part.get(grads + window * step + i);
          small_mask narrow = {};
          std::memcpy(&narrow, winners + window * g.c + i, part.lanes());
          const mask won = __builtin_convertvector(narrow, mask) - (int)(kh * g.kw);
          for (int64_t kw = columns.first; kw <= columns.last; kw++) {
            float* pixel = to + (left + kw * g.dw) * g.c + i;
            part.put(pixel, part.get(pixel) + select(won == (int)kw, value, (vec){}));
          }
        });
      }
    }
  });
}

static void mean_pixels(int64_t n, int64_t pixels, int64_t c, const Source& x, float* y) {
  const float inverse = 1.0f / (float)pixels;
  parallel_if_worth(n * pixels * c, n, [&](int64_t image) {
    with_kind(x.act.kind, [&](auto kind) {
      const vec low = fill(x.act.low), high = fill(x.act.high);
      by_vectors<2>(c, [&](auto w, int64_t i) {
        const Line<w.n> line(w, x.scale, x.shift, i);
        vec sum[w.n] = {};
        for (int64_t p = image * pixels; p < (image + 1) * pixels; p++)
          for (int k = 0; k < w.n; k++) sum[k] += activate<kind.value>(line(k, w.get(x.x + p * x.step + i + k * VL)), low, high);
        for (int k = 0; k < w.n; k++) w.put(y + image * c + i + k * VL, sum[k] * inverse);
      });
    });
  });
}

}  // namespace TT_ISA
