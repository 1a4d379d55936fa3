// Convolutions by Winograd's minimal filtering: 3x3 kernels, stride 1, dilation 1, one group, any padding, any size.
//
// Work is divided into blocks of rows of tiles. A block stays in a core's own cache from the transform of its input, normalised
// and activated on the way, through 36 small products, one for each place of a 6x6 tile, to the transform of its results;
// what the next kernel wants to know of these is taken right there, as in dense.h.
//
// Rounding: differences are taken of numbers that were multiplied, so that results are less exact than direct sums. The
// error against float64, relative to the largest result in magnitude, stays below 4e-6 for random operands, results and both
// gradients alike; it is 1e-6 to 3e-6, where direct sums have 2e-7 to 6e-7. NaN and infinity spread over their 4x4 tile.
// Results are the same bits on any number of threads.
#pragma once

#include "dense.h"
#include "winograd_tiles.h"

namespace TT_ISA {

// Whether the algorithm can compute the convolution.
static bool fits_winograd(const Geometry& g) {
  return g.kh == 3 && g.kw == 3 && g.sh == 1 && g.sw == 1 && g.dh == 1 && g.dw == 1 && g.groups == 1;
}

// Rows of tiles in blocks of about `tiles` tiles.
struct TileBlocks {
  int64_t rows, each, count;
  TileBlocks(const TileRows& all, int64_t tiles) : rows(all.count()) {
    each = std::clamp<int64_t>((tiles + all.across / 2) / std::max<int64_t>(all.across, 1), 1, std::max<int64_t>(rows, 1));
    count = (rows + each - 1) / each;
    if (count) each = (rows + count - 1) / count;
  }
  int64_t first(int64_t block) const { return std::min(rows, block * each); }
  int64_t last(int64_t block) const { return std::min(rows, (block + 1) * each); }
};

// Tiles in a block of a product over `channels`, read and written: few enough for the block to stay in a core's own cache,
// and enough of them for each time that the weights, 36 * c * o floats, come from further away.
static int64_t tiles_at_once(int64_t channels) {
  return std::clamp<int64_t>(std::max<int64_t>(NEAR_FLOATS / (2 * PLACES * channels), channels / 4), 2 * MAX_ROWS, 128);
}

// Transforms and packs FILTER_ROWS rows of the filters of a panel, or up to the last. False where they cannot be packed.
constexpr int64_t FILTER_ROWS = 32;

template <class P>
static bool pack_filter_rows(const Filters& filters, const Panels<P>& panels, int64_t panel, int64_t first, float* packed) {
  const int64_t last = std::min(filters.depth, first + FILTER_ROWS);
  float* to = packed + panels.offset(0, panel) + P::tap_floats(first);
  int64_t apart = panels.size;
  float* open = P::open_places(to, &apart);
  transform_filters(filters, panel, first, last, open, apart);
  return P::close_places(open, apart, last - first, to, panels.size);
}

// The sum over input channels for every tile and place: `tiles` tiles at `from` times some panels of filters. False where it
// cannot be computed so.
template <class P>
static bool multiply_places(const float* from, const Planes& in, int64_t tiles, const float* packed, const Panels<P>& panels,
                            int64_t first_panel, float* to, const Planes& out, bool add, const Ahead& block) {
  [[maybe_unused]] typename P::Unit unit;
  const int64_t none = 0;
  const int64_t num_panels = (out.pitch + PANEL - 1) / PANEL;
  for (int place = 0; place < PLACES; place++) {
    Ahead ahead;
    if (place + 1 < PLACES)
      ahead.add(packed + panels.offset(place + 1, first_panel), num_panels * P::tap_floats(panels.depth));
    ahead.add_part(block, place, PLACES);
    ahead.spread(num_panels * P::fetches(1, tiles, panels.depth));
    const auto left = P::left(from + place * in.size, 1, tiles, panels.depth, in.pitch);
    if (!left.is_whole) return false;
    for (int64_t column = 0; column < out.pitch; column += PANEL) {
      const float* b = packed + panels.offset(place, first_panel + column / PANEL);
      const Runs runs{left.at, b, &none, &none, 1, panels.depth};
      P::multiply(left, runs, {to + place * out.size + column, 1, P::whole_rows(tiles), 0, out.pitch},
                  (int)std::min<int64_t>(out.pitch - column, PANEL), add, ahead);
    }
  }
  return true;
}

// The same with filters that are transformed where they are used, some rows at a time, and never leave the cache.
template <class P>
static bool multiply_places_once(const float* from, const Planes& in, int64_t tiles, const Filters& filters, float* to,
                                 const Planes& out) {
  constexpr int64_t DEPTH = 4 * FILTER_ROWS;
  for (int64_t k = 0; k < filters.depth; k += DEPTH) {
    const Filters some = filters.rows(k, std::min(DEPTH, filters.depth - k));
    const Panels<P> few(some);
    float* own = scratch(SCRATCH_GRAD, few.floats());
    bool is_packed = true;
    for (int64_t panel = 0; panel < few.count; panel++)
      for (int64_t row = 0; row < some.depth; row += FILTER_ROWS) is_packed &= pack_filter_rows(some, few, panel, row, own);
    if (!is_packed || !multiply_places(from + k, in, tiles, own, few, 0, to, out, k > 0, Ahead())) return false;
  }
  return true;
}

// The convolution of what `source` gives, an image as `at` says, into the images of `rows`, to and through the memory of
// `sink`. `finish(row, channel, columns)` sees every row of tiles while it is in cache.
template <class P, class Any, class Finish>
static void convolve_tiles(const TileRows& rows, const Placed& at, const Any& source, const Filters& filters,
                           const float* bias, const GradSink& sink, Finish&& finish) {
  const int64_t channels = filters.columns;
  const TileBlocks blocks(rows, tiles_at_once(at.channels + channels));
  const bool once = blocks.count == 1;  // only one block meets the filters
  const Ranges ranges(channels, (once ? 2 : 4) * blocks.count);  // a block's windows are made ready for each range
  const Panels<P> panels(filters);
  Block packed(once ? 1 : panels.floats());
  Veto veto;
  if (!once) {
    const int64_t chunks = (filters.depth + FILTER_ROWS - 1) / FILTER_ROWS;
    parallel(panels.count * chunks, [&](int64_t piece) {
      if (!pack_filter_rows(filters, panels, piece / chunks, piece % chunks * FILTER_ROWS, packed.get()))
        veto.say();
    });
  }
  // With ranges of columns several pieces read the same windows, which then are transformed beforehand.
  const bool shared = ranges.count > 1;
  const Planes in(blocks.each * rows.across, at.channels);
  Block all_windows(shared ? blocks.count * in.floats() : 1);
  // The windows and products of a large block leave no room for more beside them.
  const bool has_room = !shared && in.floats() + blocks.each * rows.across * PLACES * channels <= NEAR_FLOATS;
  if (shared) {
    constexpr int64_t CHUNK = 4 * VL;
    const int64_t chunks = (at.channels + CHUNK - 1) / CHUNK;
    parallel(rows.count() * chunks, [&](int64_t piece) {
      const int64_t row = piece / chunks, channel = piece % chunks * CHUNK, block = row / blocks.each;
      float* windows = all_windows.get() + block * in.floats() + row % blocks.each * rows.across * in.pitch + channel;
      transform_rows<InputTransform>(rows, row, row + 1, at.range(channel, CHUNK), from_channel(source, channel), windows, in);
    });
  }
  parallel(blocks.count * ranges.count, [&](int64_t piece) {
    const int64_t block = piece / ranges.count, range = piece % ranges.count;
    const int64_t first = blocks.first(block), last = blocks.last(block), tiles = (last - first) * rows.across;
    const int64_t channel = range * ranges.each * PANEL, columns = std::min(channels - channel, ranges.each * PANEL);
    const Planes out(P::whole_rows(tiles), columns);
    float* windows = shared ? all_windows.get() + block * in.floats() : scratch(SCRATCH_SOURCE, in.floats());
    float* products = scratch(SCRATCH_TILE, out.floats());
    if (!shared) transform_rows<InputTransform>(rows, first, last, at, source, windows, in);
    const Filters ours = filters.columns_from(channel, columns);
    Ahead ahead;
    if (has_room) {
      ahead.add(sink, rows.first_pixel(first), rows.pixels(first));
      if (block + 1 < blocks.count)  // the block that this thread is likely to have next
        fetch_windows(ahead, rows, last, blocks.last(block + 1), at, source);
    }
    const bool done = once ? multiply_places_once<P>(windows, in, tiles, ours, products, out)
                           : multiply_places(windows, in, tiles, packed.get(), panels, range * ranges.each, products, out, false,
                                           ahead);
    if (!done) return veto.say();
    for (int64_t row = first; row < last; row++) {
      Ahead below;
      if (ranges.count == 1 && row + 1 < last) {
        below.add(sink, rows.first_pixel(row + 1), rows.pixels(row + 1));
        below.spread((columns + VL - 1) / VL * rows.across);
      }
      const float* row_products = products + (row - first) * rows.across * out.pitch;
      write_row(rows, row, row_products, out, bias ? bias + channel : nullptr, columns, sink.to + channel, sink.step, below);
      finish(row, channel, columns);
    }
  });
  if (veto) convolve_tiles<VectorProducts>(rows, at, source, filters, bias, sink, finish);
}

template <class P>
static void conv_forward_winograd(const Geometry& g, const Source& x, const float* w, const float* bias, float* y,
                                  Moments moments) {
  const TileRows rows(g.n, g.oh, g.ow);
  Block slots(moments.mean ? rows.count() * 2 * g.o : 1);
  GradSink results;  // with nothing to be done to them
  results.to = y, results.step = g.o;
  convolve_tiles<P>(rows, {g.h, g.w, g.ph, g.pw, g.c}, x, Filters(w, g.c, g.o, false), bias, results,
                 [&](int64_t row, int64_t channel, int64_t columns) {
                   if (!moments.mean) return;
                   float* slot = slots.get() + row * 2 * g.o + channel;
                   moments_of(y + rows.first_pixel(row) * g.o + channel, g.o, rows.pixels(row), columns, slot, slot + g.o);
                 });
  if (moments.mean) merge_moments(slots.get(), rows.count(), g.o, [&](int64_t row) { return rows.pixels(row); }, moments);
}

// The gradient of the input is a convolution of the output's gradient with turned weights.
template <class P>
static void conv_input_grad_winograd(const Geometry& g, const GradSource& grads, const float* w, const GradSink& sink) {
  const TileRows rows(g.n, g.h, g.w);
  Block slots(sink.y ? rows.count() * 2 * g.c : 1);
  convolve_tiles<P>(rows, {g.oh, g.ow, 2 - g.ph, 2 - g.pw, g.o}, grads, Filters(w, g.o, g.c, true), nullptr, sink,
                 [&](int64_t row, int64_t channel, int64_t columns) {
                   float* sum = slots.get() + row * 2 * g.c;
                   if (sink.y) {
                     std::fill(sum + channel, sum + channel + columns, 0.0f);
                     std::fill(sum + g.c + channel, sum + g.c + channel + columns, 0.0f);
                   }
                   finish_grads(sink, rows.first_pixel(row), 1, rows.pixels(row), channel, columns, sum, sum + g.c);
                 });
  add_sums(slots.get(), rows.count(), g.c, sink);
}

// dw = G^T [ sum over tiles of (B^T d B) . (A g A^T) ] G, in ranges of input and output channels whose 36 sums stay in a core's
// own cache, and in parts of the rows of tiles where that gives few pieces.
static void conv_weight_grad_winograd(const Geometry& g, const GradSource& grads, const Source& x, float* grad_w) {
  constexpr int64_t EACH = 64;  // channels of a range
  const TileRows rows(g.n, g.oh, g.ow);
  const TileBlocks blocks(rows, 64);
  const int64_t c_ranges = (g.c + EACH - 1) / EACH, o_ranges = (g.o + EACH - 1) / EACH, ranges = c_ranges * o_ranges;
  const int64_t parts = std::clamp<int64_t>(FEW_PIECES / ranges, 1, std::max<int64_t>(blocks.count, 1));
  const Planes in(blocks.each * rows.across, std::min(g.c, EACH)), out(blocks.each * rows.across, std::min(g.o, EACH));
  const Placed windows_at{g.h, g.w, g.ph, g.pw, g.c}, tiles_at{g.oh, g.ow, 0, 0, g.o};
  auto read_windows = [&](int64_t block, int64_t range, float* to) {
    transform_rows<InputTransform>(rows, blocks.first(block), blocks.last(block), windows_at.range(range * EACH, EACH),
                                   from_channel(x, range * EACH), to, in);
  };
  auto read_tiles = [&](int64_t block, int64_t range, float* to) {
    transform_rows<GradTransform>(rows, blocks.first(block), blocks.last(block), tiles_at.range(range * EACH, EACH),
                                  from_channel(grads, range * EACH), to, out);
  };
  // What many ranges read is transformed once, beforehand.
  const bool shared = ranges >= 2 * FEW_PIECES;
  Block all_windows(shared ? blocks.count * c_ranges * in.floats() : 1);
  Block all_tiles(shared ? blocks.count * o_ranges * out.floats() : 1);
  if (shared)
    parallel(blocks.count * (c_ranges + o_ranges), [&](int64_t piece) {
      const int64_t block = piece / (c_ranges + o_ranges), range = piece % (c_ranges + o_ranges);
      if (range < c_ranges) read_windows(block, range, all_windows.get() + (block * c_ranges + range) * in.floats());
      else read_tiles(block, range - c_ranges, all_tiles.get() + (block * o_ranges + range - c_ranges) * out.floats());
    });
  Block sums(parts * 9 * g.c * g.o);
  parallel(parts * ranges, [&](int64_t piece) {
    const int64_t part = piece / ranges, c_range = piece % ranges / o_ranges, o_range = piece % o_ranges;
    const int64_t num_c = std::min(EACH, g.c - c_range * EACH), num_o = std::min(EACH, g.o - o_range * EACH);
    const Planes products(num_c, num_o);
    float* sum = scratch(SCRATCH_TILE, products.floats());
    const int64_t first = blocks.count * part / parts, last = blocks.count * (part + 1) / parts;
    if (first == last) std::fill(sum, sum + products.floats(), 0.0f);
    for (int64_t block = first; block < last; block++) {
      float* windows = shared ? all_windows.get() + (block * c_ranges + c_range) * in.floats()
                              : scratch(SCRATCH_SOURCE, in.floats());
      float* tiles = shared ? all_tiles.get() + (block * o_ranges + o_range) * out.floats()
                            : scratch(SCRATCH_GRAD, out.floats());
      if (!shared) read_windows(block, c_range, windows), read_tiles(block, o_range, tiles);
      const int64_t count = (blocks.last(block) - blocks.first(block)) * rows.across;
      Ahead next;
      if (block + 1 < last && ranges == 1) {
        fetch_windows(next, rows, blocks.last(block), blocks.last(block + 1), windows_at, x);
        fetch_windows(next, rows, blocks.last(block), blocks.last(block + 1), tiles_at, grads);
      }
      for (int place = 0; place < PLACES; place++) {
        Ahead ahead;
        ahead.add_part(next, place, PLACES);
        ahead.spread((products.pitch + PANEL - 1) / PANEL * VectorProducts::fetches(1, num_c, count));
        VectorProducts::multiply_pixels(windows + place * in.size, in.pitch, num_c, tiles + place * out.size, out.pitch,
                                        products.pitch, count, sum + place * products.size, products.pitch, block > first,
                                        ahead);
      }
    }
    float* to = sums.get() + (part * 9 * g.c + c_range * EACH) * g.o + o_range * EACH;
    for (int64_t c = 0; c < num_c; c++)
      for (int64_t o = 0; o < num_o; o += VL) {
        const float* from = sum + c * products.pitch + o;
        transform<WeightGradTransform>(
            [&](int i, int k) __attribute__((always_inline)) { return load(from + (i * 6 + k) * products.size); },
            [&](int i, int k, vec v) __attribute__((always_inline)) {
              store_some(to + ((i * 3 + k) * g.c + c) * g.o + o, v, num_o - o);
            });
      }
  });
  unpack_weight_grad(g, sums.get(), parts, grad_w);
}

}  // namespace TT_ISA
