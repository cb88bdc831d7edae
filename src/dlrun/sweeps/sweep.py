"""`dlrun -m`: every combination of the values on the command line, one run after the other, and which was best."""

from __future__ import annotations

import shlex
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig
from rich import box
from rich.console import Console
from rich.table import Table

from dlrun.config import compose, hydra, quote_literal
from dlrun.errors import Mistake
from dlrun.folder import RunFolder
from dlrun.one_run import Job, Run, run
from dlrun.parts import check_parts
from dlrun.training.early_stopping import EarlyStopping


@dataclass
class Outcome:
    """What became of a job: its number, its overrides, those that tell it from others, its run (None: it failed)."""

    number: int
    overrides: list[str]
    varied: dict[str, str]
    run: Run | None
    failure: str = ""
    crashed: bool = False

    @property
    def status(self) -> str:
        """failed, or the status of the run."""
        return self.run.metrics["status"] if self.run else "failed"

    def value(self, name: str) -> float | None:
        """A figure by `<split>/<metric>`, or None."""
        split, _, metric = name.partition("/")
        return self.run.metrics.get(split, {}).get(metric) if self.run else None


def sweep(overrides: list[str], config_dir: str | None) -> int:
    """Run every combination that `overrides` describe in Hydra's sweep grammar.

    All jobs are composed before the first one starts, so that a mistake in the config of any is found at once.

    Returns:
        See `exit_code`; 130 or 143 if interrupted. Under `dry_run=true` nothing is trained or written.

    Raises:
        Mistake: an override that is wrong, or wrong for one of the combinations.
    """
    combinations, varied = expand(overrides, config_dir)
    jobs = [Job(*compose(combination, config_dir), combination) for combination in combinations]
    for job in jobs:
        check_parts(job.config, tuple(job.config.allow_targets))
    if jobs[0].config.dry_run:
        for job in jobs:
            run(job)
        return 0
    folder = RunFolder.create_sweep(jobs[0].config.output_dir)
    console = Console(highlight=False, soft_wrap=True, quiet=jobs[0].config.quiet)
    outcomes: list[Outcome] = []
    for number, job in enumerate(jobs):
        settings = {key: value for key, _, value in (o.partition("=") for o in job.overrides) if key in varied}
        label = " ".join(f"{key}={value}" for key, value in settings.items())
        console.rule(f"job {number + 1} of {len(jobs)}  {label}", align="left")
        outcome = _attempt(job, number, settings, folder.path)
        if outcome.failure:
            print(f"dlrun: job {number}: {outcome.failure}", file=sys.stderr)
        outcomes.append(outcome)
        folder.append_row("sweep.csv", _row(outcome))
        if outcome.run and outcome.run.exit_code in (130, 143):
            return outcome.run.exit_code
    if not any(o.run or o.crashed for o in outcomes):  # nothing but mistakes: nothing is left behind
        folder.remove()
        return 2
    _print_ranking(console, outcomes, *ranked_by(jobs[0].config, outcomes))
    console.print(str(folder), markup=False)
    return exit_code(outcomes)


def exit_code(outcomes: list[Outcome]) -> int:
    """1 if any job crashed, else 2 if the user's mistake kept any from running, else 3 if any diverged, else 0."""
    codes = {1 if o.crashed else 2 if o.run is None else o.run.exit_code for o in outcomes}
    return next((code for code in (1, 2, 3) if code in codes), 0)


def expand(overrides: list[str], config_dir: str | None) -> tuple[list[list[str]], list[str]]:
    """The override lists of all jobs, and the keys that differ between them, in the order of the command line."""
    with hydra(config_dir):
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        parsed = parser.parse_overrides([quote_literal(override) for override in overrides])
        varied = [override.get_key_element() for override in parsed if override.is_sweep_override()]
        return BasicSweeper.split_arguments(parsed, max_batch_size=None)[0], varied


def ranked_by(config: DictConfig, outcomes: list[Outcome]) -> tuple[str, bool]:
    """The figure that jobs are ranked by, and whether more of it is better: the monitored value on validation rows,
    else the validation loss, else the training loss."""
    stopping = config.trainer.get("early_stopping")
    if stopping and any(o.value(stopping.monitor) is not None for o in outcomes):
        return stopping.monitor, EarlyStopping(**stopping).maximizes
    valid = any(o.value("valid/loss") is not None for o in outcomes)
    return ("valid/loss" if valid else "train_eval/loss"), False


def _attempt(job: Job, number: int, settings: dict[str, str], parent: Path) -> Outcome:
    """Run a job in its sub-folder; one that fails does not stop the others."""
    path = parent / str(number)
    path.mkdir()
    try:
        return Outcome(number, job.overrides, settings, run(job, RunFolder(path)))
    except Mistake as mistake:
        _remove_if_empty(path)
        return Outcome(number, job.overrides, settings, None, str(mistake))
    except Exception as error:  # a crash of one job must not lose the sweep; it is reported and the exit code is 1
        traceback.print_exc()
        return Outcome(number, job.overrides, settings, None, f"{type(error).__name__}: {error}", crashed=True)


def _remove_if_empty(path: Path) -> None:
    if not any(path.iterdir()):
        path.rmdir()


def _row(outcome: Outcome) -> dict[str, object]:
    names = ["train_eval/loss", "valid/loss", "test/loss"]
    values = {name: outcome.value(name) for name in names}
    return {"job": outcome.number, "status": outcome.status, **outcome.varied, **values}


def _print_ranking(console: Console, outcomes: list[Outcome], name: str, maximizes: bool) -> None:
    """All jobs, the best first, and the overrides of the best one."""

    def rank(outcome: Outcome) -> tuple:
        value = outcome.value(name)
        usable = outcome.status == "finished" and value is not None
        return (not usable, 0 if not usable else -value if maximizes else value)

    ordered = sorted(outcomes, key=rank)
    table = Table(title=f"ranked by {name}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("job", *outcomes[0].varied, "status", name, "test/loss"):
        table.add_column(column)
    for outcome in ordered:
        figures = (outcome.value(name), outcome.value("test/loss"))
        cells = ["–" if value is None else f"{value:.4f}" for value in figures]
        table.add_row(str(outcome.number), *outcome.varied.values(), outcome.status, *cells)
    console.print(table)
    if ordered[0].status == "finished":
        console.print(f"best: dlrun {shlex.join(ordered[0].overrides)}", markup=False)
