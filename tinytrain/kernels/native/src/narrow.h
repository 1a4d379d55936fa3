// Depthwise convolution of fewer channels than a vector has lanes, along rows that are not strided: images as they come, of
// one colour or three.
//
// Pixels lie side by side, so a row is a line of floats whatever they belong to, and neighbouring taps are as many floats
// apart as there are channels. The channels of a vector's lanes are the same again after some vectors, the line's phases.
#pragma once

#include "depthwise.h"

namespace TT_ISA {

static bool is_narrow(const Geometry& g) { return g.groups == g.c && g.groups == g.o && g.c > 0 && g.c < VL && g.sw == 1; }

// Lines of results, and those that they are computed from.
struct Lines {
  int64_t c, taps, in_columns, in_floats, out_floats, phases;
  explicit Lines(const Geometry& g)
      : c(g.c),
        taps(g.kh * g.kw),
        in_columns(g.ow - 1 + (g.kw - 1) * g.dw + 1),
        in_floats(in_columns * c),
        out_floats(g.ow * c),
        phases(1) {
    while (phases * VL % c) phases++;
  }

  Bands bands(const Geometry& g) const {
    return depthwise_bands(g.n, g.oh, g.ow, in_floats * g.sh + out_floats);
  }
  Window read_by(const Geometry& g, const Window& out) const {
    return {out.image, out.top * g.sh - g.ph, -g.pw, (out.rows - 1) * g.sh + (g.kh - 1) * g.dh + 1, in_columns};
  }
  // Reads a window; behind it there is room for a vector.
  const float* read(const Geometry& g, const Window& in, const Source& x) const {
    float* to = scratch(SCRATCH_SOURCE, in.rows * in_floats + VL);
    read_window(in, g.h, g.w, to, c,
                [&](int64_t first, int64_t count, float* at) { read_pixels(x, first, count, c, at, c); });
    return to;
  }
  void place_taps(const Geometry& g, int64_t* offset) const {
    for (int64_t t = 0; t < taps; t++) offset[t] = t / g.kw * g.dh * in_floats + t % g.kw * g.dw * c;
  }
  // Writes what `of` says of a channel to the lanes of each phase.
  template <class Of>
  void repeat(float* to, int64_t apart, Of&& of) const {
    for (int64_t i = 0, channel = 0; i < phases * VL; i++, channel = channel + 1 < c ? channel + 1 : 0)
      to[i / VL * apart + i % VL] = of(channel);
  }
  // Adds up the lanes of each channel.
  void fold(const float* from, int64_t apart, float* sum) const {
    std::fill(sum, sum + c, 0.0f);
    for (int64_t i = 0, channel = 0; i < phases * VL; i++, channel = channel + 1 < c ? channel + 1 : 0)
      sum[channel] += from[i / VL * apart + i % VL];
  }
};

// The vectors of one phase of a line: every `step` floats from `first` on, up to `end`.
struct PhaseOfLine {
  int64_t first, step, end;
};

template <int N>
static void narrow_line(const TapList& taps, const float* from, const PhaseOfLine& at, vec start, float* to, Gathered& gathered) {
  vec w[N ? N : 1];
  for (int t = 0; t < N; t++) w[t] = taps.w[t];
  for (int64_t j = at.first; j < at.end; j += at.step) {
    vec a = start;
#pragma GCC unroll 9
    for (int t = 0; t < (N ? N : taps.count); t++) a += load(from + j + taps.offset[t]) * (N ? w[t] : taps.w[t]);
    const int64_t left = at.end - j;
    store_some(to + j, a, left);
    gathered.add(left >= VL ? a : select(first_lanes(left), a, gathered.shift));
  }
}

static void conv_forward_narrow(const Geometry& g, const Source& x, const float* w, const float* bias, float* y, Moments moments) {
  const Lines lines(g);
  const int64_t taps = lines.taps, phase_floats = (taps + 1) * VL;
  const Bands bands = lines.bands(g);
  Block packed(lines.phases * phase_floats);  // [phase][taps, bias][VL]
  for (int64_t t = 0; t < taps; t++)
    lines.repeat(packed.get() + t * VL, phase_floats, [&](int64_t channel) { return w[channel * taps + t]; });
  lines.repeat(packed.get() + taps * VL, phase_floats, [&](int64_t channel) { return bias ? bias[channel] : 0; });
  Block slots(moments.mean ? bands.count() * 2 * g.c : 1);
  const auto line = taps == 9 ? narrow_line<9> : narrow_line<0>;
  parallel_if_worth(work_of(g), bands.count(), [&](int64_t band) {
    const Window out = bands.at(band), in = lines.read_by(g, out);
    const float* source = lines.read(g, in, x);
    float* to = y + bands.first(out) * g.c;
    const Offsets offset(SCRATCH_RUNS, taps);
    lines.place_taps(g, offset.get());
    float found[2][VL * VL], shift[VL * VL], first[VL], sum[VL], square[VL];
    if (moments.mean) {
      const vec* filters = reinterpret_cast<const vec*>(packed.get());
      Gathered none;
      line({(int)taps, offset.get(), filters}, source, {0, VL, g.c}, filters[taps], first, none);
      lines.repeat(shift, VL, [&](int64_t channel) { return first[channel]; });
    }
    for (int64_t phase = 0; phase < lines.phases; phase++) {
      const vec* filters = reinterpret_cast<const vec*>(packed.get() + phase * phase_floats);
      const TapList list{(int)taps, offset.get(), filters};
      Gathered gathered;
      if (moments.mean) gathered.shift = load(shift + phase * VL);
      for (int64_t r = 0; r < out.rows; r++)
        line(list, source + r * g.sh * lines.in_floats, {phase * VL, lines.phases * VL, lines.out_floats}, filters[taps],
             to + r * lines.out_floats, gathered);
      store(found[0] + phase * VL, gathered.sum);
      store(found[1] + phase * VL, gathered.square);
    }
    if (!moments.mean) return;
    lines.fold(found[0], VL, sum);
    lines.fold(found[1], VL, square);
    const float count = (float)(out.rows * out.columns);
    float* slot = slots.get() + band * 2 * g.c;
    for (int64_t i = 0; i < g.c; i++) {
      slot[i] = first[i] + sum[i] / count;
      slot[g.c + i] = std::max(square[i] - sum[i] * sum[i] / count, 0.0f);
    }
  });
  if (moments.mean)
    merge_moments(slots.get(), bands.count(), g.c, [&](int64_t band) { return bands.pixels(band); }, moments);
}

// Adds what a phase of `rows` lines gives for N taps to their sums, a vector each.
template <int N>
static void narrow_weight_grad(const int64_t* offset, const float* source, int64_t row, const float* grads, int64_t rows,
                               const PhaseOfLine& at, float* to) {
  vec sum[N] = {};
  for (int64_t r = 0; r < rows; r++, source += row, grads += at.end) {
    int64_t j = at.first;
    for (; j + VL <= at.end; j += at.step) {
      const vec g = load(grads + j);
#pragma GCC unroll 9
      for (int t = 0; t < N; t++) sum[t] += g * load(source + j + offset[t]);
    }
    if (j < at.end) {
      const vec g = load_part(grads + j, (int)(at.end - j));
      for (int t = 0; t < N; t++) sum[t] += g * load_part(source + j + offset[t], (int)(at.end - j));
    }
  }
  for (int t = 0; t < N; t++) store(to + t * VL, load(to + t * VL) + sum[t]);
}

static void conv_weight_grad_narrow(const Geometry& g, const GradSource& grads, const Source& x, float* grad_w) {
  const Lines lines(g);
  const int64_t taps = lines.taps, phase_floats = taps * VL, part_floats = lines.phases * phase_floats;
  const Bands bands = lines.bands(g);
  const int64_t parts = num_parts(bands.count(), taps * g.c);
  Block sums(parts * part_floats);  // [part][phase][tap][VL]
  parallel_if_worth(work_of(g), parts, [&](int64_t part) {
    float* own = sums.get() + part * part_floats;
    std::fill(own, own + part_floats, 0.0f);
    const Offsets offset(SCRATCH_RUNS, taps);
    lines.place_taps(g, offset.get());
    for (int64_t band = bands.count() * part / parts; band < bands.count() * (part + 1) / parts; band++) {
      const Window out = bands.at(band), in = lines.read_by(g, out);
      const float* source = lines.read(g, in, x);
      float* g_lines = scratch(SCRATCH_GRAD, out.rows * lines.out_floats);
      read_grads(grads, bands.first(out), out.rows * out.columns, g.c, g_lines, g.c);
      for (int64_t phase = 0; phase < lines.phases; phase++)
        for (int64_t t = 0; t < taps;) {
          const bool many = taps - t >= 9;
          (many ? narrow_weight_grad<9> : narrow_weight_grad<1>)(offset.get() + t, source, g.sh * lines.in_floats, g_lines,
                                                                 out.rows, {phase * VL, lines.phases * VL, lines.out_floats},
                                                                 own + phase * phase_floats + t * VL);
          t += many ? 9 : 1;
        }
    }
  });
  std::fill(grad_w, grad_w + g.c * taps, 0.0f);
  for (int64_t part = 0; part < parts; part++)
    for (int64_t t = 0; t < taps; t++) {
      float sum[VL];
      lines.fold(sums.get() + part * part_floats + t * VL, phase_floats, sum);
      for (int64_t i = 0; i < g.c; i++) grad_w[i * taps + t] += sum[i];
    }
}

}  // namespace TT_ISA
