"""What a network costs: parameters, multiply-adds, shapes."""

from tinytrain.inspection.cost import LayerCost, count_macs, count_parameters, layer_costs

__all__ = ["LayerCost", "count_macs", "count_parameters", "layer_costs"]
