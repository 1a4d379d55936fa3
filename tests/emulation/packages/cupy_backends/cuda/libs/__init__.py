"""Part of the stand-in for CuPy: its bindings of CUDA's libraries."""
