"""The command line that a run folder holds, as far as it may be trusted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from dlrun.config.grammar import quote_literal, settings_of
from dlrun.config.schema import key_of
from dlrun.errors import Mistake
from dlrun.store.folder import OVERRIDES, RunFolder

PATHS = ("path", "path_valid", "path_test", "labels")  # keys of `data`: files and folders


def trusted_overrides(folder: RunFolder) -> list[str]:
    """Return the overrides of the run, without those that only the person at the shell may give.

    Relative paths of data are looked for in the current folder, and then in the one where the run was started.

    Raises:
        Mistake: overrides.yaml is no list of overrides, or wants to change Hydra itself or what is downloaded.
    """
    where = folder.path / OVERRIDES
    kept = [override for override in folder.overrides() if _may_come_from_a_folder(override, where)]
    return _from_where_it_was_started(kept, folder)


def _from_where_it_was_started(overrides: list[str], folder: RunFolder) -> list[str]:
    started_in = folder.started_in
    if started_in is None or started_in == Path.cwd():
        return overrides
    parsed = OverridesParser.create().parse_overrides([quote_literal(override) for override in overrides])
    named = {one.key_or_group: one.value() for one in parsed}
    if "data_dir" not in named:
        return [*overrides, f"data_dir={started_in}"] if _has_data_in(folder, started_in) else overrides
    place = named["data_dir"]  # null, or a sweep's: as it stands
    if not isinstance(place, str) or Path(place).expanduser().is_absolute():
        return overrides
    return [*overrides, f"data_dir={started_in / place}"]


def _has_data_in(folder: RunFolder, started_in: Path) -> bool:
    """Return whether a path of data in the config, typed or an experiment's, leads somewhere from `started_in`."""
    of_data = folder.config().get("data")
    paths = [of_data.get(name) for name in PATHS] if isinstance(of_data, dict) else []
    return any(isinstance(path, str) and (started_in / path).exists() for path in paths)


def _may_come_from_a_folder(text: str, where: Path) -> bool:
    """Return whether an override is kept; False for what is the business of the person at the shell.

    Raises:
        Mistake: it is none, or wants to change what only that person may change.
    """
    try:
        parsed = OverridesParser.create().parse_override(quote_literal(text))
    except HydraException as error:
        raise Mistake(f"{where}: is damaged ('{text}' is no override)") from error
    key = parsed.key_or_group
    first, _, rest = key.partition(".")
    first = re.split(r"[/@\[]", first)[0]
    what = key_of(f"{first}.{rest}" if rest else first).from_folder
    refused = what == "refused" or (key == "data" and not _chooses(parsed))
    if first == "sweeper" and rest:
        refused |= not rest.isidentifier() or rest.startswith("_")  # its settings are plain values, its class is not
    if (first == "sweep" and rest) or (key == "sweeper" and isinstance(parsed.value(), dict)):
        refused = True
    if refused:
        raise Mistake(f"{where}: {text} may not come from a run folder")
    inner = settings_of(parsed.value()) if key == "sweep" else _spaces(parsed) if key == "sweeper.space" else []
    for name, value in (pair for settings in inner if isinstance(settings, dict) for pair in settings.items()):
        if not _may_come_from_a_folder(f"{name}={value}", where) or str(name).lstrip("+~").startswith("sweep"):
            raise Mistake(f"{where}: {name} may not come from a run folder")
    return what == "kept"


def _spaces(override: Override) -> list[Any]:
    """Return the space, or each of the spaces, that `sweeper.space` names."""
    value = override.value()
    return value if isinstance(value, list) else [value]


def _chooses(override: Override) -> bool:
    """Return whether `data=…` names data sets, one or, in a sweep, several."""
    value = override.value()
    named = list(override.sweep_string_iterator()) if override.is_sweep_override() else [value]
    return all(isinstance(name, str) for name in named) and not isinstance(value, dict)
