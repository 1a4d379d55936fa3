// Depthwise convolution: every channel by itself, a vector of channels at a time.
//
// A band of rows is read into scratch as [block of VL channels][row][column][VL], normalised, activated and padded on the
// way, so that the taps of a pixel lie close together. Backward goes over the input pixels once: what the gradients around
// a pixel give for the input gradient and what they give for the weight gradient are read together.
#pragma once

#include "dense.h"

namespace TT_ISA {

constexpr int64_t BAND_BYTES = 64 << 10;  // of scratch for one block of channels

// Zeros and pixels of a window, blocked by channels; `Read(first, count, to, pitch, vector_step)`.
template <class Read>
static void read_blocks(const Window& at, int64_t h, int64_t w, int64_t blocks, float* to, Read&& read) {
  const int64_t size = at.rows * at.columns * VL;
  int64_t before = std::clamp<int64_t>(-at.left, 0, at.columns);
  int64_t inside = std::clamp<int64_t>(std::min(at.left + at.columns, w) - std::max<int64_t>(at.left, 0), 0, at.columns);
  int64_t after = at.columns - before - inside;
  for (int64_t r = 0; r < at.rows; r++) {
    const int64_t y = at.top + r;
    float* row = to + r * at.columns * VL;
    const bool out = y < 0 || y >= h || inside == 0;
    for (int64_t block = 0; block < blocks; block++) {
      float* place = row + block * size;
      if (out) {
        std::memset(place, 0, at.columns * VL * sizeof(float));
        continue;
      }
      std::memset(place, 0, before * VL * sizeof(float));
      std::memset(place + (before + inside) * VL, 0, after * VL * sizeof(float));
    }
    if (!out) read((at.image * h + y) * w + std::max<int64_t>(at.left, 0), inside, row + before * VL, size);
  }
}

// Rows of bands: as many as fit into BAND_BYTES with what surrounds them.
static Bands depthwise_bands(int64_t n, int64_t h, int64_t w, int64_t row_floats, int64_t stride) {
  Bands bands(n, h, w);
  bands.columns = w, bands.across = 1;
  bands.rows = std::clamp<int64_t>(BAND_BYTES / (int64_t)(4 * std::max<int64_t>(row_floats * stride, 1)) - 2, 2, 32);
  bands.rows = std::max<int64_t>(std::min(bands.rows, h), 1);
  bands.down = (h + bands.rows - 1) / bands.rows;
  bands.rows = std::max<int64_t>((h + bands.down - 1) / bands.down, 1);
  return bands;
}

// Weights as [tap][block][VL], zeros behind the last channel.
static void pack_depthwise(const float* w, int64_t c, int64_t taps, int64_t blocks, float* to) {
  std::memset(to, 0, taps * blocks * VL * sizeof(float));
  for (int64_t i = 0; i < c; i++)
    for (int64_t tap = 0; tap < taps; tap++) to[tap * blocks * VL + i] = w[i * taps + tap];
}

struct TapList {
  int count;
  const int64_t* offset;  // floats from a pixel's place
  const vec* w;
};

// A row of results, and the moments' running sums of what is `shift` apart.
template <int N>
static void depthwise_row(const TapList& taps, const float* from, int64_t step, int64_t count, float* to, int64_t to_step,
                          int64_t left, const float* bias, vec shift, vec& sum, vec& square) {
  const int n = N ? N : taps.count;
  vec w[N ? N : 1];
  int64_t offset[N ? N : 1];
  for (int t = 0; t < N; t++) w[t] = taps.w[t], offset[t] = taps.offset[t];
  const vec start = bias ? load_some(bias, left) : (vec){};
  for (int64_t i = 0; i < count; i++) {
    const float* at = from + i * step;
    vec a = start, b = {};
#pragma GCC unroll 26
    for (int t = 0; t < n; t++) {
      const vec product = load(at + (N ? offset[t] : taps.offset[t])) * (N ? w[t] : taps.w[t]);
      if (t & 1) b += product;
      else a += product;
    }
    a += b;
    store_some(to + i * to_step, a, left);
    const vec d = a - shift;
    sum += d;
    square += d * d;
  }
}

static void conv_forward_depthwise(const Geometry& g, const Source& x, const float* w, const float* bias, float* y,
                                   Moments moments) {
  const int64_t taps = g.kh * g.kw, blocks = (g.c + VL - 1) / VL;
  const int64_t in_columns = (g.ow - 1) * g.sw + (g.kw - 1) * g.dw + 1;
  const Bands bands = depthwise_bands(g.n, g.oh, g.ow, in_columns * VL, g.sh);
  Block packed(taps * blocks * VL);
  pack_depthwise(w, g.c, taps, blocks, packed.get());
  Block slots(moments.mean ? bands.count() * 2 * g.c : 1);
  parallel(bands.count(), [&](int64_t band) {
    const Window out = bands.at(band);
    const Window in{out.image, out.top * g.sh - g.ph, -g.pw, (out.rows - 1) * g.sh + (g.kh - 1) * g.dh + 1, in_columns};
    const int64_t size = in.rows * in.columns * VL;
    float* source = scratch(SCRATCH_SOURCE, blocks * size);
    read_blocks(in, g.h, g.w, blocks, source, [&](int64_t first, int64_t count, float* to, int64_t vector_step) {
      read_pixels(x, first, count, g.c, to, VL, vector_step);
    });
    const Offsets offset(SCRATCH_RUNS, taps);
    for (int64_t t = 0; t < taps; t++) offset[t] = (t / g.kw * g.dh * in_columns + t % g.kw * g.dw) * VL;
    vec* filters = reinterpret_cast<vec*>(scratch(SCRATCH_OTHER, taps * VL));
    for (int64_t block = 0; block < blocks; block++) {
      const int64_t channel = block * VL, left = g.c - channel;
      for (int64_t t = 0; t < taps; t++) filters[t] = load(packed.get() + (t * blocks + block) * VL);
      const TapList list{(int)taps, offset.get(), filters};
      vec shift = {}, sum = {}, square = {};
      for (int64_t r = 0; r < out.rows; r++) {
        const float* from = source + block * size + r * g.sh * in.columns * VL;
        float* to = y + (bands.first(out) + r * g.ow) * g.c + channel;
        const float* b = bias ? bias + channel : nullptr;
        if (r == 0 && moments.mean) {
          vec none = {};
          depthwise_row<0>(list, from, g.sw * VL, 1, to, g.c, left, b, none, sum, square);
          shift = load_some(to, left), sum = square = (vec){};
        }
        auto row = taps == 9 ? depthwise_row<9> : taps == 25 ? depthwise_row<25> : depthwise_row<0>;
        row(list, from, g.sw * VL, g.ow, to, g.c, left, b, shift, sum, square);
      }
      if (moments.mean) {  // about a value of the band itself: M2 is right to n times the rounding, whatever the mean is
        const float count = (float)(out.rows * out.columns);
        float* slot = slots.get() + band * 2 * g.c + channel;
        store_some(slot, shift + sum / count, left);
        vec m2 = square - sum * sum / count;
        store_some(slot + g.c, select(m2 < (vec){}, (vec){}, m2), left);
      }
    }
  });
  if (moments.mean)
    merge_moments(slots.get(), bands.count(), g.c, [&](int64_t band) { return bands.pixels(band); }, moments);
}

// What a block of channels gathers over a part of the bands.
struct DepthwiseSums {
  vec* grad_w;  // one for each tap
  vec sum, sum_y;
};

// Input pixels of a row that meet the same taps: `count` of them, `apart` pixels from one to the next, from pixel `pixel`.
template <int N, int KIND, int THROUGH>
static void depthwise_grad_row(const TapList& taps, const int64_t* tap_number, const float* g, const Source& x,
                               const GradSink& sink, int64_t pixel, int64_t apart, int64_t count, int64_t channel,
                               int64_t left, DepthwiseSums& sums) {
  const int n = N ? N : taps.count;
  vec w[N ? N : 1], grad_w[N ? N : 1];
  int64_t offset[N ? N : 1];
  for (int t = 0; t < N; t++) w[t] = taps.w[t], offset[t] = taps.offset[t], grad_w[t] = (vec){};
  vec scale = {}, shift = {}, scale_t = {}, shift_t = {}, mean = {};
  if (x.scale) scale = load_some(x.scale + channel, left), shift = load_some(x.shift + channel, left);
  if (sink.through.scale)
    scale_t = load_some(sink.through.scale + channel, left), shift_t = load_some(sink.through.shift + channel, left);
  if (sink.y) mean = load_some(sink.mean + channel, left);
  const vec low = fill(x.act.low), high = fill(x.act.high);
  const vec low_t = fill(sink.through.act.low), high_t = fill(sink.through.act.high);
  vec sum = sums.sum, sum_y = sums.sum_y;
  for (int64_t i = 0; i < count; i++) {
    const int64_t p = pixel + i * apart;
    vec v = load_some(x.x + p * x.step + channel, left);
    if (x.scale) v = v * scale + shift;
    v = activate<KIND>(v, low, high);
    const float* at = g + i * VL;
    vec a = {}, b = {};
#pragma GCC unroll 26
    for (int t = 0; t < n; t++) {
      const vec gradient = load(at + (N ? offset[t] : taps.offset[t]));
      if (t & 1) b += gradient * (N ? w[t] : taps.w[t]);
      else a += gradient * (N ? w[t] : taps.w[t]);
      if (N) grad_w[t] += gradient * v;
      else sums.grad_w[tap_number[t]] += gradient * v;
    }
    a += b;
    if (!sink.to) continue;
    if (sink.add) a += load_some(sink.add + p * sink.add_step + channel, left);
    if (THROUGH != ACT_NONE) {
      vec m = load_some(sink.through.x + p * sink.through.step + channel, left);
      if (sink.through.scale) m = m * scale_t + shift_t;
      a = through<THROUGH>(a, m, low_t, high_t);
    }
    store_some(sink.to + p * sink.step + channel, a, left);
    if (sink.y) {
      sum += a;
      sum_y += a * (load_some(sink.y + p * sink.y_step + channel, left) - mean);
    }
  }
  for (int t = 0; t < N; t++) sums.grad_w[tap_number[t]] += grad_w[t];
  sums.sum = sum, sums.sum_y = sum_y;
}

typedef void (*DepthwiseGradRow)(const TapList&, const int64_t*, const float*, const Source&, const GradSink&, int64_t, int64_t,
                                 int64_t, int64_t, int64_t, DepthwiseSums&);

template <int KIND, int THROUGH>
static DepthwiseGradRow depthwise_grad_row_of(int taps) {
  switch (taps) {
    case 1: return depthwise_grad_row<1, KIND, THROUGH>;
    case 2: return depthwise_grad_row<2, KIND, THROUGH>;
    case 4: return depthwise_grad_row<4, KIND, THROUGH>;
    case 6: return depthwise_grad_row<6, KIND, THROUGH>;
    case 9: return depthwise_grad_row<9, KIND, THROUGH>;
    default: return depthwise_grad_row<0, KIND, THROUGH>;
  }
}

static void conv_backward_depthwise(const Geometry& g, const GradSource& grads, const Source& x, const float* w,
                                    const GradSink& sink, float* grad_w) {
  const int64_t taps = g.kh * g.kw, blocks = (g.c + VL - 1) / VL;
  const Window whole = reaching(g, {0, 0, 0, g.h, g.w});
  const Bands bands = depthwise_bands(g.n, g.h, g.w, whole.columns * VL, 1);
  const int64_t parts = num_parts(bands.count());
  Block packed(taps * blocks * VL), sums(parts * (taps + 2) * blocks * VL);
  pack_depthwise(w, g.c, taps, blocks, packed.get());
  parallel(parts, [&](int64_t part) {
    float* own = sums.get() + part * (taps + 2) * blocks * VL;  // [tap, sum, sum_y][block][VL]
    std::memset(own, 0, (taps + 2) * blocks * VL * sizeof(float));
    const Offsets offset(SCRATCH_RUNS, taps), number(SCRATCH_PLACES, taps);
    vec* memory = reinterpret_cast<vec*>(scratch(SCRATCH_OTHER, (2 * taps) * VL));
    vec *filters = memory, *gathered = memory + taps;
    for (int64_t band = bands.count() * part / parts; band < bands.count() * (part + 1) / parts; band++) {
      const Window at = bands.at(band), from = reaching(g, at);
      const int64_t size = from.rows * from.columns * VL;
      float* source = scratch(SCRATCH_GRAD, blocks * size + VL);
      read_blocks(from, g.oh, g.ow, blocks, source, [&](int64_t first, int64_t count, float* to, int64_t vector_step) {
        read_grads(grads, first, count, g.c, to, VL, vector_step);
      });
      for (int64_t block = 0; block < blocks; block++) {
        const int64_t channel = block * VL, left = g.c - channel;
        float* place = own + block * VL;
        DepthwiseSums found{gathered, load(place + taps * blocks * VL), load(place + (taps + 1) * blocks * VL)};
        for (int64_t t = 0; t < taps; t++) gathered[t] = load(place + t * blocks * VL);
        for (int64_t r = 0; r < at.rows; r++)
          for (int64_t phase = 0; phase < std::min(g.sw, g.w); phase++) {
            int count = 0;
            for (int64_t kh = 0; kh < g.kh; kh++) {
              const int64_t oy = at.top + r + g.ph - kh * g.dh;
              if (oy % g.sh) continue;
              for (int64_t kw = 0; kw < g.kw; kw++) {
                const int64_t ox = phase + g.pw - kw * g.dw;
                if (ox % g.sw) continue;
                offset[count] = ((oy / g.sh - from.top) * from.columns + ox / g.sw - from.left) * VL;
                number[count] = kh * g.kw + kw;
                filters[count] = load(packed.get() + (number[count] * blocks + block) * VL);
                count++;
              }
            }
            const TapList list{count, offset.get(), filters};
            const int64_t pixel = (at.image * g.h + at.top + r) * g.w + phase;
            with_kind(x.act.kind, [&](auto kind) {
              // The gradient passes the activation that the input came through, or one that is given already applied.
              const bool same = sink.through.act.kind == kind.value;
              auto row = sink.through.act.kind == ACT_NONE ? depthwise_grad_row_of<kind.value, ACT_NONE>(count)
                         : same                            ? depthwise_grad_row_of<kind.value, kind.value>(count)
                                                           : nullptr;
              if (!row) {
                with_kind(sink.through.act.kind, [&](auto other) { row = depthwise_grad_row<0, kind.value, other.value>; });
              }
              row(list, number.get(), source + block * size, x, sink, pixel, g.sw, (g.w - phase + g.sw - 1) / g.sw, channel,
                  left, found);
            });
          }
        for (int64_t t = 0; t < taps; t++) store(place + t * blocks * VL, gathered[t]);
        store(place + taps * blocks * VL, found.sum);
        store(place + (taps + 1) * blocks * VL, found.sum_y);
      }
    }
  });
  const int64_t apart = (taps + 2) * blocks * VL;
  if (sink.y) {
    add_pieces(sums.get() + taps * blocks * VL, parts, apart, g.c, sink.sum);
    add_pieces(sums.get() + (taps + 1) * blocks * VL, parts, apart, g.c, sink.sum_y);
  }
  if (grad_w)
    for (int64_t i = 0; i < g.c; i++)
      for (int64_t t = 0; t < taps; t++) {
        float sum = 0;
        for (int64_t part = 0; part < parts; part++) sum += sums.get()[part * apart + t * blocks * VL + i];
        grad_w[i * taps + t] = sum;
      }
}

}  // namespace TT_ISA
