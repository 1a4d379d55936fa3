// Dense, grouped and pointwise convolutions as matrix products read where the input lies.
//
// Work is divided into bands: some rows of one image, or some pixels of the whole batch where the kernel is 1x1. A band of
// input is read once into scratch, normalised, activated and padded on the way; the products run over it tap by tap; what
// the next kernel wants to know of the result (moments, sums) is taken while it is in cache.
#pragma once

#include "elementwise.h"

namespace TT_ISA {

constexpr int64_t FEW_PIECES = 16;             // with fewer bands than this the columns are divided too
constexpr int64_t NEAR_FLOATS = 1 << 18;       // 1 MiB: what may stay in a core's own cache beside a band
constexpr int64_t LARGE_GRADIENT = 1 << 17;    // 512 KiB: sixteen of these are more than the cores' own caches hold

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

// Some rows or columns of one image each, about `pixels`, covering an (n, h, w) batch.
struct Bands {
  int64_t n, h, w, rows, columns, down, across;
  Bands(int64_t pixels, int64_t n, int64_t h, int64_t w, int64_t least_rows = 1) : n(n), h(h), w(w) {
    columns = h == 1 && w > 2 * pixels ? pixels : std::max<int64_t>(w, 1);
    rows = std::max((pixels + columns / 2) / columns, least_rows);
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
    if (rows * down == h && columns * across == w) return rows * columns;  // all alike
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

// Has the rows fetched that a window of (h, w) images reaches, or its columns where there is one row.
template <class Any>
static void fetch_window(Ahead& ahead, const Window& window, int64_t h, int64_t w, const Any& source) {
  const int64_t top = std::clamp<int64_t>(window.top, 0, h), bottom = std::clamp<int64_t>(window.top + window.rows, top, h);
  if (h == 1) ahead.add(source, std::max<int64_t>(window.left, 0), window.columns);
  else ahead.add(source, (window.image * h + top) * w, (bottom - top) * w);
}

// The input that a band of results is computed from.
static Window read_by(const Geometry& g, const Window& band) {
  return {band.image, band.top * g.sh - g.ph, band.left * g.sw - g.pw, (band.rows - 1) * g.sh + (g.kh - 1) * g.dh + 1,
          (band.columns - 1) * g.sw + (g.kw - 1) * g.dw + 1};
}

// What any piece may say of a way to compute: that it cannot be gone here.
class Veto {
 public:
  void say() { __atomic_store_n(&said_, true, __ATOMIC_RELAXED); }
  explicit operator bool() const { return __atomic_load_n(&said_, __ATOMIC_RELAXED); }

 private:
  bool said_ = false;
};

// The taps of a kernel row read one stretch of memory where neighbouring columns are read without gaps.
static bool taps_merge(const Geometry& g) { return g.groups == 1 && g.dw == 1; }

// Of the depth of a filter `inner` neighbours may be taps of one channel, which the input holds as [tap][channel] (unfolded.h).
template <class P>
static void conv_forward_dense(const Geometry& given, const Source& x, const float* w, const float* bias, float* y,
                               Moments moments, int64_t inner = 1) {
  const Geometry g = flattened(given);
  const int64_t cg = g.c / g.groups, og = g.o / g.groups, taps = g.kh * g.kw;
  const bool merge = P::MERGES_TAPS && taps_merge(g);
  const Bands bands(P::BAND_PIXELS, g.n, g.oh, g.ow, rows_worth_reading(g));
  const Ranges ranges(og, bands.count() * g.groups);

  // What several pieces read is normalised and activated beforehand.
  if (ranges.count > 1 && !x.plain()) {
    Block read(g.pixels() * g.c);
    apply(g.pixels(), g.c, x, Source(), x.act, read.get(), g.c);
    Source plain;
    plain.x = read.get(), plain.step = g.c;
    return conv_forward_dense<P>(given, plain, w, bias, y, moments, inner);
  }

  const int64_t tap_size = P::tap_floats(cg), panel_size = taps * tap_size;
  Block packed(g.groups * ranges.panels * panel_size);
  Veto veto;
  parallel_if_worth(g.o * taps * cg, g.groups * ranges.panels, [&](int64_t piece) {
    const int64_t group = piece / ranges.panels, first = piece % ranges.panels * PANEL;
    float* panel = packed.get() + piece * panel_size;
    float* open = P::open_panel(panel, cg, taps);
    const int columns = (int)std::min<int64_t>(og - first, PANEL);
    pack_filters(w + (group * og + first) * taps * cg, cg / inner, taps * inner, columns, open);
    if (!P::close_panel(open, cg, taps, panel)) veto.say();
  });

  const int64_t pitch = g.c;
  const bool in_place = taps == 1 && g.ph == 0 && g.pw == 0 && x.plain() && g.oh == g.h && g.ow == g.w;
  Block slots(moments.mean ? bands.count() * 2 * g.o : 1);
  auto compute = [&](int64_t band, int64_t range, bool is_next_ours) {
    const Window out = bands.at(band);
    const Window in = read_by(g, out);
    [[maybe_unused]] typename P::Unit unit;
    const float* source;
    if (in_place) {
      source = x.x + ((in.image * g.h + in.top) * g.w + in.left) * x.step;
    } else {
      float* to = scratch(SCRATCH_SOURCE, in.rows * in.columns * pitch + VL);
      read_window(in, g.h, g.w, to, pitch,
                  [&](int64_t first, int64_t count, float* at) { read_pixels(x, first, count, g.c, at, pitch); });
      source = to;
    }
    const auto left = P::left(source, in.rows, in.columns, g.c, in_place ? x.step : pitch, g.sh, g.sw);
    if (!left.is_whole) return veto.say();
    Ahead ahead;
    if (is_next_ours) {
      const Window next = bands.at(band + 1);
      fetch_window(ahead, read_by(g, next), g.h, g.w, x);
      ahead.add(y + bands.first(next) * g.o, next.rows * next.columns * g.o, true);
      ahead.spread(g.groups * ranges.each * P::fetches(out.rows, out.columns, taps * cg));
    }
    const int num_runs = (int)(merge ? g.kh : taps);
    const int64_t length = merge ? g.kw * cg : cg;
    const Offsets a_offset(SCRATCH_RUNS, num_runs), b_offset(SCRATCH_PLACES, num_runs);
    for (int64_t run = 0; run < num_runs; run++) {
      const int64_t kh = merge ? run : run / g.kw, kw = merge ? 0 : run % g.kw;
      a_offset[run] = left.place(kh * g.dh, kw * g.dw);
      b_offset[run] = run * (merge ? g.kw : 1) * tap_size;
    }
    for (int64_t group = 0; group < g.groups; group++) {
      for (int64_t panel = range * ranges.each; panel < std::min(ranges.panels, (range + 1) * ranges.each); panel++) {
        const int columns = (int)std::min<int64_t>(og - panel * PANEL, PANEL);
        const int64_t channel = group * og + panel * PANEL;
        const float* b = packed.get() + (group * ranges.panels + panel) * panel_size;
        const Runs runs{left.at + group * cg, b, a_offset.get(), b_offset.get(), num_runs, length};
        float* c = y + bands.first(out) * g.o + channel;
        P::multiply(left, runs, {c, out.rows, out.columns, g.ow * g.o, g.o}, columns, false, ahead);
        // The rows of a band follow each other, or there is only one.
        for (int64_t p = 0; p < out.rows * out.columns && bias; p++)
          for (int i = 0; i < columns; i += VL)
            store_some(c + p * g.o + i, load_some(c + p * g.o + i, columns - i) + load_some(bias + channel + i, columns - i),
                       columns - i);
        if (moments.mean) {
          float* slot = slots.get() + band * 2 * g.o + channel;
          moments_of(c, g.o, out.rows * out.columns, columns, slot, slot + g.o);
        }
      }
    }
  };
  // Several bands in one piece, so that the next one's memory can be fetched while this one is computed.
  const int64_t together = std::clamp<int64_t>(bands.count() / 64, 1, 8), groups = (bands.count() + together - 1) / together;
  parallel_if_worth(work_of(g), groups * ranges.count, [&](int64_t piece) {
    const int64_t first = piece / ranges.count * together, last = std::min(first + together, bands.count());
    for (int64_t band = first; band < last && !veto; band++) compute(band, piece % ranges.count, band + 1 < last);
  });
  if (veto) return conv_forward_dense<VectorProducts>(given, x, w, bias, y, moments, inner);
  if (moments.mean)
    merge_moments(slots.get(), bands.count(), g.o, [&](int64_t band) { return bands.pixels(band); }, moments);
}

// Turned weights for input gradients: [group][panel of input channels][tap][output channel][PANEL]. Taps of a row are in
// reverse where they are merged, for a gradient is read from the left while the kernel goes to the right.
template <class P>
static void pack_turned(const Geometry& g, const float* w, bool reverse, int64_t panels, float* packed, Veto& veto) {
  const int64_t cg = g.c / g.groups, og = g.o / g.groups, taps = g.kh * g.kw, panel_size = taps * P::tap_floats(og);
  parallel_if_worth(g.c * og * taps, g.groups * panels, [&](int64_t piece) {
    int64_t group = piece / panels, first = piece % panels * PANEL;
    float* panel = packed + piece * panel_size;
    float* open = P::open_panel(panel, og, taps);
    for (int64_t tap = 0; tap < taps; tap++) {
      int64_t place = reverse ? tap / g.kw * g.kw + (g.kw - 1 - tap % g.kw) : tap;
      pack_panel(w + (group * og * cg + first) * taps + tap, cg * taps, taps, og, std::min<int64_t>(cg - first, PANEL),
                 open + place * og * PANEL);
    }
    if (!P::close_panel(open, og, taps, panel)) veto.say();
  });
}

// ceil and floor of a / b for b > 0.
static int64_t up(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }
static int64_t down(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// Computes the input gradient of one band from the output gradients that reach it, the window `from`. `first_panel` to
// `last_panel` of each group.
template <class P>
static void band_input_grad(const Geometry& g, const Window& band, const Window& from, const typename P::Left& left,
                            const float* packed, int64_t panels, int64_t first_panel, int64_t last_panel, bool merge,
                            const GradSink& sink, float* sum, float* sum_y, Ahead& ahead) {
  const int64_t cg = g.c / g.groups, og = g.o / g.groups, taps = g.kh * g.kw, tap_size = P::tap_floats(og);
  const int64_t length = merge ? g.kw * og : og;
  const Offsets a_offset(SCRATCH_RUNS, taps), b_offset(SCRATCH_PLACES, taps);
  for (int64_t group = 0; group < g.groups; group++)
    for (int64_t panel = first_panel; panel < last_panel; panel++) {
      const int columns = (int)std::min<int64_t>(cg - panel * PANEL, PANEL);
      const int64_t channel = group * cg + panel * PANEL;
      const float* b = packed + (group * panels + panel) * taps * tap_size;
      // Rows and columns that are as far from a result's meet the same taps.
      for (int64_t phase_y = 0; phase_y < std::min(g.sh, band.rows); phase_y++)
        for (int64_t phase_x = 0; phase_x < std::min(g.sw, band.columns); phase_x++) {
          // Input column `x + i * sw` meets output column `(x + pw - kw * dw) / sw + i`; so do rows.
          const int64_t y = band.top + phase_y, x = band.left + phase_x;
          int num_runs = 0;
          for (int64_t kh = 0; kh < g.kh; kh++) {
            const int64_t oy = y + g.ph - kh * g.dh;
            if (oy % g.sh) continue;
            for (int64_t kw = merge ? g.kw - 1 : 0; kw < g.kw; kw++) {
              const int64_t ox = x + g.pw - kw * g.dw;
              if (ox % g.sw) continue;
              a_offset[num_runs] = left.place(oy / g.sh - from.top, ox / g.sw - from.left);
              b_offset[num_runs++] = (merge ? kh * g.kw : kh * g.kw + kw) * tap_size;
            }
          }
          const Runs runs{left.at + group * og, b, a_offset.get(), b_offset.get(), num_runs, length};
          float* to = sink.to + ((band.image * g.h + y) * g.w + x) * sink.step + channel;
          const int64_t rows = (band.rows - phase_y + g.sh - 1) / g.sh, count = (band.columns - phase_x + g.sw - 1) / g.sw;
          P::multiply(left, runs, {to, rows, count, g.sh * g.w * sink.step, g.sw * sink.step}, columns, false, ahead);
        }
      const int64_t first = (band.image * g.h + band.top) * g.w + band.left;
      finish_grads(sink, first, 1, band.rows * band.columns, channel, columns, sum, sum_y);
    }
}

// The output gradients that reach a band of inputs.
static Window reaching(const Geometry& g, const Window& band) {
  const int64_t top = up(band.top + g.ph - (g.kh - 1) * g.dh, g.sh), bottom = down(band.top + band.rows - 1 + g.ph, g.sh);
  const int64_t left = up(band.left + g.pw - (g.kw - 1) * g.dw, g.sw);
  const int64_t right = down(band.left + band.columns - 1 + g.pw, g.sw);
  return {band.image, top, left, std::max<int64_t>(bottom - top + 1, 0), std::max<int64_t>(right - left + 1, 0)};
}

template <class P>
static void conv_input_grad_dense(const Geometry& given, const GradSource& grads, const float* w, const GradSink& sink) {
  const Geometry g = flattened(given);
  const int64_t cg = g.c / g.groups, og = g.o / g.groups, taps = g.kh * g.kw;
  const bool merge = P::MERGES_TAPS && taps_merge(g) && g.sw == 1;
  const Bands bands(g.sh * g.sw * P::BAND_PIXELS, g.n, g.h, g.w);  // so many for each of the taps that meet them
  const Ranges ranges(cg, bands.count() * g.groups);
  Block packed(g.groups * ranges.panels * taps * P::tap_floats(og));
  Veto veto;
  pack_turned<P>(g, w, merge, ranges.panels, packed.get(), veto);
  Block slots(sink.y ? bands.count() * 2 * g.c : 1);
  parallel_if_worth(work_of(g), bands.count() * ranges.count, [&](int64_t piece) {
    const int64_t range = piece % ranges.count;
    const Window band = bands.at(piece / ranges.count), from = reaching(g, band);
    [[maybe_unused]] typename P::Unit unit;
    Ahead ahead;
    if (ranges.count == 1 && piece + 1 < bands.count()) {  // the band that this thread is likely to have next
      const Window next = bands.at(piece + 1);
      fetch_window(ahead, reaching(g, next), g.oh, g.ow, grads);
      ahead.add(sink, bands.first(next), next.rows * next.columns);
      const int64_t phases = g.sh * g.sw;
      ahead.spread(g.groups * ranges.panels * phases *
                   P::fetches((band.rows + g.sh - 1) / g.sh, (band.columns + g.sw - 1) / g.sw, (taps * og + phases - 1) / phases));
    }
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
    const auto left = P::left(source, from.rows, from.columns, g.o, g.o);
    if (!left.is_whole) return veto.say();
    band_input_grad<P>(g, band, from, left, packed.get(), ranges.panels, first_panel, last_panel, merge, sink, sum,
                       sum + g.c, ahead);
  });
  if (veto) return conv_input_grad_dense<VectorProducts>(given, grads, w, sink);
  add_sums(slots.get(), bands.count(), g.c, sink);
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

// Has fetched what weights' gradients read of a band; its input only where they read all channels of that.
static void fetch_band(Ahead& ahead, const Geometry& g, const Bands& bands, int64_t band, const GradSource& grads,
                       const Source& x, bool all_channels) {
  const Window out = bands.at(band);
  ahead.add(grads, bands.first(out), out.rows * out.columns);
  if (all_channels) fetch_window(ahead, read_by(g, out), g.h, g.w, x);
}

template <class P>
static void conv_weight_grad_dense(const Geometry& given, const GradSource& grads, const Source& x, float* grad_w) {
  const Geometry g = flattened(given);
  const int64_t cg = g.c / g.groups, og = g.o / g.groups, taps = g.kh * g.kw, size = g.o * cg * taps;
  const bool merge = taps_merge(g) && cg < 2 * MAX_ROWS;  // else the rows of a tap fill tiles of their own
  const Bands bands(P::BAND_PIXELS, g.n, g.oh, g.ow, rows_worth_reading(g));
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
    bool add = false;
    const int64_t last = bands.count() * (part + 1) / parts;
    for (int64_t band = bands.count() * part / parts; band < last; band++, add = true) {
      const Window out = bands.at(band);
      const Window in = read_by(g, out);
      const int64_t row = in.columns * x_pitch, pixels = out.rows * out.columns;
      const int64_t num_runs = merge ? g.kh : taps, height = merge ? g.kw * cg : num_channels;
      Ahead ahead;
      if (band + 1 < last) {
        fetch_band(ahead, g, bands, band + 1, grads, x, num_ranges == 1);
        ahead.spread(g.groups * panels * num_runs * P::fetches(1, height, pixels), 16);  // more would hold up the products
      }
      float* source = scratch(SCRATCH_SOURCE, in.rows * row + VL);
      read_window(in, g.h, g.w, source, x_pitch,
                  [&](int64_t first, int64_t count, float* at) { read_pixels(x_range, first, count, width, at, x_pitch); });
      float* g_rows = scratch(SCRATCH_GRAD, pixels * pitch + PANEL);
      read_grads(grads, bands.first(out), pixels, g.o, g_rows, pitch);
      const Offsets a_offset(SCRATCH_RUNS, out.rows), b_offset(SCRATCH_PLACES, out.rows);
      for (int64_t r = 0; r < out.rows; r++) a_offset[r] = r * g.sh * row, b_offset[r] = r * out.columns * pitch;
      for (int64_t group = 0; group < g.groups; group++)
        for (int64_t panel = 0; panel < panels; panel++) {
          const int columns = (int)std::min<int64_t>(og - panel * PANEL, PANEL);
          const float* b = g_rows + group * og + panel * PANEL;
          for (int64_t run = 0; run < num_runs; run++) {
            const int64_t kh = merge ? run : run / g.kw, kw = merge ? 0 : run % g.kw;
            Runs runs{source + kh * g.dh * row + kw * g.dw * x_pitch + group * cg, b, a_offset.get(), b_offset.get(),
                      (int)out.rows, out.columns};
            runs.row_step = 1, runs.step = g.sw * x_pitch, runs.b_step = pitch;
            float* at = to + (group * taps * cg + (merge ? run * g.kw * cg : run * cg + channel)) * og + panel * PANEL;
            multiply_panel(runs, height, at, og, columns, add, ahead);
          }
        }
    }
  });
  unpack_weight_grad(g, sums.get(), parts, grad_w);
}

// Both gradients of a 1x1 convolution in one pass over its gradient and its input.
template <class P>
static void conv_backward_pointwise(const Geometry& given, const GradSource& grads, const Source& x, const float* w,
                                    const GradSink& sink, float* grad_w) {
  const Geometry g = flattened(given);
  const int64_t size = g.c * g.o;
  const Bands bands(P::pixels_for_both(size), g.n, g.h, g.w);
  const int64_t panels = (g.c + PANEL - 1) / PANEL;
  const int64_t parts = num_parts(bands.count(), size);
  Block packed(panels * P::tap_floats(g.o)), sums(parts * size), slots(parts * 2 * g.c);
  Veto veto;
  pack_turned<P>(g, w, true, panels, packed.get(), veto);
  parallel_if_worth(2 * work_of(g), parts, [&](int64_t part) {
    [[maybe_unused]] typename P::Unit unit;
    float* to = sums.get() + part * size;
    float* sum = slots.get() + part * 2 * g.c;
    std::fill(sum, sum + 2 * g.c, 0.0f);
    if (bands.count() == 0) std::fill(to, to + size, 0.0f);
    bool add = false;
    for (int64_t band = bands.count() * part / parts; band < bands.count() * (part + 1) / parts && !veto;
         band++, add = true) {
      const Window at = bands.at(band);
      const int64_t pixels = at.rows * at.columns, first = bands.first(at);
      Ahead ahead;
      if (band + 1 < bands.count() * (part + 1) / parts) {
        const int64_t next = first + pixels, count = bands.pixels(band + 1);
        ahead.add(grads, next, count);
        ahead.add(x, next, count);
        ahead.add(sink, next, count, x.x);
        ahead.spread(panels * (P::fetches(1, pixels, g.o) + P::fetches(1, g.o, pixels)));
      }
      auto read_g = [&](int64_t skip, int64_t count, float* at, int64_t pitch) {
        read_grads(grads, first + skip, count, g.o, at, pitch);
      };
      auto read_x = [&](int64_t skip, int64_t count, float* at, int64_t pitch) {
        read_pixels(x, first + skip, count, g.c, at, pitch);
      };
      const typename P::template PixelBand<decltype(read_g)&> ours(pixels, g.o, read_g);
      const auto left = ours.left();
      if (!left.is_whole) return veto.say();
      band_input_grad<P>(g, at, at, left, packed.get(), panels, 0, panels, true, sink, sum, sum + g.c, ahead);
      const float* plain = x.plain() ? x.x + first * x.step : nullptr;
      if (!ours.add_products(plain, x.step, g.c, read_x, to, add, ahead)) return veto.say();
    }
  });
  if (veto) return conv_backward_pointwise<VectorProducts>(given, grads, x, w, sink, grad_w);
  add_sums(slots.get(), parts, g.c, sink);
  if (P::turns_products(g.c, g.o)) unpack_weight_grad(g, sums.get(), parts, grad_w);
  else add_pieces(sums.get(), parts, size, size, grad_w);
}

}  // namespace TT_ISA
