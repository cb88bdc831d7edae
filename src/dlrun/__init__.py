"""dlrun: a command-line experiment runner for deep learning.

From Python, `dlrun.run("model=cnn", "data=mnist")` does what the command does, and `dlrun.load(folder).predict(rows)`
puts a finished run to use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    from dlrun import fitted as trained

    return trained.load(str(run), device, allow_targets)
