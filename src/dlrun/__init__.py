"""dlrun: a command-line experiment runner for deep learning.

From Python, `dlrun.run("model=cnn", "data=mnist")` does what the command does, and `dlrun.load(folder).predict(rows)`
puts a finished run to use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlrun.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from dlrun.fitted import Fitted
    from dlrun.runs.recipe import Run

__all__ = ["__version__", "compare", "load", "run"]


def run(
    *overrides: str,
    data: pd.DataFrame | None = None,
    target: str | Sequence[str] | None = None,
    config_dir: str | None = None,
) -> Run | None:
    """Train and evaluate, exactly as `dlrun <overrides>` does on the command line.

    Args:
        *overrides: such as `"model=cnn"`, each a text of its own.
        data: a table to train on, in place of a data set; its columns are read as those of a CSV file are (data=csv),
            and `data.drop=[…]`, `data.columns={…}` and the like are overrides as there. The index is left out. Runs in
            parts (folds, repeats, a learning curve) take one after the other.
        target: the column of `data` to predict, or a list of columns.
        config_dir: a folder with groups of your own (`--config-dir`).

    Returns:
        The run: its folder, what `metrics.json` holds, and the exit code; None under `dry_run=true`.

    Raises:
        dlrun.errors.Mistake: anything in the config or the data that cannot be, in one line.
    """
    from dlrun.commands.run import run as run_command
    from dlrun.errors import Mistake

    for override in overrides:
        if not isinstance(override, str) or ("=" not in override and not override.startswith("~")):
            raise Mistake(
                f"run: {override!r} is no override; give each as a text of its own: run('model=mlp', 'seed=1')"
            )
    return run_command(list(overrides), config_dir, data, target)


def load(
    run: str = "latest", device: str = "auto", allow_targets: tuple[str, ...] = (), config_dir: str | None = None
) -> Fitted:
    """Return the finished run in a folder, to predict with; see `dlrun.runs.load.load`."""
    from dlrun.runs.load import load as load_run

    return load_run(str(run), device, allow_targets, config_dir)


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
