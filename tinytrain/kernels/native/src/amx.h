// Matrix products of float32 numbers on the tiles of Intel's Advanced Matrix Extensions, which multiply bf16 numbers.
//
// A float32 has 24 significant bits, a bf16 has 8 and the same exponents: x = h + m + l, exactly, with h the nearest bf16, m
// the nearest to what is left and l the rest. Of the nine products of the parts of two numbers six are taken; the others are
// less than 2^-24 of the whole, half a unit in its last place. Sums are float32. So results are as exact as by float32
// arithmetic, at a sixth of the speed of the tiles, which is two to four times that of vectors. Henry, Tang and Heinecke,
// Leveraging the bfloat16 Artificial Intelligence Datatype for Higher-Precision Computations (2019).
//
// The tiles take numbers below 2^-126 for zero: numbers below 2^-110 lose bits, and what they contribute is exact to 2^-126
// times the other factor. A product that is too large may become NaN where vectors have infinity. Where an operand holds
// infinity, NaN or what rounds to one, vectors compute the whole.
//
// A tile holds 16 rows of 32 numbers of the left side, or 32 rows of 16 numbers of the right side, in pairs. 32 numbers along
// the depth of the product are a slice; word i of 16 has the numbers i and 16 + i of its slice. Which are paired does not
// matter as long as both sides agree, and so two vectors make one without a shuffle. The last slice may be half a one.
#pragma once

#include "winograd.h"

namespace TT_ISA {

constexpr int EDGE = 16, SLICE = 32;  // rows and columns of a tile's result; numbers along the depth
constexpr int PARTS = 3;
constexpr int64_t TILE_FLOATS = 256;  // a tile is 1 KiB of words that are called floats here

static int64_t slices_of(int64_t depth) { return (depth + SLICE - 1) / SLICE; }
static int64_t edges_of(int64_t columns) { return (columns + EDGE - 1) / EDGE; }

typedef uint32_t bits __attribute__((vector_size(4 * VL)));

constexpr uint32_t UPPER = 0xffff0000;

// The parts of a vector, each in the upper half of its lanes; below, only what is too small for a normal number has any bits.
// `odd` becomes NaN in lanes that have no parts: infinity, NaN and what rounds to infinity.
static inline __attribute__((always_inline)) void split(vec x, bits* parts, vec& odd) {
  constexpr uint32_t HALF = 0x8000;
  parts[0] = ((bits)x + HALF) & UPPER;
  const vec rest = x - (vec)parts[0];
  odd += rest * (vec){};
  parts[1] = ((bits)rest + HALF) & UPPER;
  parts[2] = (bits)(rest - (vec)parts[1]);
}

static inline bool all_split(vec odd) { return _mm512_cmp_ps_mask((__m512)odd, (__m512)odd, _CMP_UNORD_Q) == 0; }

static inline vec pair(bits low, bits high) { return (vec)(low >> 16 | (high & UPPER)); }

// The words of a slice, from the parts of its numbers up to 15 and of those from 16 on.
static inline __attribute__((always_inline)) void pair_parts(const bits* low, const bits* high, vec* words) {
#pragma GCC unroll 3
  for (int p = 0; p < PARTS; p++) words[p] = pair(low[p], high[p]);
}

// Half a slice, of up to 16 numbers, leaves room for a second pair of parts beside the first: three products instead of six. The
// left side of these is hh, mm and hl, the right side hm for two of them and lh.
static inline bool is_half(int64_t numbers) { return numbers <= EDGE; }

template <bool LEFT>
static inline __attribute__((always_inline)) void pair_half(const bits* parts, vec* words) {
  const bits h = parts[0], m = parts[1], l = parts[2];
  if (LEFT) words[0] = pair(h, h), words[1] = pair(m, m), words[2] = pair(h, l);
  else words[0] = pair(h, m), words[1] = pair(l, h), words[2] = (vec){};
}

// One side of a product. Tile `i` across (of rows or of columns) and `k` along the depth has its part p at
// `at + i * across + k * along + p * apart`, its rows `pitch` from each other.
struct Tiled {
  float* at;
  int64_t across, along, apart, pitch;
  bool is_whole;  // every number has its parts
};

static int64_t tiled_floats(int64_t depth, int64_t columns) {
  return slices_of(depth) * edges_of(columns) * PARTS * TILE_FLOATS;
}

// `depth` rows of floats as the right side of a product, or turned, their columns as the rows of a left side.
template <bool TURNED>
static Tiled tiled(int64_t depth, int64_t columns, float* at) {
  constexpr int64_t TILE = PARTS * TILE_FLOATS;
  return {at, TURNED ? slices_of(depth) * TILE : TILE, TURNED ? TILE : edges_of(columns) * TILE, TILE_FLOATS, EDGE, true};
}

// Splits one slice of them: `rows` rows, `from(row)`, up to 32.
template <bool TURNED, class From>
static void split_slice(From&& from, int64_t rows, int64_t columns, int64_t slice, const Tiled& to, vec& odd) {
  for (int64_t column = 0; column < columns; column += EDGE) {
    const int64_t left = columns - column;
    float* place = to.at + slice * to.along + column / EDGE * to.across;
    vec words[PARTS][EDGE];
    for (int64_t i = 0; i < EDGE; i++) {
      bits low[PARTS] = {}, high[PARTS] = {};
      vec row[PARTS];
      if (i < rows) split(load_some(from(i) + column, left), low, odd);
      if (i + EDGE < rows) split(load_some(from(i + EDGE) + column, left), high, odd);
      if (is_half(rows)) pair_half<TURNED>(low, row);
      else pair_parts(low, high, row);
#pragma GCC unroll 3
      for (int p = 0; p < PARTS; p++) {
        if (TURNED) words[p][i] = row[p];
        else store(place + p * TILE_FLOATS + i * EDGE, row[p]);
      }
    }
    for (int p = 0; TURNED && p < PARTS; p++) {
      transpose(words[p]);
      for (int i = 0; i < EDGE; i++) store(place + p * TILE_FLOATS + i * EDGE, words[p][i]);
    }
  }
}

// A row of floats as one of a left side.
static inline void split_row(const float* x, int64_t columns, float* to, vec& odd) {
  for (int64_t c = 0; c < columns; c += SLICE, to += PARTS * EDGE) {
    bits low[PARTS], high[PARTS];
    vec words[PARTS];
    split(load_some(x + c, columns - c), low, odd);
    if (is_half(columns - c)) {
      pair_half<true>(low, words);
    } else {
      split(load_some(x + c + VL, columns - c - VL), high, odd);
      pair_parts(low, high, words);
    }
#pragma GCC unroll 3
    for (int p = 0; p < PARTS; p++) store(to + p * EDGE, words[p]);
  }
}

// `depth` rows, `from(row)`, as the right side of a product.
template <class From>
static Tiled split_right(From&& from, int64_t depth, int64_t columns, float* at) {
  Tiled right = tiled<false>(depth, columns, at);
  vec odd = {};
  for (int64_t k = 0; k < depth; k += SLICE)
    split_slice<false>([&](int64_t i) { return from(k + i); }, depth - k, columns, k / SLICE, right, odd);
  right.is_whole = all_split(odd);
  return right;
}

// I by J tiles of sums, numbered 2 i + j. From one product to the next only one side changes its part.
template <int I, int J>
static inline __attribute__((always_inline)) void sum_products(const Tiled& a, const Tiled& b, const Runs& runs,
                                                               Ahead& ahead) {
#define LOAD_A(part)                                 \
  _tile_loadd(4, x + part * a.apart, a.pitch * 4);   \
  if (I > 1) _tile_loadd(5, x + part * a.apart + a.across, a.pitch * 4)
#define LOAD_B(part)                                 \
  _tile_loadd(6, w + part * b.apart, b.pitch * 4);   \
  if (J > 1) _tile_loadd(7, w + part * b.apart + b.across, b.pitch * 4)
#define MULTIPLY                                     \
  _tile_dpbf16ps(0, 4, 6);                           \
  if (J > 1) _tile_dpbf16ps(1, 4, 7);                \
  if (I > 1) _tile_dpbf16ps(2, 5, 6);                \
  if (I > 1 && J > 1) _tile_dpbf16ps(3, 5, 7);       \
  ahead.fetch()
  const int64_t whole = (runs.length + EDGE - 1) / SLICE;
  const bool has_half = slices_of(runs.length) > whole;
  for (int run = 0; run < runs.count; run++) {
    const float* x = runs.a + runs.a_offset[run];
    const float* w = runs.b + runs.b_offset[run];
    for (int64_t slice = 0; slice < whole; slice++, x += a.along, w += b.along) {
      LOAD_A(2);
      LOAD_B(0);
      MULTIPLY;
      LOAD_A(1);
      MULTIPLY;
      LOAD_B(1);
      MULTIPLY;
      LOAD_A(0);
      MULTIPLY;
      LOAD_B(0);
      MULTIPLY;
      LOAD_B(2);
      MULTIPLY;
    }
    if (!has_half) continue;
    LOAD_A(2);
    LOAD_B(1);
    MULTIPLY;
    LOAD_A(1);
    LOAD_B(0);
    MULTIPLY;
    LOAD_A(0);
    MULTIPLY;
  }
#undef LOAD_A
#undef LOAD_B
#undef MULTIPLY
}

static inline void copy_floats(const float* from, int64_t from_step, float* to, int64_t to_step, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j += VL)
      store_some(to + i * to_step + j, load_some(from + i * from_step + j, columns - j), columns - j);
}

// Up to 16 I rows and 16 J columns of a result. What is less than whole tiles takes the way through memory of its own.
template <int I, int J>
static void multiply_block(const Tiled& a, const Tiled& b, const Runs& runs, float* c, int64_t c_step, int64_t rows,
                           int64_t columns, bool add, Ahead& ahead) {
  const bool whole = rows == I * EDGE && columns == J * EDGE;
  alignas(64) float own[I * EDGE * J * EDGE];
  float* to = whole ? c : own;
  const int64_t step = whole ? c_step : J * EDGE;
  if (add && !whole) copy_floats(c, c_step, own, step, rows, columns);
  asm volatile("" ::: "memory");  // compilers do not know that loading a tile reads memory
#define EACH_SUM(what)                                       \
  what(0, to, step * 4);                                     \
  if (J > 1) what(1, to + EDGE, step * 4);                   \
  if (I > 1) what(2, to + EDGE * step, step * 4);            \
  if (I > 1 && J > 1) what(3, to + EDGE * step + EDGE, step * 4)
#define CLEAR(tile, to, step) _tile_zero(tile)
  if (add) {
    EACH_SUM(_tile_loadd);
  } else {
    EACH_SUM(CLEAR);
  }
  sum_products<I, J>(a, b, runs, ahead);
  EACH_SUM(_tile_stored);
#undef EACH_SUM
#undef CLEAR
  if (!whole) copy_floats(own, step, c, c_step, rows, columns);
}

// Up to two tiles of columns for `rows` rows; the runs say where in `a` and `b` they begin.
static void multiply_tiles(const Tiled& a, const Tiled& b, Runs runs, int64_t rows, float* c, int64_t c_step, int64_t columns,
                           bool add, Ahead& ahead) {
  for (int64_t i = 0; i < rows; i += 2 * EDGE, runs.a += 2 * a.across, c += 2 * EDGE * c_step) {
    const int64_t left = std::min<int64_t>(rows - i, 2 * EDGE);
    auto multiply = left > EDGE ? columns > EDGE ? multiply_block<2, 2> : multiply_block<2, 1>
                                : columns > EDGE ? multiply_block<1, 2> : multiply_block<1, 1>;
    multiply(a, b, runs, c, c_step, left, columns, add, ahead);
  }
}

// C (+)= A B for all columns of B.
static void multiply_all(const Tiled& a, int64_t rows, const Tiled& b, int64_t columns, int64_t depth, float* c,
                         int64_t c_step, bool add, Ahead& ahead) {
  const int64_t none = 0;
  for (int64_t column = 0; column < columns; column += PANEL) {
    const Runs runs{a.at, b.at + column / EDGE * b.across, &none, &none, 1, depth};
    multiply_tiles(a, b, runs, rows, c + column, c_step, std::min<int64_t>(columns - column, PANEL), add, ahead);
  }
}

// The products of convolutions on tiles; see VectorProducts. Panels are [tap][slice][two tiles of columns][part].
struct AmxProducts {
  // The tiles of the calling thread, as long as this lives.
  struct Unit {
    Unit() {
      struct alignas(64) {
        uint8_t palette = 1, first_row = 0, reserved[14] = {};
        uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
        uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
      } layout;
      asm volatile("ldtilecfg %0" ::"m"(layout));
    }
    Unit(const Unit&) = delete;
    ~Unit() { _tile_release(); }
  };

  // Few enough for their parts to stay in the core's own cache, and enough for the sums of the weights' gradients to be worth
  // reading and writing.
  static constexpr int64_t BAND_PIXELS = 128;
  static int64_t pixels_for_both(int64_t num_weights) { return num_weights < NEAR_FLOATS ? BAND_PIXELS / 2 : BAND_PIXELS; }
  static constexpr bool MERGES_TAPS = false;

  // The pixels of a window in an order of their own: first those that a step from the first one meets, then those a step from
  // its neighbours. So those that the results of a row meet follow each other.
  struct Left : Tiled {
    int64_t step, row, phase_y, phase_x, sh, sw;
    int64_t place(int64_t y, int64_t x) const {
      return y / sh * row + x / sw * step + (y % sh) * phase_y + (x % sw) * phase_x;
    }
  };

  // Each pixel is split once for all that is multiplied with it; zeros behind its last channel. A product may read, and not
  // use, what is behind the last pixel.
  static Left left(const float* pixels, int64_t rows, int64_t columns, int64_t channels, int64_t pixel_pitch, int64_t sh = 1,
                   int64_t sw = 1) {
    Left left = empty_left(rows, columns, channels, sh, sw);
    vec odd = {};
    for (int64_t y = 0; y < rows; y++, pixels += columns * pixel_pitch)
      for (int64_t phase = 0; phase < sw; phase++) {
        float* to = left.at + left.place(y, phase);
        for (int64_t x = phase; x < columns; x += sw, to += left.step) split_row(pixels + x * pixel_pitch, channels, to, odd);
      }
    left.is_whole = all_split(odd);
    return left;
  }

  static Left empty_left(int64_t rows, int64_t columns, int64_t channels, int64_t sh, int64_t sw) {
    const int64_t pitch = (slices_of(channels) * PARTS | 1) * EDGE;  // an odd number of cache lines
    const int64_t width = (columns + sw - 1) / sw, height = (rows + sh - 1) / sh;
    Left left;
    left.step = pitch, left.row = width * pitch, left.phase_x = height * left.row, left.phase_y = sw * left.phase_x;
    left.sh = sh, left.sw = sw;
    left.at = scratch(SCRATCH_LEFT, sh * left.phase_y + 2 * EDGE * pitch);
    left.across = EDGE * pitch, left.along = PARTS * EDGE, left.apart = EDGE, left.pitch = pitch;
    return left;
  }

  static int64_t tap_floats(int64_t depth) { return tiled_floats(depth, PANEL); }

  static float* open_panel(float*, int64_t depth, int64_t taps) { return scratch(SCRATCH_PANEL, taps * depth * PANEL); }

  static bool close_panel(float* open, int64_t depth, int64_t taps, float* panel) {
    bool is_whole = true;
    for (int64_t tap = 0; tap < taps; tap++, open += depth * PANEL, panel += tap_floats(depth))
      is_whole &= split_right([&](int64_t k) { return open + k * PANEL; }, depth, PANEL, panel).is_whole;
    return is_whole;
  }

  static float* open_places(float*, int64_t* apart) {
    *apart = SLICE * PANEL + EDGE;  // a cache line more, as in Planes
    return scratch(SCRATCH_PANEL, PLACES * *apart);
  }

  static bool close_places(float* open, int64_t open_apart, int64_t depth, float* rows, int64_t apart) {
    bool is_whole = true;
    for (int place = 0; place < PLACES; place++)
      is_whole &= close_panel(open + place * open_apart, depth, 1, rows + place * apart);
    return is_whole;
  }

  static void multiply(const Left& left, Runs runs, const Result& result, int columns, bool add, Ahead& ahead) {
    const Tiled panel = tiled<false>(runs.length, PANEL, nullptr);
    const int64_t width = left.row / left.step, pixels = (result.rows - 1) * width + result.count;
    const int64_t apart = result.rows * edges_of(result.count), together = edges_of(pixels);
    if (add || result.rows == 1 || together > apart || (together == apart && result.count > EDGE)) {
      for (int64_t r = 0; r < result.rows; r++, runs.a += left.row)
        multiply_tiles(left, panel, runs, result.count, result.to + r * result.row, result.step, columns, add, ahead);
      return;
    }
    // All rows in one, with what lies between them, fill fewer tiles, or as many that use each tile of weights twice.
    float* products = scratch(SCRATCH_TILE, round_up(pixels, 2 * EDGE) * PANEL);
    multiply_tiles(left, panel, runs, round_up(pixels, EDGE), products, PANEL, round_up(columns, EDGE), false, ahead);
    for (int64_t r = 0; r < result.rows; r++)
      copy_floats(products + r * width * PANEL, PANEL, result.to + r * result.row, result.step, result.count, columns);
  }
  static int64_t whole_rows(int64_t rows) { return round_up(rows, EDGE); }

  static int64_t fetches(int64_t rows, int64_t count, int64_t depth) {
    return rows * ((count + 2 * EDGE - 1) / (2 * EDGE)) * slices_of(depth) * 6;
  }

  static bool turns_products(int64_t, int64_t) { return false; }

  // Split both ways while a slice of pixels is in the first cache.
  template <class Read>
  struct PixelBand {
    int64_t pixels, rows;
    Left rows_of_pixels;
    Tiled turned;

    PixelBand(int64_t pixels, int64_t rows, Read&& read)
        : pixels(pixels),
          rows(rows),
          rows_of_pixels(empty_left(1, pixels, rows, 1, 1)),
          turned(tiled<true>(pixels, rows, scratch(SCRATCH_TURNED, tiled_floats(pixels, rows)))) {
      vec odd = {};
      each_slice(pixels, rows, read, [&](int64_t k, int64_t count, const float* at, int64_t pitch) {
        float* to = rows_of_pixels.at + k * rows_of_pixels.step;
        for (int64_t i = 0; i < count; i++) split_row(at + i * pitch, rows, to + i * rows_of_pixels.step, odd);
        split_slice<true>([&](int64_t i) { return at + i * pitch; }, count, rows, k / SLICE, turned, odd);
      });
      rows_of_pixels.is_whole = all_split(odd);
    }
    const Left& left() const { return rows_of_pixels; }

    template <class ReadInput>
    bool add_products(const float*, int64_t, int64_t columns, ReadInput&& read_input, float* c, bool add, Ahead& ahead) const {
      const Tiled right = tiled<false>(pixels, columns, scratch(SCRATCH_RIGHT, tiled_floats(pixels, columns)));
      vec odd = {};
      each_slice(pixels, columns, read_input, [&](int64_t k, int64_t count, const float* at, int64_t pitch) {
        split_slice<false>([&](int64_t i) { return at + i * pitch; }, count, columns, k / SLICE, right, odd);
      });
      if (!all_split(odd)) return false;
      multiply_all(turned, rows, right, columns, pixels, c, columns, add, ahead);
      return true;
    }

   private:
    template <class ReadSome, class Use>
    static void each_slice(int64_t pixels, int64_t channels, ReadSome&& read, Use&& use) {
      const int64_t pitch = odd_pitch(channels);
      float* at = scratch(SCRATCH_SOURCE, SLICE * pitch);
      for (int64_t k = 0; k < pixels; k += SLICE) {
        const int64_t count = std::min<int64_t>(SLICE, pixels - k);
        read(k, count, at, pitch);
        use(k, count, at, pitch);
      }
    }
  };
};

// A weight gradient gathered as [tap][output channel][input channel] becomes (o, c, kh, kw), the partial sums of `parts`
// pieces added in their order.
static void unpack_turned_grad(const Geometry& g, const float* parts, int64_t count, float* grad_w) {
  const int64_t taps = g.kh * g.kw, size = taps * g.o * g.c;
  parallel_if_worth(size * count, g.o, [&](int64_t o) {
    float* to = grad_w + o * g.c * taps;
    for (int64_t tap = 0; tap < taps; tap++)
      for (int64_t c = 0; c < g.c; c += VL) {
        const float* from = parts + (tap * g.o + o) * g.c + c;
        vec sum = {};
        for (int64_t part = 0; part < count; part++) sum += load_some(from + part * size, g.c - c);
        if (taps == 1) store_some(to + c, sum, g.c - c);
        for (int64_t i = 0; taps > 1 && i < std::min<int64_t>(VL, g.c - c); i++) to[(c + i) * taps + tap] = sum[i];
      }
  });
}

// The same on tiles, for one group. The output's gradient is the left side, for it is turned once for all the taps.
template <>
void conv_weight_grad_dense<AmxProducts>(const Geometry& given, const GradSource& grads, const Source& x, float* grad_w) {
  const Geometry g = flattened(given);
  const int64_t taps = g.kh * g.kw, size = taps * g.o * g.c;
  const Bands bands(AmxProducts::BAND_PIXELS, g.n, g.oh, g.ow, rows_worth_reading(g));
  const int64_t near = std::max<int64_t>(NEAR_FLOATS / (taps * g.o) / PANEL * PANEL, PANEL);
  const int64_t channels = std::max<int64_t>(g.c, 1);  // one range, of nothing, where there are none
  const int64_t num_ranges = (channels + near - 1) / near, each = round_up((channels + num_ranges - 1) / num_ranges, EDGE);
  const int64_t parts = std::min(num_parts(bands.count(), size), (FEW_PIECES + num_ranges - 1) / num_ranges);
  Block sums(parts * size);
  Veto veto;
  parallel_if_worth(work_of(g), parts * num_ranges, [&](int64_t piece) {
    AmxProducts::Unit unit;
    const int64_t part = piece / num_ranges, channel = piece % num_ranges * each, num_channels = std::min(each, g.c - channel);
    const int64_t first_band = bands.count() * part / parts, last_band = bands.count() * (part + 1) / parts;
    const int64_t x_pitch = odd_pitch(num_channels), pitch = odd_pitch(g.o);
    const Source x_range = from_channel(x, channel);
    float* to = sums.get() + part * size + channel;
    if (bands.count() == 0) std::fill(to, to + size, 0.0f);
    for (int64_t band = first_band; band < last_band && !veto; band++) {
      const Window out = bands.at(band);
      const Window in = read_by(g, out);
      const int64_t pixels = out.rows * out.columns;
      Ahead ahead;
      if (band + 1 < last_band) {
        fetch_band(ahead, g, bands, band + 1, grads, x, num_ranges == 1);
        ahead.spread(taps * ((num_channels + PANEL - 1) / PANEL) * AmxProducts::fetches(1, g.o, pixels));
      }
      float* source = scratch(SCRATCH_SOURCE, in.rows * in.columns * x_pitch + PANEL);
      read_window(in, g.h, g.w, source, x_pitch, [&](int64_t first, int64_t count, float* at) {
        read_pixels(x_range, first, count, num_channels, at, x_pitch);
      });
      float* g_rows = scratch(SCRATCH_GRAD, pixels * pitch + PANEL);
      read_grads(grads, bands.first(out), pixels, g.o, g_rows, pitch);
      const Offsets met(SCRATCH_PLACES, pixels);  // the pixel of the window that the first tap reads
      for (int64_t p = 0; p < pixels; p++)
        met[p] = (p / out.columns * g.sh * in.columns + p % out.columns * g.sw) * x_pitch;
      const Tiled turned = tiled<true>(pixels, g.o, scratch(SCRATCH_TURNED, tiled_floats(pixels, g.o)));
      vec odd = {};
      for (int64_t k = 0; k < pixels; k += SLICE)
        split_slice<true>([&](int64_t i) { return g_rows + (k + i) * pitch; }, pixels - k, g.o, k / SLICE, turned, odd);
      if (!all_split(odd)) return veto.say();
      for (int64_t tap = 0; tap < taps; tap++) {
        const float* first = source + (tap / g.kw * g.dh * in.columns + tap % g.kw * g.dw) * x_pitch;
        const Tiled right = split_right([&](int64_t p) { return first + met[p]; }, pixels, num_channels,
                                        scratch(SCRATCH_RIGHT, tiled_floats(pixels, num_channels)));
        if (!right.is_whole) return veto.say();
        multiply_all(turned, g.o, right, num_channels, pixels, to + tap * g.o * g.c, g.c, band > first_band, ahead);
      }
    }
  });
  if (veto) return conv_weight_grad_dense<VectorProducts>(given, grads, x, grad_w);
  unpack_turned_grad(g, sums.get(), parts, grad_w);
}

}  // namespace TT_ISA
