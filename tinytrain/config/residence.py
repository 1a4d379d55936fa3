"""Whether the images of a config lie in the memory of its device."""

from __future__ import annotations

from typing import Any

from tinytrain.config.problems import config_error
from tinytrain.config.schema import Config
from tinytrain.datasets.residence import DecodedFiles, make_resident, num_bytes, whole_batch_problem
from tinytrain.device import device as Device
from tinytrain.device import memory_of

AUTO_SHARE = 0.25
"""Of the device's memory that images may take where nobody asked for it."""


class Residence:
    """Puts the sets of a config where `data.resident` has them.

    Args:
        config: resolved.
        device: that the network learns on.
    """

    def __init__(self, config: Config, device: Device):
        self._config, self._device = config, device
        self._decoded: dict[int, DecodedFiles] = {}

    def place(self, dataset: Any, *, must: bool) -> Any | None:
        """Return a set of the same samples whose images lie on the device, None where they are not to.

        Args:
            dataset: with its transform.
            must: whether it is an error that they cannot where `data.resident` is true; else they then do not.

        Raises:
            ConfigError: they are to, and cannot.
            DataError: files that are to stay in memory are damaged, or not of one size.
        """
        wanted = self._config.data.resident
        if wanted is False or (wanted == "auto" and not self._pays(dataset)):
            return None
        problem = whole_batch_problem(dataset)
        if problem is None:
            return make_resident(dataset, self._device, self._decoded)
        if wanted == "auto" or not must:
            return None
        raise config_error(
            f"batches cannot be made where the images lie: {problem}",
            ("data", "resident"),
            self._config.origins,
            remedy="Set it to auto, or leave such steps out of transforms",
        )

    def _pays(self, dataset: Any) -> bool:
        """Return whether nobody needs to ask for it: on a GPU, where the images lie in memory already and are small."""
        size = num_bytes(dataset)
        return self._device.type == "cuda" and size is not None and size <= AUTO_SHARE * memory_of(self._device)
