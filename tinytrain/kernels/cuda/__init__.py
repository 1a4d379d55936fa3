"""CUDA C++ and library calls for CuPy arrays."""
