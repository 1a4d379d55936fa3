// What the depthwise kernels with a square window of KERNEL taps a side and stride STRIDE share: no dilation, PACK channels a
// thread, which slides along the rows of an image with a column of pixels in registers.
//
// Nothing but factors and taps is staged in shared memory: L1 is as wide as shared memory is, what the rows of a block share is
// in it, and without barriers the reads of the next column overlap with the sums of this one. Two channels a thread and tall
// columns, rather than many channels: a warp still reads whole lines of memory, while the column's rows share taps and sums.
#pragma once

#include "sources.cuh"

namespace tinytrain {

constexpr int K = KERNEL, S = STRIDE, N = PACK;
constexpr int M = (K + S - 1) / S;  // how many results along one axis a pixel contributes to, at most

typedef Pack<ELEMENT, N> Vector;

// What a thread does in one turn: a band of rows, and a piece of them, of one image.
struct Piece {
  i64 image;
  int band, segment;

  __device__ __forceinline__ Piece(i64 item, i64 bands, i64 segments) {
    const i64 rest = item / bands;
    band = (int)(item - rest * bands), image = rest / segments, segment = (int)(rest - image * segments);
  }
};

// Bits for the rows from `first` on that an image of `rows` rows has.
template <int R>
__device__ __forceinline__ unsigned inside(int first, int rows) {
  unsigned bits = 0;
#pragma unroll
  for (int r = 0; r < R; r++) bits |= (unsigned)(first + r >= 0 && first + r < rows) << r;
  return bits;
}

// A column of pixels from `pixel` on, `across` pixels from one to the next; zeros where there are none.
template <int R>
__device__ __forceinline__ void read_column(const ELEMENT* x, i64 step, int channel, int pixel, int across, unsigned inside,
                                            Vector (&raw)[R]) {
#pragma unroll
  for (int r = 0; r < R; r++)
    raw[r] = inside >> r & 1 ? load_pack<N>(x + ((pixel + r * across) * (int)step + channel)) : Vector{};
}

template <int R>
__device__ __forceinline__ void unpack_column(const Vector (&raw)[R], float (&v)[R][N]) {
#pragma unroll
  for (int r = 0; r < R; r++) unpack<N>(raw[r], v[r]);
}

}  // namespace tinytrain
