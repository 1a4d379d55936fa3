// Depthwise convolutions of any window, stride and dilation, and of arrays whose places do not fit into 32 bits: a pixel a
// thread at a time. Limited by instructions; networks hardly use them. The arguments are those of depthwise_backward.cuh, also
// where a kernel has no use for them.
#include "sources.cuh"

namespace tinytrain {

constexpr int N = PACK;

typedef Pack<ELEMENT, N> Vector;

// One pixel as read; `raw` and `v` as arrays of one for what reads columns.
__device__ __forceinline__ void read_pixel(const Input& input, const Rows& rows, i64 pixel, i64 channel, float (&v)[1][N]) {
  load<N>(input.x + pixel * input.step + channel, v[0]);
  input.finish(rows, 1, v);
}

__device__ __forceinline__ void read_pixel(const Gradient& gradient, const Rows& rows, i64 pixel, i64 channel,
                                           float (&v)[1][N]) {
  Vector raw[1] = {};
  load<N>(gradient.g + pixel * gradient.step + channel, v[0]);
  if (gradient.reads_y()) raw[0] = load_pack<N>(gradient.y + pixel * gradient.y_step + channel);
  gradient.finish(rows, 1, raw, v);
}

}  // namespace tinytrain

using namespace tinytrain;

// The results, with their moments where `partial` is given.
extern "C" __global__ void __launch_bounds__(THREADS)
    forward(const ELEMENT* x, i64 step, const float* scale, const float* shift, i64 kind, float low, float high,
            const ELEMENT* taps, const float* bias, ELEMENT* y, float* partial, float* counts, i64 n, i64 h, i64 w, i64 c,
            i64 oh, i64 ow, i64 ph, i64 pw, i64 kh, i64 kw, i64 sh, i64 sw, i64 dh, i64 dw, i64 turns) {
  extern __shared__ __align__(16) float shared[];
  const int width = blockDim.x * N;
  const i64 slab = (i64)blockIdx.y * width, channel = slab + threadIdx.x * N;
  const Input input{x, step, Activation{(int)kind, low, high}, scale != nullptr};
  Input::put(shared, width, slab, c, scale, shift);
  __syncthreads();
  const Rows rows{shared + threadIdx.x * N, width};
  Moments<N> found;
  for (i64 turn = 0; turn < turns && channel < c; turn++) {
    const i64 pixel = (blockIdx.x * turns + turn) * blockDim.y + threadIdx.y;
    if (pixel >= n * oh * ow) break;
    const i64 image = pixel / (oh * ow), oy = pixel / ow % oh, ox = pixel % ow;
    float sum[N];
    load_factors(bias, channel, 0.0f, sum);
    for (i64 a = 0; a < kh; a++)
      for (i64 b = 0; b < kw; b++) {
        const i64 iy = oy * sh - ph + a * dh, ix = ox * sw - pw + b * dw;
        if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
        float v[1][N];
        read_pixel(input, rows, (image * h + iy) * w + ix, channel, v);
#pragma unroll
        for (int k = 0; k < N; k++) sum[k] += v[0][k] * to_float(taps[(channel + k) * kh * kw + a * kw + b]);
      }
    Vector stored;
    float none[N] = {};
#pragma unroll
    for (int k = 0; k < N; k++) from_float(stored.at[k], sum[k]), sum[k] = to_float(stored.at[k]);
    *reinterpret_cast<Vector*>(y + pixel * c + channel) = stored;
    if (partial) found.merge(1, sum, none);
  }
  if (!partial) return;
  merge_rows(found, shared);
  if (threadIdx.y == 0 && channel < c) {
    store<N>(partial + (i64)blockIdx.x * 2 * c + channel, found.mean);
    store<N>(partial + ((i64)blockIdx.x * 2 + 1) * c + channel, found.m2);
    if (channel == 0) counts[blockIdx.x] = found.count;
  }
}

// The input gradients, finished by the sink; of each block a row of its two sums.
extern "C" __global__ void __launch_bounds__(THREADS)
    backward_input(BACKWARD_PARAMETERS, i64 kh, i64 kw, i64 sh, i64 sw, i64 dh, i64 dw, i64 turns) {
  extern __shared__ __align__(16) float shared[];
  const Operands it(shared, N, BACKWARD_ARGUMENTS);
  const i64 channel = ((i64)blockIdx.y * blockDim.x + threadIdx.x) * N;
  __syncthreads();
  float sum[N] = {}, sum_y[N] = {};
  for (i64 turn = 0; turn < turns && channel < c; turn++) {
    const i64 pixel = (blockIdx.x * turns + turn) * blockDim.y + threadIdx.y;
    if (pixel >= n * h * w) break;
    const i64 image = pixel / (h * w), iy = pixel / w % h, ix = pixel % w;
    float grad[1][N] = {};
    for (i64 a = 0; a < kh; a++)
      for (i64 b = 0; b < kw; b++) {
        const i64 v = iy + ph - a * dh, u = ix + pw - b * dw;
        if (v < 0 || u < 0 || v % sh || u % sw || v / sh >= oh || u / sw >= ow) continue;
        float of[1][N];
        read_pixel(it.gradient, it.of_gradient, (image * oh + v / sh) * ow + u / sw, channel, of);
#pragma unroll
        for (int k = 0; k < N; k++) grad[0][k] += of[0][k] * to_float(taps[(channel + k) * kh * kw + a * kw + b]);
      }
    Vector raw[1] = {};
    if (m) raw[0] = load_pack<N>(m + pixel * m_step + channel);
    it.sink.finish(it.of_sink, pixel, (i64)0, 1, c, channel, raw, grad, sum, sum_y);
  }
  if (!y) return;
  sum_rows(sum, shared);
  sum_rows(sum_y, shared);
  if (threadIdx.y == 0 && channel < c) {
    store<N>(partial + (i64)blockIdx.x * 2 * c + channel, sum);
    store<N>(partial + ((i64)blockIdx.x * 2 + 1) * c + channel, sum_y);
  }
}

// The gradients of one tap, blockIdx.z: of each block a row [taps][c].
extern "C" __global__ void __launch_bounds__(THREADS)
    backward_weight(BACKWARD_PARAMETERS, i64 kh, i64 kw, i64 sh, i64 sw, i64 dh, i64 dw, i64 turns) {
  extern __shared__ __align__(16) float shared[];
  const Operands it(shared, N, BACKWARD_ARGUMENTS);
  const i64 channel = ((i64)blockIdx.y * blockDim.x + threadIdx.x) * N, tap = blockIdx.z;
  __syncthreads();
  float total[N] = {};
  for (i64 turn = 0; turn < turns && channel < c; turn++) {
    const i64 pixel = (blockIdx.x * turns + turn) * blockDim.y + threadIdx.y;
    if (pixel >= n * oh * ow) break;
    const i64 iy = pixel / ow % oh * sh - ph + tap / kw * dh, ix = pixel % ow * sw - pw + tap % kw * dw;
    if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
    float grad[1][N], v[1][N];
    read_pixel(it.gradient, it.of_gradient, pixel, channel, grad);
    read_pixel(it.input, it.of_input, (pixel / (oh * ow) * h + iy) * w + ix, channel, v);
#pragma unroll
    for (int k = 0; k < N; k++) total[k] += grad[0][k] * v[0][k];
  }
  sum_rows(total, shared);
  if (threadIdx.y == 0 && channel < c) store<N>(partial + ((i64)blockIdx.x * gridDim.z + tap) * c + channel, total);
}
