// Images with a constant around them, or cut at their ends.
#pragma once

#include <algorithm>
#include <cstdint>

#include "exact.h"
#include "pool.h"

namespace TT_ISA {

using namespace tinytrain;

static void pad(const Padding& p) {
  const int64_t row = p.w.size() * p.c.size();
  parallel_if_worth(p.n * p.h.size() * row, p.n * p.h.size(), [&](int64_t line) {
    float* to = p.to + line * row;
    const int64_t y = line % p.h.size() - p.h.before;
    if (y < 0 || y >= p.h.given) return void(std::fill(to, to + row, p.value));
    const float* from = p.x + (line / p.h.size() * p.h.given + y) * p.w.given * p.c.given;
    // Without a change of channels a row of pixels is one stretch of memory, else every pixel is.
    const bool whole = !p.c.before && !p.c.after;
    const Ends ends = whole ? Ends{p.w.given * p.c.given, p.w.before * p.c.given, p.w.after * p.c.given} : p.c;
    const int64_t first = whole ? 0 : p.w.first(), last = whole ? 1 : p.w.last();
    const int64_t front = whole ? 0 : std::max<int64_t>(p.w.before, 0) * p.c.size();
    to = std::fill_n(to, front, p.value);
    for (int64_t x = first; x < last; x++) {
      to = std::fill_n(to, std::max<int64_t>(ends.before, 0), p.value);
      to = std::copy(from + x * ends.given + ends.first(), from + x * ends.given + ends.last(), to);
      to = std::fill_n(to, std::max<int64_t>(ends.after, 0), p.value);
    }
    std::fill(to, p.to + (line + 1) * row, p.value);
  });
}

}  // namespace TT_ISA
