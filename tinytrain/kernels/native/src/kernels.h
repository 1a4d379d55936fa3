// What the kernels are given, and the table of them that each instruction set fills in.
//
// Activations lie channels-last: pixel p of an image batch begins at x + p * step, channels follow each other, step is at
// least the number of channels. Rows and images follow each other without gaps.
#pragma once

#include <cstdint>

namespace tinytrain {

enum ActivationKind { ACT_NONE, ACT_RELU, ACT_CLIP, ACT_LEAKY, ACT_HARDSWISH };

// clip: between `low` and `high`; leaky: `low` is the slope of the negative side.
struct Activation {
  int kind = ACT_NONE;
  float low = 0, high = 0;
};

// act(scale * x + shift), per channel; without a scale x itself goes into the activation.
struct Source {
  const float* x = nullptr;
  int64_t step = 0;
  const float* scale = nullptr;
  const float* shift = nullptr;
  Activation act;
  bool plain() const { return !scale && act.kind == ACT_NONE; }
};

// alpha * (g * act'(scale * y + shift)) + beta * y + gamma, per channel: the gradient of a batch normalisation's input.
// Without alpha it is g * act'(...); without an activation the derivative is 1.
struct GradSource {
  const float* g = nullptr;
  int64_t step = 0;
  Source of;  // y, its scale and shift, and the activation that follows it
  const float* alpha = nullptr;
  const float* beta = nullptr;
  const float* gamma = nullptr;
  int64_t shared_by = 1;  // pixels for which one gradient in memory stands: 1, or all of an image
  bool plain() const { return !alpha && of.act.kind == ACT_NONE; }
};

// Where an input gradient goes, and what happens to it on the way: (it + add) * act'(scale * m + shift) is stored, its sum
// and its sum of products with y - mean are kept.
struct GradSink {
  float* to = nullptr;
  int64_t step = 0;
  const float* add = nullptr;
  int64_t add_step = 0;
  Source through;              // m with its scale, shift and activation
  const float* y = nullptr;    // what the sums are taken with; nullptr: no sums
  int64_t y_step = 0;
  const float* mean = nullptr;
  float* sum = nullptr;        // (c,)
  float* sum_y = nullptr;      // (c,)
};

struct Geometry {
  int64_t n, h, w, c, oh, ow, o;
  int64_t kh, kw, sh, sw, ph, pw, dh, dw;
  int64_t groups;
  int64_t pixels() const { return n * h * w; }
  int64_t out_pixels() const { return n * oh * ow; }
};

enum Use { NEVER, WHERE_FASTER, ALWAYS };

// Whether 3x3 convolutions may be computed by Winograd's algorithm (winograd.h), which rounds otherwise than a direct sum.
extern Use winograd_use;

// Whether products may be computed on the processor's tiles (amx.h), where it has them and the instruction set says so.
extern Use tiles_use;

struct Moments {
  float* mean = nullptr;  // (c,)
  float* m2 = nullptr;    // (c,), the sum of squared deviations
};

struct PoolGeometry {
  int64_t n, h, w, c, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw;
};

// w and grad_w are (o, c / groups, kh, kw), contiguous. Results without a step are contiguous.
struct KernelTable {
  const char* name;
  void (*conv_forward)(const Geometry&, const Source& x, const float* w, const float* bias, float* y, Moments moments);
  void (*conv_input_grad)(const Geometry&, const GradSource& g, const float* w, const GradSink& sink);
  void (*conv_weight_grad)(const Geometry&, const GradSource& g, const Source& x, float* grad_w);
  // Both at once, in one pass over g and x.
  void (*conv_backward)(const Geometry&, const GradSource& g, const Source& x, const float* w, const GradSink& sink,
                        float* grad_w);
  void (*apply)(int64_t pixels, int64_t c, const Source& x, const Source& other, Activation act, float* to, int64_t step);
  void (*apply_grad)(int64_t pixels, int64_t c, const GradSource& g, float* to, int64_t step);
  void (*moments)(int64_t pixels, int64_t c, const float* x, int64_t step, Moments moments);
  // The sum of what `g` stands for, and of its products with y - mean; without a mean only the first.
  void (*grad_sums)(int64_t pixels, int64_t c, const GradSource& g, const float* mean, float* sum, float* sum_y);
  void (*max_pool)(const PoolGeometry&, const Source& x, float* y, uint8_t* winners);
  void (*max_pool_grad)(const PoolGeometry&, const float* g, int64_t step, const uint8_t* winners, float* grad);
  void (*mean_pixels)(int64_t n, int64_t pixels, int64_t c, const Source& x, float* y);
};

}  // namespace tinytrain
