"""Reading, matching and writing weights."""

from tinytrain.weights.bundle import Bundle, description_in, load_bundle, save_bundle, weights_sha256
from tinytrain.weights.matching import Matching, Row, load_weights, match_weights
from tinytrain.weights.reading import WeightsFile, describe, read_weights

__all__ = [
    "Bundle",
    "load_bundle",
    "save_bundle",
    "description_in",
    "weights_sha256",
    "WeightsFile",
    "describe",
    "read_weights",
    "Matching",
    "Row",
    "load_weights",
    "match_weights",
]
