// One vector type for every instruction set: VL floats, arithmetic by the compiler's vector extensions.
//
// This header is compiled once per instruction set; TT_ISA names the namespace that keeps the copies apart.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace TT_ISA {

#if defined(__AVX512F__)
constexpr int VL = 16;          // floats in a vector
constexpr int MAX_ROWS = 14;    // rows of a register tile: 14 x 2 sums, 2 vectors of weights, 2 to spare of 32
#elif defined(__AVX2__)
constexpr int VL = 8;
constexpr int MAX_ROWS = 6;     // 6 x 2 sums, 2 vectors of weights, a broadcast, of 16
#elif defined(__aarch64__)
constexpr int VL = 4;
constexpr int MAX_ROWS = 12;    // 32 registers
#else
constexpr int VL = 4;
constexpr int MAX_ROWS = 6;
#endif
constexpr int PANEL = 2 * VL;   // columns of a register tile

typedef float vec __attribute__((vector_size(4 * VL)));
typedef int32_t mask __attribute__((vector_size(4 * VL)));
typedef uint8_t small_mask __attribute__((vector_size(VL)));

static inline vec load(const float* p) {
  vec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

static inline void store(float* p, vec v) { __builtin_memcpy(p, &v, sizeof v); }

static inline vec fill(float x) { return x - (vec){}; }

// The first `count` (1 to VL - 1) floats at `p`, zeros behind them; memory behind them is not touched.
static inline vec load_part(const float* p, int count) {
#if defined(__AVX512F__)
  return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), p);
#elif defined(__AVX2__)
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return (vec)_mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lanes));
#else
  vec v = {};
  for (int i = 0; i < count; i++) v[i] = p[i];
  return v;
#endif
}

static inline void store_part(float* p, vec v, int count) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), (__m512)v);
#elif defined(__AVX2__)
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  _mm256_maskstore_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lanes), (__m256)v);
#else
  for (int i = 0; i < count; i++) p[i] = v[i];
#endif
}

// `count` may be anything from 1 up: whole vectors where there are VL floats, parts at the end.
static inline vec load_some(const float* p, int64_t count) { return count >= VL ? load(p) : load_part(p, (int)count); }

static inline void store_some(float* p, vec v, int64_t count) {
  if (count >= VL) store(p, v);
  else store_part(p, v, (int)count);
}

// The channels of a pixel as vectors: N whole ones, or the first `count` lanes of one.
template <int N>
struct Whole {
  static constexpr int n = N;
  static constexpr int lanes() { return VL; }
  vec get(const float* p) const { return load(p); }
  void put(float* p, vec v) const { store(p, v); }
};

struct Part {
  static constexpr int n = 1;
  int count;
  int lanes() const { return count; }
  vec get(const float* p) const { return load_part(p, count); }
  void put(float* p, vec v) const { store_part(p, v, count); }
};

// Calls f(vectors, first channel) until all `c` channels have had their turn, N vectors at a time as long as there are N.
template <int N, class F>
static inline void by_vectors(int64_t c, F&& f) {
  int64_t i = 0;
  for (; i + N * VL <= c; i += N * VL) f(Whole<N>(), i);
  for (; N > 1 && i + VL <= c; i += VL) f(Whole<1>(), i);
  if (i < c) f(Part{(int)(c - i)}, i);
}

// The mask of the first `count` lanes.
static inline mask first_lanes(int64_t count) {
  mask lanes;
  for (int i = 0; i < VL; i++) lanes[i] = i < count ? -1 : 0;
  return lanes;
}

static inline vec select(mask m, vec a, vec b) { return m ? a : b; }

// Turns VL vectors into their lanes: afterwards row j holds lane j of each. Rows that nobody looks at cost nothing.
static inline __attribute__((always_inline)) void transpose(vec* rows) {
#if defined(__clang__)
  vec turned[VL];
  for (int i = 0; i < VL; i++)
    for (int j = 0; j < VL; j++) turned[j][i] = rows[i][j];
  for (int i = 0; i < VL; i++) rows[i] = turned[i];
#else
#pragma GCC unroll 4
  for (int apart = 1; apart < VL; apart *= 2) {
    mask low = {}, high = {};
#pragma GCC unroll 16
    for (int lane = 0; lane < VL; lane++) {
      low[lane] = lane & apart ? VL + lane - apart : lane;
      high[lane] = lane & apart ? VL + lane : lane + apart;
    }
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) {
      if (i & apart) continue;
      const vec a = rows[i], b = rows[i + apart];
      rows[i] = __builtin_shuffle(a, b, low);
      rows[i + apart] = __builtin_shuffle(a, b, high);
    }
  }
#endif
}

}  // namespace TT_ISA
