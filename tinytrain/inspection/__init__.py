"""What a network costs: parameters, multiply-adds, shapes; and where the time of a training step goes."""

from tinytrain.inspection.clock import LayerClock
from tinytrain.inspection.cost import LayerCost, count_macs, count_parameters, layer_costs, run_once
from tinytrain.inspection.profile import LayerTime, Profile, profile_of

__all__ = [
    "LayerClock",
    "LayerCost",
    "LayerTime",
    "Profile",
    "count_macs",
    "count_parameters",
    "layer_costs",
    "profile_of",
    "run_once",
]
