"""Every combination."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Grid:
    """Every combination of the values on the command line."""
