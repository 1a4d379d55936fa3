// The kernels for one instruction set; compiled once for each, with TT_ISA as the namespace.
#include <cmath>

#include "depthwise.h"
#include "pooling.h"
#include "winograd.h"
#if defined(__AMX_BF16__)
#include "amx.h"
#endif

namespace TT_ISA {

static bool is_depthwise(const Geometry& g) { return g.groups > 1 && g.groups == g.c && g.groups == g.o; }

enum Pass { FORWARD, INPUT_GRAD, WEIGHT_GRAD };

// Counted in products, as a core does them: 9 a pixel directly; 36 a tile by Winograd's algorithm, of which some time is lost
// between small matrices. Its transforms take as much time for each channel of a tile as TRANSFORM products do, and for each
// weight as FILTER products, or UNPACK for its gradient. Measured with 1 to 200 channels on 2x2 to 32x32 pixels.
static bool takes_winograd(const Geometry& g, Pass pass) {
  if (winograd_use == NEVER || !fits_winograd(g)) return false;
  if (winograd_use == ALWAYS) return true;
  constexpr double LOST = 1.1, TRANSFORM = 400, FILTER = 100, UNPACK = 300;
  const bool back = pass == INPUT_GRAD;
  const TileRows rows(g.n, back ? g.h : g.oh, back ? g.w : g.ow);
  const double depth = back ? g.o : g.c, columns = round_up(back ? g.c : g.o, VL), products = depth * columns;
  const double tiles = rows.count() * rows.across, pixels = g.n * rows.h * rows.w;
  const double transforms =
      tiles * TRANSFORM * (round_up(depth, VL) + columns) + (pass == WEIGHT_GRAD ? UNPACK : FILTER) * products;
  return LOST * PLACES * tiles * products + transforms < 9 * pixels * products;
}

// Whether tiles save more than splitting costs: measured with 16 to 1024 channels on 4x4 to 112x112 pixels, of 1 to 128 images.
static bool takes_tiles(const Geometry& g, int64_t least_channels) {
  if (tiles_use != WHERE_FASTER || g.groups != 1) return tiles_use == ALWAYS && g.groups == 1;
  const int64_t taps = g.kh * g.kw;
  return std::min(g.c, g.o) >= least_channels && g.c * g.o * taps >= 64 * 64 && taps >= g.sh * g.sw && g.out_pixels() >= 512;
}

static bool takes_tiles_winograd(const Geometry& g) {
  if (tiles_use != WHERE_FASTER) return tiles_use == ALWAYS;
  return std::min(g.c, g.o) >= 96 && g.out_pixels() >= 2048;
}

// Calls f with how products are computed.
template <class F>
static void with_products([[maybe_unused]] bool on_tiles, F&& f) {
#if defined(__AMX_BF16__)
  if (on_tiles) return f(AmxProducts());
#endif
  f(VectorProducts());
}

static void conv_forward(const Geometry& g, const Source& x, const float* w, const float* bias, float* y, Moments moments) {
  if (is_depthwise(g)) return conv_forward_depthwise(g, x, w, bias, y, moments);
  if (takes_winograd(g, FORWARD))
    return with_products(takes_tiles_winograd(g),
                         [&](auto p) { conv_forward_winograd<decltype(p)>(g, x, w, bias, y, moments); });
  with_products(takes_tiles(g, 32), [&](auto p) { conv_forward_dense<decltype(p)>(g, x, w, bias, y, moments); });
}

static void conv_weight_grad(const Geometry& g, const GradSource& grads, const Source& x, float* grad_w) {
  if (takes_winograd(g, WEIGHT_GRAD)) return conv_weight_grad_winograd(g, grads, x, grad_w);
  if (!is_depthwise(g))
    return with_products(takes_tiles(g, 32), [&](auto p) { conv_weight_grad_dense<decltype(p)>(g, grads, x, grad_w); });
  Block zeros(g.c * g.kh * g.kw);
  std::memset(zeros.get(), 0, g.c * g.kh * g.kw * sizeof(float));
  conv_backward_depthwise(g, grads, x, zeros.get(), GradSink(), grad_w);
}

static void conv_input_grad(const Geometry& g, const GradSource& grads, const float* w, const GradSink& sink) {
  if (takes_winograd(g, INPUT_GRAD))
    return with_products(takes_tiles_winograd(g),
                         [&](auto p) { conv_input_grad_winograd<decltype(p)>(g, grads, w, sink); });
  if (!is_depthwise(g))
    return with_products(takes_tiles(g, 32), [&](auto p) { conv_input_grad_dense<decltype(p)>(g, grads, w, sink); });
  // The input's values go into the weight gradient alone; the gradient's memory stands in for them.
  Source x;
  x.x = sink.to, x.step = sink.step;
  std::memset(sink.to, 0, g.pixels() * sink.step * sizeof(float));
  conv_backward_depthwise(g, grads, x, w, sink, nullptr);
}

static void conv_backward(const Geometry& g, const GradSource& grads, const Source& x, const float* w, const GradSink& sink,
                          float* grad_w) {
  if (is_depthwise(g)) return conv_backward_depthwise(g, grads, x, w, sink, grad_w);
  if (flattened(g).n == 1 && flattened(g).h == 1 && g.kh * g.kw == 1 && g.groups == 1 && g.c * g.o <= NEAR_FLOATS)
    return with_products(takes_tiles(g, 64),
                         [&](auto p) { conv_backward_pointwise<decltype(p)>(g, grads, x, w, sink, grad_w); });
  conv_input_grad(g, grads, w, sink);
  conv_weight_grad(g, grads, x, grad_w);
}

extern const KernelTable table;
const KernelTable table = {
    TT_NAME, conv_forward, conv_input_grad, conv_weight_grad, conv_backward, apply,       apply_grad,
    moments, grad_sums,    max_pool,        max_pool_grad,    mean_pixels, spread_pixels,
};

}  // namespace TT_ISA
