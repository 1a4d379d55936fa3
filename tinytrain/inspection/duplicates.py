"""Images that are there more than once, by their pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from tinytrain.inspection.split_survey import SplitSurvey


@dataclass(frozen=True)
class Copies:
    """The places of one image.

    Attributes:
        places: (split, name, class index) of each, at least two.
    """

    places: tuple[tuple[str, str, int], ...]

    @property
    def splits(self) -> list[str]:
        """The splits that have it, in the order of the places."""
        return list(dict.fromkeys(split for split, _, _ in self.places))

    @property
    def is_contradictory(self) -> bool:
        """Whether it stands for several classes."""
        return len({label for _, _, label in self.places}) > 1


def find_copies(surveys: Mapping[str, SplitSurvey]) -> list[Copies]:
    """Return the images that occur more than once, in one split or several, in the order of their first places."""
    places: defaultdict[bytes, list[tuple[str, str, int]]] = defaultdict(list)
    for split, survey in surveys.items():
        for position, fingerprint in survey.fingerprints.items():
            places[fingerprint].append((split, survey.names[position], int(survey.labels[position])))
    return [Copies(tuple(found)) for found in places.values() if len(found) > 1]
