"""`dlrun [overrides]`: one run, or the parts of one (its sweep, learning curve, folds, repeats)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dlrun.config.compose import compose
from dlrun.errors import Mistake
from dlrun.runs.recipe import Run, read_recipe
from dlrun.runs.run import run as run_recipe
from dlrun.sweeps.plan import check_alone, check_plan, has_parts

if TYPE_CHECKING:
    import pandas as pd

SERIAL = "dlrun.sweeps.launchers.local.Serial"


def run(
    overrides: list[str],
    config_dir: str | None = None,
    frame: pd.DataFrame | None = None,
    target: str | Sequence[str] | None = None,
) -> Run | None:
    """Train and evaluate what the overrides describe.

    Args:
        overrides: as typed (`model=cnn`).
        config_dir: a folder with the user's own groups, or None.
        frame: the rows, in place of a data set (`data=frame`).
        target: the column of `frame` to predict, or several; None: `data.target` among the overrides says so.

    Returns:
        The run, or the whole of its parts; None under `dry_run=true`.

    Raises:
        Mistake: anything in the config or the data that cannot be.
    """
    if frame is not None or target is not None:
        return _run_on(frame, target, overrides, config_dir)
    return _run(overrides, config_dir)


def _run(overrides: list[str], config_dir: str | None, in_this_process: bool = False) -> Run | None:
    composed = compose(overrides, config_dir)
    check_plan(composed.config)
    check_alone(composed.config)
    if in_this_process and composed.config.launcher.get("_target_") != SERIAL and has_parts(composed.config):
        raise Mistake("launcher: a DataFrame stays in this process; use launcher=serial, or a file (data=csv)")
    if not has_parts(composed.config):
        return run_recipe(read_recipe(composed))
    from dlrun.sweeps.sweep import run_parts

    return run_parts(composed, config_dir)


def _run_on(
    frame: pd.DataFrame | None, target: str | Sequence[str] | None, overrides: list[str], config_dir: str | None
) -> Run | None:
    """Run on a DataFrame; what is decoded of it is forgotten afterwards."""
    import pandas as pd

    from dlrun.data.sources.tabular import supplied
    from dlrun.sweeps.launchers.base import forget_sources

    if not isinstance(frame, pd.DataFrame):
        raise Mistake(
            f"run: data is a {type(frame).__name__}; a DataFrame of pandas belongs there (target goes with it)"
        )
    for key in ("data", "data.target") if target is not None else ("data",):
        if any(override.lstrip("+~").partition("=")[0] == key for override in overrides):
            raise Mistake(f"{key}: is given twice, as an override and as an argument; leave one out")
    named = [] if target is None else [f"data.target={_quoted(target)}"]
    try:
        with supplied(frame):
            return _run(["data=frame", *named, *overrides], config_dir, in_this_process=True)
    finally:
        forget_sources()


def _quoted(name: object) -> str:
    """Return a column's name, or a list of them, in Hydra's grammar, whatever characters it has."""
    if isinstance(name, list | tuple):
        return f"[{','.join(map(_quoted, name))}]"
    return "'" + re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + ("\\'" if match[2] else ""), str(name)) + "'"
