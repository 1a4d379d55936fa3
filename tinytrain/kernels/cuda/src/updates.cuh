// The update rules of tinytrain.optim, norms and scaling, over many arrays in one launch.
//
// `table` has a row of seven numbers for each array: where its values lie, its gradient, up to three arrays that the rule
// remembers (0: none); its size; whether all lie at multiples of 16 bytes. `chunks` has two numbers for each block: an array,
// and which stretch of CHUNK elements of it. Values and what a rule remembers are float, gradients ELEMENT. `numbers` lie in
// the memory of the GPU, so that a recorded launch finds those of its step there.
#include "common.cuh"

namespace tinytrain {

constexpr i64 CHUNK = 4096;
constexpr int WIDTH = 4;  // elements of a thread at once: 16 bytes of values

struct Row {
  float* w;
  const ELEMENT* g;
  float* state[3];
  i64 size;
  bool is_aligned;

  __device__ __forceinline__ Row(const i64* table, i64 number) {
    const i64* row = table + 7 * number;
    w = (float*)row[0], g = (const ELEMENT*)row[1];
    for (int k = 0; k < 3; k++) state[k] = (float*)row[2 + k];
    size = row[5], is_aligned = row[6];
  }
};

// Calls visit(i, count) for the elements of a block: WIDTH of them where they can be read at once, else single ones.
template <class F>
__device__ __forceinline__ void for_each_stretch(i64 first, i64 size, bool is_aligned, F&& visit) {
  const i64 until = min(size, first + CHUNK);
  for (i64 i = first + threadIdx.x * WIDTH; i < until; i += blockDim.x * WIDTH) {
    if (is_aligned && i + WIDTH <= until) {
      visit(i, Pack<float, WIDTH>());
      continue;
    }
    for (i64 k = i; k < until && k < i + WIDTH; k++) visit(k, Pack<float, 1>());
  }
}

// The gradient as a rule gets it: its sign turned to go up, the weight decay added.
__device__ __forceinline__ float with_decay(float g, float w, float maximize, float decay) {
  if (maximize != 0) g = -g;
  return decay != 0 ? g + decay * w : g;
}

struct Sgd {
  float lr, momentum, keep, decay, nesterov, maximize;
  __device__ __forceinline__ void step(float& w, float g, float (&state)[3], const Row& row) const {
    g = with_decay(g, w, maximize, decay);
    if (row.state[0]) {
      state[0] = state[0] * momentum + keep * g;
      g = nesterov != 0 ? g + momentum * state[0] : state[0];
    }
    w -= lr * g;
  }
};

struct Adam {
  float rate, root, mean_keep, square_fade, square_keep, eps, decay, shrink, maximize;
  __device__ __forceinline__ void step(float& w, float g, float (&state)[3], const Row& row) const {
    if (shrink != 1) w *= shrink;
    g = with_decay(g, w, maximize, decay);
    state[0] += mean_keep * (g - state[0]);
    state[1] = state[1] * square_fade + square_keep * g * g;
    float square = state[1];
    if (row.state[2]) square = state[2] = state[2] >= square || state[2] != state[2] ? state[2] : square;
    w -= rate * (state[0] / (sqrtf(square) / root + eps));
  }
};

struct RmsProp {
  float lr, fade, keep, eps, decay, momentum, maximize;
  __device__ __forceinline__ void step(float& w, float g, float (&state)[3], const Row& row) const {
    g = with_decay(g, w, maximize, decay);
    state[0] = state[0] * fade + keep * g * g;
    float square = state[0];
    if (row.state[1]) {
      state[1] += keep * (g - state[1]);
      square -= state[1] * state[1];
    }
    float way = g / (sqrtf(square) + eps);
    if (row.state[2]) way = state[2] = state[2] * momentum + way;
    w -= lr * way;
  }
};

struct Lion {
  float lr, fade_now, keep_now, fade, keep, shrink, maximize;
  __device__ __forceinline__ void step(float& w, float g, float (&state)[3], const Row& row) const {
    w *= shrink;
    g = with_decay(g, w, maximize, 0);
    const float way = fade_now * state[0] + keep_now * g;
    w -= lr * (way > 0 ? 1.0f : way < 0 ? -1.0f : way);  // NaN stays
    state[0] = state[0] * fade + keep * g;
  }
};

// Limited by memory: reads and writes values and states once, reads gradients once.
template <class Rule>
__device__ __forceinline__ void update(const i64* table, const int* chunks, const float* numbers, const float* is_void) {
  if (is_void && *is_void != 0) return;
  const Row row(table, chunks[2 * blockIdx.x]);
  const Rule rule = *reinterpret_cast<const Rule*>(numbers);
  for_each_stretch(chunks[2 * blockIdx.x + 1] * CHUNK, row.size, row.is_aligned, [&](i64 i, auto pack) {
    constexpr int N = sizeof(pack) / sizeof(float);
    float w[N], g[N], state[3][N] = {};
    load(row.w + i, w);
    load(row.g + i, g);
#pragma unroll
    for (int k = 0; k < 3; k++)
      if (row.state[k]) load(row.state[k] + i, state[k]);
#pragma unroll
    for (int k = 0; k < N; k++) {
      float mine[3] = {state[0][k], state[1][k], state[2][k]};
      rule.step(w[k], g[k], mine, row);
      state[0][k] = mine[0], state[1][k] = mine[1], state[2][k] = mine[2];
    }
    store(row.w + i, w);
#pragma unroll
    for (int k = 0; k < 3; k++)
      if (row.state[k]) store(row.state[k] + i, state[k]);
  });
}

}  // namespace tinytrain

using namespace tinytrain;

// Where `is_void` is given and not 0 nothing is changed.
#define UPDATE(name, Rule)                                                                                           \
  extern "C" __global__ void name(const i64* table, const int* chunks, const float* numbers, const float* is_void) { \
    update<Rule>(table, chunks, numbers, is_void);                                                                   \
  }
UPDATE(sgd, Sgd)
UPDATE(adam, Adam)
UPDATE(rmsprop, RmsProp)
UPDATE(lion, Lion)

// Puts numbers that the launch brings along into the memory of the GPU.
extern "C" __global__ void set_numbers(float* numbers, float a, float b, float c, float d, float e, float f, float g, float h,
                                       float i) {
  const float values[9] = {a, b, c, d, e, f, g, h, i};
  for (int k = 0; k < 9; k++) numbers[k] = values[k];
}

// Multiplies gradients in their memory. Limited by memory: reads and writes once.
extern "C" __global__ void scale(const i64* table, const int* chunks, const float* factor) {
  const Row row(table, chunks[2 * blockIdx.x]);
  ELEMENT* to = const_cast<ELEMENT*>(row.g);
  const float times = *factor;
  for_each_stretch(chunks[2 * blockIdx.x + 1] * CHUNK, row.size, row.is_aligned, [&](i64 i, auto pack) {
    float v[sizeof(pack) / sizeof(float)];
    load(to + i, v);
    for (float& each : v) each *= times;
    store(to + i, v);
  });
}

// The sum of squares of the gradients of each block. Limited by memory: reads once.
extern "C" __global__ void squares_of_chunks(const i64* table, const int* chunks, double* sums) {
  __shared__ double shared[8];
  const Row row(table, chunks[2 * blockIdx.x]);
  double sum = 0;
  for_each_stretch(chunks[2 * blockIdx.x + 1] * CHUNK, row.size, row.is_aligned, [&](i64 i, auto pack) {
    float v[sizeof(pack) / sizeof(float)];
    load(row.g + i, v);
    for (float each : v) sum += (double)each * (double)each;
  });
  sum = sum_warp(sum);
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x) return;
  for (int warp = 1; warp < blockDim.x / 32; warp++) sum += shared[warp];
  sums[blockIdx.x] = sum;
}

// A warp an array: adds up its chunks, `firsts[array]` to `firsts[array + 1]`. Limited by latency.
extern "C" __global__ void squares_of_arrays(const double* sums, const i64* firsts, i64 arrays, double* totals) {
  const i64 array = (i64)blockIdx.x * blockDim.y + threadIdx.y;
  if (array >= arrays) return;
  double sum = 0;
  for (i64 i = firsts[array] + threadIdx.x; i < firsts[array + 1]; i += 32) sum += sums[i];
  sum = sum_warp(sum);
  if (threadIdx.x == 0) totals[array] = sum;
}
