// Sums that are gathered piece by piece and merged in the order of the pieces.
//
// No templates of the standard library that could be compiled out of line: their copies for a newer processor would be
// linked into the code for an older one.
#pragma once

#include <new>

#include "read.h"

namespace TT_ISA {

constexpr int64_t PIECE_FLOATS = 16 << 10;  // 64 KiB of each operand

// Numbers that are added up by themselves before their sum is added to others: rounding grows with the length of a row of
// additions, and what a normalisation subtracts from every gradient is such a sum.
constexpr int64_t STRETCH = 16;

static int64_t pixels_in_piece(int64_t c) { return std::max<int64_t>(PIECE_FLOATS / std::max<int64_t>(c, 1), 1); }

// A block of kept memory for as long as a kernel runs.
struct Block {
  explicit Block(size_t num_floats) : memory_(static_cast<float*>(take_block(num_floats * sizeof(float)))) {
    if (!memory_) throw std::bad_alloc();
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() { give_block(memory_); }
  float* get() const { return memory_; }

 private:
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

// Mean and sum of squared deviations of `rows` rows of `columns` floats, in two passes over what is in cache; the first
// sums what is above the first row, which is small where the mean is not.
static void moments_of(const float* x, int64_t step, int64_t rows, int64_t columns, float* mean, float* m2) {
  const float inverse = 1.0f / (float)rows;
  by_vectors<2>(columns, [&](auto w, int64_t i) {
    vec sum[2][w.n] = {}, above[w.n], m[w.n], square[2][w.n] = {};
    for (int k = 0; k < w.n; k++) above[k] = w.get(x + i + k * VL);
    int64_t r = 0;
    for (; r + 2 <= rows; r += 2)
      for (int h = 0; h < 2; h++)
        for (int k = 0; k < w.n; k++) sum[h][k] += w.get(x + (r + h) * step + i + k * VL) - above[k];
    for (; r < rows; r++)
      for (int k = 0; k < w.n; k++) sum[0][k] += w.get(x + r * step + i + k * VL) - above[k];
    for (int k = 0; k < w.n; k++) m[k] = above[k] + (sum[0][k] + sum[1][k]) * inverse;
    for (r = 0; r + 2 <= rows; r += 2)
      for (int h = 0; h < 2; h++)
        for (int k = 0; k < w.n; k++) {
          const vec d = w.get(x + (r + h) * step + i + k * VL) - m[k];
          square[h][k] += d * d;
        }
    for (; r < rows; r++)
      for (int k = 0; k < w.n; k++) {
        const vec d = w.get(x + r * step + i + k * VL) - m[k];
        square[0][k] += d * d;
      }
    for (int k = 0; k < w.n; k++) {
      w.put(mean + i + k * VL, m[k]);
      w.put(m2 + i + k * VL, square[0][k] + square[1][k]);
    }
  });
}

// Merges the moments of pieces, `[piece][2][c]` with `count(piece)` values each: Chan, Golub and LeVeque (1983).
template <class Count>
static void merge_moments(const float* slots, int64_t pieces, int64_t c, Count&& count, Moments to) {
  constexpr int64_t CHUNK = 4 * VL;
  parallel_if_worth(pieces * c * 4, (c + CHUNK - 1) / CHUNK, [&](int64_t chunk) {
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

// Adds up `pieces` rows of `length` floats in their order, by stretches, `apart` floats from one to the next.
static void add_pieces(const float* slots, int64_t pieces, int64_t apart, int64_t length, float* to) {
  constexpr int64_t CHUNK = 4096;
  parallel_if_worth(pieces * length, (length + CHUNK - 1) / CHUNK, [&](int64_t chunk) {
    int64_t first = chunk * CHUNK, until = std::min(first + CHUNK, length);
    for (int64_t i = first; i < until; i += VL) {
      int64_t left = until - i;
      vec total = {};
      for (int64_t p = 0; p < pieces;) {
        vec sum = {};
        for (const int64_t until = std::min(p + STRETCH, pieces); p < until; p++)
          sum += load_some(slots + p * apart + i, left);
        total += sum;
      }
      store_some(to + i, total, left);
    }
  });
}

// Adds up what the pieces of an input gradient found, `[piece][2][c]`, where the sums are wanted.
static void add_sums(const float* slots, int64_t pieces, int64_t c, const GradSink& s) {
  if (!s.y) return;
  add_pieces(slots, pieces, 2 * c, c, s.sum);
  add_pieces(slots + c, pieces, 2 * c, c, s.sum_y);
}

// What happens to an input gradient in memory that is still in cache: `rows` pixels from pixel `first`, `apart` pixels from
// one to the next, channels from `channel` on, `columns` of them. The sums are added to `sum` and `sum_y`.
static void finish_grads(const GradSink& s, int64_t first, int64_t apart, int64_t rows, int64_t channel, int64_t columns,
                         float* sum, float* sum_y) {
  if (!s.add && !s.y && s.through.act.kind == ACT_NONE) return;
  const bool side_by_side = s.step == columns && (!s.add || s.add_step == columns) && (!s.y || s.y_step == columns) &&
                            (s.through.act.kind == ACT_NONE || s.through.step == columns);
  if (columns < VL && rows >= VL && apart == 1 && side_by_side) {  // then these are all channels
    const int64_t together = rows / VL, wide = VL * columns, skip = first * columns;
    const Repeated scale(s.through.scale, columns), shift(s.through.shift, columns), mean(s.y ? s.mean : nullptr, columns);
    float sums[2][VL * VL] = {};
    GradSink all = s;
    all.to += skip, all.step = all.add_step = all.y_step = all.through.step = wide;
    if (s.add) all.add += skip;
    if (s.y) all.y += skip;
    if (s.through.x) all.through.x += skip;
    all.through.scale = scale.get(), all.through.shift = shift.get(), all.mean = mean.get();
    finish_grads(all, 0, 1, together, 0, wide, sums[0], sums[1]);
    for (int64_t at = 0; s.y && at < wide; at += columns)
      for (int64_t i = 0; i < columns; i++) sum[i] += sums[0][at + i], sum_y[i] += sums[1][at + i];
    return finish_grads(s, first + together * VL, 1, rows - together * VL, 0, columns, sum, sum_y);
  }
  with_kind(s.through.act.kind, [&](auto kind) {
    const vec low = fill(s.through.act.low), high = fill(s.through.act.high);
    by_vectors<2>(columns, [&](auto w, int64_t offset) {
      const int64_t i = channel + offset;
      const Line<w.n> line(w, s.through.scale, s.through.shift, i);
      const bool same = s.y == s.through.x;
      vec mean[w.n], total[w.n] = {}, total_y[w.n] = {};
      for (int k = 0; k < w.n; k++) mean[k] = s.y ? w.get(s.mean + i + k * VL) : (vec){};
      for (int64_t r = 0; r < rows;) {
        vec part[w.n] = {}, part_y[w.n] = {};
        for (const int64_t until = std::min(r + STRETCH, rows); r < until; r++) {
          const int64_t p = first + r * apart;
          float* to = s.to + p * s.step + i;
          const float* m = s.through.x + p * s.through.step + i;
          const float* y = s.y + p * s.y_step + i;
#pragma GCC unroll 2
          for (int k = 0; k < w.n; k++) {
            vec g = w.get(to + k * VL), at = {};
            if (s.add) g += w.get(s.add + p * s.add_step + i + k * VL);
            if (kind.value != ACT_NONE) {
              at = w.get(m + k * VL);
              g = through<kind.value>(g, line(k, at), low, high);
            }
            w.put(to + k * VL, g);
            if (s.y) {
              part[k] += g;
              part_y[k] += g * ((kind.value != ACT_NONE && same ? at : w.get(y + k * VL)) - mean[k]);
            }
          }
        }
        for (int k = 0; k < w.n; k++) total[k] += part[k], total_y[k] += part_y[k];
      }
      for (int k = 0; s.y && k < w.n; k++) {
        w.put(sum + i + k * VL, w.get(sum + i + k * VL) + total[k]);
        w.put(sum_y + i + k * VL, w.get(sum_y + i + k * VL) + total_y[k]);
      }
    });
  });
}

// The same for a whole batch, with the sums stored.
static void finish_all(const GradSink& s, int64_t pixels, int64_t c) {
  const int64_t each = pixels_in_piece(c), pieces = (pixels + each - 1) / each;
  Block slots(pieces * 2 * c);
  parallel_if_worth(pixels * c, pieces, [&](int64_t piece) {
    float* slot = slots.get() + piece * 2 * c;
    std::memset(slot, 0, 2 * c * sizeof(float));
    finish_grads(s, piece * each, 1, std::min(each, pixels - piece * each), 0, c, slot, slot + c);
  });
  add_sums(slots.get(), pieces, c, s);
}

}  // namespace TT_ISA
