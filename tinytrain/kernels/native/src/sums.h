// Sums that are gathered piece by piece and merged in the order of the pieces.
//
// No templates of the standard library that could be compiled out of line: their copies for a newer processor would be
// linked into the code for an older one.
#pragma once

#include <new>

#include "read.h"

namespace TT_ISA {

// A block of kept memory for as long as a kernel runs.
struct Block {
  explicit Block(size_t num_floats) : memory_(static_cast<float*>(take_block(num_floats * sizeof(float), &granted_))) {
    if (!memory_) throw std::bad_alloc();
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() { give_block(memory_, granted_); }
  float* get() const { return memory_; }

 private:
  size_t granted_ = 0;
  float* memory_;
};

// Places in memory, in scratch of the calling thread.
struct Offsets {
  Offsets(ScratchSlot slot, int64_t count) : memory_(reinterpret_cast<int64_t*>(scratch(slot, 2 * count))) {}
  int64_t& operator[](int64_t i) const { return memory_[i]; }
  int64_t* get() const { return memory_; }

 private:
  int64_t* memory_;
};

// Mean and sum of squared deviations of `rows` rows of `columns` floats, in two passes over what is in cache.
static void moments_of(const float* x, int64_t step, int64_t rows, int64_t columns, float* mean, float* m2) {
  const float inverse = 1.0f / (float)rows;
  for (int64_t i = 0; i < columns; i += VL) {
    int64_t left = columns - i;
    vec sum[4] = {};
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4)
      for (int k = 0; k < 4; k++) sum[k] += load_some(x + (r + k) * step + i, left);
    for (; r < rows; r++) sum[0] += load_some(x + r * step + i, left);
    vec m = ((sum[0] + sum[1]) + (sum[2] + sum[3])) * inverse;
    vec square[4] = {};
    for (r = 0; r + 4 <= rows; r += 4)
      for (int k = 0; k < 4; k++) {
        vec d = load_some(x + (r + k) * step + i, left) - m;
        square[k] += d * d;
      }
    for (; r < rows; r++) {
      vec d = load_some(x + r * step + i, left) - m;
      square[0] += d * d;
    }
    store_some(mean + i, m, left);
    store_some(m2 + i, (square[0] + square[1]) + (square[2] + square[3]), left);
  }
}

// Merges the moments of pieces, `[piece][2][c]` with `count(piece)` values each: Chan, Golub and LeVeque (1983).
template <class Count>
static void merge_moments(const float* slots, int64_t pieces, int64_t c, Count&& count, Moments to) {
  constexpr int64_t CHUNK = 4 * VL;
  parallel((c + CHUNK - 1) / CHUNK, [&](int64_t chunk) {
    int64_t first = chunk * CHUNK, until = std::min(first + CHUNK, c);
    double total = 0;
    double mean[CHUNK] = {}, m2[CHUNK] = {};
    for (int64_t p = 0; p < pieces; p++) {
      double n = (double)count(p);
      total += n;
      for (int64_t i = first; i < until; i++) mean[i - first] += n * slots[p * 2 * c + i];
    }
    for (int64_t i = first; i < until; i++) mean[i - first] /= total;
    for (int64_t p = 0; p < pieces; p++) {
      double n = (double)count(p);
      for (int64_t i = first; i < until; i++) {
        double apart = slots[p * 2 * c + i] - mean[i - first];
        m2[i - first] += slots[(p * 2 + 1) * c + i] + n * apart * apart;
      }
    }
    for (int64_t i = first; i < until; i++) to.mean[i] = (float)mean[i - first], to.m2[i] = (float)m2[i - first];
  });
}

// Adds up `pieces` rows of `length` floats in their order, `apart` floats from one to the next.
static void add_pieces(const float* slots, int64_t pieces, int64_t apart, int64_t length, float* to) {
  constexpr int64_t CHUNK = 4096;
  parallel((length + CHUNK - 1) / CHUNK, [&](int64_t chunk) {
    int64_t first = chunk * CHUNK, until = std::min(first + CHUNK, length);
    for (int64_t i = first; i < until; i += VL) {
      int64_t left = until - i;
      vec sum = {};
      for (int64_t p = 0; p < pieces; p++) sum += load_some(slots + p * apart + i, left);
      store_some(to + i, sum, left);
    }
  });
}

// What happens to an input gradient in memory that is still in cache: `rows` pixels from pixel `first`, `apart` pixels from
// one to the next, channels from `channel` on, `columns` of them. The sums are added to `sum` and `sum_y`.
static void finish_grads(const GradSink& s, int64_t first, int64_t apart, int64_t rows, int64_t channel, int64_t columns,
                         float* sum, float* sum_y) {
  if (!s.add && !s.y && s.through.act.kind == ACT_NONE) return;
  with_kind(s.through.act.kind, [&](auto kind) {
    const vec low = fill(s.through.act.low), high = fill(s.through.act.high);
    for (int64_t i = channel; i < channel + columns; i += VL) {
      int64_t left = channel + columns - i;
      vec scale = {}, shift = {}, mean = {}, total = {}, total_y = {};
      if (s.through.scale) scale = load_some(s.through.scale + i, left), shift = load_some(s.through.shift + i, left);
      if (s.y) mean = load_some(s.mean + i, left);
      for (int64_t r = 0; r < rows; r++) {
        int64_t p = first + r * apart;
        float* to = s.to + p * s.step + i;
        vec g = load_some(to, left);
        if (s.add) g += load_some(s.add + p * s.add_step + i, left);
        if (kind.value != ACT_NONE) {
          vec at = load_some(s.through.x + p * s.through.step + i, left);
          if (s.through.scale) at = at * scale + shift;
          g = through<kind.value>(g, at, low, high);
        }
        store_some(to, g, left);
        if (s.y) {
          total += g;
          total_y += g * (load_some(s.y + p * s.y_step + i, left) - mean);
        }
      }
      if (s.y) {
        store_some(sum + i, load_some(sum + i, left) + total, left);
        store_some(sum_y + i, load_some(sum_y + i, left) + total_y, left);
      }
    }
  });
}

}  // namespace TT_ISA
