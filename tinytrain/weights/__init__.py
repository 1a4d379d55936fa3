"""Reading and writing weights."""

from tinytrain.weights.bundle import Bundle, load_bundle, read_safetensors, save_bundle, weights_sha256

__all__ = ["Bundle", "load_bundle", "read_safetensors", "save_bundle", "weights_sha256"]
