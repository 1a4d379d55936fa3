// Eight-bit images: resizing with Pillow's arithmetic, and pixels to floats.
#pragma once

#include <algorithm>
#include <cmath>

#include "exact.h"
#include "pool.h"
#include "simd.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace TT_ISA {

using namespace tinytrain;

typedef uint8_t bytes __attribute__((vector_size(16)));
constexpr int PARTS = 16 / VL;

// Sixteen weighted sums.
struct Sums {
  mask part[PARTS];
};

constexpr int FRACTION_BITS = 32 - 8 - 2;  // of a coefficient; Pillow's PRECISION_BITS

static inline bytes load_bytes(const uint8_t* p, int64_t left) {
  bytes b = {};
  if (left >= 16) __builtin_memcpy(&b, p, 16);
  else __builtin_memcpy(&b, p, left);
  return b;
}

constexpr int32_t HALF = 1 << (FRACTION_BITS - 1);

static inline Sums halves() {
  Sums sums;
  for (int i = 0; i < PARTS; i++) sums.part[i] = (mask){} + HALF;
  return sums;
}

// By hand: compilers take a conversion from bytes to integers apart, byte by byte.
static inline void add_product(Sums& sums, bytes b, int32_t weight) {
#if defined(__AVX512F__)
  sums.part[0] += (mask)_mm512_maskz_cvtepu8_epi32((__mmask16)-1, (__m128i)b) * weight;
#elif defined(__AVX2__)
  sums.part[0] += (mask)_mm256_cvtepu8_epi32((__m128i)b) * weight;
  sums.part[1] += (mask)_mm256_cvtepu8_epi32(_mm_srli_si128((__m128i)b, 8)) * weight;
#elif defined(__SSE2__)
  const __m128i zero = _mm_setzero_si128();
  const __m128i low = _mm_unpacklo_epi8((__m128i)b, zero), high = _mm_unpackhi_epi8((__m128i)b, zero);
  sums.part[0] += (mask)_mm_unpacklo_epi16(low, zero) * weight;
  sums.part[1] += (mask)_mm_unpackhi_epi16(low, zero) * weight;
  sums.part[2] += (mask)_mm_unpacklo_epi16(high, zero) * weight;
  sums.part[3] += (mask)_mm_unpackhi_epi16(high, zero) * weight;
#else
  for (int i = 0; i < 16; i++) sums.part[i / VL][i % VL] += b[i] * weight;
#endif
}

// Weighted sums, their halves among them, as pixels.
static inline bytes to_pixels(Sums sums) {
  for (int i = 0; i < PARTS; i++) sums.part[i] >>= FRACTION_BITS;
#if defined(__SSE2__)
  __m128i quarters[4];
  __builtin_memcpy(quarters, &sums, sizeof sums);
  return (bytes)_mm_packus_epi16(_mm_packs_epi32(quarters[0], quarters[1]), _mm_packs_epi32(quarters[2], quarters[3]));
#else
  bytes b;
  for (int i = 0; i < 16; i++) {
    const int32_t sum = sums.part[i / VL][i % VL];
    b[i] = sum < 0 ? 0 : sum > 255 ? 255 : sum;
  }
  return b;
#endif
}

// Pillow's filters by its numbers for them.
static double filter_support(int filter) {
  switch (filter) {
    case FILTER_BOX: return 0.5;
    case FILTER_BILINEAR: case FILTER_HAMMING: return 1;
    case FILTER_BICUBIC: return 2;
    default: return 3;
  }
}

static double sinc(double x) {
  if (x == 0) return 1;
  x *= M_PI;
  return std::sin(x) / x;
}

static double filter_value(int filter, double x) {
  switch (filter) {
    case FILTER_BOX: return x > -0.5 && x <= 0.5 ? 1 : 0;
    case FILTER_BILINEAR:
      x = std::fabs(x);
      return x < 1 ? 1 - x : 0;
    case FILTER_HAMMING:
      x = std::fabs(x);
      if (x == 0) return 1;
      if (x >= 1) return 0;
      x *= M_PI;
      return std::sin(x) / x * (0.54 + 0.46 * std::cos(x));
    case FILTER_BICUBIC: {
      constexpr double a = -0.5;
      x = std::fabs(x);
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    }
    default: return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
  }
}

// For each pixel of a resized row or column: the first pixel that it is made of, how many, and their weights.
struct Weights {
  int64_t width = 0;       // room for weights a pixel
  const int64_t* first;
  const int64_t* count;
  const int32_t* values;
  const int32_t* at(int64_t i) const { return values + i * width; }
};

static int64_t weights_width(int64_t from, int64_t to, int filter) {
  const double scale = std::max((double)from / (double)to, 1.0);
  return (int64_t)std::ceil(filter_support(filter) * scale) * 2 + 1;
}

// Memory for `count` pixels' weights: first and count, one pixel's weights as doubles, the weights; in whole cache lines.
static size_t weights_bytes(int64_t count, int64_t width) { return (count * (16 + 4 * width) + 8 * width + 63) / 64 * 64; }

// The pixels from `begin` on, `count` of them, of an edge of `to` pixels resized from `from`.
static Weights weights_of(int64_t from, int64_t to, int64_t begin, int64_t count, int filter, void* memory) {
  const int64_t width = weights_width(from, to, filter);
  int64_t* first = (int64_t*)memory;
  int64_t* counts = first + count;
  double* exact = (double*)(counts + count);
  int32_t* values = (int32_t*)(exact + width);
  const double scale = (double)from / (double)to, stretch = std::max(scale, 1.0);
  const double support = filter_support(filter) * stretch, inverse = 1.0 / stretch;
  for (int64_t i = 0; i < count; i++) {
    const double center = ((double)(begin + i) + 0.5) * scale;
    const int64_t low = std::max((int64_t)(center - support + 0.5), (int64_t)0);
    const int64_t n = std::min((int64_t)(center + support + 0.5), from) - low;
    double sum = 0;
    for (int64_t k = 0; k < n; k++) sum += exact[k] = filter_value(filter, ((double)(k + low) - center + 0.5) * inverse);
    for (int64_t k = 0; k < n; k++) {
      const double weight = (sum != 0 ? exact[k] / sum : exact[k]) * (double)(1 << FRACTION_BITS);
      values[i * width + k] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    first[i] = low, counts[i] = n;
  }
  return {width, first, counts, values};
}

// Pixels of four rows side by side, or of sixteen where a pixel is one byte.
template <int BYTES>
static inline bytes gather(const uint8_t* const* lines, int64_t offset) {
  if (BYTES == 4) {
    typedef uint32_t words __attribute__((vector_size(16)));
    uint32_t w[4];
    for (int r = 0; r < 4; r++) __builtin_memcpy(&w[r], lines[r] + offset, 4);
    return (bytes)(words){w[0], w[1], w[2], w[3]};
  }
  bytes b;
  for (int r = 0; r < 16; r++) b[r] = lines[r][offset];
  return b;
}

// Resizes rows to `columns` pixels of CHANNELS bytes each, from pixels of BYTES bytes.
template <int BYTES, int CHANNELS>
static void resize_rows(const uint8_t* from, int64_t from_step, int64_t rows, const Weights& weights, int64_t columns,
                        bool mirrored, uint8_t* to, int64_t to_step) {
  constexpr int GROUP = 16 / BYTES;  // rows at once, a pixel of each
  for (int64_t row = 0; row < rows; row += GROUP) {
    const int together = (int)std::min<int64_t>(GROUP, rows - row);
    const uint8_t* lines[GROUP];
    for (int r = 0; r < GROUP; r++) lines[r] = from + (row + std::min(r, together - 1)) * from_step;
    for (int64_t place = 0; place < columns; place++) {
      const int64_t column = mirrored ? columns - 1 - place : place;
      const int32_t* w = weights.at(column);
      const int64_t count = weights.count[column], first = weights.first[column];
      Sums sums = halves();
      for (int64_t k = 0; k < count; k++) add_product(sums, gather<BYTES>(lines, (first + k) * BYTES), w[k]);
      const bytes found = to_pixels(sums);
      uint8_t result[16];
      __builtin_memcpy(result, &found, 16);
      uint8_t* out = to + row * to_step + place * CHANNELS;
      if (place + 1 < columns)  // a byte too much, which the next pixel overwrites
        for (int r = 0; r < together; r++) __builtin_memcpy(out + r * to_step, result + r * BYTES, BYTES);
      else
        for (int r = 0; r < together; r++) __builtin_memcpy(out + r * to_step, result + r * BYTES, CHANNELS);
    }
  }
}

// Copies rows, dropping the bytes behind the channels.
template <int BYTES, int CHANNELS>
static void copy_rows(const uint8_t* from, int64_t from_step, int64_t rows, int64_t columns, bool mirrored, uint8_t* to,
                      int64_t to_step) {
  for (int64_t row = 0; row < rows; row++)
    for (int64_t place = 0; place < columns; place++) {
      const int64_t column = mirrored ? columns - 1 - place : place;
      __builtin_memcpy(to + row * to_step + place * CHANNELS, from + row * from_step + column * BYTES, CHANNELS);
    }
}

// Resizes columns to `rows` rows of `row_bytes` bytes; `from` is the row that the weights count from.
static void resize_columns(const uint8_t* from, int64_t from_step, int64_t row_bytes, const Weights& weights, int64_t rows,
                           uint8_t* to, int64_t to_step) {
  for (int64_t y = 0; y < rows; y++) {
    const int32_t* w = weights.at(y);
    const int64_t count = weights.count[y];
    const uint8_t* source = from + weights.first[y] * from_step;
    for (int64_t i = 0; i < row_bytes; i += 16) {
      Sums sums = halves();
      for (int64_t k = 0; k < count; k++) add_product(sums, load_bytes(source + k * from_step + i, row_bytes - i), w[k]);
      const bytes found = to_pixels(sums);
      if (row_bytes - i >= 16) __builtin_memcpy(to + y * to_step + i, &found, 16);
      else __builtin_memcpy(to + y * to_step + i, &found, row_bytes - i);
    }
  }
}

template <int BYTES, int CHANNELS>
static void resize_as(const Resizing& r, uint8_t* to) {
  const int64_t width = r.out_columns * CHANNELS, from_step = r.width * BYTES;
  const uint8_t* corner = r.pixels + r.top * from_step + r.left * BYTES;
  const bool narrows = r.box_width != r.full_width, shortens = r.box_height != r.full_height;
  const size_t across_bytes = weights_bytes(r.out_columns, weights_width(r.box_width, r.full_width, r.filter));
  const size_t down_bytes = weights_bytes(r.out_rows, weights_width(r.box_height, r.full_height, r.filter));
  uint8_t* memory = (uint8_t*)scratch(SCRATCH_OTHER, (across_bytes + down_bytes) / 4);
  Weights across{}, down{};
  if (narrows) across = weights_of(r.box_width, r.full_width, r.out_left, r.out_columns, r.filter, memory);
  if (shortens) down = weights_of(r.box_height, r.full_height, r.out_top, r.out_rows, r.filter, memory + across_bytes);
  // The rows that the window is made of, and their columns.
  const int64_t top = shortens ? down.first[0] : r.out_top;
  const int64_t rows = shortens ? down.first[r.out_rows - 1] + down.count[r.out_rows - 1] - top : r.out_rows;
  const int64_t left = narrows ? across.first[0] : r.out_left;
  const int64_t columns = narrows ? across.first[r.out_columns - 1] + across.count[r.out_columns - 1] - left : r.out_columns;
  auto cross = [&](const uint8_t* from, int64_t step, int64_t count, uint8_t* out) {
    if (narrows) resize_rows<BYTES, CHANNELS>(from, step, count, across, r.out_columns, r.mirrored, out, width);
    else copy_rows<BYTES, CHANNELS>(from + r.out_left * BYTES, step, count, r.out_columns, r.mirrored, out, width);
  };
  if (!shortens) return cross(corner + top * from_step, from_step, rows, to);
  uint8_t* between = (uint8_t*)scratch(SCRATCH_SOURCE, (std::max(rows * width, r.out_rows * columns * BYTES) + 64) / 4);
  if (r.columns_first) {
    const int64_t step = columns * BYTES;
    resize_columns(corner + left * BYTES, from_step, step, down, r.out_rows, between, step);
    cross(between - left * BYTES, step, r.out_rows, to);
  } else {
    cross(corner + top * from_step, from_step, rows, between);
    resize_columns(between - top * width, width, width, down, r.out_rows, to, width);
  }
}

static void resize(const Resizing& r, uint8_t* to) { (r.channels == 1 ? resize_as<1, 1> : resize_as<4, 3>)(r, to); }

// Each value of `count` pixels of `channels` channels through its channel's table of 256 floats.
static void look_up(const uint8_t* values, int64_t count, int64_t channels, const float* tables, float* to) {
  constexpr int64_t PIXELS = 16 << 10;
  parallel((count + PIXELS - 1) / PIXELS, [&](int64_t piece) {
    const int64_t begin = piece * PIXELS, end = std::min(count, begin + PIXELS);
    if (channels == 3) {
      for (int64_t i = 3 * begin; i < 3 * end; i += 3) {
        to[i] = tables[values[i]];
        to[i + 1] = tables[256 + values[i + 1]];
        to[i + 2] = tables[512 + values[i + 2]];
      }
      return;
    }
    for (int64_t p = begin; p < end; p++)
      for (int64_t c = 0; c < channels; c++) to[p * channels + c] = tables[256 * c + values[p * channels + c]];
  });
}

}  // namespace TT_ISA
