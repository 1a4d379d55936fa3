// The convolutions that are faster on the processor's tiles; all else is the AVX-512 kernels'.
#include "amx.h"

#include "choice.h"

namespace avx512 {
extern const tinytrain::KernelTable table;
}

namespace TT_ISA {

// Whether tiles save more than splitting costs: measured with 16 to 1024 channels on 4x4 to 112x112 pixels, of 1 to 128 images.
static bool takes_tiles(const Geometry& g, int64_t least_channels) {
  if (tiles_use == NEVER || g.groups != 1) return false;
  if (tiles_use == ALWAYS) return true;
  const int64_t taps = g.kh * g.kw;
  return std::min(g.c, g.o) >= least_channels && g.c * g.o * taps >= 64 * 64 && taps >= g.sh * g.sw && g.out_pixels() >= 512;
}

// The same for what is computed from `depth` channels, each met by the taps: half as many will do where the taps are many.
static bool takes_tiles_for_taps(const Geometry& g, int64_t depth) {
  const int64_t taps = g.kh * g.kw;
  return takes_tiles(g, taps > 1 && depth * taps >= 9 * 32 && std::max(g.c, g.o) >= 32 ? 16 : 32);
}

static bool takes_tiles_winograd(const Geometry& g) {
  if (tiles_use == NEVER) return false;
  if (tiles_use == ALWAYS) return true;
  return std::min(g.c, g.o) >= 96 && g.out_pixels() >= 2048;
}

static void conv_forward(const Geometry& g, const Source& x, const float* w, const float* bias, float* y, Moments moments) {
  const bool winograd = takes_winograd(g, FORWARD), unfolding = unfolds_forward(g);
  if (!(winograd ? takes_tiles_winograd(g) : unfolding ? takes_tiles(unfolded(g), 32) : takes_tiles_for_taps(g, g.c)))
    return avx512::table.conv_forward(g, x, w, bias, y, moments);
  if (winograd) return conv_forward_winograd<AmxProducts>(g, x, w, bias, y, moments);
  if (unfolding) return conv_forward_unfolded<AmxProducts>(g, x, w, bias, y, moments);
  conv_forward_dense<AmxProducts>(g, x, w, bias, y, moments);
}

static void conv_weight_grad(const Geometry& g, const GradSource& grads, const Source& x, float* grad_w) {
  if (!takes_winograd(g, WEIGHT_GRAD) && takes_tiles(g, 32)) return conv_weight_grad_dense<AmxProducts>(g, grads, x, grad_w);
  avx512::table.conv_weight_grad(g, grads, x, grad_w);
}

static void conv_input_grad(const Geometry& g, const GradSource& grads, const float* w, const GradSink& sink) {
  const bool winograd = takes_winograd(g, INPUT_GRAD);
  if (!(winograd ? takes_tiles_winograd(g) : takes_tiles_for_taps(g, g.o)))
    return avx512::table.conv_input_grad(g, grads, w, sink);
  (winograd ? conv_input_grad_winograd<AmxProducts> : conv_input_grad_dense<AmxProducts>)(g, grads, w, sink);
}

static void conv_backward(const Geometry& g, const GradSource& grads, const Source& x, const float* w, const GradSink& sink,
                          float* grad_w) {
  if (is_depthwise(g) || (is_pointwise(g) && !takes_tiles(g, 64)))
    return avx512::table.conv_backward(g, grads, x, w, sink, grad_w);
  if (is_pointwise(g)) return conv_backward_pointwise<AmxProducts>(g, grads, x, w, sink, grad_w);
  if (unfolds_for_both(g)) {
    if (!takes_tiles(unfolded(g), 32)) return avx512::table.conv_backward(g, grads, x, w, sink, grad_w);
    return conv_backward_unfolded<AmxProducts>(g, grads, x, w, sink, grad_w);
  }
  conv_input_grad(g, grads, w, sink);
  conv_weight_grad(g, grads, x, grad_w);
}

void enter(KernelTable& table) {
  table.name = TT_NAME;
  table.conv_forward = conv_forward;
  table.conv_input_grad = conv_input_grad;
  table.conv_weight_grad = conv_weight_grad;
  table.conv_backward = conv_backward;
}

}  // namespace TT_ISA
