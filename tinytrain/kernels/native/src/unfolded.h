// Convolutions of images with few pixels of results: what each pixel is computed from is written out, so that one product takes
// the pixels of many images. A band of one image would be a few rows, and read all weights for them.
#pragma once

#include "dense.h"

namespace TT_ISA {

// The matrix product that the convolution is once its patches are written out: their rows are its pixels, and what they hold,
// [tap][channel], its channels.
static Geometry unfolded(const Geometry& g) {
  Geometry flat{};
  flat.n = flat.h = flat.oh = flat.kh = flat.kw = flat.sh = flat.sw = flat.dh = flat.dw = flat.groups = 1;
  flat.w = flat.ow = g.out_pixels(), flat.c = g.c * g.kh * g.kw, flat.o = g.o;
  return flat;
}

// The input that all results of an image are computed from.
static Window read_by_image(const Geometry& g, int64_t image) { return read_by(g, {image, 0, 0, g.oh, g.ow}); }

// Calls f(patch, window, floats) for every stretch that a patch of an image and a window, as `read_by_image` has it, share.
template <class F>
static void each_stretch(const Geometry& g, const Window& window, int64_t image, F&& f) {
  const int64_t length = g.dw == 1 ? g.kw * g.c : g.c, runs = g.dw == 1 ? 1 : g.kw;
  for (int64_t pixel = 0; pixel < g.oh * g.ow; pixel++)
    for (int64_t kh = 0; kh < g.kh; kh++)
      for (int64_t run = 0; run < runs; run++) {
        const int64_t y = pixel / g.ow * g.sh + kh * g.dh, x = pixel % g.ow * g.sw + run * g.dw;
        f(((image * g.oh * g.ow + pixel) * g.kh + kh) * g.kw * g.c + run * g.c, (y * window.columns + x) * g.c, length);
      }
}

static void write_patches(const Geometry& g, const Source& x, float* patches) {
  parallel_if_worth(g.pixels() * g.c + g.out_pixels() * g.c * g.kh * g.kw, g.n, [&](int64_t image) {
    const Window window = read_by_image(g, image);
    float* pixels = scratch(SCRATCH_SOURCE, window.rows * window.columns * g.c + VL);
    read_window(window, g.h, g.w, pixels, g.c,
                [&](int64_t first, int64_t count, float* at) { read_pixels(x, first, count, g.c, at, g.c); });
    each_stretch(g, window, image, [&](int64_t to, int64_t from, int64_t floats) {
      std::memcpy(patches + to, pixels + from, floats * sizeof(float));
    });
  });
}

// Turns [rows][columns] into [columns][rows].
static void turn(const float* from, int64_t rows, int64_t columns, float* to) {
  for (int64_t column = 0; column < columns; column++)
    for (int64_t row = 0; row < rows; row++) to[column * rows + row] = from[row * columns + column];
}

static Source patches_at(const float* patches, const Geometry& flat) {
  Source source;
  source.x = patches, source.step = flat.c;
  return source;
}

template <class P>
static void conv_forward_unfolded(const Geometry& g, const Source& x, const float* w, const float* bias, float* y,
                                  Moments moments) {
  const Geometry flat = unfolded(g);
  Block patches(flat.w * flat.c);
  write_patches(g, x, patches.get());
  conv_forward_dense<P>(flat, patches_at(patches.get(), flat), w, bias, y, moments, g.kh * g.kw);
}

// Adds up, for each pixel of the input, the gradients of the patches that hold it.
static void fold_patches(const Geometry& g, const float* patches, const GradSink& sink) {
  Block slots(sink.y ? g.n * 2 * g.c : 1);
  parallel_if_worth(g.pixels() * g.c + g.out_pixels() * g.c * g.kh * g.kw, g.n, [&](int64_t image) {
    const Window window = read_by_image(g, image);
    const int64_t size = window.rows * window.columns * g.c;
    float* pixels = scratch(SCRATCH_SOURCE, size + VL);
    std::memset(pixels, 0, size * sizeof(float));
    each_stretch(g, window, image, [&](int64_t from, int64_t to, int64_t floats) {
      for (int64_t i = 0; i < floats; i += VL) {
        const int64_t left = floats - i;
        store_some(pixels + to + i, load_some(pixels + to + i, left) + load_some(patches + from + i, left), left);
      }
    });
    const int64_t first = image * g.h * g.w;
    for (int64_t pixel = 0; pixel < g.h * g.w; pixel++) {
      const int64_t y = pixel / g.w - window.top, x = pixel % g.w - window.left;
      float* to = sink.to + (first + pixel) * sink.step;
      if (y < window.rows && x < window.columns) std::memcpy(to, pixels + (y * window.columns + x) * g.c, g.c * sizeof(float));
      else std::memset(to, 0, g.c * sizeof(float));  // no result has read it
    }
    float* sum = slots.get() + image * 2 * g.c;
    if (sink.y) std::memset(sum, 0, 2 * g.c * sizeof(float));
    finish_grads(sink, first, 1, g.h * g.w, 0, g.c, sum, sum + g.c);
  });
  add_sums(slots.get(), g.n, g.c, sink);
}

// Both gradients. Weights (o, c, taps) go in as (o, taps, c), and their gradients come out so.
template <class P>
static void conv_backward_unfolded(const Geometry& g, const GradSource& grads, const Source& x, const float* w,
                                   const GradSink& sink, float* grad_w) {
  const Geometry flat = unfolded(g);
  const int64_t taps = g.kh * g.kw, size = flat.w * flat.c;
  Block patches(size), grad_patches(size), turned(g.o * flat.c), grad_turned(g.o * flat.c);
  write_patches(g, x, patches.get());
  parallel_if_worth(g.o * flat.c * 4, g.o,
                    [&](int64_t o) { turn(w + o * flat.c, g.c, taps, turned.get() + o * flat.c); });
  GradSink bare;
  bare.to = grad_patches.get(), bare.step = flat.c;
  conv_backward_pointwise<P>(flat, grads, patches_at(patches.get(), flat), turned.get(), bare, grad_turned.get());
  fold_patches(g, grad_patches.get(), sink);
  parallel_if_worth(g.o * flat.c * 4, g.o,
                    [&](int64_t o) { turn(grad_turned.get() + o * flat.c, taps, g.c, grad_w + o * flat.c); });
}

}  // namespace TT_ISA
