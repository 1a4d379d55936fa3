"""Parts of a network that do not learn, for the whole training or up to an epoch."""

from __future__ import annotations

from collections.abc import Sequence

from tinytrain import nn
from tinytrain.errors import ConfigError
from tinytrain.training.names import check_prefixes, lies_under


class Freezing:
    """Keeps what lies under some names as it is: parameters, and the running statistics of normalisation.

    Frozen modules stay in evaluation mode, so that they compute what they did where they come from.

    Args:
        model: the network; its parameters require gradients where the optimizer changes them.
        prefixes: beginnings of the names of modules or parameters.
        until_epoch: the epoch, from 0, at which all of them begin to learn; None: never.

    Raises:
        ConfigError: a prefix fits no parameter, or nothing is left to learn.
    """

    def __init__(self, model: nn.Module, prefixes: Sequence[str], *, until_epoch: int | None = None):
        check_prefixes(model, prefixes)
        self.until_epoch = until_epoch
        # What does not learn anyway, as it is in no group of the optimizer, is not to begin when the others do.
        learning = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self._parameters = [p for name, p in learning if lies_under(name, prefixes)]
        if until_epoch != 0 and len(self._parameters) == len(learning):
            raise ConfigError("every parameter is frozen, nothing is left to learn", remedy="Leave the head out")
        self._modules = [module for name, module in model.named_modules() if lies_under(name, prefixes)]

    def apply(self, epoch: int) -> None:
        """Freeze or thaw for an epoch, from 0; the model is in training mode already."""
        is_frozen = self.until_epoch is None or epoch < self.until_epoch
        for parameter in self._parameters:
            parameter.requires_grad_(not is_frozen)
        for module in self._modules:
            module.train(not is_frozen)

    def is_for_good(self, module: nn.Module) -> bool:
        """Return whether a module stays in evaluation mode to the end of the training."""
        return self.until_epoch is None and any(module is each for each in self._modules)
