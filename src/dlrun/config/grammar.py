"""How overrides are written: quoting values that Hydra's grammar does not accept."""

from __future__ import annotations

import re

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

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
    """`data.target=Time (min)` as `data.target='Time (min)'`; anything that Hydra's grammar accepts stays as it is."""
    key, equals, value = override.partition("=")
    if not equals or key.lstrip("+") not in LITERAL_KEYS:
        return override
    try:
        OverridesParser.create().parse_override(override)
        return override
    except HydraException:
        escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
        return f"{key}='{escaped}'"
