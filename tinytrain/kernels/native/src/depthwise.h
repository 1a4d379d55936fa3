// Depthwise convolution: every channel by itself, a vector of channels at a time.
//
// A band of rows is read into scratch as [block of VL channels][row][column][VL], normalised, activated and padded on the
// way, so that the taps of a pixel lie close together. Backward goes over the input pixels once: what the gradients around
// a pixel give for the input gradient and what they give for the weight gradient are read together.
#pragma once

#include "dense.h"

namespace TT_ISA {

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

// Writes `count` pixels from pixel `first`, which lie blocked by channels, to where pixels lie whole: line after line, as
// memory likes it.
static void write_blocks(const float* from, int64_t apart, int64_t first, int64_t count, int64_t c, float* to, int64_t step) {
  to += first * step;
  for (int64_t p = 0; p < count; p++, from += VL, to += step)
    for (int64_t i = 0, j = 0; i < c; i += VL, j += apart) store_some(to + i, load(from + j), c - i);
}

// Bands of whole rows: as many as leave all channels of input and output in the core's own cache.
static Bands depthwise_bands(int64_t n, int64_t h, int64_t w, int64_t row_floats) {
  Bands bands(VectorProducts::BAND_PIXELS, n, h, w);
  bands.columns = w, bands.across = 1;
  bands.rows = std::clamp<int64_t>(NEAR_FLOATS / 2 / std::max<int64_t>(row_floats, 1), 4, 32);
  bands.rows = std::max<int64_t>(std::min(bands.rows, h), 1);
  bands.down = (h + bands.rows - 1) / bands.rows;
  bands.rows = std::max<int64_t>((h + bands.down - 1) / std::max<int64_t>(bands.down, 1), 1);
  return bands;
}

struct TapList {
  int count;
  const int64_t* offset;  // floats from a pixel's place
  const vec* w;
};

// Sums about `shift`, a value of the band itself: M2 is right to n times the rounding, whatever the mean is.
struct Gathered {
  vec shift = {}, sum = {}, square = {};
  void add(vec v) {
    const vec d = v - shift;
    sum += d;
    square += d * d;
  }
};

static void depthwise_row(const TapList& taps, const float* from, int64_t step, int64_t count, float* to, vec start,
                          Gathered& gathered) {
  for (int64_t i = 0; i < count; i++) {
    vec a = start;
    for (int t = 0; t < taps.count; t++) a += load(from + i * step + taps.offset[t]) * taps.w[t];
    store(to + i * VL, a);
    gathered.add(a);
  }
}

// A row of results of a K x K kernel with dilation 1, R results at a time so that what they share is loaded once.
template <int K, int S, int R>
static void depthwise_square_row(const TapList& taps, const float* from, int64_t row, int64_t count, float* to, vec start,
                                 Gathered& gathered) {
  vec w[K * K];
  for (int t = 0; t < K * K; t++) w[t] = taps.w[t];
  int64_t i = 0;
  for (; i + R <= count; i += R) {
    vec sum[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) sum[r] = start;
#pragma GCC unroll 5
    for (int y = 0; y < K; y++)
#pragma GCC unroll 16
      for (int x = 0; x < (R - 1) * S + K; x++) {
        const vec v = load(from + i * S * VL + y * row + x * VL);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
          if (x - r * S >= 0 && x - r * S < K) sum[r] += v * w[y * K + x - r * S];
      }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
      store(to + (i + r) * VL, sum[r]);
      gathered.add(sum[r]);
    }
  }
  depthwise_row(taps, from + i * S * VL, S * VL, count - i, to + i * VL, start, gathered);
}

static void conv_forward_depthwise(const Geometry& g, const Source& x, const float* w, const float* bias, float* y,
                                   Moments moments) {
  const int64_t taps = g.kh * g.kw, blocks = (g.c + VL - 1) / VL;
  const int64_t in_columns = (g.ow - 1) * g.sw + (g.kw - 1) * g.dw + 1;
  const Bands bands = depthwise_bands(g.n, g.oh, g.ow, (in_columns * g.sh + g.ow) * blocks * VL);
  Block packed(taps * blocks * VL);  // [block][tap][VL]
  std::memset(packed.get(), 0, taps * blocks * VL * sizeof(float));
  for (int64_t i = 0; i < g.c; i++)
    for (int64_t t = 0; t < taps; t++) packed.get()[(i / VL * taps + t) * VL + i % VL] = w[i * taps + t];
  Block slots(moments.mean ? bands.count() * 2 * g.c : 1);
  const bool square = g.kh == g.kw && g.dh == 1 && g.dw == 1 && g.sw <= 2;
  parallel_if_worth(work_of(g), bands.count(), [&](int64_t band) {
    const Window out = bands.at(band);
    const Window in{out.image, out.top * g.sh - g.ph, -g.pw, (out.rows - 1) * g.sh + (g.kh - 1) * g.dh + 1, in_columns};
    const int64_t size = in.rows * in.columns * VL, row = in.columns * VL, out_size = out.rows * g.ow * VL;
    float* source = scratch(SCRATCH_SOURCE, blocks * size);
    float* results = scratch(SCRATCH_TILE, blocks * out_size);
    read_blocks(in, g.h, g.w, blocks, source, [&](int64_t first, int64_t count, float* to, int64_t apart) {
      read_pixels(x, first, count, g.c, to, VL, apart);
    });
    Ahead ahead;
    if (band + 1 < bands.count()) {  // the band that this thread is likely to have next
      const Window next = bands.at(band + 1);
      fetch_window(ahead, read_by(g, next), g.h, g.w, x);
      ahead.add(y + bands.first(next) * g.c, next.rows * g.ow * g.c, true);
      ahead.spread(blocks * out.rows);
    }
    const Offsets offset(SCRATCH_RUNS, taps);
    for (int64_t t = 0; t < taps; t++) offset[t] = t / g.kw * g.dh * row + t % g.kw * g.dw * VL;
    for (int64_t block = 0; block < blocks; block++) {
      const int64_t channel = block * VL, left = g.c - channel;
      const TapList list{(int)taps, offset.get(), reinterpret_cast<const vec*>(packed.get() + block * taps * VL)};
      const vec start = bias ? load_some(bias + channel, left) : (vec){};
      Gathered gathered;
      float* to = results + block * out_size;
      if (moments.mean) {
        Gathered none;
        depthwise_row(list, source + block * size, g.sw * VL, 1, to, start, none);
        gathered.shift = load(to);
      }
      for (int64_t r = 0; r < out.rows; r++, to += g.ow * VL) {
        const float* from = source + block * size + r * g.sh * row;
        if (square && g.kw == 3 && g.sw == 1) depthwise_square_row<3, 1, 4>(list, from, row, g.ow, to, start, gathered);
        else if (square && g.kw == 3) depthwise_square_row<3, 2, 4>(list, from, row, g.ow, to, start, gathered);
        else if (square && g.kw == 5 && g.sw == 1) depthwise_square_row<5, 1, 2>(list, from, row, g.ow, to, start, gathered);
        else if (square && g.kw == 5) depthwise_square_row<5, 2, 2>(list, from, row, g.ow, to, start, gathered);
        else depthwise_row(list, from, g.sw * VL, g.ow, to, start, gathered);
        ahead.fetch();
      }
      if (moments.mean) {
        const float count = (float)(out.rows * out.columns);
        float* slot = slots.get() + band * 2 * g.c + channel;
        store_some(slot, gathered.shift + gathered.sum / count, left);
        const vec m2 = gathered.square - gathered.sum * gathered.sum / count;
        store_some(slot + g.c, select(m2 < (vec){}, (vec){}, m2), left);
      }
    }
    write_blocks(results, out_size, bands.first(out), out.rows * g.ow, g.c, y, g.c);
  });
  if (moments.mean)
    merge_moments(slots.get(), bands.count(), g.c, [&](int64_t band) { return bands.pixels(band); }, moments);
}

// What a block of channels gathers over a part of the bands.
struct DepthwiseSums {
  vec* grad_w;  // one for each tap
  vec sum, sum_y;
};

// What the pixels of a block of channels go through: the input's line and activation, and the sink's.
struct DepthwiseThrough {
  Line<1> line;
  vec low, high, mean;
};

// Input pixels of a row that meet the same taps: `count` of them, `apart` pixels from one to the next. Each is read at `x`,
// raw, and its gradient is written in its place.
template <int N, int KIND>
static void depthwise_grad_row(const TapList& taps, const float* g, float* x, int64_t apart, int64_t count, bool masks,
                               const DepthwiseThrough& by, DepthwiseSums& sums) {
  const int n = N ? N : taps.count;
  vec w[N ? N : 1], grad_w[N ? N : 1];
  int64_t offset[N ? N : 1];
  for (int t = 0; t < N; t++) w[t] = taps.w[t], offset[t] = taps.offset[t], grad_w[t] = (vec){};
  vec sum = {}, sum_y = {};
  const DepthwiseThrough through_here = by;
  for (int64_t i = 0; i < count; i++) {
    float* place = x + i * apart * VL;
    const vec raw = load(place), at = through_here.line(0, raw);
    const vec v = activate<KIND>(at, through_here.low, through_here.high);
    const float* from = g + i * VL;
    vec a = {}, b = {};
#pragma GCC unroll 9
    for (int t = 0; t < n; t++) {
      const vec gradient = load(from + (N ? offset[t] : taps.offset[t]));
      if (t & 1) b += gradient * (N ? w[t] : taps.w[t]);
      else a += gradient * (N ? w[t] : taps.w[t]);
      if (N) grad_w[t] += gradient * v;
      else sums.grad_w[t] += gradient * v;
    }
    a += b;
    if (masks) a = through<KIND>(a, at, through_here.low, through_here.high);
    store(place, a);
    sum += a;
    sum_y += a * (raw - through_here.mean);
  }
  for (int t = 0; t < N; t++) sums.grad_w[t] += grad_w[t];
  sums.sum += sum, sums.sum_y += sum_y;
}

// The same for a 3x3 kernel with stride 1 away from the ends of a row, two pixels at a time: they share six gradients.
template <int KIND>
static void depthwise_grad_row_3x3(const TapList& taps, const float* g, int64_t row, float* x, int64_t count, bool masks,
                                   const DepthwiseThrough& by, DepthwiseSums& sums) {
  vec w[9], grad_w[9];
  for (int t = 0; t < 9; t++) w[t] = taps.w[t], grad_w[t] = (vec){};
  vec sum = {}, sum_y = {};
  const DepthwiseThrough here = by;
  for (int64_t i = 0; i < count; i += 2) {
    float* place = x + i * VL;
    const vec raw[2] = {load(place), load(place + VL)};
    const vec at[2] = {here.line(0, raw[0]), here.line(0, raw[1])};
    const vec v[2] = {activate<KIND>(at[0], here.low, here.high), activate<KIND>(at[1], here.low, here.high)};
    vec a[2] = {};
#pragma GCC unroll 3
    for (int y = 0; y < 3; y++)
#pragma GCC unroll 4
      for (int c = 0; c < 4; c++) {
        const vec gradient = load(g + i * VL + y * row + c * VL);
        // Tap (2 - y, 2 - c) of the first pixel, (2 - y, 3 - c) of the second.
        if (c < 3) {
          a[0] += gradient * w[8 - 3 * y - c];
          grad_w[8 - 3 * y - c] += gradient * v[0];
        }
        if (c > 0) {
          a[1] += gradient * w[9 - 3 * y - c];
          grad_w[9 - 3 * y - c] += gradient * v[1];
        }
      }
#pragma GCC unroll 2
    for (int r = 0; r < 2; r++) {
      if (masks) a[r] = through<KIND>(a[r], at[r], here.low, here.high);
      store(place + r * VL, a[r]);
      sum += a[r];
      sum_y += a[r] * (raw[r] - here.mean);
    }
  }
  for (int t = 0; t < 9; t++) sums.grad_w[t] += grad_w[t];
  sums.sum += sum, sums.sum_y += sum_y;
}

typedef void (*DepthwiseGradRow)(const TapList&, const float*, float*, int64_t, int64_t, bool, const DepthwiseThrough&,
                                 DepthwiseSums&);

template <int KIND>
static DepthwiseGradRow depthwise_grad_row_of(int taps) {
  switch (taps) {
    case 1: return depthwise_grad_row<1, KIND>;
    case 2: return depthwise_grad_row<2, KIND>;
    case 4: return depthwise_grad_row<4, KIND>;
    case 6: return depthwise_grad_row<6, KIND>;
    case 9: return depthwise_grad_row<9, KIND>;
    default: return depthwise_grad_row<0, KIND>;
  }
}

// The taps in the order in which input pixels meet them: pixels whose row and column leave the same remainders by the strides
// meet the same taps, and a tap is met by the pixels of one pair of remainders only.
struct Phases {
  // The taps of remainders (a, b) are `order[first(a, b)]` up to `order[first(a, b + 1)]`.
  Phases(const Geometry& g, int64_t columns, int64_t left, int64_t* order, int64_t* offset, int64_t* starts)
      : order(order), offset(offset), starts(starts), sw(g.sw) {
    int64_t count = 0;
    for (int64_t a = 0; a < g.sh; a++)
      for (int64_t b = 0; b < g.sw; b++) {
        starts[a * g.sw + b] = count;
        for (int64_t kh = 0; kh < g.kh; kh++)
          for (int64_t kw = 0; kw < g.kw; kw++) {
            const int64_t y = a + g.ph - kh * g.dh, x = b + g.pw - kw * g.dw;
            if (y % g.sh || x % g.sw) continue;
            order[count] = kh * g.kw + kw;
            offset[count++] = (y / g.sh * columns + x / g.sw - left) * VL;
          }
      }
    starts[g.sh * g.sw] = count;
  }
  int64_t first(int64_t a, int64_t b) const { return starts[a * sw + b]; }
  int64_t *order, *offset, *starts;
  int64_t sw;
};

// The gradient passes what the input came through (`sink.through` is x's own, `sink.y` x itself), or nothing.
static bool suits_depthwise(const GradSink& sink, const Source& x) {
  const Source& by = sink.through;
  const bool own = by.x == x.x && by.scale == x.scale && by.shift == x.shift && by.act.kind == x.act.kind &&
                   by.act.low == x.act.low && by.act.high == x.act.high;
  return !sink.add && (sink.through.act.kind == ACT_NONE || own) && (!sink.y || sink.y == x.x);
}

static void conv_backward_depthwise(const Geometry& g, const GradSource& grads, const Source& x, const float* w,
                                    const GradSink& given, float* grad_w) {
  if (given.to && !suits_depthwise(given, x)) {  // the rest in a pass of its own
    GradSink bare;
    bare.to = given.to, bare.step = given.step;
    conv_backward_depthwise(g, grads, x, w, bare, grad_w);
    finish_all(given, g.pixels(), g.c);
    return;
  }
  const GradSink& sink = given;
  const bool masks = sink.through.act.kind != ACT_NONE;
  const int64_t taps = g.kh * g.kw, blocks = (g.c + VL - 1) / VL;
  const Window whole = reaching(g, {0, 0, 0, g.h, g.w});
  const Bands bands = depthwise_bands(g.n, g.h, g.w, (whole.columns / g.sh + g.w) * blocks * VL);
  const int64_t parts = num_parts(bands.count(), taps * g.c);
  const bool is_3x3 = g.kh == 3 && g.kw == 3 && g.sh == 1 && g.sw == 1 && g.dh == 1 && g.dw == 1;
  Source raw;
  raw.x = x.x, raw.step = x.step;
  Block tables(2 * (2 * taps + g.sh * g.sw + 1)), packed(taps * blocks * VL), sums(parts * (taps + 2) * blocks * VL);
  int64_t* table = reinterpret_cast<int64_t*>(tables.get());
  const Phases phases(g, whole.columns, whole.left, table, table + taps, table + 2 * taps);
  std::memset(packed.get(), 0, taps * blocks * VL * sizeof(float));
  for (int64_t i = 0; i < g.c; i++)  // [block][place in the order][VL]
    for (int64_t t = 0; t < taps; t++) packed.get()[(i / VL * taps + t) * VL + i % VL] = w[i * taps + phases.order[t]];
  parallel_if_worth(2 * work_of(g), parts, [&](int64_t part) {
    float* own = sums.get() + part * (taps + 2) * blocks * VL;  // [block][taps, sum, sum_y][VL]
    std::memset(own, 0, (taps + 2) * blocks * VL * sizeof(float));
    for (int64_t band = bands.count() * part / parts; band < bands.count() * (part + 1) / parts; band++) {
      const Window at = bands.at(band), from = reaching(g, at);
      const int64_t row = from.columns * VL, size = from.rows * row, x_size = at.rows * g.w * VL, first_pixel = bands.first(at);
      float* source = scratch(SCRATCH_GRAD, blocks * size + VL);
      float* values = scratch(SCRATCH_SOURCE, blocks * x_size);
      read_blocks(from, g.oh, g.ow, blocks, source, [&](int64_t first, int64_t count, float* to, int64_t apart) {
        read_grads(grads, first, count, g.c, to, VL, apart);
      });
      read_pixels(raw, first_pixel, at.rows * g.w, g.c, values, VL, x_size);
      Ahead ahead;
      if (band + 1 < bands.count() * (part + 1) / parts) {
        const Window next = bands.at(band + 1);
        fetch_window(ahead, reaching(g, next), g.oh, g.ow, grads);
        ahead.add(x, bands.first(next), next.rows * g.w);
        ahead.add(sink, bands.first(next), next.rows * g.w, x.x);
        ahead.spread(blocks * at.rows);
      }
      with_kind(x.act.kind, [&](auto kind) {
        for (int64_t block = 0; block < blocks; block++) {
          const int64_t channel = block * VL, left = g.c - channel;
          vec* place = reinterpret_cast<vec*>(own + block * (taps + 2) * VL);
          const vec* filters = reinterpret_cast<const vec*>(packed.get() + block * taps * VL);
          auto through_of = [&](auto v) {
            return DepthwiseThrough{Line<1>(v, x.scale, x.shift, channel), fill(x.act.low), fill(x.act.high),
                                    sink.y ? v.get(sink.mean + channel) : (vec){}};
          };
          const DepthwiseThrough by = left >= VL ? through_of(Whole<1>()) : through_of(Part{(int)left});
          DepthwiseSums found{place, place[taps], place[taps + 1]};
          for (int64_t r = 0; r < at.rows; r++) {
            ahead.fetch();
            const int64_t y = at.top + r, a = y % g.sh;
            const float* g_row = source + block * size + (y / g.sh - from.top) * row;
            float* x_row = values + block * x_size + r * g.w * VL;
            for (int64_t b = 0; b < std::min(g.sw, g.w); b++) {
              const int64_t first = phases.first(a, b), count = phases.first(a, b + 1) - first;
              const TapList list{(int)count, phases.offset + first, filters + first};
              found.grad_w = place + first;
              int64_t pixels = (g.w - b + g.sw - 1) / g.sw, done = 0;
              if (is_3x3) {
                done = pixels / 2 * 2;
                depthwise_grad_row_3x3<kind.value>(list, g_row + list.offset[8], row, x_row, done, masks, by, found);
              }
              if (done < pixels)
                depthwise_grad_row_of<kind.value>((int)count)(list, g_row + done * VL, x_row + (b + done * g.sw) * VL, g.sw,
                                                              pixels - done, masks, by, found);
            }
          }
          place[taps] = found.sum, place[taps + 1] = found.sum_y;
        }
      });
      if (sink.to) write_blocks(values, x_size, first_pixel, at.rows * g.w, g.c, sink.to, sink.step);
    }
  });
  const int64_t apart = (taps + 2) * blocks * VL;
  auto total = [&](int64_t channel, int64_t which) {
    float sum = 0;
    for (int64_t part = 0; part < parts; part++)
      sum += sums.get()[part * apart + (channel / VL * (taps + 2) + which) * VL + channel % VL];
    return sum;
  };
  for (int64_t i = 0; i < g.c; i++) {
    if (sink.y) sink.sum[i] = total(i, taps), sink.sum_y[i] = total(i, taps + 1);
    for (int64_t t = 0; grad_w && t < taps; t++) grad_w[i * taps + phases.order[t]] = total(i, t);
  }
}

}  // namespace TT_ISA
