// Maximum over sliding windows with the winning tap, and the mean over all pixels of an image.
#pragma once

#include "elementwise.h"

namespace TT_ISA {

// As the reference: the first winning tap, or the last NaN.
static void max_pool(const PoolGeometry& g, const Source& x, float* y, uint8_t* winners) {
  parallel_if_worth(g.n * g.h * g.w * g.c, g.n * g.oh, [&](int64_t piece) {
    const int64_t image = piece / g.oh, oy = piece % g.oh;
    with_kind(x.act.kind, [&](auto kind) {
      const vec low = fill(x.act.low), high = fill(x.act.high);
      for (int64_t ox = 0; ox < g.ow; ox++) {
        const int64_t out = (piece * g.ow + ox) * g.c;
        for (int64_t i = 0; i < g.c; i += VL) {
          const int64_t left = g.c - i;
          vec scale = {}, shift = {};
          if (x.scale) scale = load_some(x.scale + i, left), shift = load_some(x.shift + i, left);
          vec best = fill(-__builtin_inff());
          mask winner = (mask){} - 1;
          for (int64_t kh = 0; kh < g.kh; kh++) {
            const int64_t iy = oy * g.sh - g.ph + kh * g.dh;
            if (iy < 0 || iy >= g.h) continue;
            for (int64_t kw = 0; kw < g.kw; kw++) {
              const int64_t ix = ox * g.sw - g.pw + kw * g.dw;
              if (ix < 0 || ix >= g.w) continue;
              vec v = load_some(x.x + ((image * g.h + iy) * g.w + ix) * x.step + i, left);
              if (x.scale) v = v * scale + shift;
              v = activate<kind.value>(v, low, high);
              const mask wins = (v > best) | (v != v) | ((v == best) & (winner < 0));
              best = select(wins, v, best);
              winner = wins ? (mask){} + (int)(kh * g.kw + kw) : winner;
            }
          }
          store_some(y + out + i, best, left);
          if (winners)
            for (int k = 0; k < (left < VL ? (int)left : VL); k++) winners[out + i + k] = (uint8_t)winner[k];
        }
      }
    });
  });
}

static void max_pool_grad(const PoolGeometry& g, const float* grads, int64_t step, const uint8_t* winners, float* grad) {
  parallel_if_worth(g.n * g.h * g.w * g.c, g.n * g.h, [&](int64_t piece) {  // every input row gathers from the windows that cover it
    const int64_t image = piece / g.h, iy = piece % g.h;
    float* to = grad + piece * g.w * g.c;
    std::memset(to, 0, g.w * g.c * sizeof(float));
    for (int64_t kh = g.kh - 1; kh >= 0; kh--) {
      const int64_t y = iy + g.ph - kh * g.dh;
      if (y < 0 || y % g.sh || y / g.sh >= g.oh) continue;
      for (int64_t ox = 0; ox < g.ow; ox++) {
        const int64_t window = (image * g.oh + y / g.sh) * g.ow + ox;
        for (int64_t kw = 0; kw < g.kw; kw++) {
          const int64_t ix = ox * g.sw - g.pw + kw * g.dw;
          if (ix < 0 || ix >= g.w) continue;
          const int tap = (int)(kh * g.kw + kw);
          const uint8_t* won = winners + window * g.c;
          const float* from = grads + window * step;
          float* pixel = to + ix * g.c;
          for (int64_t i = 0; i < g.c; i++) pixel[i] += won[i] == tap ? from[i] : 0.0f;
        }
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
