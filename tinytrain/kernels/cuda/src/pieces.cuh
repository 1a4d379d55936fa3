// The second stage of sums: what each block has left is merged in the order of the blocks.
//
// Limited by latency: some hundred rows, a few reads of each thread in flight.
#include "common.cuh"

using namespace tinytrain;

// Moments `[piece][2][c]` of `counts[piece]` values each, or of `each` (the last piece of what is left of `values`), less the
// channel's `base` if there is one. A column of threads a channel.
extern "C" __global__ void merge_moments(const ELEMENT* base, const float* partial, const float* counts, i64 each, i64 values,
                                         i64 pieces, i64 c, float* mean, float* m2) {
  extern __shared__ double doubles[];
  const i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
  Moments<1, double> moments;
#pragma unroll 4
  for (i64 piece = threadIdx.y; i < c && piece < pieces; piece += blockDim.y) {
    const double piece_mean[1] = {partial[piece * 2 * c + i]}, piece_m2[1] = {partial[(piece * 2 + 1) * c + i]};
    moments.merge(counts ? (double)counts[piece] : (double)min(each, values - piece * each), piece_mean, piece_m2);
  }
  merge_rows(moments, doubles);
  if (threadIdx.y || i >= c) return;
  const float origin = base && values ? to_float(base[i]) : 0.0f;
  mean[i] = counts || values ? (float)(origin + moments.mean[0]) : __int_as_float(0x7fc00000), m2[i] = (float)moments.m2[0];
}

// The sums of `[piece][taps + others][c]` over the pieces: those of the taps go into a weight (c, taps), the others into rows.
extern "C" __global__ void add_pieces(const float* partial, i64 pieces, i64 c, i64 taps, i64 others, ELEMENT* weight,
                                      float* rows) {
  extern __shared__ float shared[];
  const i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x, length = (taps + others) * c;
  float total[1] = {};
#pragma unroll 8
  for (i64 piece = threadIdx.y; i < length && piece < pieces; piece += blockDim.y) total[0] += partial[piece * length + i];
  sum_rows(total, shared);
  if (threadIdx.y || i >= length) return;
  const i64 tap = i / c, channel = i - tap * c;
  if (tap < taps) from_float(weight[channel * taps + tap], total[0]);
  else rows[(tap - taps) * c + channel] = total[0];
}
