"""What a person sees while training: a progress bar on a terminal, else one plain line an epoch."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec

from dlrun.training.contracts import Progress

REFRESH_SECONDS = 0.1
RATE_SECONDS = 2  # over which the rate is measured


class EpochLines:
    """One plain line an epoch."""

    def __init__(self, epochs: int, before: float):
        self.epochs = epochs
        self.before = before

    def on_step(self, progress: Progress) -> None:
        """Show nothing."""

    def on_epoch(self, progress: Progress, row: dict[str, float]) -> None:
        """Print the epoch's values and seconds."""
        seconds, self.before = progress.seconds - self.before, progress.seconds
        print(f"epoch {progress.epoch}/{self.epochs}  {_values(row)}  {seconds:.2g} s", flush=True)

    def close(self) -> None:
        """End nothing."""


class ProgressBar:
    """A live bar: epoch, steps a second and time left; below it the values of the last epoch."""

    def __init__(self, epochs: int, steps: int, first_step: int):
        from rich.console import Group
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.text import Text

        self.epochs = epochs
        columns = ("{task.description}", BarColumn(), TextColumn("{task.fields[rate]}"), TimeElapsedColumn(),
                   TextColumn("left"), TimeRemainingColumn(compact=True))  # fmt: skip
        self.bar = Progress(*columns)
        self.task = self.bar.add_task("epoch 1", total=epochs * steps, completed=first_step, rate="")
        self.values = Text(style="dim")
        self.live = Live(Group(self.bar, self.values), auto_refresh=False)
        self.live.start()
        self.shown = self.rate_since = time.monotonic()
        self.rate_step = self.step = first_step

    def on_step(self, progress: Progress) -> None:
        """Move the bar, ten times a second at most."""
        self.step = progress.step
        now = time.monotonic()
        if now - self.shown > REFRESH_SECONDS:
            rate = (progress.step - self.rate_step) / (now - self.rate_since)
            if now - self.rate_since > RATE_SECONDS:
                self.rate_since, self.rate_step = now, progress.step
            self.shown = now
            self._show(f"epoch {progress.epoch}/{self.epochs}", f"{rate:,.0f} steps/s")

    def on_epoch(self, progress: Progress, row: dict[str, float]) -> None:
        """Show the epoch's values with the next movement of the bar."""
        self.values.plain = f"epoch {progress.epoch}  {_values(row)}"

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._show("trained", "")
        self.live.stop()

    def _show(self, description: str, rate: str) -> None:
        self.bar.update(self.task, completed=self.step, description=description, rate=rate)
        self.live.refresh()


class Silence:
    """Nothing, for quiet=true."""

    def on_step(self, progress: Progress) -> None:
        """Show nothing."""

    def on_epoch(self, progress: Progress, row: dict[str, float]) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


Display = EpochLines | ProgressBar | Silence


def choose_display(quiet: bool, epochs: int, steps: int, start: Progress) -> Display:
    """Return the display that suits where the output goes, of so many epochs of so many steps, begun at `start`."""
    if quiet:
        return Silence()
    if sys.stdout.isatty() or in_notebook():
        return ProgressBar(epochs, steps, start.step)
    return EpochLines(epochs, start.seconds)


def in_notebook() -> bool:
    """Return whether a live bar can be shown in a notebook: one runs this, and has ipywidgets."""
    if "IPython" not in sys.modules or find_spec("ipywidgets") is None:
        return False
    from rich.console import Console

    return Console().is_jupyter


def _values(row: dict[str, float]) -> str:
    return "  ".join(f"{name} {_number(value)}" for name, value in row.items() if name not in ("epoch", "lr"))


def _number(value: float) -> str:
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 else f"{value:.3e}"
