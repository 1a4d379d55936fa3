"""What `train --profile` does before it trains: it times the layers."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

from tinytrain.cli.output import print_table

if TYPE_CHECKING:
    from tinytrain.inspection import Profile
    from tinytrain.training import Experiment, RunFolder

_NUMBERS = range(2, 7)  # the columns of the table that hold numbers


def profile_in_folder(experiment: Experiment, folder: RunFolder) -> Profile:
    """Time the layers over some steps, leave table and trace in the run folder, and show the table on stderr.

    Args:
        experiment: is changed by the steps; another one is to be trained.
        folder: gets `profile.txt`, and `profile.json` in Chrome's trace format.
    """
    from tinytrain.training import profile_training

    profile = profile_training(experiment)
    text = io.StringIO()
    text.write(
        f"{len(profile.steps)} steps of {profile.images:g} images: {profile.step_ms:.2f} ms a step with every layer "
        f"computed by itself, {profile.unwatched_ms:.2f} ms when nobody looks\n"
    )
    print_table(list(profile.rows()), right=_NUMBERS, file=text)
    folder.write_text("profile.txt", text.getvalue())
    folder.write_text("profile.json", json.dumps(profile.to_trace(), allow_nan=False) + "\n")
    sys.stderr.write(text.getvalue())
    return profile
