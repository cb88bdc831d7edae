"""How overrides are written: quoting values that Hydra's grammar does not accept."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from dlrun.errors import Mistake

# Their values may be any text (a column "Time (min)", a file "houses (1).csv"), so what Hydra cannot parse is quoted.
LITERAL_KEYS = (
    "data.path",
    "data.path_valid",
    "data.path_test",
    "data.target",
    "data_dir",
    "output_dir",
    "sweep_dir",
    "name",
    "note",
)


def quote_literal(override: str) -> str:
    """Return `data.target=Time (min)` as `data.target='Time (min)'`, and what Hydra's grammar accepts as it is."""
    key, equals, value = override.partition("=")
    if not equals or key.lstrip("+") not in LITERAL_KEYS:
        return override
    try:
        OverridesParser.create().parse_override(override)
        return override
    except HydraException:
        escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
        return f"{key}='{escaped}'"


GRID_LIMIT = 100_000  # settings in a sweep; a longer one is a slip


def settings_of(sweep: Any) -> list[dict[str, str]]:
    """Return the settings of an experiment's `sweep`: a grid {key: [values]}, or a list of settings [{key: value}].

    Raises:
        Mistake: it is neither.
    """
    plain = OmegaConf.to_container(sweep, resolve=True) if OmegaConf.is_config(sweep) else sweep
    if plain is None:
        return []
    if isinstance(plain, dict) and plain and all(isinstance(values, list) and values for values in plain.values()):
        keys = [str(key) for key in plain]
        if math.prod(map(len, plain.values())) > GRID_LIMIT:
            raise Mistake(f"sweep: has more than {GRID_LIMIT:,} settings")
        grid = itertools.product(*plain.values())
        return [dict(zip(keys, map(written, values), strict=True)) for values in grid]
    if isinstance(plain, list) and plain and all(isinstance(one, dict) and one for one in plain):
        return [{str(key): written(value) for key, value in one.items()} for one in plain]
    raise Mistake(
        "sweep: a grid {optimizer.lr: [0.1, 0.01]} or a list of settings [{model: mlp}, {model: cnn}] belongs here"
    )


def written(value: Any) -> str:
    """Return a value as it is written in an override."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, int | float):
        return str(value)
    return str(value) if str(value).replace("_", "").replace("/", "").isalnum() else "'" + _escaped(str(value)) + "'"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
