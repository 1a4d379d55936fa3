// Depthwise convolution: a column of pixels is read, finished and added into the KERNEL / STRIDE columns of results that it
// belongs to; with MOMENTS, the moments of the results.
//
// BAND is the number of rows of results in a column, RESIDENT the number of blocks of THREADS threads on a multiprocessor: what
// registers allow (depthwise.py), 16 to 20 warps for most windows. The next column is being read while this one is added up, so
// that each warp has one in flight throughout. Limited by memory for 3x3 (in float32 for 5x5 too), by instructions for 7x7.
#include "sliding.cuh"

namespace tinytrain {

// Results of BAND rows at a time.
template <bool WITH_MOMENTS>
__device__ __forceinline__ void convolve(const Input& input, const float* scale, const float* shift, const ELEMENT* taps,
                                         const float* bias, ELEMENT* y, float* partial, float* counts, i64 n, int h, int w,
                                         i64 c, int oh, int ow, int ph, int pw, i64 bands, i64 segments, int length,
                                         i64 turns) {
  extern __shared__ __align__(16) float shared[];
  constexpr int R = (BAND - 1) * S + K;  // rows of a column that is read
  const int width = blockDim.x * N;
  const int slab = blockIdx.y * width, channel = slab + threadIdx.x * N;
  Input::put(shared, width, slab, c, scale, shift);
  put_taps(shared + Input::FACTORS * width, width, slab, c, taps, K * K);
  __syncthreads();
  const Rows rows{shared + threadIdx.x * N, width}, filters{rows.mine + Input::FACTORS * width, width};
  float start[N], base[N] = {}, sum[N] = {}, square[N] = {};
  int count = 0;
#pragma unroll
  for (int k = 0; k < N; k++) start[k] = bias && channel < c ? bias[channel + k] : 0.0f;

  for (i64 turn = 0; turn < turns && channel < c; turn++) {
    const i64 item = (blockIdx.x * turns + turn) * blockDim.y + threadIdx.y;
    if (item >= n * segments * bands) break;
    const Piece piece(item, bands, segments);
    const int top = piece.band * BAND, from = piece.segment * length, until = min(from + length, ow);
    const int in_top = top * S - ph;
    const unsigned in_rows = inside<R>(in_top, h);
    const int in_pixel = ((int)piece.image * h + in_top) * w, out_pixel = ((int)piece.image * oh + top) * ow;
    int ix = from * S - pw;
    float results[M][BAND][N];
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
      for (int i = 0; i < BAND; i++)
#pragma unroll
        for (int k = 0; k < N; k++) results[m][i][k] = start[k];
    Vector next[S][R];
    unsigned next_inside[S];
#pragma unroll
    for (int j = 0; j < S; j++) {
      next_inside[j] = ix + j >= 0 && ix + j < w ? in_rows : 0;
      read_column<R>(input.x, input.step, channel, in_pixel + ix + j, w, next_inside[j], next[j]);
    }
    for (int first = from; first < until + M - 1; first += M) {
#pragma unroll
      for (int phase = 0; phase < M; phase++) {
        const int t = first + phase;  // the newest result that these columns belong to
        if (t >= until + M - 1) break;
        ix += S;
#pragma unroll
        for (int j = 0; j < S; j++) {
          float column[R][N];
          unpack_column<R>(next[j], column);
          const unsigned there = next_inside[j];
          next_inside[j] = t + 1 < until + M - 1 && ix + j >= 0 && ix + j < w ? in_rows : 0;
          read_column<R>(input.x, input.step, channel, in_pixel + ix + j, w, next_inside[j], next[j]);
          if (!there) continue;
          input.finish(rows, there, column);
#pragma unroll
          for (int m = 0; m < M; m++)
            if (j + m * S < K)
#pragma unroll
              for (int kh = 0; kh < K; kh++) {
                float tap[N];
                filters.get(kh * K + j + m * S, tap);
#pragma unroll
                for (int i = 0; i < BAND; i++)
#pragma unroll
                  for (int k = 0; k < N; k++) results[(phase - m + M) % M][i][k] += column[i * S + kh][k] * tap[k];
              }
        }
        float(&done)[BAND][N] = results[(phase + 1) % M];
        const int ox = t - (M - 1);
#pragma unroll
        for (int i = 0; i < BAND; i++) {
          if (ox >= from && top + i < oh) {
            Vector stored;
#pragma unroll
            for (int k = 0; k < N; k++) from_float(stored.at[k], done[i][k]);
            *reinterpret_cast<Vector*>(y + ((out_pixel + i * ow + ox) * (int)c + channel)) = stored;
            if (WITH_MOMENTS) {
#pragma unroll
              for (int k = 0; k < N; k++) {
                const float v = to_float(stored.at[k]);
                if (count == 0) base[k] = v;  // about a value of its own: the mean may be large, the spread small
                sum[k] += v - base[k];
                square[k] += (v - base[k]) * (v - base[k]);
              }
              count++;
            }
          }
#pragma unroll
          for (int k = 0; k < N; k++) done[i][k] = start[k];
        }
      }
    }
  }
  if (!WITH_MOMENTS) return;
  Moments<N> found;
  found.count = (float)count;
#pragma unroll
  for (int k = 0; k < N; k++) {
    const float share = count ? sum[k] / (float)count : 0.0f;
    found.mean[k] = base[k] + share;
    const float m2 = square[k] - sum[k] * share;
    found.m2[k] = m2 < 0 ? 0.0f : m2;
  }
  merge_rows<N>(found, shared);
  if (threadIdx.y == 0 && channel < c) {
    store<N>(partial + (i64)blockIdx.x * 2 * c + channel, found.mean);
    store<N>(partial + ((i64)blockIdx.x * 2 + 1) * c + channel, found.m2);
    if (channel == 0) counts[blockIdx.x] = found.count;
  }
}

}  // namespace tinytrain

using namespace tinytrain;

extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
    forward(const ELEMENT* x, i64 step, const float* scale, const float* shift, i64 kind, float low, float high,
            const ELEMENT* taps, const float* bias, ELEMENT* y, float* partial, float* counts, i64 n, i64 h, i64 w, i64 c,
            i64 oh, i64 ow, i64 ph, i64 pw, i64 bands, i64 segments, i64 length, i64 turns) {
  const Input input{x, step, Activation{(int)kind, low, high}, scale != nullptr};
  convolve<MOMENTS != 0>(input, scale, shift, taps, bias, y, partial, counts, n, (int)h, (int)w, c, (int)oh, (int)ow, (int)ph,
                         (int)pw, bands, segments, (int)length, turns);
}
