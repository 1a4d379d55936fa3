// The cross-entropy between the softmax of scores and class indices; scores in ELEMENT, everything else in float.
//
// The threads of one threadIdx.y share a row of scores: blockDim.x of them, one warp or several.
#include "common.cuh"

namespace tinytrain {

struct Sum {
  __device__ __forceinline__ static float of_warp(float v) { return sum_warp(v); }
  __device__ __forceinline__ static float of_two(float a, float b) { return a + b; }
};

struct Maximum {
  __device__ __forceinline__ static float of_warp(float v) { return max_warp(v); }
  __device__ __forceinline__ static float of_two(float a, float b) { return b > a || b != b ? b : a; }
};

// The sum or maximum over the threads of a row, in all of them; `shared` holds a float for each warp of a block with one
// row of several warps. Every thread of the block must come here.
template <class Operation>
__device__ __forceinline__ float over_row(float v, float* shared) {
  v = Operation::of_warp(v);
  if (blockDim.x == 32) return v;
  __syncthreads();
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = v;
  __syncthreads();
  v = shared[0];
  for (int warp = 1; warp < blockDim.x / 32; warp++) v = Operation::of_two(v, shared[warp]);
  return v;
}

__device__ __forceinline__ bool names_class(i64 target, i64 c) { return target >= 0 && target < c; }

}  // namespace tinytrain

using namespace tinytrain;

// Probabilities (n, c), and the loss of each row: NaN where the target names no class, and the probabilities with it.
// Limited by latency for small n * c; else by memory: reads scores once from memory and twice from the cache, writes once.
extern "C" __global__ void cross_entropy_rows(const ELEMENT* scores, const i64* targets, const float* weight, i64 ignored,
                                              float smoothing, i64 n, i64 c, float* probabilities, float* losses) {
  __shared__ float shared[32];
  const i64 row = (i64)blockIdx.x * blockDim.y + threadIdx.y;
  const bool is_there = row < n;
  const ELEMENT* x = scores + row * c;
  float highest = -__int_as_float(0x7f800000);
  for (i64 i = threadIdx.x; is_there && i < c; i += blockDim.x) highest = Maximum::of_two(highest, to_float(x[i]));
  highest = over_row<Maximum>(highest, shared);
  float total = 0, weighted = 0, total_weight = 0;
  for (i64 i = threadIdx.x; is_there && i < c; i += blockDim.x) {
    const float below = to_float(x[i]) - highest, w = weight ? weight[i] : 1.0f;
    total += expf(below);
    if (smoothing != 0) weighted += below * w, total_weight += w;
  }
  total = over_row<Sum>(total, shared);
  if (smoothing != 0) {
    weighted = over_row<Sum>(weighted, shared);
    total_weight = over_row<Sum>(total_weight, shared);
  }
  if (!is_there) return;
  const i64 target = targets[row];
  const bool is_ignored = target == ignored, is_wrong = !is_ignored && !names_class(target, c);
  const float nan = __int_as_float(0x7fc00000), inverse = is_wrong ? nan : 1.0f / total;
  for (i64 i = threadIdx.x; i < c; i += blockDim.x) probabilities[row * c + i] = expf(to_float(x[i]) - highest) * inverse;
  if (threadIdx.x) return;
  float loss = is_wrong ? nan : 0.0f;
  if (!is_ignored && !is_wrong) {
    const float log_total = logf(total);
    loss = (log_total - (to_float(x[target]) - highest)) * (weight ? weight[target] : 1.0f);
    if (smoothing != 0) loss = (1 - smoothing) * loss - smoothing / (float)c * (weighted - total_weight * log_total);
  }
  losses[row] = loss;
}

// One block: the sum or mean of the losses, what the sum was divided by, and whether a target named no class. `wrong`
// holds (whether one did, the first that did, how many classes there were) since it was last cleared. Limited by latency.
extern "C" __global__ void cross_entropy_total(const float* losses, const i64* targets, const float* weight, i64 ignored,
                                               i64 is_mean, i64 n, i64 c, ELEMENT* loss, float* divisor, i64* wrong) {
  extern __shared__ double doubles[];
  double total = 0, count = 0;
  i64 first = n;
  for (i64 row = threadIdx.x; row < n; row += blockDim.x) {
    const i64 target = targets[row];
    total += losses[row];
    if (target == ignored) continue;
    if (names_class(target, c)) count += weight ? weight[target] : 1.0f;
    else if (row < first) first = row;
  }
  double* totals = doubles;
  double* counts = doubles + blockDim.x;
  i64* firsts = (i64*)(counts + blockDim.x);
  totals[threadIdx.x] = total, counts[threadIdx.x] = count, firsts[threadIdx.x] = first;
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x >= half) continue;
    const int there = threadIdx.x + half;
    totals[threadIdx.x] += totals[there];
    counts[threadIdx.x] += counts[there];
    if (firsts[there] < firsts[threadIdx.x]) firsts[threadIdx.x] = firsts[there];
  }
  if (threadIdx.x) return;
  if (loss) from_float(*loss, (float)(is_mean ? totals[0] / counts[0] : totals[0]));
  if (divisor) *divisor = is_mean ? (float)counts[0] : 1.0f;
  if (firsts[0] < n && !wrong[0]) wrong[0] = 1, wrong[1] = targets[firsts[0]], wrong[2] = c;
}

// The gradient of the scores, from that of the losses: `g` for each row, or one for all that is divided by `divisor`.
// Limited by memory: reads probabilities once, writes once.
extern "C" __global__ void cross_entropy_grad(const ELEMENT* g, i64 g_step, const float* divisor, const float* probabilities,
                                              const i64* targets, const float* weight, i64 ignored, float smoothing, i64 n,
                                              i64 c, ELEMENT* grad) {
  __shared__ float shared[32];
  const i64 row = (i64)blockIdx.x * blockDim.y + threadIdx.y;
  const bool is_there = row < n;
  float total_weight = (float)c;
  if (weight && smoothing != 0) {
    total_weight = 0;
    for (i64 i = threadIdx.x; i < c; i += blockDim.x) total_weight += weight[i];
    total_weight = over_row<Sum>(total_weight, shared);
  }
  if (!is_there) return;
  const i64 target = targets[row];
  const bool is_ignored = target == ignored;
  const float behind = to_float(g[row * g_step]) / (divisor ? *divisor : 1.0f), even = smoothing / (float)c;
  const float own = is_ignored || !names_class(target, c) ? 0.0f : weight ? weight[target] : 1.0f;
  const float at_target = (1 - smoothing) * (behind * own), spread = even * behind;
  const float factor = at_target + spread * total_weight;
  for (i64 i = threadIdx.x; i < c; i += blockDim.x) {
    float v = probabilities[row * c + i] * factor;
    if (smoothing != 0) v -= (weight ? weight[i] : 1.0f) * spread;
    if (i == target) v -= at_target;
    from_float(grad[row * c + i], is_ignored ? 0.0f : v);
  }
}
