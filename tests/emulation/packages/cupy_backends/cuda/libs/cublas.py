"""cuBLAS: the stand-in computes with NumPy."""
