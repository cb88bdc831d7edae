"""The command line that a run folder holds, as far as it may be trusted."""

from __future__ import annotations

import re

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from dlrun.config import quote_literal
from dlrun.errors import Mistake
from dlrun.folder import RunFolder

NEVER_FROM_A_FOLDER = ("allow_targets", "output_dir")


def _chooses(override: Override) -> bool:
    """Whether `data=…` names data sets, one or, in a sweep, several."""
    value = override.value()
    named = list(override.sweep_string_iterator()) if override.is_sweep_override() else [value]
    return all(isinstance(name, str) for name in named) and not isinstance(value, dict)


def stored_overrides(folder: RunFolder) -> list[str]:
    """The overrides of the run, without those that only the person at the shell may give.

    Raises:
        Mistake: overrides.yaml is no list of overrides, or wants to change Hydra itself or what is downloaded.
    """
    where = folder.path / "overrides.yaml"
    stored = folder.read_yaml("overrides.yaml")
    if not isinstance(stored, list) or not all(isinstance(override, str) for override in stored):
        raise Mistake(f"{where}: is damaged (no list of overrides)")
    kept = []
    for override in stored:
        try:
            parsed = OverridesParser.create().parse_override(quote_literal(override))
        except HydraException as error:
            raise Mistake(f"{where}: is damaged ('{override}' is no override)") from error
        key = parsed.key_or_group
        first = re.split(r"[./@\[]", key)[0]
        downloads = key.startswith("data.file") or (key == "data" and not _chooses(parsed))
        if first == "hydra" or downloads:
            raise Mistake(f"{where}: {override} may not come from a run folder")
        if first not in NEVER_FROM_A_FOLDER:
            kept.append(override)
    return kept
