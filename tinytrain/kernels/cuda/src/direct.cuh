// Dense and grouped convolutions as products of matrices that are never written down: 16 x 16 threads compute a tile of
// TILE x TILE results, each MICRO x MICRO of them, from slices of DEPTH products in shared memory. All arithmetic is in
// float, in an order that depends on sizes alone.
//
// Limited by instructions: MICRO * MICRO products for 2 * MICRO numbers read from shared memory; the next slice is on its way
// from memory meanwhile. For what cuDNN does not do, or where there is none: no tensor cores.
#include "common.cuh"

namespace tinytrain {

constexpr int TILE = 16 * MICRO, DEPTH = 16, THREADS = 256;
constexpr int PITCH = TILE + 4;  // in shared memory: neighbours in a column are in different banks

struct Sizes {
  i64 n, h, w, c, oh, ow, o, kh, kw, sh, sw, ph, pw, dh, dw, groups;
};

// A pixel of one side, from which the pixels of the other side are found tap by tap.
struct Place {
  i64 image, y, x;
  bool is_there;

  __device__ __forceinline__ Place() : image(0), y(0), x(0), is_there(false) {}
  __device__ __forceinline__ Place(i64 pixel, i64 n, i64 h, i64 w) : is_there(pixel < n * h * w) {
    image = pixel / (h * w), y = pixel / w % h, x = pixel % w;
  }
  // The input pixel that a tap of this output reads, -1 in the padding.
  __device__ __forceinline__ i64 input(const Sizes& s, i64 a, i64 b) const {
    const i64 iy = y * s.sh - s.ph + a * s.dh, ix = x * s.sw - s.pw + b * s.dw;
    return is_there && iy >= 0 && iy < s.h && ix >= 0 && ix < s.w ? (image * s.h + iy) * s.w + ix : -1;
  }
  // The output pixel that reads this input with a tap, -1 where there is none.
  __device__ __forceinline__ i64 output(const Sizes& s, i64 a, i64 b) const {
    const i64 v = y + s.ph - a * s.dh, u = x + s.pw - b * s.dw;
    if (!is_there || v < 0 || u < 0 || v % s.sh || u % s.sw || v / s.sh >= s.oh || u / s.sw >= s.ow) return -1;
    return (image * s.oh + v / s.sh) * s.ow + u / s.sw;
  }
};

// What a thread brings of one operand's slice: packs of PACK numbers along one side of the tile.
template <int PACK>
struct Share {
  static constexpr int COUNT = TILE * DEPTH / PACK / THREADS;  // packs
  Pack<ELEMENT, PACK> at[COUNT];
};

// An operand whose packs go along the depth: pixels of one side through the taps of the window.
template <int PACK, bool BACK>
struct Gathered {
  static constexpr int ACROSS = DEPTH / PACK, COUNT = Share<PACK>::COUNT;
  const ELEMENT* x;
  i64 step, channels;
  Place places[COUNT];

  __device__ __forceinline__ Gathered(const Sizes& s, const ELEMENT* x, i64 step, i64 channels, i64 first)
      : x(x), step(step), channels(channels) {
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
      const i64 pixel = first + (threadIdx.x + i * THREADS) / ACROSS;
      places[i] = BACK ? Place(pixel, s.n, s.h, s.w) : Place(pixel, s.n, s.oh, s.ow);
    }
  }
  __device__ __forceinline__ void read(const Sizes& s, i64 depth, Share<PACK>& share) const {
    const i64 k = depth + threadIdx.x % ACROSS * PACK, tap = k / channels, channel = k - tap * channels;
    const i64 a = tap / s.kw, b = tap - a * s.kw;
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
      const i64 pixel = a >= s.kh ? -1 : BACK ? places[i].output(s, a, b) : places[i].input(s, a, b);
      share.at[i] = pixel < 0 ? Pack<ELEMENT, PACK>{} : load_pack<PACK>(x + pixel * step + channel);
    }
  }
  __device__ __forceinline__ static void put(const Share<PACK>& share, float (*slice)[PITCH]) {
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
      const int row = (threadIdx.x + i * THREADS) / ACROSS, k = threadIdx.x % ACROSS * PACK;
#pragma unroll
      for (int j = 0; j < PACK; j++) slice[k + j][row] = to_float(share.at[i].at[j]);
    }
  }
};

// An operand whose packs go along the tile: rows of a matrix, `until` of them, `width` numbers wide from `first` on.
template <int PACK>
struct Rows {
  static constexpr int ACROSS = TILE / PACK, COUNT = Share<PACK>::COUNT;
  const ELEMENT* x;
  i64 step, first, width, until;

  __device__ __forceinline__ void read(const Sizes&, i64 depth, Share<PACK>& share) const {
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
      const int at = threadIdx.x + i * THREADS;
      const i64 row = depth + at / ACROSS, column = first + at % ACROSS * PACK;
      share.at[i] = row < until && column < width ? load_pack<PACK>(x + row * step + column) : Pack<ELEMENT, PACK>{};
    }
  }
  __device__ __forceinline__ static void put(const Share<PACK>& share, float (*slice)[PITCH]) {
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
      const int at = threadIdx.x + i * THREADS;
#pragma unroll
      for (int j = 0; j < PACK; j++) slice[at / ACROSS][at % ACROSS * PACK + j] = to_float(share.at[i].at[j]);
    }
  }
};

// An operand whose depth is output pixels, and whose packs go along the channels of one tap: for the weight's gradient.
template <int PACK>
struct Windows {
  static constexpr int ACROSS = TILE / PACK, COUNT = Share<PACK>::COUNT;
  const ELEMENT* x;
  i64 step, channel, tap, until;

  __device__ __forceinline__ Windows(const Sizes& s, const ELEMENT* x, i64 step, i64 channels, i64 first, i64 until)
      : x(x), step(step), until(until) {
    const i64 k = first + threadIdx.x % ACROSS * PACK;
    tap = k / channels, channel = k - tap * channels;
  }
  __device__ __forceinline__ void read(const Sizes& s, i64 depth, Share<PACK>& share) const {
    const i64 a = tap / s.kw, b = tap - a * s.kw;
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
      const i64 row = depth + (threadIdx.x + i * THREADS) / ACROSS;
      const i64 pixel = row < until && a < s.kh ? Place(row, s.n, s.oh, s.ow).input(s, a, b) : -1;
      share.at[i] = pixel < 0 ? Pack<ELEMENT, PACK>{} : load_pack<PACK>(x + pixel * step + channel);
    }
  }
  __device__ __forceinline__ static void put(const Share<PACK>& share, float (*slice)[PITCH]) {
    Rows<PACK>::put(share, slice);
  }
};

// Where a thread's result number i is in the tile: fours, so that it reads shared memory four numbers at a time.
__device__ __forceinline__ int in_tile(int thread, int i) { return i / 4 * 64 + thread * 4 + i % 4; }

// The products of two operands, over the depths from `from` to `until`.
template <int PACK_A, int PACK_B, class A, class B>
__device__ __forceinline__ void multiply(const Sizes& s, const A& a, const B& b, i64 from, i64 until,
                                         float (&sum)[MICRO][MICRO]) {
  __shared__ __align__(16) float slice_a[DEPTH][PITCH];
  __shared__ __align__(16) float slice_b[DEPTH][PITCH];
  const int row = threadIdx.x / 16, column = threadIdx.x % 16;
  Share<PACK_A> next_a;
  Share<PACK_B> next_b;
  a.read(s, from, next_a), b.read(s, from, next_b);
  for (i64 depth = from; depth < until; depth += DEPTH) {
    a.put(next_a, slice_a), b.put(next_b, slice_b);
    __syncthreads();
    if (depth + DEPTH < until) a.read(s, depth + DEPTH, next_a), b.read(s, depth + DEPTH, next_b);
#pragma unroll
    for (int k = 0; k < DEPTH; k++) {
      float left[MICRO], right[MICRO];
#pragma unroll
      for (int i = 0; i < MICRO; i += 4) {
        const Pack<float, 4> fours = load_pack<4>(&slice_a[k][in_tile(row, i)]);
        const Pack<float, 4> others = load_pack<4>(&slice_b[k][in_tile(column, i)]);
#pragma unroll
        for (int j = 0; j < 4; j++) left[i + j] = fours.at[j], right[i + j] = others.at[j];
      }
#pragma unroll
      for (int i = 0; i < MICRO; i++)
#pragma unroll
        for (int j = 0; j < MICRO; j++) sum[i][j] += left[i] * right[j];
    }
    __syncthreads();
  }
}

// Writes a tile of `rows` x `columns` results from (first, 0) on: `to` is where column 0 of row 0 is.
template <bool BIAS>
__device__ __forceinline__ void write_tile(const float (&sum)[MICRO][MICRO], i64 first, i64 rows, i64 first_column, i64 columns,
                                           ELEMENT* to, i64 step, const float* bias) {
  const int row = threadIdx.x / 16, column = threadIdx.x % 16;
#pragma unroll
  for (int i = 0; i < MICRO; i++) {
    const i64 r = first + in_tile(row, i);
    if (r >= rows) continue;
#pragma unroll
    for (int j = 0; j < MICRO; j++) {
      const i64 q = first_column + in_tile(column, j);
      if (q < columns) from_float(to[r * step + q], sum[i][j] + (BIAS && bias ? bias[q] : 0.0f));
    }
  }
}

}  // namespace tinytrain

using namespace tinytrain;

#define SIZES                                                                                                              \
  i64 n, i64 h, i64 w, i64 c, i64 oh, i64 ow, i64 o, i64 kh, i64 kw, i64 sh, i64 sw, i64 ph, i64 pw, i64 dh, i64 dw, i64 groups
#define READ_SIZES \
  const Sizes s { n, h, w, c, oh, ow, o, kh, kw, sh, sw, ph, pw, dh, dw, groups }

// Results (pixels x filters of a group); `taps` are [tap][channel of a group][filter].
extern "C" __global__ void __launch_bounds__(THREADS, 8 / MICRO)
    forward(const ELEMENT* x, i64 step, const ELEMENT* taps, const float* bias, ELEMENT* y, SIZES) {
  READ_SIZES;
  const i64 channels = c / groups, filters = o / groups, tiles = (filters + TILE - 1) / TILE;
  const i64 group = blockIdx.y / tiles, column = blockIdx.y % tiles * TILE, pixel = (i64)blockIdx.x * TILE;
  const i64 depth = kh * kw * channels;
  const Gathered<PACK_C, false> a(s, x + group * channels, step, channels, pixel);
  const Rows<PACK_O> b{taps + group * filters, o, column, filters, depth};
  float sum[MICRO][MICRO] = {};
  multiply<PACK_C, PACK_O>(s, a, b, 0, depth, sum);
  write_tile<true>(sum, pixel, n * oh * ow, column, filters, y + group * filters, o, bias ? bias + group * filters : bias);
}

// Input gradients (pixels x channels of a group); `taps` are [tap][filter of a group][channel].
extern "C" __global__ void __launch_bounds__(THREADS, 8 / MICRO)
    backward_input(const ELEMENT* g, i64 step, const ELEMENT* taps, ELEMENT* grad, SIZES) {
  READ_SIZES;
  const i64 channels = c / groups, filters = o / groups, tiles = (channels + TILE - 1) / TILE;
  const i64 group = blockIdx.y / tiles, column = blockIdx.y % tiles * TILE, pixel = (i64)blockIdx.x * TILE;
  const i64 depth = kh * kw * filters;
  const Gathered<PACK_O, true> a(s, g + group * filters, step, filters, pixel);
  const Rows<PACK_C> b{taps + group * channels, c, column, channels, depth};
  float sum[MICRO][MICRO] = {};
  multiply<PACK_O, PACK_C>(s, a, b, 0, depth, sum);
  write_tile<false>(sum, pixel, n * h * w, column, channels, grad + group * channels, c, nullptr);
}

// Weight gradients (filters x taps and channels of a group) of the output pixels of one piece, blockIdx.z: [piece][weight].
extern "C" __global__ void __launch_bounds__(THREADS, 8 / MICRO)
    backward_weight(const ELEMENT* g, i64 g_step, const ELEMENT* x, i64 step, float* partial, i64 each, SIZES) {
  READ_SIZES;
  const i64 channels = c / groups, filters = o / groups, width = kh * kw * channels, tiles = (width + TILE - 1) / TILE;
  const i64 group = blockIdx.y / tiles, column = blockIdx.y % tiles * TILE, first = (i64)blockIdx.x * TILE;
  const i64 from = blockIdx.z * each, until = min(from + each, n * oh * ow);
  const Rows<PACK_O> a{g + group * filters, g_step, first, filters, until};
  const Windows<PACK_C> b(s, x + group * channels, step, channels, column, until);
  float sum[MICRO][MICRO] = {};
  multiply<PACK_O, PACK_C>(s, a, b, from, until, sum);
  const int row = threadIdx.x / 16, across = threadIdx.x % 16;
  float* to = partial + blockIdx.z * o * width;
  for (int i = 0; i < MICRO; i++)
    for (int j = 0; j < MICRO; j++) {
      const i64 filter = first + in_tile(row, i), k = column + in_tile(across, j);
      if (filter >= filters || k >= width) continue;
      to[((group * filters + filter) * channels + k % channels) * kh * kw + k / channels] = sum[i][j];
    }
}

// Lays a weight (o, channels, taps) out as [tap][channel][filter], or as [tap][filter of a group][channel of all groups].
extern "C" __global__ void __launch_bounds__(THREADS)
    lay_out(const ELEMENT* weight, i64 o, i64 channels, i64 taps, i64 groups, i64 backwards, ELEMENT* to) {
  const i64 size = o * channels * taps, filters = o / groups;
  for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < size; i += (i64)gridDim.x * blockDim.x) {
    if (backwards) {
      const i64 c = channels * groups, all = i % c, filter = i / c % filters, tap = i / c / filters;
      to[i] = weight[((all / channels * filters + filter) * channels + all % channels) * taps + tap];
    } else {
      to[i] = weight[(i % o * channels + i / o % channels) * taps + i / o / channels];
    }
  }
}
