// The one inner loop of all matrix products: a register tile of sums over one or several runs of products.
//
//   C[i, j] (+)= sum over runs o, k < length of  A[a_offset[o] + i * row_step + k * step] * B[b_offset[o] + k * b_step + j]
//
// With one run it is a plain product; with a run per row of taps it is a convolution read where the input lies; with
// row_step 1 and a run per row of pixels it is a weight gradient. Goto and van de Geijn, Anatomy of High-Performance
// Matrix Multiplication (2008); Georganas et al., Anatomy of High-Performance Deep Learning Convolutions (2018).
#pragma once

#include <algorithm>

#include "ahead.h"
#include "pool.h"
#include "simd.h"

namespace TT_ISA {

using namespace tinytrain;

struct Runs {
  const float* a;
  const float* b;
  const int64_t* a_offset;
  const int64_t* b_offset;
  int count;
  int64_t length;
  int64_t row_step = 1, step = 1, b_step = PANEL;
};

// `count` tiles of R rows one below the other.
template <int R, int NV>
static void tile(const Runs& runs, const float* first, int64_t count, float* c, int64_t c_step, int columns, bool add,
                 Ahead& ahead) {
  const int64_t row_step = runs.row_step, step = runs.step, b_step = runs.b_step;
  // Half of the rows are reached from a pointer of their own: the distances to them then fit into registers.
  constexpr int HALF = (R + 1) / 2;
  for (int64_t t = 0; t < count; t++, first += R * row_step, c += R * c_step) {
    vec sum[R][NV];
#pragma GCC unroll 16
    for (int i = 0; i < R; i++)
#pragma GCC unroll 2
      for (int j = 0; j < NV; j++) sum[i][j] = (vec){};
    for (int o = 0; o < runs.count; o++) {
      const float* a = first + runs.a_offset[o];
      const float* a_half = a + HALF * row_step;
      const float* b = runs.b + runs.b_offset[o];
      for (int64_t k = 0; k < runs.length; k++) {
        vec w[NV];
#pragma GCC unroll 2
        for (int j = 0; j < NV; j++) w[j] = load(b + j * VL);
#pragma GCC unroll 16
        for (int i = 0; i < R; i++) {
          vec x = fill(i < HALF ? a[i * row_step] : a_half[(i - HALF) * row_step]);
#pragma GCC unroll 2
          for (int j = 0; j < NV; j++) sum[i][j] += x * w[j];
        }
        a += step;
        a_half += step;
        b += b_step;
      }
    }
    ahead.fetch();
    if (columns == NV * VL) {
#pragma GCC unroll 16
      for (int i = 0; i < R; i++)
#pragma GCC unroll 2
        for (int j = 0; j < NV; j++) {
          float* p = c + i * c_step + j * VL;
          store(p, add ? sum[i][j] + load(p) : sum[i][j]);
        }
      continue;
    }
#pragma GCC unroll 16
    for (int i = 0; i < R; i++)
#pragma GCC unroll 2
      for (int j = 0; j < NV; j++) {
        const int left = columns - j * VL;
        float* p = c + i * c_step + j * VL;
        if (left > 0) store_some(p, add ? sum[i][j] + load_some(p, left) : sum[i][j], left);
      }
  }
}

typedef void (*Tile)(const Runs&, const float*, int64_t, float*, int64_t, int, bool, Ahead&);

template <int R>
struct Tiles {
  static constexpr void enter(Tile (*table)[2]) {
    table[R][0] = tile<R, 1>;
    table[R][1] = tile<R, 2>;
    Tiles<R - 1>::enter(table);
  }
};
template <>
struct Tiles<0> {
  static constexpr void enter(Tile (*)[2]) {}
};

// Known when the program is compiled: code that runs when it is loaded would run on processors that lack its instructions.
struct TileTable {
  Tile of[MAX_ROWS + 1][2] = {};
  constexpr TileTable() { Tiles<MAX_ROWS>::enter(of); }
};
static constexpr TileTable tiles;

// One panel of columns for `rows` rows, in tiles whose heights differ by one at most.
static void multiply_panel(const Runs& runs, int64_t rows, float* c, int64_t c_step, int columns, bool add, Ahead& ahead) {
  const int wide = columns > VL;
  const int64_t count = (rows + MAX_ROWS - 1) / MAX_ROWS;
  if (count == 0) return;
  const int64_t height = rows / count, high = rows % count;  // `high` tiles have a row more
  const int64_t done = high * (height + 1);
  if (high) tiles.of[height + 1][wide](runs, runs.a, high, c, c_step, columns, add, ahead);
  tiles.of[height][wide](runs, runs.a + done * runs.row_step, count - high, c + done * c_step, c_step, columns, add, ahead);
}

static inline int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// Packs `columns` filters of `taps * channels` weights each, channel by channel, into a panel [tap][channel][PANEL], zeros
// behind the last filter. Square blocks are turned in registers: one at a time, weights would be fetched a line for each.
static void pack_filters(const float* w, int64_t channels, int64_t taps, int columns, float* to) {
  const int64_t depth = channels * taps;
  for (int half = 0; half < 2; half++) {
    const int count = std::clamp(columns - half * VL, 0, VL);
    const float* from = w + half * VL * depth;
    float* place = to + half * VL;
    for (int64_t q = 0; q < depth; q += VL) {
      const int64_t left = depth - q;
      vec rows[VL];
      for (int j = 0; j < VL; j++) rows[j] = j < count ? load_some(from + j * depth + q, left) : (vec){};
      transpose(rows);
      int64_t channel = q / taps, tap = q % taps;
      for (int64_t k = 0; k < std::min<int64_t>(left, VL); k++) {
        store(place + (tap * channels + channel) * PANEL, rows[k]);
        if (++tap == taps) tap = 0, channel++;
      }
    }
  }
}

// Packs B[k, j] = w[k * k_step + j * column_step], `length` by `columns`, into panels [panel][k][PANEL], zeros where a
// panel reaches beyond the columns. A panel `panel_size` floats after the one before.
static void pack_panel(const float* w, int64_t k_step, int64_t column_step, int64_t length, int64_t columns, float* to) {
  int count = (int)std::min<int64_t>(columns, PANEL);
  for (int64_t k = 0; k < length; k++) {
    const float* from = w + k * k_step;
    float* row = to + k * PANEL;
    int j = 0;
    if (column_step == 1) std::memcpy(row, from, count * sizeof(float)), j = count;
    for (; j < count; j++) row[j] = from[j * column_step];
    for (; j < PANEL; j++) row[j] = 0;
  }
}

// Floats from one pixel to the next in scratch that is walked pixel by pixel for a few channels: an odd number of cache lines.
// With a power of two all the lines wanted would compete for a few places of the first cache.
static int64_t odd_pitch(int64_t floats) { return ((floats + 15) / 16 | 1) * 16; }

// Where a convolution puts products: `count` pixels in each of `rows` rows, the distances in floats.
struct Result {
  float* to;
  int64_t rows, count, row, step;
};

// How convolutions compute products on vectors; AmxProducts in amx.h offers the same. The left side is a window of pixels, of
// which a product takes some by their places; the right side are panels of weights, [tap][channel][PANEL].
struct VectorProducts {
  struct Unit {};  // what the calling thread needs as long as it multiplies

  static constexpr int64_t BAND_PIXELS = 8 * MAX_ROWS;  // about so many result pixels at a time
  static int64_t pixels_for_both(int64_t) { return BAND_PIXELS; }  // for both gradients with so many weights

  // Taps that read one stretch of memory may be taken for one of several times the depth.
  static constexpr bool MERGES_TAPS = true;

  // A window whose pixels are met by steps of (sh, sw).
  struct Left {
    const float* at;
    int64_t pitch, columns, step, row;  // `step` and `row` lead to the pixels that the neighbours of a result meet
    int64_t place(int64_t y, int64_t x) const { return (y * columns + x) * pitch; }
    static constexpr bool is_whole = true;  // else the product cannot be computed so
  };
  static Left left(const float* pixels, int64_t, int64_t columns, int64_t, int64_t pitch, int64_t sh = 1, int64_t sw = 1) {
    return {pixels, pitch, columns, sw * pitch, sh * columns * pitch};
  }

  static int64_t tap_floats(int64_t depth) { return depth * PANEL; }

  // Where a panel is written, and what makes it ready; false where it cannot be.
  static float* open_panel(float* panel, int64_t, int64_t) { return panel; }
  static bool close_panel(float*, int64_t, int64_t, float*) { return true; }

  // The same for some rows of a panel at each place of a tile (winograd.h), `apart` from place to place.
  static float* open_places(float* rows, int64_t*) { return rows; }
  static bool close_places(float*, int64_t, int64_t, float*, int64_t) { return true; }

  static void multiply(const Left& left, Runs runs, const Result& result, int columns, bool add, Ahead& ahead) {
    runs.row_step = left.step;
    for (int64_t r = 0; r < result.rows; r++, runs.a += left.row)
      multiply_panel(runs, result.count, result.to + r * result.row, result.step, columns, add, ahead);
  }
  // As many rows as that computes fastest, where there is room for them.
  static int64_t whole_rows(int64_t rows) { return rows; }

  // How often that fetches what is wanted next.
  static int64_t fetches(int64_t rows, int64_t count, int64_t) { return rows * ((count + MAX_ROWS - 1) / MAX_ROWS); }

  // C[i, j] (+)= sum over pixels p of A[p, i] * B[p, j], with whole panels of B in memory.
  static void multiply_pixels(const float* a, int64_t a_pitch, int64_t rows, const float* b, int64_t b_pitch, int64_t columns,
                              int64_t pixels, float* c, int64_t c_step, bool add, Ahead& ahead) {
    const int64_t none = 0;
    for (int64_t column = 0; column < columns; column += PANEL) {
      const Runs runs{a, b + column, &none, &none, 1, pixels, 1, a_pitch, b_pitch};
      multiply_panel(runs, rows, c + column, c_step, (int)std::min<int64_t>(columns - column, PANEL), add, ahead);
    }
  }

  // Whether the sums of pixels' products of `c` inputs and `o` gradients are [input][gradient], which fills more lanes.
  static bool turns_products(int64_t c, int64_t o) { return c * round_up(o, VL) < o * round_up(c, VL); }

  // Some pixels of a gradient, which are the left side of a product with weights, and the sum of their products with the
  // input's. `read(first, count, to, pitch)` reads pixels.
  template <class Read>
  struct PixelBand {
    int64_t pixels, rows, pitch = odd_pitch(rows);
    float* a = scratch(SCRATCH_GRAD, pixels * pitch + PANEL);
    PixelBand(int64_t pixels, int64_t rows, Read&& read) : pixels(pixels), rows(rows) { read(0, pixels, a, pitch); }
    Left left() const { return VectorProducts::left(a, 1, pixels, rows, pitch); }

    // `plain`: where the input lies, `step` floats from one pixel to the next, if there is nothing to be done to it.
    // `c` is [gradient][input], or turned.
    template <class ReadInput>
    bool add_products(const float* plain, int64_t step, int64_t columns, ReadInput&& read_input, float* c, bool add,
                      Ahead& ahead) const {
      const bool turned = turns_products(columns, rows);
      if (!plain || (columns % PANEL && !turned)) {  // whole panels are read: in scratch there is room behind the last pixel
        step = turned && columns < VL ? columns : odd_pitch(columns);
        float* to = scratch(SCRATCH_SOURCE, pixels * step + PANEL);
        read_input(0, pixels, to, step);
        plain = to;
      }
      if (turned) multiply_pixels(plain, step, columns, a, pitch, rows, pixels, c, rows, add, ahead);
      else multiply_pixels(a, pitch, rows, plain, step, columns, pixels, c, columns, add, ahead);
      return true;
    }
  };
};

}  // namespace TT_ISA
