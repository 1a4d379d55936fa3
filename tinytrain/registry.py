"""Tables from the names people write in a config to the things that build what they mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from tinytrain.errors import ConfigError, did_you_mean

Builder = TypeVar("Builder", bound=Callable[..., Any])


class Registry(Mapping[str, Builder], Generic[Builder]):
    """A read-only mapping from name to builder that knows what its entries are called.

    Args:
        kind: what an entry is, in the singular, for messages: `model`, `optimizer`.
    """

    def __init__(self, kind: str):
        self.kind = kind
        self._builders: dict[str, Builder] = {}

    def register(self, name: str | None = None) -> Callable[[Builder], Builder]:
        """Return a decorator that enters a builder under `name`, by default the builder's own name."""

        def enter(builder: Builder) -> Builder:
            key = name or builder.__name__
            if key in self._builders:
                raise ValueError(f"two {self.kind}s are called {key!r}")
            self._builders[key] = builder
            return builder

        return enter

    def find(self, name: str) -> Builder:
        """Return the builder called `name`.

        Raises:
            ConfigError: there is none; the message offers the closest name and lists them all.
        """
        if name not in self._builders:
            known = sorted(self._builders)
            raise ConfigError(
                f"there is no {self.kind} called {name!r}{did_you_mean(name, known)}",
                remedy=f"Known: {', '.join(known)}",
            )
        return self._builders[name]

    def __getitem__(self, name: str) -> Builder:
        return self._builders[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._builders)

    def __len__(self) -> int:
        return len(self._builders)
