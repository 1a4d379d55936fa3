// Both gradients of a depthwise convolution in one pass over its operands: a column of output gradients slides along, is added
// into the input gradients around it and multiplied with the inputs around it.
//
// BAND is the number of rows of STRIDE x STRIDE pixels in a column, RESIDENT the number of blocks of THREADS threads on a
// multiprocessor: what registers allow (depthwise.py). The sums for the weights take most of them: there are 8 to 12 warps on a
// multiprocessor, each with a column of every operand in flight, some 30 kilobytes: what the memory's latency asks for.
// Limited by memory for 3x3, by instructions from 5x5 on.
#include "sliding.cuh"

namespace tinytrain {

constexpr bool INPUT = GRADIENTS & 1, WEIGHT = GRADIENTS & 2;  // which of them are wanted

// The gradients at BAND * S rows of inputs at a time, from a column of output gradients that slides along. A thread counts
// each of its pixels once for the weights: pixels in the padding are zeros and belong to nobody.
__device__ __forceinline__ void convolve_back(const Operands& it, float* shared, float* partial, i64 n, int h, int w, i64 c,
                                              int oh, int ow, int ph, int pw, i64 bands, i64 segments, int length,
                                              i64 turns) {
  const Gradient& gradient = it.gradient;
  const Input& input = it.input;
  const Sink& sink = it.sink;
  constexpr int R = BAND + M - 1, Q = BAND * S, C = M * S;  // rows of gradients, rows of inputs, columns of inputs
  const int channel = (blockIdx.y * blockDim.x + threadIdx.x) * N;
  float grad_w[K * K][N] = {}, sum[N] = {}, sum_y[N] = {};
  const int first_band = ph / S, first_column = pw / S, last_column = (w - 1 + pw) / S;

  for (i64 turn = 0; turn < turns && channel < c; turn++) {
    const i64 item = (blockIdx.x * turns + turn) * blockDim.y + threadIdx.y;
    if (item >= n * segments * bands) break;
    const Piece piece(item, bands, segments);
    // Columns and rows of blocks of S x S pixels, counted from the padding's corner: (u, v) is in block (u / S, v / S).
    const int top = first_band + piece.band * BAND;
    const int from = first_column + piece.segment * length, until = min(from + length, last_column + 1);
    const int out_top = top - (M - 1), in_top = top * S - ph;
    const unsigned g_rows = inside<R>(out_top, oh), x_rows = inside<Q>(in_top, h);
    const int out_pixel = ((int)piece.image * oh + out_top) * ow, in_pixel = ((int)piece.image * h + in_top) * w;
    float grad_x[C][Q][N] = {}, window[C][Q][N] = {};

    for (int first = from - (M - 1); first < until; first += M) {
#pragma unroll
      for (int phase = 0; phase < M; phase++) {
        const int t = first + phase;  // the column of gradients; the newest inputs are those of block t + M - 1
        if (t >= until) break;
        Vector g_raw[R], y_raw[R], m_raw[S][Q];
        const unsigned g_inside = t >= 0 && t < ow ? g_rows : 0;
        read_column<R>(gradient.g, gradient.step, channel, out_pixel + t, ow, g_inside, g_raw);
        if (gradient.reads_y())
          read_column<R>(gradient.y, gradient.y_step, channel, out_pixel + t, ow, g_inside, y_raw);
        if (INPUT && sink.m) {
#pragma unroll
          for (int j = 0; j < S; j++) {
            const int ix = t * S + j - pw;
            const unsigned there = t >= from && ix >= 0 && ix < w ? x_rows : 0;
            read_column<Q>(sink.m, sink.m_step, channel, in_pixel + ix, w, there, m_raw[j]);
          }
        }
        if (WEIGHT) {
#pragma unroll
          for (int j = 0; j < S; j++) {
            const int ix = (t + M - 1) * S + j - pw;
            const unsigned there = t + M - 1 < until && ix >= 0 && ix < w ? x_rows : 0;
            float(&column)[Q][N] = window[((phase + M - 1) * S + j) % C];
            Vector raw[Q];
            read_column<Q>(input.x, input.step, channel, in_pixel + ix, w, there, raw);
            unpack_column<Q>(raw, column);
            input.finish(it.of_input, there, column);
          }
        }
        float column[R][N];
        unpack_column<R>(g_raw, column);
        if (g_inside) gradient.finish(it.of_gradient, g_inside, y_raw, column);
#pragma unroll
        for (int kh = 0; kh < K; kh++)
#pragma unroll
          for (int kw = 0; kw < K; kw++) {
            float tap[N];
            if (INPUT) it.filters.get(kh * K + kw, tap);
#pragma unroll
            for (int q = kh % S; q < Q; q += S) {
              const int r = M - 1 - (kh - q) / S, slot = (phase * S + kw) % C;
              if (r < 0 || r >= R) continue;
#pragma unroll
              for (int k = 0; k < N; k++) {
                if (INPUT) grad_x[slot][q][k] += column[r][k] * tap[k];
                if (WEIGHT) grad_w[kh * K + kw][k] += column[r][k] * window[slot][q][k];
              }
            }
          }
        if (INPUT) {
#pragma unroll
          for (int j = 0; j < S; j++) {
            const int ix = t * S + j - pw;
            const unsigned there = t >= from && ix >= 0 && ix < w ? x_rows : 0;
            float(&done)[Q][N] = grad_x[(phase * S + j) % C];
            if (there) sink.finish(it.of_sink, in_pixel + ix, w, there, (int)c, channel, m_raw[j], done, sum, sum_y);
#pragma unroll
            for (int q = 0; q < Q; q++)
#pragma unroll
              for (int k = 0; k < N; k++) done[q][k] = 0;
          }
        }
      }
    }
  }
  // Of each block one row: [taps][c], then the two sums, where they are wanted.
  float* row = partial + (i64)blockIdx.x * ((WEIGHT ? K * K : 0) + (INPUT && sink.y ? 2 : 0)) * c + channel;
  const bool writes = threadIdx.y == 0 && channel < c;
  __syncthreads();
  if (WEIGHT) {
#pragma unroll
    for (int tap = 0; tap < K * K; tap++, row += c) {
      sum_rows<N>(grad_w[tap], shared);
      if (writes) store<N>(row, grad_w[tap]);
    }
  }
  if (INPUT && sink.y) {
    sum_rows<N>(sum, shared);
    sum_rows<N>(sum_y, shared);
    if (writes) store<N>(row, sum), store<N>(row + c, sum_y);
  }
}

}  // namespace tinytrain

using namespace tinytrain;

extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
    backward(BACKWARD_PARAMETERS, i64 bands, i64 segments, i64 length, i64 turns) {
  extern __shared__ __align__(16) float shared[];
  const Operands it(shared, N, BACKWARD_ARGUMENTS);
  if (INPUT) put_taps(it.filters.mine - threadIdx.x * N, it.filters.width, blockIdx.y * it.filters.width, c, taps, K * K);
  __syncthreads();
  convolve_back(it, shared, partial, n, (int)h, (int)w, c, (int)oh, (int)ow, (int)ph, (int)pw, bands, segments, (int)length,
                turns);
}
