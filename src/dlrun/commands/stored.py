"""The command line that a run folder holds, as far as it may be trusted."""

from __future__ import annotations

import re

from dlrun.errors import Mistake
from dlrun.folder import RunFolder

NEVER_FROM_A_FOLDER = ("allow_targets", "output_dir")


def stored_overrides(folder: RunFolder) -> list[str]:
    """The overrides of the run, without those that only the person at the shell may give.

    Raises:
        Mistake: overrides.yaml is no list of overrides, or wants to change Hydra itself or what is downloaded.
    """
    stored = folder.read_yaml("overrides.yaml")
    if not isinstance(stored, list) or not all(isinstance(override, str) for override in stored):
        raise Mistake(f"{folder.path / 'overrides.yaml'}: is damaged (no list of overrides)")
    keys = [override.partition("=")[0].lstrip("+~") for override in stored]
    for key in keys:
        if re.split(r"[./@]", key)[0] == "hydra" or key.startswith(("data.file", "data={", "data.url")):
            raise Mistake(f"{folder.path / 'overrides.yaml'}: {key} may not come from a run folder")
    return [override for key, override in zip(keys, stored, strict=True) if key not in NEVER_FROM_A_FOLDER]
