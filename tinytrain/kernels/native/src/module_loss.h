// What Python sees of the cross-entropy; a part of module.cpp.

bool fits(PyObject* object, int type, int ndim) {
  if (!PyArray_Check(object)) return false;
  PyArrayObject* array = (PyArrayObject*)object;
  return PyArray_TYPE(array) == type && PyArray_NDIM(array) == ndim && PyArray_CHKFLAGS(array, NPY_ARRAY_CARRAY_RO) &&
         !PyArray_ISBYTESWAPPED(array);
}

// Whether `x` is (n, c), `target` (n,) int64 with a class or `ignored` in each place, `weight` (c,) or None.
bool read_cross_entropy(CrossEntropy& e, PyObject* x, PyObject* target, PyObject* weight, PyObject* ignored,
                        PyObject* smoothing) {
  if (!fits(x, NPY_FLOAT, 2) || !fits(target, NPY_INT64, 1) || (weight != Py_None && !fits(weight, NPY_FLOAT, 1))) return false;
  PyArrayObject* scores = (PyArrayObject*)x;
  e.n = PyArray_DIM(scores, 0), e.c = PyArray_DIM(scores, 1);
  if (e.c == 0 || PyArray_DIM((PyArrayObject*)target, 0) != e.n) return false;
  if (weight != Py_None && PyArray_DIM((PyArrayObject*)weight, 0) != e.c) return false;
  e.x = (const float*)PyArray_DATA(scores);
  e.target = (const int64_t*)PyArray_DATA((PyArrayObject*)target);
  e.weight = weight == Py_None ? nullptr : (const float*)PyArray_DATA((PyArrayObject*)weight);
  e.ignored = integer(ignored);
  e.smoothing = number(smoothing);
  for (int64_t i = 0; i < e.n; i++)
    if (e.target[i] != e.ignored && (e.target[i] < 0 || e.target[i] >= e.c)) return false;
  return true;
}

// cross_entropy_forward(x, target, weight or None, ignored, smoothing, "none" | "mean" | "sum")
//   -> (loss, probabilities, what the sum was divided by), or None where an argument is of another kind
Ref cross_entropy_forward(Arguments a) {
  CrossEntropy e;
  if (!read_cross_entropy(e, a[0], a[1], a[2], a[3], a[4])) return none();
  const char* reduction = PyUnicode_AsUTF8(a[5]);
  if (!reduction) throw PythonError();
  const npy_intp shape[2] = {e.n, e.c};
  Ref probabilities = new_array(2, shape, false), losses = new_vector(e.n);
  {
    WithoutLock unlocked;
    exact_kernels->cross_entropy_forward(e, data(probabilities), data(losses));
  }
  Ref divisor(PyFloat_FromDouble(1));
  if (!std::strcmp(reduction, "none")) return pack({losses.object, probabilities.object, divisor.object});
  double total = 0, count = 0;
  for (int64_t i = 0; i < e.n; i++) {
    total += data(losses)[i];
    if (e.target[i] != e.ignored) count += e.weight ? e.weight[e.target[i]] : 1;
  }
  if (!std::strcmp(reduction, "mean")) {
    total /= count;
    divisor = Ref(PyFloat_FromDouble(count));
  }
  Ref loss = new_array(0, nullptr, false);
  *data(loss) = (float)total;
  return pack({loss.object, probabilities.object, divisor.object});
}

// cross_entropy_backward(g, probabilities, target, weight or None, ignored, smoothing, divisor) -> grad
// g is (n,), or one number for all rows; the other arguments are those and the results of cross_entropy_forward.
Ref cross_entropy_backward(Arguments a) {
  CrossEntropy e;
  if (!read_cross_entropy(e, a[1], a[2], a[3], a[4], a[5])) fail(PyExc_ValueError, "these were not the forward's arguments");
  const float* g;
  float one = 0;
  const bool each = fits(a[0], NPY_FLOAT, 1) && PyArray_DIM((PyArrayObject*)a[0], 0) == e.n;
  if (each) {
    g = (const float*)PyArray_DATA((PyArrayObject*)a[0]);
  } else {
    one = number(a[0]) / number(a[6]);
    g = &one;
  }
  const npy_intp shape[2] = {e.n, e.c};
  Ref grad = new_array(2, shape, false);
  {
    WithoutLock unlocked;
    exact_kernels->cross_entropy_backward(e, e.x, g, each, data(grad));
  }
  return grad;
}
