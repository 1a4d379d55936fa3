// The kernels for one instruction set; compiled once for each, with TT_ISA as the namespace.
#include <cmath>

#include "choice.h"
#include "narrow.h"
#include "pooling.h"

namespace TT_ISA {

static void conv_forward(const Geometry& g, const Source& x, const float* w, const float* bias, float* y, Moments moments) {
  if (is_narrow(g)) return conv_forward_narrow(g, x, w, bias, y, moments);
  if (is_depthwise(g)) return conv_forward_depthwise(g, x, w, bias, y, moments);
  if (takes_winograd(g, FORWARD)) return conv_forward_winograd<VectorProducts>(g, x, w, bias, y, moments);
  if (has_few_pixels(g)) return conv_forward_few(g, x, w, bias, y, moments);
  if (unfolds_forward(g)) return conv_forward_unfolded<VectorProducts>(g, x, w, bias, y, moments);
  conv_forward_dense<VectorProducts>(g, x, w, bias, y, moments);
}

static void conv_weight_grad(const Geometry& g, const GradSource& grads, const Source& x, float* grad_w) {
  if (is_narrow(g)) return conv_weight_grad_narrow(g, grads, x, grad_w);
  if (takes_winograd(g, WEIGHT_GRAD)) return conv_weight_grad_winograd(g, grads, x, grad_w);
  if (!is_depthwise(g)) return conv_weight_grad_dense<VectorProducts>(g, grads, x, grad_w);
  Block zeros(g.c * g.kh * g.kw);
  std::memset(zeros.get(), 0, g.c * g.kh * g.kw * sizeof(float));
  conv_backward_depthwise(g, grads, x, zeros.get(), GradSink(), grad_w);
}

static void conv_input_grad(const Geometry& g, const GradSource& grads, const float* w, const GradSink& sink) {
  if (takes_winograd(g, INPUT_GRAD)) return conv_input_grad_winograd<VectorProducts>(g, grads, w, sink);
  if (!is_depthwise(g)) return conv_input_grad_dense<VectorProducts>(g, grads, w, sink);
  // The input's values go into the weight gradient alone; the gradient's memory stands in for them.
  Source x;
  x.x = sink.to, x.step = sink.step;
  std::memset(sink.to, 0, g.pixels() * sink.step * sizeof(float));
  conv_backward_depthwise(g, grads, x, w, sink, nullptr);
}

static void conv_backward(const Geometry& g, const GradSource& grads, const Source& x, const float* w, const GradSink& sink,
                          float* grad_w) {
  if (is_depthwise(g)) return conv_backward_depthwise(g, grads, x, w, sink, grad_w);
  if (is_pointwise(g)) return conv_backward_pointwise<VectorProducts>(g, grads, x, w, sink, grad_w);
  if (unfolds_for_both(g)) return conv_backward_unfolded<VectorProducts>(g, grads, x, w, sink, grad_w);
  conv_input_grad(g, grads, w, sink);
  conv_weight_grad(g, grads, x, grad_w);
}

extern const KernelTable table;
const KernelTable table = {
    TT_NAME, conv_forward, conv_input_grad, conv_weight_grad, conv_backward, apply,       apply_grad,
    moments, grad_sums,    max_pool,        max_pool_grad,    mean_pixels,
};

}  // namespace TT_ISA
