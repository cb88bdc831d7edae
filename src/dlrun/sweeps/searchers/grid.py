"""Every combination."""

from __future__ import annotations

from dataclasses import dataclass

from dlrun.sweeps.searchers.base import Searcher

TARGET = "dlrun.sweeps.searchers.grid.Grid"  # as configs/sweeper/grid.yaml names it


@dataclass
class Grid(Searcher):
    """Every combination of the values on the command line: Hydra's own sweep, which proposes nothing."""
