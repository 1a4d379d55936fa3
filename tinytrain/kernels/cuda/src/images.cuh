// Windows cut out of small images that lie in the GPU's memory, their levels turned into what a table says.
#include "common.cuh"

namespace tinytrain {

enum Border { BORDER_CONSTANT, BORDER_EDGE, BORDER_REFLECT, BORDER_SYMMETRIC };  // numpy.pad's modes
enum Turn { TURN_MIRRORED = 1, TURN_UPSIDE_DOWN = 2 };

constexpr int LEVELS = 257;  // of a channel; the last is the constant border's

// The place in an image of `extent` pixels that lies at `at`, which may be outside; -1 for the constant border.
__device__ __forceinline__ i64 place_in(i64 at, i64 extent, i64 border) {
  if (at >= 0 && at < extent) return at;
  switch (border) {
    case BORDER_EDGE: return at < 0 ? 0 : extent - 1;
    case BORDER_REFLECT: {
      const i64 period = extent > 1 ? 2 * (extent - 1) : 1;
      at = (at % period + period) % period;
      return at < extent ? at : period - at;
    }
    case BORDER_SYMMETRIC:
      at = (at % (2 * extent) + 2 * extent) % (2 * extent);
      return at < extent ? at : 2 * extent - 1 - at;
    default: return -1;
  }
}

}  // namespace tinytrain

using namespace tinytrain;

// `places` has `step` numbers for each result: image, top, left, turns, and then, where step is 8, top, left, height and width
// of a box that is overwritten with `erased`. A thread writes PACK values at a time. Limited by memory: reads a byte for each
// value that it writes.
extern "C" __global__ void gather_images(const u8* images, i64 h, i64 w, i64 c, const int* places, i64 step, i64 oh, i64 ow,
                                         i64 border, const ELEMENT* table, const ELEMENT* erased, ELEMENT* to, i64 count) {
  extern __shared__ __align__(16) ELEMENT levels[];
  for (i64 i = threadIdx.x; i < c * LEVELS; i += blockDim.x) levels[i] = table[i];
  __syncthreads();
  const i64 stride = (i64)gridDim.x * blockDim.x * PACK;
  for (i64 first = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * PACK; first < count; first += stride) {
    const i64 pixel = first / c, line = pixel / ow;
    i64 k = first - pixel * c, x = pixel - line * ow, i = line / oh, y = line - i * oh;
    i64 from = -1;
    bool is_erased = false, is_new = true;
    Pack<ELEMENT, PACK> pack;
#pragma unroll
    for (int e = 0; e < PACK; e++) {
      if (first + e >= count) break;
      if (is_new) {
        const int* place = places + i * step;
        const i64 row = place_in(place[1] + (place[3] & TURN_UPSIDE_DOWN ? oh - 1 - y : y), h, border);
        const i64 column = place_in(place[2] + (place[3] & TURN_MIRRORED ? ow - 1 - x : x), w, border);
        from = row < 0 || column < 0 ? -1 : ((place[0] * h + row) * w + column) * c;
        if (step == 8)
          is_erased = y >= place[4] && y < (i64)place[4] + place[6] && x >= place[5] && x < (i64)place[5] + place[7];
        is_new = false;
      }
      pack.at[e] = is_erased ? erased[k] : levels[k * LEVELS + (from < 0 ? LEVELS - 1 : images[from + k])];
      if (++k < c) continue;
      k = 0, is_new = true;
      if (++x < ow) continue;
      x = 0;
      if (++y < oh) continue;
      y = 0, i++;
    }
    if (first + PACK <= count) {
      *reinterpret_cast<Pack<ELEMENT, PACK>*>(to + first) = pack;
    } else {
#pragma unroll
      for (int e = 0; e < PACK; e++)
        if (first + e < count) to[first + e] = pack.at[e];
    }
  }
}
