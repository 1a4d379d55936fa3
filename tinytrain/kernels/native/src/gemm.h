// The one inner loop of all matrix products: a register tile of sums over one or several runs of products.
//
//   C[i, j] (+)= sum over runs o, k < length of  A[a_offset[o] + i * row_step + k * step] * B[b_offset[o] + k * b_step + j]
//
// With one run it is a plain product; with a run per row of taps it is a convolution read where the input lies; with
// row_step 1 and a run per row of pixels it is a weight gradient. Goto and van de Geijn, Anatomy of High-Performance
// Matrix Multiplication (2008); Georganas et al., Anatomy of High-Performance Deep Learning Convolutions (2018).
#pragma once

#include <algorithm>

#include "simd.h"

namespace TT_ISA {

struct Runs {
  const float* a;
  int64_t row_step, step;
  const float* b;
  int64_t b_step;
  const int64_t* a_offset;
  const int64_t* b_offset;
  int count;
  int64_t length;
};

template <int R, int NV>
static void tile(const Runs& runs, float* c, int64_t c_step, int columns, bool add) {
  vec sum[R][NV];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 2
    for (int j = 0; j < NV; j++) sum[i][j] = (vec){};
  const int64_t row_step = runs.row_step, step = runs.step, b_step = runs.b_step;
  // Half of the rows are reached from a pointer of their own: the distances to them then fit into registers.
  constexpr int HALF = (R + 1) / 2;
  for (int o = 0; o < runs.count; o++) {
    const float* a = runs.a + runs.a_offset[o];
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
#pragma GCC unroll 16
  for (int i = 0; i < R; i++) {
#pragma GCC unroll 2
    for (int j = 0; j < NV; j++) {
      int64_t left = columns - j * VL;
      if (left <= 0) continue;
      float* p = c + i * c_step + j * VL;
      store_some(p, add ? sum[i][j] + load_some(p, left) : sum[i][j], left);
    }
  }
}

typedef void (*Tile)(const Runs&, float*, int64_t, int, bool);

template <int R>
struct Tiles {
  static void enter(Tile (*table)[2]) {
    table[R][0] = tile<R, 1>;
    table[R][1] = tile<R, 2>;
    Tiles<R - 1>::enter(table);
  }
};
template <>
struct Tiles<0> {
  static void enter(Tile (*)[2]) {}
};

struct TileTable {
  Tile of[MAX_ROWS + 1][2];
  TileTable() { Tiles<MAX_ROWS>::enter(of); }
};
static const TileTable tiles;

// One panel of columns for `rows` rows, in tiles of about equal height.
static void multiply_panel(Runs runs, int64_t rows, float* c, int64_t c_step, int columns, bool add) {
  const int wide = columns > VL;
  int64_t num_tiles = (rows + MAX_ROWS - 1) / MAX_ROWS;
  int64_t done = 0;
  for (int64_t t = 0; t < num_tiles; t++) {
    int64_t until = rows * (t + 1) / num_tiles;
    tiles.of[until - done][wide](runs, c + done * c_step, c_step, columns, add);
    runs.a += (until - done) * runs.row_step;
    done = until;
  }
}

static inline int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

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

}  // namespace TT_ISA
