// Memory that will be needed soon, fetched a little at a time while the arithmetic goes on: a core that reads a band and then
// computes waits for memory first and leaves it idle afterwards. What will be written is fetched, too: a store to a line that
// is in no cache waits for the line.
#pragma once

#include <algorithm>

#include "kernels.h"

namespace TT_ISA {

using namespace tinytrain;

class Ahead {
 public:
  void add(const float* from, int64_t floats, bool to_write = false) {
    if (from && floats > 0) add_lines({reinterpret_cast<const char*>(from), floats / 16 + 1, to_write});
  }

  // Pixels of an activation, of a gradient, and of what an input gradient is finished with and written to.
  void add(const Source& x, int64_t first, int64_t count) { add(x.x + first * x.step, count * x.step); }
  void add(const GradSource& g, int64_t first, int64_t count) {
    if (g.shared_by == 1) add(g.g + first * g.step, count * g.step);
    if (!g.plain()) add(g.of, first, count);
  }
  void add(const GradSink& sink, int64_t first, int64_t count, const float* known = nullptr) {
    if (sink.add) add(sink.add + first * sink.add_step, count * sink.add_step);
    if (sink.through.x && sink.through.x != known) add(sink.through, first, count);
    if (sink.y && sink.y != known && sink.y != sink.through.x) add(sink.y + first * sink.y_step, count * sink.y_step);
    if (sink.to) add(sink.to + first * sink.step, count * sink.step, true);
  }

  // One of `parts` equal parts of what another one has.
  void add_part(const Ahead& all, int64_t part, int64_t parts) {
    for (int i = 0; i < all.count_; i++) {
      const Stretch& each = all.stretches_[i];
      const int64_t first = each.lines * part / parts, last = each.lines * (part + 1) / parts;
      if (first < last) add_lines({each.from + 64 * first, last - first, each.to_write});
    }
  }

  // Divides it among that many calls of `fetch`, of which none takes more than `most` lines.
  void spread(int64_t calls, int64_t most = INT64_MAX) {
    each_ = std::min(lines_ / (calls > 0 ? calls : 1) + 1, most);
    if (count_ > 0) now_ = stretches_[0];
  }
  void fetch() {
    const int64_t count = std::min(each_, now_.lines);
    if (now_.to_write)
      for (int64_t i = 0; i < count; i++) __builtin_prefetch(now_.from + 64 * i, 1, 2);
    else
      for (int64_t i = 0; i < count; i++) __builtin_prefetch(now_.from + 64 * i, 0, 2);
    now_.from += 64 * count;
    now_.lines -= count;
    if (now_.lines == 0 && current_ + 1 < count_) now_ = stretches_[++current_];
  }

 private:
  static constexpr int MOST = 8;
  struct Stretch {
    const char* from = nullptr;
    int64_t lines = 0;
    bool to_write = false;
  };
  void add_lines(const Stretch& stretch) {
    if (count_ == MOST) return;
    stretches_[count_++] = stretch;
    lines_ += stretch.lines;
  }
  Stretch stretches_[MOST], now_;
  int count_ = 0, current_ = 0;
  int64_t lines_ = 0, each_ = 0;
};

}  // namespace TT_ISA
