// Which of the algorithms computes a convolution: the choice is made by its shape alone.
#pragma once

#include "few_pixels.h"
#include "winograd.h"

namespace TT_ISA {

static bool is_depthwise(const Geometry& g) { return g.groups > 1 && g.groups == g.c && g.groups == g.o; }

// Whether weights are read where they lie, instead of being packed first.
static bool has_few_pixels(const Geometry& g) { return g.groups == 1 && g.out_pixels() <= FEW_PIXELS; }

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

// Whether patches are written out, for products with the pixels of many images: where an image has few of them, how few was
// measured. For both gradients each part of the pixels has sums of its own for all weights, of which there may not be too many.
static bool takes_unfolding(const Geometry& g, int64_t few) {
  return g.groups == 1 && g.kh * g.kw > 1 && g.n >= 4 && g.c >= VL && g.oh * g.ow <= few && g.out_pixels() > FEW_PIXELS;
}
static bool unfolds_forward(const Geometry& g) { return takes_unfolding(g, 9) && !takes_winograd(g, FORWARD); }
static bool unfolds_for_both(const Geometry& g) {
  return takes_unfolding(g, 16) && g.c * g.kh * g.kw * g.o <= 4 * NEAR_FLOATS && !takes_winograd(g, INPUT_GRAD) &&
         !takes_winograd(g, WEIGHT_GRAD);
}

// Whether both gradients come of one pass over the output's.
static bool is_pointwise(const Geometry& g) {
  const Geometry flat = flattened(g);
  return flat.n == 1 && flat.h == 1 && g.kh * g.kw == 1 && g.groups == 1 && g.c * g.o <= NEAR_FLOATS;
}

}  // namespace TT_ISA
