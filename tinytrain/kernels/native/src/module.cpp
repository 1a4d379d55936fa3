// What Python sees of the kernels: functions on NumPy arrays, without copies.
//
// Written against the C interfaces of Python and NumPy: reading an argument costs nanoseconds, which for small networks is
// what a step is made of.
//
// Activations are (n, c, *size) arrays, at best channels-last in memory; others are copied. A value that is not computed yet
// is a tuple: `(y, scale, shift, kind, low, high)` for act(scale * y + shift), where scale and shift may be None, and
// `(g, y, scale, shift, kind, low, high, alpha, beta, gamma)` for a gradient; see kernels.h.
#define PY_SSIZE_T_CLEAN
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#include <Python.h>
#include <numpy/arrayobject.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cmath>
#include <cstring>
#include <initializer_list>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "exact.h"
#include "kernels.h"
#include "pool.h"

using namespace tinytrain;

Use tinytrain::winograd_use = WHERE_FASTER;
Use tinytrain::tiles_use = WHERE_FASTER;

#define DECLARE(name) \
  namespace name {    \
  extern const KernelTable table; \
  extern const ExactTable exact;  \
  }
#if defined(__x86_64__)
DECLARE(avx512)
#if defined(TT_HAS_AMX)
namespace amx {
void enter(KernelTable& table);  // replaces what is faster on tiles
}
#endif
DECLARE(avx2)
#endif
DECLARE(baseline)

namespace {

KernelTable kernels = baseline::table;
const ExactTable* exact_kernels = &baseline::exact;

struct PythonError {};  // the exception is set already

[[noreturn]] void fail(PyObject* type, const char* text) {
  PyErr_SetString(type, text);
  throw PythonError();
}

// An owned reference.
struct Ref {
  PyObject* object = nullptr;
  Ref() = default;
  explicit Ref(PyObject* owned) : object(owned) {
    if (!owned) throw PythonError();
  }
  Ref(Ref&& other) noexcept : object(other.object) { other.object = nullptr; }
  Ref& operator=(Ref&& other) noexcept {
    std::swap(object, other.object);
    return *this;
  }
  ~Ref() { Py_XDECREF(object); }
  PyObject* release() {
    PyObject* o = object;
    object = nullptr;
    return o;
  }
};

// Lets other threads of Python run while a kernel computes.
struct WithoutLock {
  PyThreadState* state = PyEval_SaveThread();
  ~WithoutLock() { PyEval_RestoreThread(state); }
};

PyArrayObject* as_array(PyObject* object, int type = NPY_FLOAT) {
  if (!PyArray_Check(object)) fail(PyExc_TypeError, "expected a NumPy array");
  PyArrayObject* array = (PyArrayObject*)object;
  if (PyArray_TYPE(array) != type) fail(PyExc_TypeError, "an array has the wrong dtype");
  return array;
}

// A contiguous vector of floats, None where it may be absent; its length is checked.
float* vector_or_none(PyObject* object, npy_intp length) {
  if (object == Py_None) return nullptr;
  PyArrayObject* array = as_array(object);
  if (PyArray_SIZE(array) != length || !PyArray_IS_C_CONTIGUOUS(array))
    fail(PyExc_ValueError, "a vector has the wrong length or is not contiguous");
  return (float*)PyArray_DATA(array);
}

void give_capsule(PyObject* capsule) {
  give_block(PyCapsule_GetPointer(capsule, nullptr));
}

// A fresh array with memory of the pool, channels-last or row-major.
Ref new_array(int ndim, const npy_intp* shape, bool channels_last, int type = NPY_FLOAT) {
  npy_intp item = type == NPY_FLOAT ? 4 : type == NPY_UINT8 ? 1 : 8;
  npy_intp strides[NPY_MAXDIMS], size = item;
  if (channels_last && ndim > 1) {
    strides[1] = size, size *= shape[1];
    for (int i = ndim - 1; i > 1; i--) strides[i] = size, size *= shape[i];
    strides[0] = size, size *= shape[0];
  } else {
    for (int i = ndim - 1; i >= 0; i--) strides[i] = size, size *= shape[i];
  }
  void* block = take_block(size);
  if (!block) {
    PyErr_NoMemory();
    throw PythonError();
  }
  PyObject* capsule = PyCapsule_New(block, nullptr, give_capsule);
  if (!capsule) {
    give_block(block);
    throw PythonError();
  }
  PyObject* array = PyArray_NewFromDescr(&PyArray_Type, PyArray_DescrFromType(type), ndim, shape, strides, block,
                                         NPY_ARRAY_WRITEABLE | NPY_ARRAY_ALIGNED, nullptr);
  if (!array) {
    Py_DECREF(capsule);
    throw PythonError();
  }
  if (PyArray_SetBaseObject((PyArrayObject*)array, capsule) < 0) {
    Py_DECREF(array);
    throw PythonError();
  }
  return Ref(array);
}

Ref new_vector(npy_intp length) { return new_array(1, &length, false); }

template <class T = float>
T* data(const Ref& array) {
  return (T*)PyArray_DATA((PyArrayObject*)array.object);
}

constexpr int64_t COPIED_FLOATS = 4 << 10;  // that a thread lays out anew at a time

// Writes the pixels of a row whose channels lie `apart` bytes from each other, and pixels `next`, one behind the other.
template <int C>
void interleave(const char* row, npy_intp apart, npy_intp next, int64_t count, int64_t c, float* to) {
  if (C) c = C;
  if (C && next == sizeof(float)) {
    const float* line[C ? C : 1];
    for (int i = 0; i < C; i++) line[i] = (const float*)(row + i * apart);
    for (int64_t p = 0; p < count; p++)
      for (int i = 0; i < C; i++) to[p * C + i] = line[i][p];
    return;
  }
  for (int64_t i = 0; i < c; i++)
    for (int64_t p = 0; p < count; p++) std::memcpy(to + p * c + i, row + i * apart + p * next, sizeof(float));
}

// Pixels of an (n, c, *size) array with at most two spatial axes, channels-last; copied where memory lies otherwise. Where
// `may_share` says so the pixels of an image may share one place.
struct Images {
  int64_t n = 1, c = 1, h = 1, w = 1, step = 0, shared_by = 1;
  float* x = nullptr;
  int ndim = 0;
  Ref copy;

  int64_t pixels() const { return n * h * w; }

  explicit Images(PyObject* object, bool may_share = false) {
    PyArrayObject* array = as_array(object);
    ndim = PyArray_NDIM(array);
    if (ndim < 2 || ndim > 4) fail(PyExc_ValueError, "expected an array (n, c), (n, c, w) or (n, c, h, w)");
    const npy_intp* shape = PyArray_DIMS(array);
    const npy_intp* strides = PyArray_STRIDES(array);
    n = shape[0], c = shape[1];
    h = ndim == 4 ? shape[2] : 1, w = ndim > 2 ? shape[ndim - 1] : 1;
    npy_intp sn = strides[0], sc = strides[1], sh = ndim == 4 ? strides[2] : 0, sw = ndim > 2 ? strides[ndim - 1] : 0;
    x = (float*)PyArray_DATA(array);
    npy_intp pitch = w > 1 ? sw : h > 1 ? sh : n > 1 ? sn : c * 4;
    bool lies_well = (c <= 1 || sc == 4) && pitch >= c * 4 && pitch % 4 == 0 && (h <= 1 || sh == w * pitch) &&
                     (n <= 1 || sn == h * w * pitch);
    if (lies_well) {
      step = pitch / 4;
      return;
    }
    const bool shares = h * w > 1 && (h == 1 || sh == 0) && (w == 1 || sw == 0);
    if (may_share && shares && (c <= 1 || sc == 4) && (n <= 1 || (sn >= c * 4 && sn % 4 == 0))) {
      step = n > 1 ? sn / 4 : c, shared_by = h * w;
      return;
    }
    npy_intp new_shape[4] = {n, c, h, w};
    copy = new_array(4, new_shape, true);
    float* to = data(copy);
    const char* from = (const char*)x;
    WithoutLock unlocked;
    const auto copy_row = c == 3 ? interleave<3> : interleave<0>;  // images have three
    const int64_t rows = n * h, together = std::max<int64_t>(COPIED_FLOATS / std::max<int64_t>(w * c, 1), 1);
    parallel_if_worth(rows * w * c, (rows + together - 1) / together, [&](int64_t piece) {
      for (int64_t row = piece * together; row < std::min(rows, (piece + 1) * together); row++)
        copy_row(from + row / h * sn + row % h * sh, sc, sw, w, c, to + row * w * c);
    });
    x = to, step = c;
  }
};

int64_t integer(PyObject* object) {
  long long value = PyLong_AsLongLong(object);
  if (value == -1 && PyErr_Occurred()) throw PythonError();
  return value;
}

float number(PyObject* object) {
  double value = PyFloat_AsDouble(object);
  if (value == -1.0 && PyErr_Occurred()) throw PythonError();
  return (float)value;
}

// `(scale, shift, kind, low, high)` at `items`.
void read_through(Source& source, PyObject** items, int64_t c) {
  source.scale = vector_or_none(items[0], c);
  source.shift = vector_or_none(items[1], c);
  source.act = {(int)integer(items[2]), number(items[3]), number(items[4])};
}

struct Activations {
  Images images;
  Source source;
  explicit Activations(PyObject* object) : images(PyTuple_Check(object) ? PyTuple_GET_ITEM(object, 0) : object) {
    source.x = images.x, source.step = images.step;
    if (!PyTuple_Check(object)) return;
    if (PyTuple_GET_SIZE(object) != 6) fail(PyExc_ValueError, "expected (y, scale, shift, kind, low, high)");
    read_through(source, &PyTuple_GET_ITEM(object, 1), images.c);
  }
};

struct Gradients {
  Images images;
  std::optional<Images> y;
  GradSource source;
  explicit Gradients(PyObject* object) : images(PyTuple_Check(object) ? PyTuple_GET_ITEM(object, 0) : object, true) {
    source.g = images.x, source.step = images.step, source.shared_by = images.shared_by;
    if (!PyTuple_Check(object)) return;
    if (PyTuple_GET_SIZE(object) != 10) fail(PyExc_ValueError, "expected (g, y, scale, ... , alpha, beta, gamma)");
    y.emplace(PyTuple_GET_ITEM(object, 1));
    if (y->n != images.n || y->c != images.c || y->h != images.h || y->w != images.w)
      fail(PyExc_ValueError, "a gradient and its values have different shapes");
    source.of.x = y->x, source.of.step = y->step;
    read_through(source.of, &PyTuple_GET_ITEM(object, 2), images.c);
    source.alpha = vector_or_none(PyTuple_GET_ITEM(object, 7), images.c);
    source.beta = vector_or_none(PyTuple_GET_ITEM(object, 8), images.c);
    source.gamma = vector_or_none(PyTuple_GET_ITEM(object, 9), images.c);
  }
};

// `(add, m, scale, shift, kind, low, high, y, mean)` or None: what happens to an input gradient on its way.
struct Sink {
  GradSink sink;
  std::optional<Images> add, m, y;
  Ref grad, sum, sum_y;

  Sink(PyObject* object, int ndim, const npy_intp* shape) : grad(new_array(ndim, shape, true)) {
    const int64_t c = shape[1];
    sink.to = data(grad), sink.step = c;
    if (object == Py_None) return;
    if (!PyTuple_Check(object) || PyTuple_GET_SIZE(object) != 9) fail(PyExc_ValueError, "expected a tuple of 9");
    PyObject** items = &PyTuple_GET_ITEM(object, 0);
    auto matching = [&](std::optional<Images>& images, PyObject* item) {
      images.emplace(item);
      if (images->pixels() * images->c != PyArray_SIZE((PyArrayObject*)grad.object) || images->c != c)
        fail(PyExc_ValueError, "a gradient and what it meets have different shapes");
    };
    if (items[0] != Py_None) {
      matching(add, items[0]);
      sink.add = add->x, sink.add_step = add->step;
    }
    if (items[1] != Py_None) {
      matching(m, items[1]);
      sink.through.x = m->x, sink.through.step = m->step;
      read_through(sink.through, items + 2, c);
    }
    if (items[7] != Py_None) {
      matching(y, items[7]);
      sink.y = y->x, sink.y_step = y->step;
      sink.mean = vector_or_none(items[8], c);
      sum = new_vector(c), sum_y = new_vector(c);
      sink.sum = data(sum), sink.sum_y = data(sum_y);
    }
  }
};

// `(sh, sw, ph, pw, ph after, pw after, dh, dw, groups)`.
struct Geometries {
  Geometry g{};
  int64_t after_h = 0, after_w = 0;
  Geometries(PyObject* object, const npy_intp* w_shape, int w_ndim) {
    if (!PyTuple_Check(object) || PyTuple_GET_SIZE(object) != 9) fail(PyExc_ValueError, "expected a geometry of 9 numbers");
    int64_t* places[9] = {&g.sh, &g.sw, &g.ph, &g.pw, &after_h, &after_w, &g.dh, &g.dw, &g.groups};
    for (int i = 0; i < 9; i++) *places[i] = integer(PyTuple_GET_ITEM(object, i));
    g.o = w_shape[0];
    g.c = w_shape[1] * g.groups;
    g.kh = w_ndim == 4 ? w_shape[2] : 1;
    g.kw = w_ndim > 2 ? w_shape[w_ndim - 1] : 1;
  }
  void set_input(int64_t n, int64_t c, int64_t h, int64_t w) {
    if (c != g.c) fail(PyExc_ValueError, "input and weight have different channels");
    g.n = n, g.h = h, g.w = w;
  }
  void set_output(const Images& images) {
    if (images.c != g.o || images.n != g.n) fail(PyExc_ValueError, "gradient and weight have different channels");
    g.oh = images.h, g.ow = images.w;
  }
  void derive_output() {
    g.oh = (g.h + g.ph + after_h - g.dh * (g.kh - 1) - 1) / g.sh + 1;
    g.ow = (g.w + g.pw + after_w - g.dw * (g.kw - 1) - 1) / g.sw + 1;
  }
};

void sizes(int ndim, npy_intp* shape, int64_t n, int64_t c, int64_t h, int64_t w) {
  shape[0] = n, shape[1] = c;
  if (ndim == 4) shape[2] = h;
  if (ndim > 2) shape[ndim - 1] = w;
}

const float* weight(PyObject* object) {
  PyArrayObject* array = as_array(object);
  if (!PyArray_IS_C_CONTIGUOUS(array)) fail(PyExc_ValueError, "a weight is not contiguous");
  return (const float*)PyArray_DATA(array);
}

Ref pack(std::initializer_list<PyObject*> borrowed) {
  Ref tuple(PyTuple_New(borrowed.size()));
  Py_ssize_t i = 0;
  for (PyObject* each : borrowed) {
    each = each ? each : Py_None;
    Py_INCREF(each);
    PyTuple_SET_ITEM(tuple.object, i++, each);
  }
  return tuple;
}

Ref none() {
  Py_INCREF(Py_None);
  return Ref(Py_None);
}

typedef PyObject* const* Arguments;

// conv_forward(x, w, geometry, bias or None, want_moments) -> y, or (y, mean, m2)
Ref conv_forward(Arguments a) {
  Activations x(a[0]);
  PyArrayObject* w = as_array(a[1]);
  Geometries geometry(a[2], PyArray_DIMS(w), PyArray_NDIM(w));
  geometry.set_input(x.images.n, x.images.c, x.images.h, x.images.w);
  geometry.derive_output();
  const Geometry& g = geometry.g;
  const float* bias = vector_or_none(a[3], g.o);
  const float* values = weight(a[1]);
  npy_intp shape[4];
  sizes(x.images.ndim, shape, g.n, g.o, g.oh, g.ow);
  Ref y = new_array(x.images.ndim, shape, true), mean, m2;
  Moments moments;
  if (a[4] == Py_True && g.out_pixels() > 0) {
    mean = new_vector(g.o), m2 = new_vector(g.o);
    moments = {data(mean), data(m2)};
  }
  {
    WithoutLock unlocked;
    if (g.out_pixels() > 0) kernels.conv_forward(g, x.source, values, bias, data(y), moments);
  }
  return mean.object ? pack({y.object, mean.object, m2.object}) : std::move(y);
}

// conv_input_grad(g, w, x_shape, geometry, sink or None) -> (grad, sum, sum_y), the sums None where not asked for
Ref conv_input_grad(Arguments a) {
  Gradients grads(a[0]);
  PyArrayObject* w = as_array(a[1]);
  Geometries geometry(a[3], PyArray_DIMS(w), PyArray_NDIM(w));
  npy_intp shape[4];
  const int ndim = (int)PyTuple_GET_SIZE(a[2]);
  if (ndim < 2 || ndim > 4) fail(PyExc_ValueError, "expected a shape of 2 to 4 dimensions");
  for (int i = 0; i < ndim; i++) shape[i] = integer(PyTuple_GET_ITEM(a[2], i));
  geometry.set_input(shape[0], shape[1], ndim == 4 ? shape[2] : 1, ndim > 2 ? shape[ndim - 1] : 1);
  geometry.set_output(grads.images);
  Sink sink(a[4], ndim, shape);
  const float* values = weight(a[1]);
  {
    WithoutLock unlocked;
    kernels.conv_input_grad(geometry.g, grads.source, values, sink.sink);
  }
  return pack({sink.grad.object, sink.sum.object, sink.sum_y.object});
}

// conv_weight_grad(g, x, w_shape, geometry) -> grad_w
Ref conv_weight_grad(Arguments a) {
  Gradients grads(a[0]);
  Activations x(a[1]);
  npy_intp shape[4];
  const int ndim = (int)PyTuple_GET_SIZE(a[2]);
  if (ndim < 2 || ndim > 4) fail(PyExc_ValueError, "expected a shape of 2 to 4 dimensions");
  for (int i = 0; i < ndim; i++) shape[i] = integer(PyTuple_GET_ITEM(a[2], i));
  Geometries geometry(a[3], shape, ndim);
  geometry.set_input(x.images.n, x.images.c, x.images.h, x.images.w);
  geometry.set_output(grads.images);
  Ref grad_w = new_array(ndim, shape, false);
  {
    WithoutLock unlocked;
    kernels.conv_weight_grad(geometry.g, grads.source, x.source, data(grad_w));
  }
  return grad_w;
}

// conv_backward(g, x, w, geometry, sink or None) -> (grad, sum, sum_y, grad_w)
Ref conv_backward(Arguments a) {
  Gradients grads(a[0]);
  Activations x(a[1]);
  PyArrayObject* w = as_array(a[2]);
  Geometries geometry(a[3], PyArray_DIMS(w), PyArray_NDIM(w));
  geometry.set_input(x.images.n, x.images.c, x.images.h, x.images.w);
  geometry.set_output(grads.images);
  npy_intp shape[4];
  sizes(x.images.ndim, shape, x.images.n, x.images.c, x.images.h, x.images.w);
  Sink sink(a[4], x.images.ndim, shape);
  const float* values = weight(a[2]);
  Ref grad_w = new_array(PyArray_NDIM(w), PyArray_DIMS(w), false);
  {
    WithoutLock unlocked;
    kernels.conv_backward(geometry.g, grads.source, x.source, values, sink.sink, data(grad_w));
  }
  return pack({sink.grad.object, sink.sum.object, sink.sum_y.object, grad_w.object});
}

// apply(x, other or None, kind, low, high, out or None) -> act(x + other); x and other may be tuples without activation
Ref apply(Arguments a) {
  Activations x(a[0]);
  std::optional<Activations> other;
  if (a[1] != Py_None) {
    other.emplace(a[1]);
    if (other->images.pixels() != x.images.pixels() || other->images.c != x.images.c)
      fail(PyExc_ValueError, "the operands have different shapes");
  }
  const Activation act{(int)integer(a[2]), number(a[3]), number(a[4])};
  const Images& i = x.images;
  npy_intp shape[4];
  sizes(i.ndim, shape, i.n, i.c, i.h, i.w);
  Ref y;
  float* to;
  int64_t step = i.c;
  if (a[5] == Py_None) {
    y = new_array(i.ndim, shape, true);
    to = data(y);
  } else {
    Images out(a[5]);
    if (out.copy.object || out.pixels() != i.pixels() || out.c != i.c)
      fail(PyExc_ValueError, "the output has another shape or does not lie channels-last");
    Py_INCREF(a[5]);
    y = Ref(a[5]);
    to = out.x, step = out.step;
  }
  {
    WithoutLock unlocked;
    kernels.apply(i.pixels(), i.c, x.source, other ? other->source : Source(), act, to, step);
  }
  return y;
}

// apply_grad(g) -> the gradient that a tuple stands for
Ref apply_grad(Arguments a) {
  Gradients grads(a[0]);
  const Images& i = grads.images;
  npy_intp shape[4];
  sizes(i.ndim, shape, i.n, i.c, i.h, i.w);
  Ref grad = new_array(i.ndim, shape, true);
  {
    WithoutLock unlocked;
    kernels.apply_grad(i.pixels(), i.c, grads.source, data(grad), i.c);
  }
  return grad;
}

// moments(x) -> (mean, m2)
Ref moments(Arguments a) {
  Images x(a[0]);
  Ref mean = new_vector(x.c), m2 = new_vector(x.c);
  {
    WithoutLock unlocked;
    kernels.moments(x.pixels(), x.c, x.x, x.step, {data(mean), data(m2)});
  }
  return pack({mean.object, m2.object});
}

// grad_sums(g, mean or None) -> (sum, sum_y)
Ref grad_sums(Arguments a) {
  Gradients grads(a[0]);
  const Images& i = grads.images;
  const float* mean = vector_or_none(a[1], i.c);
  Ref sum = new_vector(i.c), sum_y = new_vector(i.c);
  {
    WithoutLock unlocked;
    kernels.grad_sums(i.pixels(), i.c, grads.source, mean, data(sum), data(sum_y));
  }
  return pack({sum.object, mean ? sum_y.object : nullptr});
}

// Whether each of four is None or has a number for each of c channels.
bool fit(Arguments vectors, int64_t c) {
  for (int i = 0; i < 4; i++) {
    if (vectors[i] == Py_None) continue;
    PyArrayObject* array = (PyArrayObject*)vectors[i];
    if (!PyArray_Check(vectors[i]) || PyArray_TYPE(array) != NPY_FLOAT || PyArray_NDIM(array) != 1 ||
        PyArray_DIM(array, 0) != c || !PyArray_IS_C_CONTIGUOUS(array))
      return false;
  }
  return true;
}

// are_vectors(c, running_mean, running_var, w, b) -> whether they fit
Ref are_vectors(Arguments a) { return Ref(PyBool_FromLong(fit(a + 1, integer(a[0])))); }

// batch_norm_prepare(mean, m2, count, w, b, eps, running_mean, running_var, momentum) -> (scale, shift, rstd)
Ref batch_norm_prepare(Arguments a) {
  PyArrayObject* first = as_array(a[0]);
  const npy_intp c = PyArray_SIZE(first);
  const float *mean = vector_or_none(a[0], c), *m2 = vector_or_none(a[1], c);
  const double count = PyFloat_AsDouble(a[2]);
  const float *w = vector_or_none(a[3], c), *b = vector_or_none(a[4], c);
  const double eps = PyFloat_AsDouble(a[5]), momentum = PyFloat_AsDouble(a[8]);
  if (PyErr_Occurred()) throw PythonError();
  float *running_mean = vector_or_none(a[6], c), *running_var = vector_or_none(a[7], c);
  Ref scale = new_vector(c), shift = new_vector(c), rstd = new_vector(c);
  float *s = data(scale), *t = data(shift), *r = data(rstd);
  for (npy_intp i = 0; i < c; i++) {
    r[i] = (float)(1.0 / std::sqrt((double)m2[i] / count + eps));
    s[i] = w ? w[i] * r[i] : r[i];
    t[i] = (b ? b[i] : 0.0f) - mean[i] * s[i];
  }
  const float keep = (float)(1.0 - momentum), take = (float)momentum;
  for (npy_intp i = 0; i < c && running_mean; i++) running_mean[i] = running_mean[i] * keep + mean[i] * take;
  for (npy_intp i = 0; i < c && running_var; i++)
    running_var[i] = running_var[i] * keep + (float)(m2[i] / (count - 1)) * take;
  return pack({scale.object, shift.object, rstd.object});
}

// conv_and_prepare(x, w, geometry, running_mean, running_var, norm_w, norm_b, eps, momentum)
//   -> (y, mean, scale, shift, rstd): conv_forward, and batch_norm_prepare with its moments; None, and nothing has changed,
// where the vectors do not fit or a channel has not two values
Ref conv_and_prepare(Arguments a) {
  const npy_intp c = PyArray_NDIM(as_array(a[1])) ? PyArray_DIM((PyArrayObject*)a[1], 0) : 0;
  if (c == 0 || !fit(a + 3, c)) return none();
  PyObject* const convolution[] = {a[0], a[1], a[2], Py_None, Py_True};
  Ref found = conv_forward(convolution);
  if (!PyTuple_Check(found.object)) return none();
  PyObject* const y = PyTuple_GET_ITEM(found.object, 0);
  PyObject* const mean = PyTuple_GET_ITEM(found.object, 1);
  const double values = (double)(PyArray_SIZE((PyArrayObject*)y) / c);
  if (values < 2) return none();
  Ref count(PyFloat_FromDouble(values));
  PyObject* const norm[] = {mean, PyTuple_GET_ITEM(found.object, 2), count.object, a[5], a[6], a[7], a[3], a[4], a[8]};
  Ref factors = batch_norm_prepare(norm);
  PyObject* const* made = PySequence_Fast_ITEMS(factors.object);
  return pack({y, mean, made[0], made[1], made[2]});
}

// batch_norm_grad(sum, sum_y, mean, rstd, w, count, through_statistics) -> (alpha, beta, gamma, grad_w)
Ref batch_norm_grad(Arguments a) {
  const npy_intp c = PyArray_SIZE(as_array(a[0]));
  const float *sum = vector_or_none(a[0], c), *sum_y = vector_or_none(a[1], c);
  const float *mean = vector_or_none(a[2], c), *rstd = vector_or_none(a[3], c), *w = vector_or_none(a[4], c);
  const double count = PyFloat_AsDouble(a[5]);
  if (PyErr_Occurred()) throw PythonError();
  const bool through = a[6] == Py_True;
  Ref alpha = new_vector(c), grad_w = new_vector(c), beta, gamma;
  if (through) beta = new_vector(c), gamma = new_vector(c);
  for (npy_intp i = 0; i < c; i++) {
    const float scale = w ? w[i] * rstd[i] : rstd[i];
    data(alpha)[i] = scale;
    data(grad_w)[i] = rstd[i] * sum_y[i];
    if (!through) continue;
    data(beta)[i] = (float)(-(double)scale * rstd[i] * rstd[i] * sum_y[i] / count);
    data(gamma)[i] = (float)(-(double)scale * sum[i] / count - (double)data(beta)[i] * mean[i]);
  }
  return pack({alpha.object, beta.object, gamma.object, grad_w.object});
}

// `(kh, kw, sh, sw, ph, pw, dh, dw)`
void read_window(PyObject* object, PoolGeometry& g) {
  if (!PyTuple_Check(object) || PyTuple_GET_SIZE(object) != 8) fail(PyExc_ValueError, "expected a window of 8 numbers");
  int64_t* places[8] = {&g.kh, &g.kw, &g.sh, &g.sw, &g.ph, &g.pw, &g.dh, &g.dw};
  for (int i = 0; i < 8; i++) *places[i] = integer(PyTuple_GET_ITEM(object, i));
}

// max_pool(x, oh, ow, window, with_winners) -> (y, winners or None)
Ref max_pool(Arguments a) {
  Activations x(a[0]);
  PoolGeometry g{};
  g.n = x.images.n, g.c = x.images.c, g.h = x.images.h, g.w = x.images.w;
  g.oh = integer(a[1]), g.ow = integer(a[2]);
  read_window(a[3], g);
  npy_intp shape[4];
  sizes(x.images.ndim, shape, g.n, g.c, g.oh, g.ow);
  Ref y = new_array(x.images.ndim, shape, true), winners;
  if (a[4] == Py_True) winners = new_array(x.images.ndim, shape, true, NPY_UINT8);
  {
    WithoutLock unlocked;
    kernels.max_pool(g, x.source, data(y), winners.object ? data<uint8_t>(winners) : nullptr);
  }
  return pack({y.object, winners.object});
}

// max_pool_grad(g, winners, h, w, window) -> grad
Ref max_pool_grad(Arguments a) {
  Images grads(a[0]);
  PyArrayObject* winners = as_array(a[1], NPY_UINT8);
  PoolGeometry g{};
  g.n = grads.n, g.c = grads.c, g.oh = grads.h, g.ow = grads.w, g.h = integer(a[2]), g.w = integer(a[3]);
  read_window(a[4], g);
  if (PyArray_SIZE(winners) != grads.pixels() * grads.c) fail(PyExc_ValueError, "the winners have another shape");
  npy_intp shape[4];
  sizes(grads.ndim, shape, g.n, g.c, g.h, g.w);
  Ref grad = new_array(grads.ndim, shape, true);
  {
    WithoutLock unlocked;
    kernels.max_pool_grad(g, grads.x, grads.step, (const uint8_t*)PyArray_DATA(winners), data(grad));
  }
  return grad;
}

// mean_pixels(x) -> (n, c, 1, 1)
Ref mean_pixels(Arguments a) {
  Activations x(a[0]);
  npy_intp shape[4];
  sizes(x.images.ndim, shape, x.images.n, x.images.c, 1, 1);
  Ref y = new_array(x.images.ndim, shape, true);
  {
    WithoutLock unlocked;
    kernels.mean_pixels(x.images.n, x.images.h * x.images.w, x.images.c, x.source, data(y));
  }
  return y;
}

// spread_pixels(g, h, w) -> the gradient of `mean_pixels`, read-only: the pixels of an image share one place
Ref spread_pixels(Arguments a) {
  Images g(a[0]);
  const int64_t h = integer(a[1]), w = integer(a[2]);
  npy_intp shape[4], strides[4];
  sizes(g.ndim, shape, g.n, g.c, 1, 1);
  Ref shares = new_array(g.ndim, shape, true);
  const float share = 1.0f / (float)(h * w);
  for (int64_t image = 0; image < g.n; image++)
    for (int64_t i = 0; i < g.c; i++) data(shares)[image * g.c + i] = g.x[image * g.step + i] * share;
  sizes(g.ndim, shape, g.n, g.c, h, w);
  sizes(g.ndim, strides, g.c * sizeof(float), sizeof(float), 0, 0);
  Ref grad(PyArray_NewFromDescr(&PyArray_Type, PyArray_DescrFromType(NPY_FLOAT), g.ndim, shape, strides, data(shares),
                                NPY_ARRAY_ALIGNED, nullptr));
  if (PyArray_SetBaseObject((PyArrayObject*)grad.object, shares.release()) < 0) throw PythonError();
  return grad;
}

// empty(shape) -> an uninitialised channels-last array
Ref empty(Arguments a) {
  npy_intp shape[4];
  const int ndim = (int)PyTuple_GET_SIZE(a[0]);
  if (ndim < 1 || ndim > 4) fail(PyExc_ValueError, "expected a shape of 1 to 4 dimensions");
  for (int i = 0; i < ndim; i++) shape[i] = integer(PyTuple_GET_ITEM(a[0], i));
  return new_array(ndim, shape, true);
}

#include "module_loss.h"
#include "module_images.h"
#include "module_updates.h"

const struct {
  const char* name;
  const KernelTable* table;
  const ExactTable* exact;
  void (*enter)(KernelTable&) = nullptr;
} TABLES[] = {
#if defined(__x86_64__)
#if defined(TT_HAS_AMX)
    {"amx", &avx512::table, &avx512::exact, amx::enter},
#endif
    {"avx512", &avx512::table, &avx512::exact},
    {"avx2", &avx2::table, &avx2::exact},
#endif
    {"baseline", &baseline::table, &baseline::exact},
};

// Whether the processor has tiles of bf16 numbers and the system lets this process use them, which it asks to be asked.
bool may_use_tiles() {
#if defined(TT_HAS_AMX) && defined(__linux__)
  constexpr int ASK = 0x1023, TILE_DATA = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  unsigned eax, ebx, ecx, edx;
  constexpr unsigned BF16 = 1u << 22, TILES = 1u << 24;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || (edx & (BF16 | TILES)) != (BF16 | TILES)) return false;
  return syscall(SYS_arch_prctl, ASK, TILE_DATA) == 0;
#else
  return false;
#endif
}

bool runs_here(const char* name) {
#if defined(__x86_64__)
  if (!std::strcmp(name, "amx")) return runs_here("avx512") && may_use_tiles();
  if (!std::strcmp(name, "avx512"))
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("fma");
  if (!std::strcmp(name, "avx2")) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
  return true;
}

// use(name): compute with this instruction set from now on
Ref use(Arguments a) {
  const char* name = PyUnicode_AsUTF8(a[0]);
  if (!name) throw PythonError();
  for (const auto& each : TABLES)
    if (!std::strcmp(each.name, name) && runs_here(name)) {
      kernels = *each.table;
      if (each.enter) each.enter(kernels);
      exact_kernels = each.exact;
      Py_INCREF(Py_None);
      return Ref(Py_None);
    }
  fail(PyExc_ValueError, "no such instruction set here");
}

Use choice_of(PyObject* object) {
  if (object == Py_True) return WHERE_FASTER;
  if (object == Py_False) return NEVER;
  if (PyUnicode_Check(object) && PyUnicode_CompareWithASCIIString(object, "always") == 0) return ALWAYS;
  fail(PyExc_ValueError, "expected True, False or 'always'");
}

// use_winograd(choice): True takes Winograd's algorithm where it is faster, False never, "always" wherever it is possible
Ref use_winograd(Arguments a) {
  winograd_use = choice_of(a[0]);
  Py_INCREF(Py_None);
  return Ref(Py_None);
}

// use_tiles(choice): the same for tiles of bf16 numbers, with an instruction set that has them
Ref use_tiles(Arguments a) {
  tiles_use = choice_of(a[0]);
  Py_INCREF(Py_None);
  return Ref(Py_None);
}

// instruction_sets() -> the names of those that this processor has, the widest first
Ref instruction_sets(Arguments) {
  Ref list(PyList_New(0));
  for (const auto& each : TABLES)
    if (runs_here(each.name)) {
      Ref name(PyUnicode_FromString(each.name));
      if (PyList_Append(list.object, name.object) < 0) throw PythonError();
    }
  return list;
}

Ref set_threads(Arguments a) {
  const int count = (int)integer(a[0]);
  WithoutLock unlocked;
  set_num_threads(count);
  Py_INCREF(Py_None);
  return Ref(Py_None);
}

Ref get_threads(Arguments) { return Ref(PyLong_FromLong(num_threads())); }
Ref kept_memory(Arguments) { return Ref(PyLong_FromSize_t(kept_bytes())); }

Ref drop_memory(Arguments) {
  drop_kept_blocks();
  Py_INCREF(Py_None);
  return Ref(Py_None);
}

// One entry of the module: checks the count of arguments and turns C++ exceptions into Python's.
template <Ref (*FUNCTION)(Arguments), int COUNT>
PyObject* entry(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
  if (count != COUNT) {
    PyErr_Format(PyExc_TypeError, "expected %d arguments; got %zd", COUNT, count);
    return nullptr;
  }
  try {
    return FUNCTION(arguments).release();
  } catch (const PythonError&) {
    return nullptr;
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
}

#define ENTRY(name, count) {#name, (PyCFunction)(void (*)(void))entry<name, count>, METH_FASTCALL, nullptr}

PyMethodDef METHODS[] = {
    ENTRY(conv_forward, 5),
    ENTRY(conv_input_grad, 5),
    ENTRY(conv_weight_grad, 4),
    ENTRY(conv_backward, 5),
    ENTRY(apply, 6),
    ENTRY(apply_grad, 1),
    ENTRY(moments, 1),
    ENTRY(grad_sums, 2),
    ENTRY(are_vectors, 5),
    ENTRY(batch_norm_prepare, 9),
    ENTRY(conv_and_prepare, 9),
    ENTRY(batch_norm_grad, 7),
    ENTRY(max_pool, 5),
    ENTRY(max_pool_grad, 5),
    ENTRY(mean_pixels, 1),
    ENTRY(spread_pixels, 3),
    ENTRY(empty, 1),
    ENTRY(sgd, 9),
    ENTRY(adam, 14),
    ENTRY(rmsprop, 12),
    ENTRY(lion, 10),
    ENTRY(square_sums, 1),
    ENTRY(scale, 2),
    ENTRY(resize, 6),
    ENTRY(look_up, 2),
    ENTRY(gather_images, 7),
    ENTRY(pad, 3),
    ENTRY(cross_entropy_forward, 6),
    ENTRY(cross_entropy_backward, 7),
    ENTRY(use, 1),
    ENTRY(use_winograd, 1),
    ENTRY(use_tiles, 1),
    ENTRY(instruction_sets, 0),
    ENTRY(set_threads, 1),
    ENTRY(get_threads, 0),
    ENTRY(kept_memory, 0),
    ENTRY(drop_memory, 0),
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "_native", "Fused float32 kernels for the CPU.", -1, METHODS,
                      nullptr,               nullptr,   nullptr,                             nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__native() {
  import_array();
  return PyModule_Create(&MODULE);
}
