"""`dlrun [overrides]`: one run, or the parts of one (its sweep, learning curve, folds, repeats)."""

from __future__ import annotations

from dlrun.config.compose import compose
from dlrun.runs.recipe import Run, read_recipe
from dlrun.runs.run import run as run_recipe
from dlrun.sweeps.plan import check_alone, check_plan, has_parts


def run(overrides: list[str], config_dir: str | None = None) -> Run | None:
    """Train and evaluate what the overrides describe.

    Args:
        overrides: as typed (`model=cnn`).
        config_dir: a folder with the user's own groups, or None.

    Returns:
        The run, or the whole of its parts; None under `dry_run=true`.

    Raises:
        Mistake: anything in the config or the data that cannot be.
    """
    composed = compose(overrides, config_dir)
    check_plan(composed.config)
    check_alone(composed.config)
    if not has_parts(composed.config):
        return run_recipe(read_recipe(composed))
    from dlrun.sweeps.sweep import run_parts

    return run_parts(composed, config_dir)
