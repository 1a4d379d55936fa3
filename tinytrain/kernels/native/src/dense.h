// Dense, grouped and pointwise convolutions as matrix products read where the input lies.
//
// Work is divided into bands: some rows of one image, or some pixels of the whole batch where the kernel is 1x1. A band of
// input is read once into scratch, normalised, activated and padded on the way; the products run over it tap by tap; what
// the next kernel wants to know of the result (moments, sums) is taken while it is in cache.
#pragma once

#include "sums.h"

namespace TT_ISA {

constexpr int64_t BAND_PIXELS = 8 * MAX_ROWS;  // about so many result pixels in a band
constexpr int64_t FEW_PIECES = 16;             // with fewer bands than this the columns are divided too
constexpr int64_t NEAR_FLOATS = 1 << 18;       // 1 MiB: what may stay in a core's own cache beside a band
constexpr int64_t LARGE_GRADIENT = 1 << 17;    // 512 KiB: sixteen of these are more than the cores' own caches hold

// Floats from one pixel to the next in scratch that is walked pixel by pixel for a few channels: an odd number of cache lines.
// With a power of two all the lines wanted would compete for a few places of the first cache.
static int64_t odd_pitch(int64_t floats) { return ((floats + 15) / 16 | 1) * 16; }

// A 1x1 kernel with stride 1 sees pixels only: one row of all of them.
static Geometry flattened(Geometry g) {
  bool is_pointwise = g.kh == 1 && g.kw == 1 && g.sh == 1 && g.sw == 1 && g.ph == 0 && g.pw == 0 && g.oh == g.h && g.ow == g.w;
  if (is_pointwise) g.w = g.ow = g.pixels(), g.n = g.h = g.oh = 1;
  return g;
}

// What a convolution has to do, as `parallel_if_worth` counts.
static int64_t work_of(const Geometry& g) {
  return g.pixels() * g.c + g.out_pixels() * g.o * (1 + g.kh * g.kw * (g.c / g.groups) / 16);
}

// Some rows or columns of one image each, covering an (n, h, w) batch.
struct Bands {
  int64_t n, h, w, rows, columns, down, across;
  Bands(int64_t n, int64_t h, int64_t w, int64_t least_rows = 1) : n(n), h(h), w(w) {
    columns = h == 1 && w > 2 * BAND_PIXELS ? BAND_PIXELS : std::max<int64_t>(w, 1);
    rows = std::max((BAND_PIXELS + columns / 2) / columns, least_rows);
    rows = std::clamp<int64_t>(rows, 1, std::max<int64_t>(h, 1));
    down = (h + rows - 1) / rows;
    across = (w + columns - 1) / columns;
  }
  int64_t count() const { return n * down * across; }
  Window at(int64_t band) const {
    int64_t image = band / (down * across), rest = band % (down * across);
    int64_t top = rest / across * rows, left = rest % across * columns;
    return {image, top, left, std::min(rows, h - top), std::min(columns, w - left)};
  }
  int64_t pixels(int64_t band) const {
    Window b = at(band);
    return b.rows * b.columns;
  }
  int64_t first(const Window& b) const { return (b.image * h + b.top) * w + b.left; }
};

// Rows of results that make a band worth its while where windows overlap: what is read for its first row serves the others
// too. As many as the kernel has, where their input is small.
static int64_t rows_worth_reading(const Geometry& g) {
  const bool overlap = g.kh > g.sh, is_small = ((g.kh - 1) * (g.sh + g.dh) + 1) * g.w * g.c <= NEAR_FLOATS / 4;
  return overlap && is_small ? g.kh : 1;
}

// How the columns of a product are divided among pieces, in whole panels.
struct Ranges {
  int64_t panels, each, count;
  Ranges(int64_t columns, int64_t bands) {
    panels = (columns + PANEL - 1) / PANEL;
    int64_t wanted = bands >= FEW_PIECES ? 1 : std::max<int64_t>(1, FEW_PIECES / std::max<int64_t>(bands, 1));
    each = std::max<int64_t>((panels + wanted - 1) / wanted, 1);
    count = (panels + each - 1) / each;
  }
};

// The taps of a kernel row read one stretch of memory where neighbouring columns are read without gaps.
static bool taps_merge(const Geometry& g) { return g.groups == 1 && g.dw == 1; }

static void conv_forward_dense(const Geometry& given, const Source& x, const float* w, const float* bias, float* y,
                               Moments moments) {
  const Geometry g = flattened(given);
  const int64_t cg = g.c / g.groups, og = g.o / g.groups, taps = g.kh * g.kw;
  const bool merge = taps_merge(g);
  const int64_t depth = taps * cg;
  const Bands bands(g.n, g.oh, g.ow, rows_worth_reading(g));
  const Ranges ranges(og, bands.count() * g.groups);

  Block packed(g.groups * ranges.panels * depth * PANEL);
  parallel_if_worth(g.o * depth, g.groups * ranges.panels, [&](int64_t piece) {
    int64_t group = piece / ranges.panels, panel = piece % ranges.panels, first = panel * PANEL;
    pack_filters(w + (group * og + first) * depth, cg, taps, (int)std::min<int64_t>(og - first, PANEL),
                 packed.get() + piece * depth * PANEL);
  });

  const int64_t pitch = g.c;
  const bool in_place = taps == 1 && g.ph == 0 && g.pw == 0 && x.plain() && g.oh == g.h && g.ow == g.w;
  Block slots(moments.mean ? bands.count() * 2 * g.o : 1);
  auto compute = [&](int64_t band, int64_t range, bool is_next_ours) {
    const Window out = bands.at(band);
    const Window in{out.image, out.top * g.sh - g.ph, out.left * g.sw - g.pw, (out.rows - 1) * g.sh + (g.kh - 1) * g.dh + 1,
                    (out.columns - 1) * g.sw + (g.kw - 1) * g.dw + 1};
    const float* source;
    int64_t step = pitch, row = in.columns * pitch;
    if (in_place) {
      source = x.x + ((in.image * g.h + in.top) * g.w + in.left) * x.step;
      step = x.step, row = g.w * x.step;
    } else {
      float* to = scratch(SCRATCH_SOURCE, in.rows * row + VL);
      read_window(in, g.h, g.w, to, pitch,
                  [&](int64_t first, int64_t count, float* at) { read_pixels(x, first, count, g.c, at, pitch); });
      source = to;
    }
    Ahead ahead;
    if (is_next_ours) {
      const Window next = bands.at(band + 1);
      const int64_t top = std::max<int64_t>(next.top * g.sh - g.ph, 0), rows = std::min(g.h - top, next.rows * g.sh);
      if (g.h == 1)
        ahead.add(x.x + next.left * x.step, next.columns * x.step);
      else
        ahead.add(x.x + (next.image * g.h + top) * g.w * x.step, rows * g.w * x.step);
      ahead.add(y + bands.first(next) * g.o, next.rows * next.columns * g.o, true);
      ahead.spread(g.groups * (ranges.each * out.rows * ((out.columns + MAX_ROWS - 1) / MAX_ROWS)));
    }
    const int num_runs = (int)(merge ? g.kh : taps);
    const int64_t length = merge ? g.kw * cg : cg;
    const Offsets a_offset(SCRATCH_RUNS, num_runs), b_offset(SCRATCH_PLACES, num_runs);
    for (int64_t run = 0; run < num_runs; run++) {
      const int64_t kh = merge ? run : run / g.kw, kw = merge ? 0 : run % g.kw;
      a_offset[run] = kh * g.dh * row + kw * g.dw * step;
      b_offset[run] = run * length * PANEL;
    }
    for (int64_t group = 0; group < g.groups; group++) {
      for (int64_t panel = range * ranges.each; panel < std::min(ranges.panels, (range + 1) * ranges.each); panel++) {
        const int columns = (int)std::min<int64_t>(og - panel * PANEL, PANEL);
        const int64_t channel = group * og + panel * PANEL;
        const float* b = packed.get() + (group * ranges.panels + panel) * depth * PANEL;
        for (int64_t r = 0; r < out.rows; r++) {
          Runs runs{source + r * g.sh * row + group * cg, g.sw * step, 1, b, PANEL, a_offset.get(), b_offset.get(), num_runs,
                    length};
          float* c = y + ((out.image * g.oh + out.top + r) * g.ow + out.left) * g.o + channel;
          multiply_panel(runs, out.columns, c, g.o, columns, false, ahead);
        }
        for (int64_t r = 0; r < out.rows && bias; r++) {
          float* c = y + ((out.image * g.oh + out.top + r) * g.ow + out.left) * g.o + channel;
          for (int64_t p = 0; p < out.columns; p++)
            for (int i = 0; i < columns; i += VL)
              store_some(c + p * g.o + i, load_some(c + p * g.o + i, columns - i) + load_some(bias + channel + i, columns - i),
                         columns - i);
        }
        if (moments.mean) {  // the rows of a band follow each other, or there is only one
          float* slot = slots.get() + band * 2 * g.o + channel;
          moments_of(y + bands.first(out) * g.o + channel, g.o, out.rows * out.columns, columns, slot, slot + g.o);
        }
      }
    }
  };
  // Several bands in one piece, so that the next one's memory can be fetched while this one is computed.
  const int64_t together = std::clamp<int64_t>(bands.count() / 64, 1, 8), groups = (bands.count() + together - 1) / together;
  parallel_if_worth(work_of(g), groups * ranges.count, [&](int64_t piece) {
    const int64_t first = piece / ranges.count * together, last = std::min(first + together, bands.count());
    for (int64_t band = first; band < last; band++) compute(band, piece % ranges.count, band + 1 < last);
  });
  if (moments.mean)
    merge_moments(slots.get(), bands.count(), g.o, [&](int64_t band) { return bands.pixels(band); }, moments);
}

// Turned weights for input gradients: [group][panel of input channels][tap][output channel][PANEL]. Taps of a row are in
// reverse where they are merged, for a gradient is read from the left while the kernel goes to the right.
static void pack_turned(const Geometry& g, const float* w, bool reverse, int64_t panels, float* packed) {
  const int64_t cg = g.c / g.groups, og = g.o / g.groups, taps = g.kh * g.kw;
  parallel_if_worth(g.c * og * taps, g.groups * panels, [&](int64_t piece) {
    int64_t group = piece / panels, first = piece % panels * PANEL;
    for (int64_t tap = 0; tap < taps; tap++) {
      int64_t place = reverse ? tap / g.kw * g.kw + (g.kw - 1 - tap % g.kw) : tap;
      pack_panel(w + (group * og * cg + first) * taps + tap, cg * taps, taps, og, std::min<int64_t>(cg - first, PANEL),
                 packed + (piece * taps + place) * og * PANEL);
    }
  });
}

// ceil and floor of a / b for b > 0.
static int64_t up(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }
static int64_t down(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// Computes the input gradient of one band from the output gradients that reach it, read into `source`, a window `from`
// with `pitch` floats a pixel. `first_panel` to `last_panel` of each group.
static void band_input_grad(const Geometry& g, const Window& band, const Window& from, const float* source, int64_t pitch,
                            const float* packed, int64_t panels, int64_t first_panel, int64_t last_panel, bool merge,
                            const GradSink& sink, float* sum, float* sum_y, Ahead& ahead) {
  const int64_t cg = g.c / g.groups, og = g.o / g.groups, taps = g.kh * g.kw, row = from.columns * pitch;
  const int64_t length = merge ? g.kw * og : og;
  const Offsets a_offset(SCRATCH_RUNS, taps), b_offset(SCRATCH_PLACES, taps);
  for (int64_t group = 0; group < g.groups; group++)
    for (int64_t panel = first_panel; panel < last_panel; panel++) {
      const int columns = (int)std::min<int64_t>(cg - panel * PANEL, PANEL);
      const int64_t channel = group * cg + panel * PANEL;
      const float* b = packed + (group * panels + panel) * taps * og * PANEL;
      for (int64_t r = 0; r < band.rows; r++) {
        const int64_t y = band.top + r;
        float* to = sink.to + ((band.image * g.h + y) * g.w + band.left) * sink.step + channel;
        for (int64_t phase = 0; phase < std::min(g.sw, band.columns); phase++) {
          // Input column `band.left + phase + i * sw` meets output column `(... + pw - kw * dw) / sw + i`.
          const int64_t x = band.left + phase;
          int num_runs = 0;
          for (int64_t kh = 0; kh < g.kh; kh++) {
            const int64_t oy = y + g.ph - kh * g.dh;
            if (oy % g.sh) continue;
            for (int64_t kw = merge ? g.kw - 1 : 0; kw < g.kw; kw++) {
              const int64_t ox = x + g.pw - kw * g.dw;
              if (ox % g.sw) continue;
              a_offset[num_runs] = (oy / g.sh - from.top) * row + (ox / g.sw - from.left) * pitch;
              b_offset[num_runs++] = (merge ? kh * g.kw : kh * g.kw + kw) * og * PANEL;
            }
          }
          const int64_t count = (band.columns - phase + g.sw - 1) / g.sw;
          Runs runs{source + group * og, pitch, 1, b, PANEL, a_offset.get(), b_offset.get(), num_runs, length};
          multiply_panel(runs, count, to + phase * sink.step, g.sw * sink.step, columns, false, ahead);
        }
        const int64_t first = (band.image * g.h + y) * g.w + band.left;
        finish_grads(sink, first, 1, band.columns, channel, columns, sum, sum_y);
      }
    }
}

// The output gradients that reach a band of inputs.
static Window reaching(const Geometry& g, const Window& band) {
  const int64_t top = up(band.top + g.ph - (g.kh - 1) * g.dh, g.sh), bottom = down(band.top + band.rows - 1 + g.ph, g.sh);
  const int64_t left = up(band.left + g.pw - (g.kw - 1) * g.dw, g.sw);
  const int64_t right = down(band.left + band.columns - 1 + g.pw, g.sw);
  return {band.image, top, left, std::max<int64_t>(bottom - top + 1, 0), std::max<int64_t>(right - left + 1, 0)};
}

static void conv_input_grad_dense(const Geometry& given, const GradSource& grads, const float* w, const GradSink& sink) {
  const Geometry g = flattened(given);
  const int64_t cg = g.c / g.groups, og = g.o / g.groups, taps = g.kh * g.kw;
  const bool merge = taps_merge(g) && g.sw == 1;
  const Bands bands(g.n, g.h, g.w);
  const Ranges ranges(cg, bands.count() * g.groups);
  Block packed(g.groups * ranges.panels * taps * og * PANEL);
  pack_turned(g, w, merge, ranges.panels, packed.get());
  Block slots(sink.y ? bands.count() * 2 * g.c : 1);
  parallel_if_worth(work_of(g), bands.count() * ranges.count, [&](int64_t piece) {
    const int64_t range = piece % ranges.count;
    const Window band = bands.at(piece / ranges.count), from = reaching(g, band);
    Ahead ahead;
    float* source = scratch(SCRATCH_GRAD, from.rows * from.columns * g.o + VL);
    read_window(from, g.oh, g.ow, source, g.o,
                [&](int64_t first, int64_t count, float* at) { read_grads(grads, first, count, g.o, at, g.o); });
    float* sum = slots.get() + piece / ranges.count * 2 * g.c;
    const int64_t first_panel = range * ranges.each, last_panel = std::min(ranges.panels, (range + 1) * ranges.each);
    if (sink.y)
      for (int64_t group = 0; group < g.groups; group++) {
        int64_t from_channel = group * cg + first_panel * PANEL, until = group * cg + std::min(cg, last_panel * PANEL);
        std::fill(sum + from_channel, sum + until, 0.0f);
        std::fill(sum + g.c + from_channel, sum + g.c + until, 0.0f);
      }
    band_input_grad(g, band, from, source, g.o, packed.get(), ranges.panels, first_panel, last_panel, merge, sink, sum,
                    sum + g.c, ahead);
  });
  if (sink.y) {
    add_pieces(slots.get(), bands.count(), 2 * g.c, g.c, sink.sum);
    add_pieces(slots.get() + g.c, bands.count(), 2 * g.c, g.c, sink.sum_y);
  }
}

// A weight gradient gathered as [group][tap][input channel][output channel] becomes (o, c / groups, kh, kw), the partial
// sums of `parts` pieces added in their order.
static void unpack_weight_grad(const Geometry& g, const float* parts, int64_t count, float* grad_w) {
  const int64_t cg = g.c / g.groups, og = g.o / g.groups, taps = g.kh * g.kw, size = g.o * cg * taps, length = cg * taps;
  const int64_t strips = (og + VL - 1) / VL;
  parallel_if_worth(size * count, g.groups * strips, [&](int64_t piece) {
    const int64_t group = piece / strips, first = piece % strips * VL, num_o = std::min<int64_t>(VL, og - first);
    float* to = grad_w + (group * og + first) * length;
    for (int64_t at = 0, c = 0, tap = 0; at < length; at += VL) {
      vec rows[VL];
      for (int i = 0; i < VL; i++) {
        rows[i] = (vec){};
        if (at + i >= length) continue;
        const float* from = parts + ((group * taps + tap) * cg + c) * og + first;
        for (int64_t part = 0; part < count; part++) rows[i] += load_some(from + part * size, num_o);
        if (++tap == taps) tap = 0, c++;
      }
      transpose(rows);
      for (int64_t k = 0; k < num_o; k++) store_some(to + k * length + at, rows[k], length - at);
    }
  });
}

// How many partial sums of a weight gradient of `size` floats: enough pieces for all cores and few enough to add up quickly,
// which large ones take long for. A power of two, which most numbers of cores divide.
static int64_t num_parts(int64_t bands, int64_t size) {
  const int64_t most = size > LARGE_GRADIENT ? 8 : 16;
  int64_t parts = 1;
  while (parts < most && 2 * parts <= bands) parts *= 2;
  return parts;
}

static void conv_weight_grad_dense(const Geometry& given, const GradSource& grads, const Source& x, float* grad_w) {
  const Geometry g = flattened(given);
  const int64_t cg = g.c / g.groups, og = g.o / g.groups, taps = g.kh * g.kw, size = g.o * cg * taps;
  const bool merge = taps_merge(g) && cg < 2 * MAX_ROWS;  // else the rows of a tap fill tiles of their own
  const Bands bands(g.n, g.oh, g.ow, rows_worth_reading(g));
  // A piece is a part of the bands and a range of the input channels, so that its sums stay in the core's own cache.
  const int64_t panels = (og + PANEL - 1) / PANEL;
  const int64_t channels = std::max<int64_t>(cg, 1);  // one range, of nothing, where there are none
  const int64_t near = std::max<int64_t>(NEAR_FLOATS / (taps * og), MAX_ROWS);
  const int64_t most = g.groups > 1 || merge ? channels : std::min(near, channels);
  const int64_t num_ranges = (channels + most - 1) / most, each = (channels + num_ranges - 1) / num_ranges;
  const int64_t parts = std::min(num_parts(bands.count(), size), (FEW_PIECES + num_ranges - 1) / num_ranges);
  Block sums(parts * size);
  parallel_if_worth(work_of(g), parts * num_ranges, [&](int64_t piece) {
    const int64_t part = piece / num_ranges, channel = piece % num_ranges * each;
    const int64_t num_channels = std::min(each, cg - channel), width = g.groups > 1 ? g.c : num_channels;
    const int64_t x_pitch = merge ? width : odd_pitch(width), pitch = odd_pitch(g.o);
    const Source x_range = from_channel(x, channel);
    float* to = sums.get() + part * size;
    if (bands.count() == 0) {
      std::fill(to, to + size, 0.0f);
      return;
    }
    Ahead nothing;
    bool add = false;
    for (int64_t band = bands.count() * part / parts; band < bands.count() * (part + 1) / parts; band++, add = true) {
      const Window out = bands.at(band);
      const Window in{out.image, out.top * g.sh - g.ph, out.left * g.sw - g.pw,
                      (out.rows - 1) * g.sh + (g.kh - 1) * g.dh + 1, (out.columns - 1) * g.sw + (g.kw - 1) * g.dw + 1};
      const int64_t row = in.columns * x_pitch, pixels = out.rows * out.columns;
      float* source = scratch(SCRATCH_SOURCE, in.rows * row + VL);
      read_window(in, g.h, g.w, source, x_pitch,
                  [&](int64_t first, int64_t count, float* at) { read_pixels(x_range, first, count, width, at, x_pitch); });
      float* g_rows = scratch(SCRATCH_GRAD, pixels * pitch + PANEL);
      read_grads(grads, bands.first(out), pixels, g.o, g_rows, pitch);
      const Offsets a_offset(SCRATCH_RUNS, out.rows), b_offset(SCRATCH_PLACES, out.rows);
      for (int64_t r = 0; r < out.rows; r++) a_offset[r] = r * g.sh * row, b_offset[r] = r * out.columns * pitch;
      const int64_t num_runs = merge ? g.kh : taps, height = merge ? g.kw * cg : num_channels;
      for (int64_t group = 0; group < g.groups; group++)
        for (int64_t panel = 0; panel < panels; panel++) {
          const int columns = (int)std::min<int64_t>(og - panel * PANEL, PANEL);
          const float* b = g_rows + group * og + panel * PANEL;
          for (int64_t run = 0; run < num_runs; run++) {
            const int64_t kh = merge ? run : run / g.kw, kw = merge ? 0 : run % g.kw;
            Runs runs{source + kh * g.dh * row + kw * g.dw * x_pitch + group * cg, 1, g.sw * x_pitch, b, pitch,
                      a_offset.get(), b_offset.get(), (int)out.rows, out.columns};
            float* at = to + (group * taps * cg + (merge ? run * g.kw * cg : run * cg + channel)) * og + panel * PANEL;
            multiply_panel(runs, height, at, og, columns, add, nothing);
          }
        }
    }
  });
  unpack_weight_grad(g, sums.get(), parts, grad_w);
}

// Both gradients of a 1x1 convolution in one pass over its gradient and its input.
static void conv_backward_pointwise(const Geometry& given, const GradSource& grads, const Source& x, const float* w,
                                    const GradSink& sink, float* grad_w) {
  const Geometry g = flattened(given);
  const int64_t size = g.c * g.o;
  const Bands bands(g.n, g.h, g.w);
  const int64_t panels = (g.c + PANEL - 1) / PANEL;
  const int64_t parts = num_parts(bands.count(), size);
  Block packed(panels * g.o * PANEL), sums(parts * size), slots(parts * 2 * g.c);
  pack_turned(g, w, true, panels, packed.get());
  parallel_if_worth(2 * work_of(g), parts, [&](int64_t part) {
    float* to = sums.get() + part * size;
    float* sum = slots.get() + part * 2 * g.c;
    std::fill(sum, sum + 2 * g.c, 0.0f);
    if (bands.count() == 0) std::fill(to, to + size, 0.0f);
    bool add = false;
    for (int64_t band = bands.count() * part / parts; band < bands.count() * (part + 1) / parts; band++, add = true) {
      const Window at = bands.at(band);
      const int64_t pixels = at.rows * at.columns, first = bands.first(at), none = 0;
      Ahead ahead;
      if (band + 1 < bands.count() * (part + 1) / parts) {
        const int64_t next = first + pixels, count = bands.pixels(band + 1);
        ahead.add(grads.g + next * grads.step, count * grads.step);
        if (!grads.plain()) ahead.add(grads.of.x + next * grads.of.step, count * grads.of.step);
        ahead.add(x.x + next * x.step, count * x.step);
        if (sink.through.x && sink.through.x != x.x) ahead.add(sink.through.x + next * sink.through.step, count * sink.through.step);
        if (sink.y && sink.y != x.x) ahead.add(sink.y + next * sink.y_step, count * sink.y_step);
        ahead.add(sink.to + next * sink.step, count * sink.step, true);
        ahead.spread(panels * ((pixels + MAX_ROWS - 1) / MAX_ROWS + (g.o + MAX_ROWS - 1) / MAX_ROWS));
      }
      const int64_t pitch = odd_pitch(g.o);
      float* g_rows = scratch(SCRATCH_GRAD, pixels * pitch + PANEL);
      read_grads(grads, first, pixels, g.o, g_rows, pitch);
      const float* source = x.x + first * x.step;
      int64_t step = x.step;
      if (!x.plain() || g.c % PANEL) {  // whole panels are read: in scratch there is room behind the last pixel
        step = odd_pitch(g.c);
        float* rows = scratch(SCRATCH_SOURCE, pixels * step + PANEL);
        read_pixels(x, first, pixels, g.c, rows, step);
        source = rows;
      }
      band_input_grad(g, at, at, g_rows, pitch, packed.get(), panels, 0, panels, true, sink, sum, sum + g.c, ahead);
      for (int64_t panel = 0; panel < panels; panel++) {
        Runs runs{g_rows, 1, pitch, source + panel * PANEL, step, &none, &none, 1, pixels};
        multiply_panel(runs, g.o, to + panel * PANEL, g.c, (int)std::min<int64_t>(g.c - panel * PANEL, PANEL), add, ahead);
      }
    }
  });
  if (sink.y) {
    add_pieces(slots.get(), parts, 2 * g.c, g.c, sink.sum);
    add_pieces(slots.get() + g.c, parts, 2 * g.c, g.c, sink.sum_y);
  }
  add_pieces(sums.get(), parts, size, size, grad_w);
}

}  // namespace TT_ISA
