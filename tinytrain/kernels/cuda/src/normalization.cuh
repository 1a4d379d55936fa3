// Batch normalisation: from statistics to factors per channel, a thread each. Limited by the time that a launch takes.
#include "common.cuh"

using namespace tinytrain;

// Scale, shift and reciprocal deviation from mean and m2; running statistics move towards them.
extern "C" __global__ void prepare(const float* mean, const float* m2, i64 count, const float* w, const float* b, float eps,
                                   float* running_mean, float* running_var, float momentum, i64 c, float* scale,
                                   float* shift, float* rstd) {
  const i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= c) return;
  const float r = (float)(1.0 / sqrt((double)m2[i] / (double)count + (double)eps)), s = w ? w[i] * r : r;
  rstd[i] = r;
  scale[i] = s;
  shift[i] = (b ? b[i] : 0.0f) - mean[i] * s;
  const float keep = 1.0f - momentum;
  if (running_mean) running_mean[i] = running_mean[i] * keep + mean[i] * momentum;
  if (running_var) running_var[i] = running_var[i] * keep + (float)((double)m2[i] / (double)(count - 1)) * momentum;
}

// The gradient of the input as alpha g + beta y + gamma, and that of w. Without beta the statistics were given.
extern "C" __global__ void gradient(const float* sum, const float* sum_y, const float* mean, const float* rstd,
                                    const float* w, i64 count, i64 c, float* alpha, float* beta, float* gamma,
                                    float* grad_w) {
  const i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= c) return;
  const float s = w ? w[i] * rstd[i] : rstd[i];
  alpha[i] = s;
  grad_w[i] = rstd[i] * sum_y[i];
  if (!beta) return;
  const float slope = (float)(-(double)s * rstd[i] * rstd[i] * sum_y[i] / (double)count);
  beta[i] = slope;
  gamma[i] = (float)(-(double)s * sum[i] / (double)count - (double)slope * mean[i]);
}
