"""What a person sees while many runs are under way: a live line on a terminal, else one plain line a run."""

from __future__ import annotations

import sys

from dlrun.ranking.ranking import Ranking
from dlrun.runs.printing import number
from dlrun.sweeps.launchers.base import Outcome
from dlrun.training.progress import in_notebook


class Tally:
    """How many have ended, how, and the best so far."""

    def __init__(self, total: int):
        self.total = total
        self.done = self.failed = self.started = 0
        self.best: tuple[float, str] | None = None

    def add(self, label: str, outcome: Outcome, ranking: Ranking) -> None:
        """Take an outcome."""
        self.done += 1
        self.failed += outcome.status in ("failed", "diverged")
        self.total = max(self.total, self.done)
        value = outcome.value(ranking.name)
        if value is not None and outcome.counts:
            better = self.best is None or (value > self.best[0] if ranking.maximizes else value < self.best[0])
            if better:
                self.best = (value, label)

    def __str__(self) -> str:
        best = f"   best {number(self.best[0])} ({self.best[1]})" if self.best and self.best[1] else ""
        running = max(self.started - self.done, 0)
        return f"{self.done} of {self.total} done, {running} running, {self.failed} failed{best}"


class Lines:
    """One plain line a run."""

    def __init__(self, total: int):
        self.tally = Tally(total)

    def on_start(self, label: str) -> None:
        """Show nothing."""

    def on_outcome(self, label: str, outcome: Outcome, ranking: Ranking, again: bool) -> None:
        """Print what became of a run."""
        self.tally.add(label, outcome, ranking)
        value = outcome.value(ranking.name)
        shown = [f"{self.tally.done}/{self.tally.total}", label, "finished before" if again else outcome.status]
        shown += [f"{ranking.name} {number(value)}"] if value is not None else []
        print("  ".join(filter(None, shown)), flush=True)

    def close(self) -> None:
        """End nothing."""


class Bar:
    """A live bar: done, failed, the best so far, time left; above it a line for every run that has ended."""

    def __init__(self, total: int):
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.tally = Tally(total)
        columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), TextColumn("left"),
                   TimeRemainingColumn(compact=True))  # fmt: skip
        self.bar = Progress(*columns)
        self.task = self.bar.add_task(str(self.tally), total=total)
        self.bar.start()

    def on_start(self, label: str) -> None:
        """Count one more that is running."""
        self.tally.started += 1
        self.bar.update(self.task, description=str(self.tally))

    def on_outcome(self, label: str, outcome: Outcome, ranking: Ranking, again: bool) -> None:
        """Show what became of a run."""
        self.tally.started += again
        self.tally.add(label, outcome, ranking)
        value = outcome.value(ranking.name)
        figures = f"  {ranking.name} {number(value)}" if value is not None else ""
        self.bar.print(f"{outcome.path}  {label}  {'finished before' if again else outcome.status}{figures}",
                       markup=False, highlight=False)  # fmt: skip
        self.bar.update(self.task, description=str(self.tally), completed=self.tally.done, total=self.tally.total)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self.bar.stop()


class Silence:
    """Nothing, for quiet=true."""

    def on_start(self, label: str) -> None:
        """Show nothing."""

    def on_outcome(self, label: str, outcome: Outcome, ranking: Ranking, again: bool) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


def choose_display(quiet: bool, total: int) -> Lines | Bar | Silence:
    """Return the display that suits the place where the output goes."""
    if quiet:
        return Silence()
    return Bar(total) if sys.stdout.isatty() or in_notebook() else Lines(total)
