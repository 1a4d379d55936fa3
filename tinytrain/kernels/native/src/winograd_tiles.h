// The transforms of Winograd's minimal filtering F(4x4, 3x3), and tiles of images on their way through them.
//
// A 4x4 tile of results takes 36 products per pair of channels where the direct sum takes 144:
//
//   y = A^T [ (G w G^T) . (B^T d B) ] A        with d the 6x6 pixels that the tile depends on, w the 3x3 weights
//
// for the points 0, a, -a, b, -b and infinity. Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2015), take
// a = 1 and b = 2; 5/8 and 3/2 round to a quarter of the error for about the same arithmetic, and all constants but those of
// the weights are exact. Barabasz et al., Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural
// Networks (2020). The channels of a pixel are the lanes of a vector throughout.
#pragma once

#include "sums.h"

namespace TT_ISA {

constexpr int TILE = 4, PLACES = 36;  // results along an edge; products per tile

constexpr float A1 = 5.0f / 8, A2 = A1 * A1, A3 = A2 * A1, B1 = 3.0f / 2, B2 = B1 * B1, B3 = B2 * B1;
constexpr float G_NULL = 1 / (A2 * B2), G_A = 1 / (2 * A2 * (A2 - B2)), G_B = 1 / (2 * B2 * (B2 - A2));

// Each transform turns FROM vectors into TO; done down the columns and along the rows it is the two-sided product. Points of
// opposite sign share their even and their odd powers.
struct InputTransform {  // B^T
  static constexpr int FROM = 6, TO = 6;
  static inline void apply(const vec* d, vec* to) {
    const vec even_a = d[4] - d[2] * B2, odd_a = d[3] - d[1] * B2, even_b = d[4] - d[2] * A2, odd_b = d[3] - d[1] * A2;
    to[0] = d[0] * (A2 * B2) + (d[4] - d[2] * (A2 + B2));
    to[1] = even_a + odd_a * A1;
    to[2] = even_a - odd_a * A1;
    to[3] = even_b + odd_b * B1;
    to[4] = even_b - odd_b * B1;
    to[5] = d[1] * (A2 * B2) + (d[5] - d[3] * (A2 + B2));
  }
};

struct ResultTransform {  // A^T
  static constexpr int FROM = 6, TO = 4;
  static inline void apply(const vec* m, vec* to) {
    const vec sum_a = m[1] + m[2], apart_a = m[1] - m[2], sum_b = m[3] + m[4], apart_b = m[3] - m[4];
    to[0] = (m[0] + sum_a) + sum_b;
    to[1] = apart_a * A1 + apart_b * B1;
    to[2] = sum_a * A2 + sum_b * B2;
    to[3] = (m[5] + apart_a * A3) + apart_b * B3;
  }
};

struct GradTransform {  // A
  static constexpr int FROM = 4, TO = 6;
  static inline void apply(const vec* g, vec* to) {
    const vec even_a = g[0] + g[2] * A2, odd_a = g[1] + g[3] * A2, even_b = g[0] + g[2] * B2, odd_b = g[1] + g[3] * B2;
    to[0] = g[0];
    to[1] = even_a + odd_a * A1;
    to[2] = even_a - odd_a * A1;
    to[3] = even_b + odd_b * B1;
    to[4] = even_b - odd_b * B1;
    to[5] = g[3];
  }
};

struct WeightTransform {  // G
  static constexpr int FROM = 3, TO = 6;
  static inline void apply(const vec* w, vec* to) {
    const vec even_a = w[0] * G_A + w[2] * (G_A * A2), odd_a = w[1] * (G_A * A1);
    const vec even_b = w[0] * G_B + w[2] * (G_B * B2), odd_b = w[1] * (G_B * B1);
    to[0] = w[0] * G_NULL;
    to[1] = even_a + odd_a;
    to[2] = even_a - odd_a;
    to[3] = even_b + odd_b;
    to[4] = even_b - odd_b;
    to[5] = w[2];
  }
};

struct WeightGradTransform {  // G^T
  static constexpr int FROM = 6, TO = 3;
  static inline void apply(const vec* m, vec* to) {
    const vec sum_a = (m[1] + m[2]) * G_A, sum_b = (m[3] + m[4]) * G_B;
    to[0] = m[0] * G_NULL + (sum_a + sum_b);
    to[1] = (m[1] - m[2]) * (G_A * A1) + (m[3] - m[4]) * (G_B * B1);
    to[2] = m[5] + (sum_a * A2 + sum_b * B2);
  }
};

// Both sides of a product at once, for what fits into registers; `read(row, column)`, `write(row, column, value)`.
template <class T, class Read, class Write>
static inline __attribute__((always_inline)) void transform(Read&& read, Write&& write) {
  vec half[T::TO][T::FROM];
#pragma GCC unroll 6
  for (int column = 0; column < T::FROM; column++) {
    vec from[T::FROM], to[T::TO];
#pragma GCC unroll 6
    for (int row = 0; row < T::FROM; row++) from[row] = read(row, column);
    T::apply(from, to);
#pragma GCC unroll 6
    for (int row = 0; row < T::TO; row++) half[row][column] = to[row];
  }
#pragma GCC unroll 6
  for (int row = 0; row < T::TO; row++) {
    vec to[T::TO];
    T::apply(half[row], to);
#pragma GCC unroll 6
    for (int column = 0; column < T::TO; column++) write(row, column, to[column]);
  }
}

// The tiles of a batch of (h, w) images, in rows of tiles. Consecutive rows of tiles hold consecutive pixels.
struct TileRows {
  int64_t n, h, w, down, across;
  TileRows(int64_t n, int64_t h, int64_t w) : n(n), h(h), w(w), down((h + TILE - 1) / TILE), across((w + TILE - 1) / TILE) {}
  int64_t count() const { return n * down; }
  int64_t image(int64_t row) const { return row / down; }
  int64_t top(int64_t row) const { return row % down * TILE; }
  int64_t height(int64_t row) const { return std::min<int64_t>(TILE, h - top(row)); }
  int64_t first_pixel(int64_t row) const { return (image(row) * h + top(row)) * w; }
  int64_t pixels(int64_t row) const { return height(row) * w; }
};

// Transformed tiles in memory: 36 planes of [tile][channel]. Planes are a cache line more than full apart, for else the 36
// places of a tile would share one set of the cache.
struct Planes {
  int64_t pitch, size;
  Planes(int64_t tiles, int64_t channels) : pitch(round_up(channels, VL)), size(round_up(tiles * pitch, 16) + 16) {}
  int64_t floats() const { return PLACES * size + PANEL; }
};

// Images of `h` by `w` pixels. The window of a tile begins `before_h` rows above it.
struct Placed {
  int64_t h, w, before_h, before_w, channels;
  Placed range(int64_t first, int64_t each) const { return {h, w, before_h, before_w, std::min(each, channels - first)}; }
};

// Has the pixels fetched that the windows of some rows of tiles hold.
template <class Any>
static void fetch_windows(Ahead& ahead, const TileRows& rows, int64_t first, int64_t last, const Placed& at, const Any& source) {
  auto line = [&](int64_t row, int64_t below) {
    return rows.image(row) * at.h + std::clamp<int64_t>(rows.top(row) - at.before_h + below, 0, at.h);
  };
  const int64_t from = line(first, 0), to = line(last - 1, TILE + 2);
  ahead.add(source, from * at.w, (to - from) * at.w);
}

// Transforms the windows of some rows of tiles. Columns first, for all tiles of a row together: windows overlap, and what is
// read and activated once serves two of them. `reader(part, channel, image)` gives what reads a vector of channels of any
// pixel of an image.
template <class T, class Reader>
static void transform_windows(const TileRows& rows, int64_t first, int64_t last, const Placed& at, Reader&& reader, float* to,
                              const Planes& planes) {
  const int64_t columns = (rows.across - 1) * TILE + T::FROM;
  float* strip = scratch(SCRATCH_OTHER, T::TO * columns * VL);
  for (int64_t row = first; row < last; row++) {
    const int64_t top = rows.top(row) - at.before_h, corner = (rows.image(row) * at.h + top) * at.w - at.before_w;
    const int64_t from_row = -top, until_row = at.h - top;
    const int64_t from_column = std::clamp<int64_t>(at.before_w, 0, columns);
    const int64_t until_column = std::clamp<int64_t>(at.before_w + at.w, from_column, columns);
    by_vectors<1>(at.channels, [&](auto part, int64_t channel) {
      const auto read = reader(part, channel, rows.image(row));
      auto turn = [&](int64_t column, auto&& value) __attribute__((always_inline)) {
        vec d[T::FROM], turned[T::TO];
#pragma GCC unroll 6
        for (int i = 0; i < T::FROM; i++) d[i] = value(i, corner + i * at.w + column);
        T::apply(d, turned);
#pragma GCC unroll 6
        for (int i = 0; i < T::TO; i++) store(strip + (i * columns + column) * VL, turned[i]);
      };
      auto outside = [](int, int64_t) __attribute__((always_inline)) { return (vec){}; };
      for (int64_t column = 0; column < from_column; column++) turn(column, outside);
      if (from_row <= 0 && until_row >= T::FROM)
        for (int64_t column = from_column; column < until_column; column++)
          turn(column, [&](int, int64_t pixel) __attribute__((always_inline)) { return read(pixel); });
      else
        for (int64_t column = from_column; column < until_column; column++)
          turn(column, [&](int i, int64_t pixel) __attribute__((always_inline)) {
            return i >= from_row && i < until_row ? read(pixel) : (vec){};
          });
      for (int64_t column = until_column; column < columns; column++) turn(column, outside);

      float* tile = to + (row - first) * rows.across * planes.pitch + channel;
      for (int64_t t = 0; t < rows.across; t++, tile += planes.pitch)
#pragma GCC unroll 6
        for (int i = 0; i < T::TO; i++) {
          const float* from = strip + (i * columns + t * TILE) * VL;
          vec d[T::FROM], turned[T::TO];
#pragma GCC unroll 6
          for (int k = 0; k < T::FROM; k++) d[k] = load(from + k * VL);
          T::apply(d, turned);
#pragma GCC unroll 6
          for (int k = 0; k < T::TO; k++) store(tile + (i * T::TO + k) * planes.size, turned[k]);
        }
    });
  }
}

template <class T>
static void transform_rows(const TileRows& rows, int64_t first, int64_t last, const Placed& at, const Source& s, float* to,
                           const Planes& planes) {
  with_kind(s.act.kind, [&](auto kind) {
    const vec low = fill(s.act.low), high = fill(s.act.high);
    auto reader = [&](auto part, int64_t i, int64_t) {
      const Line<1> line(part, s.scale, s.shift, i);
      return [=, x = s.x + i, step = s.step](int64_t pixel) __attribute__((always_inline)) {
        return activate<kind.value>(line(0, part.get(x + pixel * step)), low, high);
      };
    };
    transform_windows<T>(rows, first, last, at, reader, to, planes);
  });
}

template <class T>
static void transform_rows(const TileRows& rows, int64_t first, int64_t last, const Placed& at, const GradSource& s,
                           float* to, const Planes& planes) {
  with_kind(s.of.act.kind, [&](auto kind) {
    const bool shares = s.shared_by > 1;
    auto reader = [&](auto part, int64_t i, int64_t image) {
      const GradLine<kind.value, 1> line(part, s, i);
      const float* g = s.g + (shares ? image * s.step : 0) + i;
      return [=, y = s.of.x + i, step = shares ? 0 : s.step, y_step = s.of.step](int64_t pixel) __attribute__((always_inline)) {
        return line.read(part, 0, g + pixel * step, y + pixel * y_step);
      };
    };
    transform_windows<T>(rows, first, last, at, reader, to, planes);
  });
}

// Turns the products of one row of tiles, whose first tile is at `from`, into pixels: `channels` of them at `to`, `step`
// floats a pixel, less what hangs over the image.
static void write_row(const TileRows& rows, int64_t row, const float* from, const Planes& planes, const float* bias,
                      int64_t channels, float* to, int64_t step, Ahead& ahead) {
  const int64_t height = rows.height(row);
  float* corner = to + rows.first_pixel(row) * step;
  vec cut[TILE * TILE];  // a tile of which some hangs over
  for (int64_t channel = 0; channel < channels; channel += VL) {
    const int64_t left = channels - channel;
    const vec start = bias ? load_some(bias + channel, left) : (vec){};
    for (int64_t t = 0; t < rows.across; t++) {
      ahead.fetch();
      const float* tile = from + t * planes.pitch + channel;
      float* place = corner + t * TILE * step + channel;
      const int64_t width = std::min<int64_t>(TILE, rows.w - t * TILE);
      const bool whole = height == TILE && width == TILE && left >= VL;
      float* out = whole ? place : reinterpret_cast<float*>(cut);
      const int64_t down = whole ? rows.w * step : TILE * VL, along = whole ? step : VL;
      transform<ResultTransform>(
          [&](int i, int k) __attribute__((always_inline)) { return load(tile + (i * 6 + k) * planes.size); },
          [&](int i, int k, vec v) __attribute__((always_inline)) { store(out + i * down + k * along, v + start); });
      if (whole) continue;
      for (int64_t i = 0; i < height; i++)
        for (int64_t k = 0; k < width; k++) store_some(place + (i * rows.w + k) * step, cut[i * TILE + k], left);
    }
  }
}

// The nine taps of VL filters at `w`, `apart` floats from one to the next; only `count` of them are there.
static inline __attribute__((always_inline)) void read_taps(const float* w, int64_t apart, int64_t count, vec* taps) {
#pragma GCC unroll 3
  for (int first = 0; first < 9; first += VL) {
    vec rows[VL];
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) rows[i] = i < count ? load_some(w + i * apart + first, 9 - first) : (vec){};
    transpose(rows);
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++)
      if (first + i < 9) taps[first + i] = rows[i];
  }
}

// (o, c, 3, 3) weights as a matrix of filters: rows meet the channels that are read, columns those that are written. Turned by
// half a circle, with the channels exchanged, they carry gradients back.
struct Filters {
  const float* w;
  int64_t depth, columns, down, along;  // floats from one row to the next and from one column to the next
  bool turned;
  Filters(const float* w, int64_t depth, int64_t columns, bool turned)
      : w(w), depth(depth), columns(columns), down(turned ? columns * 9 : 9), along(turned ? 9 : depth * 9), turned(turned) {}
  Filters rows(int64_t first, int64_t count) const {
    Filters some = *this;
    some.w += first * down, some.depth = count;
    return some;
  }
  Filters columns_from(int64_t first, int64_t count) const {
    Filters some = *this;
    some.w += first * along, some.columns = count;
    return some;
  }
};

// Transforms rows `first` to `last` of the filters of a panel; the places lie `apart` from each other.
static void transform_filters(const Filters& f, int64_t panel, int64_t first, int64_t last, float* to, int64_t apart) {
  for (int64_t k = first; k < last; k++, to += PANEL)
    for (int64_t lane = 0; lane < PANEL; lane += VL) {
      const int64_t column = panel * PANEL + lane;
      vec taps[9];
      read_taps(f.w + k * f.down + column * f.along, f.along, f.columns - column, taps);
      transform<WeightTransform>(
          [&](int i, int j) __attribute__((always_inline)) { return f.turned ? taps[8 - (i * 3 + j)] : taps[i * 3 + j]; },
          [&](int i, int j, vec v) __attribute__((always_inline)) { store(to + lane + (i * 6 + j) * apart, v); });
    }
}

// Transformed filters in memory: [place][panel][depth], as the products P take them.
template <class P>
struct Panels {
  int64_t depth, count, size;  // size: floats from one of the 36 to the next
  explicit Panels(const Filters& f)
      : depth(f.depth), count((f.columns + PANEL - 1) / PANEL), size(count * P::tap_floats(f.depth) + 16) {}
  int64_t floats() const { return PLACES * size; }
  int64_t offset(int place, int64_t panel) const { return place * size + panel * P::tap_floats(depth); }
};

}  // namespace TT_ISA
