// Values added into the rows of an array that keys name, in the order in which they come.
//
// VALUE is the type of the array; sums are float, or double for doubles.
#include "common.cuh"

namespace tinytrain {

constexpr int AHEAD = 8;  // values that a thread reads before it adds: what it waits for is the memory

__device__ __forceinline__ double to_sum(double v) { return v; }
template <class T>
__device__ __forceinline__ float to_sum(T v) { return to_float(v); }

__device__ __forceinline__ void from_sum(double& to, double v) { to = v; }
template <class T>
__device__ __forceinline__ void from_sum(T& to, float v) { from_float(to, v); }

}  // namespace tinytrain

using namespace tinytrain;

// `keys` (count,) are sorted, `order` tells where in `values` (count, width) the row of each key is; `to` has rows of `width`.
// A thread adds up all values of one key and column, one after the other: no two threads write to one place. Limited by
// memory; by latency where one key has most of the values.
extern "C" __global__ void add_rows(const i64* keys, const i64* order, const VALUE* values, i64 count, i64 width, VALUE* to) {
  const i64 stride = (i64)gridDim.x * blockDim.x;
  for (i64 item = (i64)blockIdx.x * blockDim.x + threadIdx.x; item < count * width; item += stride) {
    const i64 first = item / width, column = item - first * width, key = keys[first];
    if (first > 0 && keys[first - 1] == key) continue;  // the thread of the key's first value does it
    auto sum = to_sum(to[key * width + column]);
    bool is_over = false;
    for (i64 i = first; !is_over; i += AHEAD) {
      VALUE next[AHEAD];
      int found = 0;
#pragma unroll
      for (int u = 0; u < AHEAD; u++) {
        if (i + u >= count || keys[i + u] != key) continue;  // none of the later ones has the key either
        next[u] = values[order[i + u] * width + column];
        found = u + 1;
      }
#pragma unroll
      for (int u = 0; u < AHEAD; u++)
        if (u < found) sum += to_sum(next[u]);
      is_over = found < AHEAD;
    }
    from_sum(to[key * width + column], sum);
  }
}
