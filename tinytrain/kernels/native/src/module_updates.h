// What Python sees of the update rules; a part of module.cpp.
//
// `params`, `grads` and the rules' states are lists, one entry a parameter, None in place of a list that a rule goes without.
// Each function returns the positions of the parameters that it left alone, because an array of theirs is missing or is not
// contiguous float32 memory; None where there are no such.

// The memory of a contiguous float32 array, nullptr for anything else.
float* floats_or_null(PyObject* object, bool writes) {
  if (!PyArray_Check(object)) return nullptr;
  PyArrayObject* array = (PyArrayObject*)object;
  const int flags = writes ? NPY_ARRAY_CARRAY : NPY_ARRAY_CARRAY_RO;
  if (PyArray_TYPE(array) != NPY_FLOAT || !PyArray_CHKFLAGS(array, flags) || PyArray_ISBYTESWAPPED(array)) return nullptr;
  return (float*)PyArray_DATA(array);
}

struct ParameterLists {
  std::vector<Parameter> taken;
  Ref left;  // a list, once there is something to put into it

  ParameterLists(PyObject* params, PyObject* grads, std::initializer_list<PyObject*> states) {
    for (PyObject* list : {params, grads})
      if (!PyList_Check(list)) fail(PyExc_TypeError, "expected a list of arrays");
    const Py_ssize_t count = PyList_GET_SIZE(params);
    for (PyObject* list : states)
      if (list != Py_None && (!PyList_Check(list) || PyList_GET_SIZE(list) != count))
        fail(PyExc_ValueError, "expected as many states as parameters");
    if (PyList_GET_SIZE(grads) != count) fail(PyExc_ValueError, "expected as many gradients as parameters");
    taken.reserve(count);
    int64_t first = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
      Parameter p;
      if (read(p, PyList_GET_ITEM(params, i), PyList_GET_ITEM(grads, i), states, i)) {
        p.first = first;
        first += p.size;
        taken.push_back(p);
        continue;
      }
      if (!left.object) left = Ref(PyList_New(0));
      Ref position(PyLong_FromSsize_t(i));
      if (PyList_Append(left.object, position.object) < 0) throw PythonError();
    }
  }

  Parameters parameters() const { return {taken.data(), (int64_t)taken.size()}; }

  Ref positions_left() { return left.object ? std::move(left) : none(); }

 private:
  static bool read(Parameter& p, PyObject* w, PyObject* g, std::initializer_list<PyObject*> states, Py_ssize_t position) {
    p.w = floats_or_null(w, true);
    p.g = floats_or_null(g, false);
    if (!p.w || !p.g) return false;
    p.size = PyArray_SIZE((PyArrayObject*)w);
    if (PyArray_SIZE((PyArrayObject*)g) != p.size) return false;
    int place = 0;
    for (PyObject* list : states) {
      float*& state = p.state[place++];
      if (list == Py_None) continue;
      PyObject* array = PyList_GET_ITEM(list, position);
      state = floats_or_null(array, true);
      if (!state || PyArray_SIZE((PyArrayObject*)array) != p.size) return false;
    }
    return true;
  }
};

// sgd(params, grads, velocities or None, lr, momentum, keep, decay, nesterov, maximize)
Ref sgd(Arguments a) {
  ParameterLists lists(a[0], a[1], {a[2]});
  const Sgd options{number(a[3]), number(a[4]), number(a[5]), number(a[6]), a[7] == Py_True, a[8] == Py_True};
  {
    WithoutLock unlocked;
    exact_kernels->sgd(lists.parameters(), options);
  }
  return lists.positions_left();
}

// adam(params, grads, means, squares, largest squares or None, rate, root, mean_keep, square_fade, square_keep, eps, decay,
// shrink, maximize)
Ref adam(Arguments a) {
  ParameterLists lists(a[0], a[1], {a[2], a[3], a[4]});
  if (a[2] == Py_None || a[3] == Py_None) fail(PyExc_TypeError, "expected lists of means and squares");
  const Adam options{number(a[5]),  number(a[6]),  number(a[7]),  number(a[8]),     number(a[9]),
                     number(a[10]), number(a[11]), number(a[12]), a[13] == Py_True};
  {
    WithoutLock unlocked;
    exact_kernels->adam(lists.parameters(), options);
  }
  return lists.positions_left();
}

// rmsprop(params, grads, squares, means or None, velocities or None, lr, fade, keep, eps, decay, momentum, maximize)
Ref rmsprop(Arguments a) {
  ParameterLists lists(a[0], a[1], {a[2], a[3], a[4]});
  if (a[2] == Py_None) fail(PyExc_TypeError, "expected a list of squares");
  const RmsProp options{number(a[5]), number(a[6]), number(a[7]), number(a[8]), number(a[9]), number(a[10]), a[11] == Py_True};
  {
    WithoutLock unlocked;
    exact_kernels->rmsprop(lists.parameters(), options);
  }
  return lists.positions_left();
}

// lion(params, grads, means, lr, fade_now, keep_now, fade, keep, shrink, maximize)
Ref lion(Arguments a) {
  ParameterLists lists(a[0], a[1], {a[2]});
  if (a[2] == Py_None) fail(PyExc_TypeError, "expected a list of means");
  const Lion options{number(a[3]), number(a[4]), number(a[5]), number(a[6]), number(a[7]), number(a[8]), a[9] == Py_True};
  {
    WithoutLock unlocked;
    exact_kernels->lion(lists.parameters(), options);
  }
  return lists.positions_left();
}

// square_sums(arrays) -> a list of the sums of their squares, or None where one is not contiguous float32 memory
Ref square_sums(Arguments a) {
  ParameterLists lists(a[0], a[0], {});
  if (lists.left.object) return none();
  std::vector<double> sums(lists.taken.size());
  {
    WithoutLock unlocked;
    exact_kernels->square_sums(lists.parameters(), sums.data());
  }
  Ref list(PyList_New(sums.size()));
  for (size_t i = 0; i < sums.size(); i++) PyList_SET_ITEM(list.object, i, Ref(PyFloat_FromDouble(sums[i])).release());
  return list;
}

// scale(arrays, factor): multiply what is contiguous float32 memory; returns the positions of the others, or None
Ref scale(Arguments a) {
  ParameterLists lists(a[0], a[0], {});
  const float factor = number(a[1]);
  {
    WithoutLock unlocked;
    exact_kernels->scale(lists.parameters(), factor);
  }
  return lists.positions_left();
}
