// What Python sees of the kernels for images; a part of module.cpp.

// Arrow's C data interface, as far as it is read here.
struct ArrowArray {
  int64_t length, null_count, offset, n_buffers, n_children;
  const void** buffers;
  ArrowArray** children;
  ArrowArray* dictionary;
  void (*release)(ArrowArray*);
  void* private_data;
};

// `(a, b, ...)` of `count` integers.
template <int COUNT>
void read_integers(PyObject* object, int64_t (&to)[COUNT]) {
  if (!PyTuple_Check(object) || PyTuple_GET_SIZE(object) != COUNT) fail(PyExc_ValueError, "expected a tuple of integers");
  for (int i = 0; i < COUNT; i++) to[i] = integer(PyTuple_GET_ITEM(object, i));
}

// resize(arrow_array, (width, height, channels), box, (full height, full width), window, (filter, mirrored, columns first))
//   -> (rows, columns, channels) uint8
// The capsule is that of a Pillow image of 1 channel, or of 3 in 4 bytes a pixel; box and window are (top, left, height,
// width), of the image and of the whole result.
Ref resize(Arguments a) {
  ArrowArray* arrow = (ArrowArray*)PyCapsule_GetPointer(a[0], "arrow_array");
  if (!arrow) throw PythonError();
  int64_t image[3], box[4], full[2], window[4], way[3];
  read_integers(a[1], image), read_integers(a[2], box), read_integers(a[3], full), read_integers(a[4], window);
  read_integers(a[5], way);
  auto inside = [](const int64_t* part, int64_t height, int64_t width) {
    return part[0] >= 0 && part[1] >= 0 && part[2] > 0 && part[3] > 0 && part[0] + part[2] <= height &&
           part[1] + part[3] <= width;
  };
  const int64_t count = image[0] * image[1];
  const bool grey = image[2] == 1;
  if ((!grey && image[2] != 3) || way[0] < FILTER_LANCZOS || way[0] > FILTER_HAMMING || full[0] > 1 << 20 || full[1] > 1 << 20 ||
      !inside(box, image[1], image[0]) || !inside(window, full[0], full[1]))
    fail(PyExc_ValueError, "a box, a window or a filter is out of range");
  const ArrowArray* values = grey ? arrow : arrow->n_children == 1 ? arrow->children[0] : nullptr;
  if (!values || arrow->length != count || values->length != (grey ? count : 4 * count) || values->n_buffers != 2 ||
      arrow->offset || values->offset || !values->buffers[1])
    fail(PyExc_ValueError, "the memory is not that of such an image");
  const Resizing r{(const uint8_t*)values->buffers[1], image[0], (int)image[2], box[0], box[1], box[2], box[3],
                   full[0], full[1], window[0], window[1], window[2], window[3], (int)way[0], way[1] != 0, way[2] != 0};
  const npy_intp shape[3] = {window[2], window[3], image[2]};
  Ref result = new_array(3, shape, false, NPY_UINT8);
  {
    WithoutLock unlocked;
    exact_kernels->resize(r, data<uint8_t>(result));
  }
  return result;
}

// look_up(values, tables) -> float32 of the shape and memory order of the values
// values are (n, c, h, w) uint8, channels-last without gaps; tables (c, 256). None where the memory lies otherwise.
Ref look_up(Arguments a) {
  PyArrayObject *values = as_array(a[0], NPY_UINT8), *tables = as_array(a[1]);
  if (PyArray_NDIM(values) != 4 || !fits(a[1], NPY_FLOAT, 2)) fail(PyExc_ValueError, "expected (n, c, h, w) and tables");
  const npy_intp *shape = PyArray_DIMS(values), *strides = PyArray_STRIDES(values);
  const npy_intp n = shape[0], c = shape[1], h = shape[2], w = shape[3];
  if (PyArray_DIM(tables, 0) != c || PyArray_DIM(tables, 1) != 256) fail(PyExc_ValueError, "expected a table for each channel");
  if ((c > 1 && strides[1] != 1) || (w > 1 && strides[3] != c) || (h > 1 && strides[2] != w * c) ||
      (n > 1 && strides[0] != h * w * c))
    return none();
  Ref result = new_array(4, shape, true);
  {
    WithoutLock unlocked;
    exact_kernels->look_up((const uint8_t*)PyArray_DATA(values), n * h * w, c, (const float*)PyArray_DATA(tables), data(result));
  }
  return result;
}

// A contiguous array (count, width) of 32-bit integers.
const int32_t* int32_rows(PyObject* object, npy_intp count, npy_intp width) {
  PyArrayObject* array = as_array(object, NPY_INT32);
  if (PyArray_NDIM(array) != 2 || PyArray_DIM(array, 0) != count || PyArray_DIM(array, 1) != width ||
      !PyArray_IS_C_CONTIGUOUS(array))
    fail(PyExc_ValueError, "expected a contiguous array of rows of integers");
  return (const int32_t*)PyArray_DATA(array);
}

// gather_images(images, places, size, border, table, boxes, erased) -> (n, c, oh, ow) float32, channels-last
// images (m, h, w, c) uint8 and table (c, 257) without gaps; places (n, 4) int32; size (oh, ow); border a number of `Border`;
// boxes (n, 4) int32 or None, erased (c,) or None.
Ref gather_images(Arguments a) {
  PyArrayObject *images = as_array(a[0], NPY_UINT8), *places = as_array(a[1], NPY_INT32), *table = as_array(a[4]);
  if (PyArray_NDIM(images) != 4 || !PyArray_IS_C_CONTIGUOUS(images) || PyArray_NDIM(places) != 2)
    fail(PyExc_ValueError, "expected contiguous images (m, h, w, c) and places (n, 4)");
  int64_t size[2];
  read_integers(a[2], size);
  const npy_intp* shape = PyArray_DIMS(images);
  const npy_intp m = shape[0], h = shape[1], w = shape[2], c = shape[3], n = PyArray_DIM(places, 0);
  if (size[0] < 0 || size[1] < 0 || h < 1 || w < 1) fail(PyExc_ValueError, "a size is out of range");
  Gathering g{(const uint8_t*)PyArray_DATA(images), h, w, c, int32_rows(a[1], n, 4), n, size[0], size[1], (int)integer(a[3])};
  g.table = vector_or_none((PyObject*)table, c * 257);
  g.boxes = a[5] == Py_None ? nullptr : int32_rows(a[5], n, 4);
  g.erased = vector_or_none(a[6], c);
  if (g.boxes && !g.erased) fail(PyExc_ValueError, "boxes need values to be overwritten with");
  for (npy_intp i = 0; i < n; i++)
    if (g.places[4 * i] < 0 || g.places[4 * i] >= m) fail(PyExc_IndexError, "there is no such image");
  const npy_intp result_shape[4] = {n, c, size[0], size[1]};
  Ref result = new_array(4, result_shape, true);
  g.to = data(result);
  {
    WithoutLock unlocked;
    exact_kernels->gather_images(g);
  }
  return result;
}

// pad(x, (before and after the channels, the rows and the columns), value) -> (n, c, h, w), channels-last; negative numbers cut
Ref pad(Arguments a) {
  Images x(a[0]);
  int64_t ends[6];
  read_integers(a[1], ends);
  if (x.ndim != 4 || x.step != x.c) fail(PyExc_ValueError, "expected (n, c, h, w) without gaps");
  Padding p{x.x, x.n, {x.c, ends[0], ends[1]}, {x.h, ends[2], ends[3]}, {x.w, ends[4], ends[5]}, number(a[2])};
  for (const Ends& each : {p.c, p.h, p.w})
    if (std::max<int64_t>(-each.before, 0) + std::max<int64_t>(-each.after, 0) > each.given)
      fail(PyExc_ValueError, "more is taken away than is given");
  const npy_intp shape[4] = {p.n, p.c.size(), p.h.size(), p.w.size()};
  Ref result = new_array(4, shape, true);
  p.to = data(result);
  {
    WithoutLock unlocked;
    exact_kernels->pad(p);
  }
  return result;
}
