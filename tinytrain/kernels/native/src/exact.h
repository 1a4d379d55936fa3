// Kernels that give the bits of the array code they stand for, and the table of them that each instruction set fills in.
//
// They are compiled without fused multiply-adds: every operation rounds for itself, as NumPy's do, on every processor.
#pragma once

#include <cstdint>

namespace tinytrain {

// A parameter on its way through an update rule: its values, its gradient, and what the rule remembers of it. Parameters lie
// one behind the other in a space of numbers that is cut into pieces; `first` is where this one begins.
struct Parameter {
  float* w = nullptr;
  const float* g = nullptr;
  float* state[3] = {};
  int64_t first = 0, size = 0;
};

struct Parameters {
  const Parameter* each = nullptr;
  int64_t count = 0;
  int64_t size() const { return count ? each[count - 1].first + each[count - 1].size : 0; }
};

// `decay` is added to the gradient, times w, where it is not 0; `shrink` multiplies w first, where it is not 1.
struct Sgd {
  float lr, momentum, keep, decay;
  bool nesterov, maximize;
};

struct Adam {
  float rate, root, mean_keep, square_fade, square_keep, eps, decay, shrink;
  bool maximize;
};

struct RmsProp {
  float lr, fade, keep, eps, decay, momentum;
  bool maximize;
};

struct Lion {
  float lr, fade_now, keep_now, fade, keep, shrink;
  bool maximize;
};

// Scores (n, c) and the class of each row; rows of the class `ignored` count for nothing. `smoothing` is the share of the
// target that is spread evenly over the classes.
struct CrossEntropy {
  int64_t n, c;
  const float* x;
  const int64_t* target;
  const float* weight;  // (c,) or nullptr
  int64_t ignored;
  float smoothing;
};

enum Filter { FILTER_LANCZOS = 1, FILTER_BILINEAR = 2, FILTER_BICUBIC = 3, FILTER_BOX = 4, FILTER_HAMMING = 5 };  // Pillow's

// A box of an image, resized to `full_height` by `full_width`, of which the window at (out_top, out_left) is wanted, perhaps
// mirrored. Pixels are 1 byte of 1 channel, or 4 bytes of which 3 are channels. Rows are resized before columns, or after them:
// each rounds to whole numbers.
struct Resizing {
  const uint8_t* pixels;
  int64_t width;  // of the image
  int channels;
  int64_t top, left, box_height, box_width;
  int64_t full_height, full_width;
  int64_t out_top, out_left, out_rows, out_columns;
  int filter;
  bool mirrored, columns_first;
};

enum Border { BORDER_CONSTANT = 0, BORDER_EDGE = 1, BORDER_REFLECT = 2, BORDER_SYMMETRIC = 3 };  // numpy.pad's modes
enum Turn { TURN_MIRRORED = 1, TURN_UPSIDE_DOWN = 2 };

// Windows of `oh` by `ow` pixels out of images of `h` by `w` pixels of `c` channels, one for each of n places: (image, top,
// left, turns). `table` has 257 values a channel, the last of them for the constant border. `boxes`, (top, left, height,
// width) of each window or nullptr, are overwritten with `erased`, a value for each channel.
struct Gathering {
  const uint8_t* images;
  int64_t h, w, c;
  const int32_t* places;
  int64_t n, oh, ow;
  int border;
  const float* table;
  const int32_t* boxes;
  const float* erased;
  float* to;
};

// How many elements of an axis are given, and how many are put before and after them; negative: taken away.
struct Ends {
  int64_t given, before, after;
  int64_t size() const { return before + given + after; }
  int64_t first() const { return before < 0 ? -before : 0; }           // of those that are given, which stay
  int64_t last() const { return after < 0 ? given + after : given; }
};

// Images (n, h, w, c) with `value` around them.
struct Padding {
  const float* x;
  int64_t n;
  Ends c, h, w;
  float value;
  float* to;
};

struct ExactTable {
  void (*sgd)(const Parameters&, const Sgd&);          // state: velocity or nullptr
  void (*adam)(const Parameters&, const Adam&);        // state: mean, square, largest square or nullptr
  void (*rmsprop)(const Parameters&, const RmsProp&);  // state: square, mean or nullptr, velocity or nullptr
  void (*lion)(const Parameters&, const Lion&);        // state: mean
  void (*square_sums)(const Parameters&, double* sums);  // of each gradient
  void (*scale)(const Parameters&, float factor);        // w, in its memory
  void (*cross_entropy_forward)(const CrossEntropy&, float* probabilities, float* losses);
  void (*cross_entropy_backward)(const CrossEntropy&, const float* probabilities, const float* g, int64_t g_step, float* grad);
  void (*resize)(const Resizing&, uint8_t* to);
  void (*look_up)(const uint8_t* values, int64_t count, int64_t channels, const float* tables, float* to);
  void (*gather_images)(const Gathering&);
  void (*pad)(const Padding&);
};

}  // namespace tinytrain
