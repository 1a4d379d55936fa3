// Windows cut out of small images that lie in memory, their levels turned into what a table says.
#pragma once

#include <algorithm>
#include <cstdint>

#include "exact.h"
#include "pool.h"

namespace TT_ISA {

using namespace tinytrain;

// The place in an image of `extent` pixels that lies at `at`, which may be outside; -1 for the constant border.
static inline int64_t place_in(int64_t at, int64_t extent, int border) {
  if (at >= 0 && at < extent) return at;
  switch (border) {
    case BORDER_EDGE: return at < 0 ? 0 : extent - 1;
    case BORDER_REFLECT: {
      const int64_t period = std::max<int64_t>(2 * (extent - 1), 1);
      at = ((at % period) + period) % period;
      return at < extent ? at : period - at;
    }
    case BORDER_SYMMETRIC:
      at = ((at % (2 * extent)) + 2 * extent) % (2 * extent);
      return at < extent ? at : 2 * extent - 1 - at;
    default: return -1;
  }
}

template <int CHANNELS>
static void gather_image(const Gathering& g, int64_t i, int64_t* columns) {
  const int64_t c = CHANNELS ? CHANNELS : g.c;
  const int32_t* place = g.places + 4 * i;
  const uint8_t* image = g.images + place[0] * g.h * g.w * c;
  float* to = g.to + i * g.oh * g.ow * c;
  for (int64_t x = 0; x < g.ow; x++) {
    const int64_t column = place_in(place[2] + (place[3] & TURN_MIRRORED ? g.ow - 1 - x : x), g.w, g.border);
    columns[x] = column < 0 ? -1 : column * c;
  }
  for (int64_t y = 0; y < g.oh; y++) {
    const int64_t row = place_in(place[1] + (place[3] & TURN_UPSIDE_DOWN ? g.oh - 1 - y : y), g.h, g.border);
    const uint8_t* line = image + row * g.w * c;
    for (int64_t x = 0; x < g.ow; x++, to += c) {
      if (row < 0 || columns[x] < 0) {
        for (int64_t k = 0; k < c; k++) to[k] = g.table[257 * k + 256];
      } else {
        for (int64_t k = 0; k < c; k++) to[k] = g.table[257 * k + line[columns[x] + k]];
      }
    }
  }
  if (!g.boxes) return;
  const int32_t* box = g.boxes + 4 * i;
  to = g.to + i * g.oh * g.ow * c;
  for (int64_t y = std::max(box[0], 0); y < std::min<int64_t>(box[0] + box[2], g.oh); y++)
    for (int64_t x = std::max(box[1], 0); x < std::min<int64_t>(box[1] + box[3], g.ow); x++)
      for (int64_t k = 0; k < c; k++) to[(y * g.ow + x) * c + k] = g.erased[k];
}

static void gather_images(const Gathering& g) {
  parallel(g.n, [&](int64_t i) {
    int64_t* columns = (int64_t*)scratch(SCRATCH_OTHER, 2 * g.ow);
    switch (g.c) {
      case 1: return gather_image<1>(g, i, columns);
      case 3: return gather_image<3>(g, i, columns);
      default: return gather_image<0>(g, i, columns);
    }
  });
}

}  // namespace TT_ISA
