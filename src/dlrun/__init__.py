"""dlrun: a command-line experiment runner for deep learning.

From Python, `dlrun.run("model=cnn", "data=mnist")` does what the command does, and `dlrun.load(folder).predict(rows)`
puts a finished run to use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from dlrun.fitted import Trained
    from dlrun.runs.recipe import Run

__version__ = "0.2.0"


def run(*overrides: str) -> Run:
    """Train and evaluate, as `dlrun <overrides>` does on the command line.

    Returns:
        The run: its folder, what `metrics.json` holds, and the exit code; None under `dry_run=true`.

    Raises:
        dlrun.errors.Mistake: anything in the config or the data that cannot be, in one line.
    """
    from dlrun.config.compose import compose
    from dlrun.runs import run as one_run
    from dlrun.sweeps.plan import check_plan, has_parts

    job = one_run.Job(*compose(list(overrides)), list(overrides))
    check_plan(job.config)
    if not has_parts(job.config):
        return one_run.run(job)
    from dlrun.sweeps.sweep import run_parts

    return run_parts(job, None)


def load(run: str = "latest", device: str = "auto", allow_targets: tuple[str, ...] = ()) -> Trained:
    """The finished run in a folder, to predict with; see `dlrun.runs.load.load`."""
    from dlrun.runs.load import load as load_run

    return load_run(str(run), device, allow_targets)


def compare(
    *folders: str | Path,
    sort: str | None = None,
    filter: str | None = None,  # noqa: A002 (the name on the command line)
    group_by: list[str] | str | None = None,
) -> pd.DataFrame:
    """One table of runs, the best first, as `dlrun compare` prints it.

    A run folder that cannot be read is left out, with a warning that names it.

    Args:
        folders: run folders, sweeps, or folders that hold them; none: outputs/.
        sort: what to rank by, such as `test.accuracy`; None: as the command does. `attrs["ranked_by"]` of the table
            says by what it is.
        filter: only runs for which this holds, such as `test.accuracy>0.9`.
        group_by: choices or config keys: runs that agree in them are averaged.

    Returns:
        A line a run: what differs between the runs, their figures, parameters and seconds; deviations of averages
        stand in columns called `<figure>_deviation`.

    Raises:
        dlrun.errors.Mistake: no run there, or an argument that makes no sense, in one line.
    """
    import warnings

    from dlrun.ranking.runs_table import runs_table

    table = runs_table(folders, sort, filter, group_by)
    for line in table.unreadable:
        warnings.warn(f"left out: {line}", stacklevel=2)
    return table.frame()
