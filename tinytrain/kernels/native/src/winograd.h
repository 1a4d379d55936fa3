// Convolutions by Winograd's minimal filtering: 3x3 kernels, stride 1, dilation 1, one group, any padding, any size.
//
// Work is divided into blocks of rows of tiles. A block stays in a core's own cache from the transform of its input, normalised
// and activated on the way, through 36 small products, one for each place of a 6x6 tile, to the transform of its results;
// what the next kernel wants to know of these is taken right there, as in dense.h.
//
// Rounding: the transforms take differences of what was multiplied by up to 8, so that results are less exact than direct
// sums. Relative to the largest result in magnitude the error against float64 stays below 3e-6 for results and input gradients
// of unit variance, where direct sums have about 5e-7, and below 1e-5 for weight gradients. NaN and infinity spread to the
// whole 4x4 tile. For the same sizes results are the same bits on any number of threads.
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

// The sum over input channels for every tile and place: `tiles` tiles at `from` times panels of weights.
static void multiply_tiles(const float* from, const Planes& in, int64_t tiles, const TileWeights& shape, const float* packed,
                           int64_t first_panel, int64_t last_panel, float* to, const Planes& out) {
  const int64_t none = 0;
  for (int place = 0; place < PLACES; place++)
    for (int64_t panel = first_panel; panel < last_panel; panel++) {
      Runs runs{from + place * in.size, in.pitch, 1, shape.panel(packed, place, panel), PANEL, &none, &none, 1, shape.depth};
      const int columns = (int)std::min<int64_t>(round_up(shape.columns - panel * PANEL, VL), PANEL);
      multiply_panel(runs, tiles, to + place * out.size + (panel - first_panel) * PANEL, out.pitch, columns, false);
    }
}

// The convolution of what `source` gives, an image as `at` says, into (rows.h, rows.w) images at `to`. `finish(row, channel,
// columns)` sees every row of tiles while it is in cache.
template <class Any, class Finish>
static void convolve_tiles(const TileRows& rows, const Placed& at, const Any& source, const float* w, bool turned,
                           const float* bias, int64_t channels, float* to, int64_t step, Finish&& finish) {
  const TileWeights shape(at.channels, channels);
  Block packed(shape.floats());
  transform_weights(shape, w, turned, packed.get());
  const TileBlocks blocks(rows, tiles_at_once(at.channels + channels));
  const Ranges ranges(channels, blocks.count);
  const Planes in(blocks.each * rows.across, at.channels);
  // With ranges of columns several pieces read the same windows, which then are transformed beforehand.
  const bool shared = ranges.count > 1;
  Block all_windows(shared ? blocks.count * in.floats() : 1);
  if (shared) {
    constexpr int64_t CHUNK = 4 * VL;
    const int64_t chunks = (at.channels + CHUNK - 1) / CHUNK;
    parallel(rows.count() * chunks, [&](int64_t piece) {
      const int64_t row = piece / chunks, channel = piece % chunks * CHUNK, block = row / blocks.each;
      Placed part = at;
      part.channels = std::min(CHUNK, at.channels - channel);
      transform_rows<InputTransform>(
          rows, row, row + 1, part, from_channel(source, channel),
          all_windows.get() + block * in.floats() + row % blocks.each * rows.across * in.pitch + channel, in);
    });
  }
  parallel(blocks.count * ranges.count, [&](int64_t piece) {
    const int64_t block = piece / ranges.count, range = piece % ranges.count;
    const int64_t first = blocks.first(block), last = blocks.last(block), tiles = (last - first) * rows.across;
    const int64_t first_panel = range * ranges.each, last_panel = std::min(ranges.panels, (range + 1) * ranges.each);
    const int64_t channel = first_panel * PANEL, columns = std::min(channels, last_panel * PANEL) - channel;
    const Planes out(tiles, columns);
    float* windows = shared ? all_windows.get() + block * in.floats() : scratch(SCRATCH_SOURCE, in.floats());
    float* products = scratch(SCRATCH_TILE, out.floats());
    if (!shared) transform_rows<InputTransform>(rows, first, last, at, source, windows, in);
    multiply_tiles(windows, in, tiles, shape, packed.get(), first_panel, last_panel, products, out);
    for (int64_t row = first; row < last; row++) {
      write_row(rows, row, products + (row - first) * rows.across * out.pitch, out, bias ? bias + channel : nullptr, columns,
                to + channel, step);
      finish(row, channel, columns);
    }
  });
}

static void conv_forward_winograd(const Geometry& g, const Source& x, const float* w, const float* bias, float* y,
                                  Moments moments) {
  const TileRows rows(g.n, g.oh, g.ow);
  Block slots(moments.mean ? rows.count() * 2 * g.o : 1);
  convolve_tiles(rows, {g.h, g.w, g.ph, g.pw, g.c}, x, w, false, bias, g.o, y, g.o,
                 [&](int64_t row, int64_t channel, int64_t columns) {
                   if (!moments.mean) return;
                   float* slot = slots.get() + row * 2 * g.o + channel;
                   moments_of(y + rows.first_pixel(row) * g.o + channel, g.o, rows.pixels(row), columns, slot, slot + g.o);
                 });
  if (moments.mean) merge_moments(slots.get(), rows.count(), g.o, [&](int64_t row) { return rows.pixels(row); }, moments);
}

// The gradient of the input is a convolution of the output's gradient with turned weights.
static void conv_input_grad_winograd(const Geometry& g, const GradSource& grads, const float* w, const GradSink& sink) {
  const TileRows rows(g.n, g.h, g.w);
  Block slots(sink.y ? rows.count() * 2 * g.c : 1);
  convolve_tiles(rows, {g.oh, g.ow, 2 - g.ph, 2 - g.pw, g.o}, grads, w, true, nullptr, g.c, sink.to, sink.step,
                 [&](int64_t row, int64_t channel, int64_t columns) {
                   float* sum = slots.get() + row * 2 * g.c;
                   if (sink.y) {
                     std::fill(sum + channel, sum + channel + columns, 0.0f);
                     std::fill(sum + g.c + channel, sum + g.c + channel + columns, 0.0f);
                   }
                   finish_grads(sink, rows.first_pixel(row), 1, rows.pixels(row), channel, columns, sum, sum + g.c);
                 });
  if (sink.y) {
    add_pieces(slots.get(), rows.count(), 2 * g.c, g.c, sink.sum);
    add_pieces(slots.get() + g.c, rows.count(), 2 * g.c, g.c, sink.sum_y);
  }
}

// How a weight gradient is divided: ranges of input and output channels whose 36 sums stay in a core's own cache, and parts of
// the rows of tiles.
struct WeightGradPieces {
  static constexpr int64_t EACH = 64;  // channels
  int64_t c_ranges, o_ranges, parts;
  WeightGradPieces(const Geometry& g, int64_t blocks)
      : c_ranges((g.c + EACH - 1) / EACH), o_ranges((g.o + EACH - 1) / EACH),
        parts(std::clamp<int64_t>(FEW_PIECES / (c_ranges * o_ranges), 1, std::max<int64_t>(blocks, 1))) {}
  int64_t count() const { return c_ranges * o_ranges * parts; }
};

// dw = G^T [ sum over tiles of (B^T d B) . (A g A^T) ] G.
static void conv_weight_grad_winograd(const Geometry& g, const GradSource& grads, const Source& x, float* grad_w) {
  const TileRows rows(g.n, g.oh, g.ow);
  constexpr int64_t EACH = WeightGradPieces::EACH;
  const TileBlocks blocks(rows, 4 * MAX_ROWS);
  const WeightGradPieces pieces(g, blocks.count);
  Block sums(pieces.parts * 9 * g.c * g.o);
  parallel(pieces.count(), [&](int64_t piece) {
    const int64_t part = piece / (pieces.c_ranges * pieces.o_ranges), range = piece % (pieces.c_ranges * pieces.o_ranges);
    const int64_t c = range / pieces.o_ranges * EACH, o = range % pieces.o_ranges * EACH;
    const int64_t num_c = std::min(EACH, g.c - c), num_o = std::min(EACH, g.o - o);
    const Source x_range = from_channel(x, c);
    const GradSource g_range = from_channel(grads, o);
    const Planes products(num_c, num_o);
    float* sum = scratch(SCRATCH_TILE, products.floats());
    const int64_t first_block = blocks.count * part / pieces.parts, last_block = blocks.count * (part + 1) / pieces.parts;
    if (first_block == last_block) std::fill(sum, sum + products.floats(), 0.0f);
    for (int64_t block = first_block; block < last_block; block++) {
      const int64_t first = blocks.first(block), last = blocks.last(block), tiles = (last - first) * rows.across, none = 0;
      const Planes in(tiles, num_c), out(tiles, num_o);
      float* windows = scratch(SCRATCH_SOURCE, in.floats());
      float* g_tiles = scratch(SCRATCH_GRAD, out.floats());
      transform_rows<InputTransform>(rows, first, last, {g.h, g.w, g.ph, g.pw, num_c}, x_range, windows, in);
      transform_rows<GradTransform>(rows, first, last, {g.oh, g.ow, 0, 0, num_o}, g_range, g_tiles, out);
      for (int place = 0; place < PLACES; place++)
        for (int64_t panel = 0; panel < num_o; panel += PANEL) {
          Runs runs{windows + place * in.size, 1, in.pitch, g_tiles + place * out.size + panel, out.pitch, &none, &none, 1,
                    tiles};
          const int columns = (int)std::min<int64_t>(out.pitch - panel, PANEL);
          multiply_panel(runs, num_c, sum + place * products.size + panel, products.pitch, columns, block > first_block);
        }
    }
    float* to = sums.get() + part * 9 * g.c * g.o + c * g.o + o;
    for (int64_t i = 0; i < num_c; i++)
      for (int64_t j = 0; j < num_o; j += VL)
        transform<WeightGradTransform>(
            [&](int r, int k) __attribute__((always_inline)) {
              return load(sum + (r * 6 + k) * products.size + i * products.pitch + j);
            },
            [&](int r, int k, vec v) __attribute__((always_inline)) {
              store_some(to + ((r * 3 + k) * g.c + i) * g.o + j, v, num_o - j);
            });
  });
  unpack_weight_grad(g, sums.get(), pieces.parts, grad_w);
}

}  // namespace TT_ISA
