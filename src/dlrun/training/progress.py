"""What a person sees while training: a progress bar on a terminal, else one plain line an epoch."""

from __future__ import annotations

import sys
import time

from dlrun.training.trainer import Progress

REFRESH_SECONDS = 0.1


class EpochLines:
    """One plain line an epoch."""

    def __init__(self, epochs: int, before: float):
        self.epochs = epochs
        self.before = before

    def on_step(self, progress: Progress) -> None:
        """Nothing to show."""

    def on_epoch(self, progress: Progress, row: dict[str, float]) -> None:
        """Print the epoch's values and seconds."""
        seconds, self.before = progress.seconds - self.before, progress.seconds
        print(f"epoch {progress.epoch}/{self.epochs}  {_values(row)}  {seconds:.2g} s", flush=True)

    def close(self) -> None:
        """Nothing to end."""


class ProgressBar:
    """A live bar: epoch, losses, the monitored value, steps a second and the time left."""

    def __init__(self, epochs: int, steps: int, first_step: int):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.epochs = epochs
        self.total = epochs * steps
        self.console = Console()
        columns = (
            TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[rate]}\n{task.fields[values]}"),
        )  # fmt: skip
        self.bar = Progress(*columns, console=self.console, auto_refresh=False)
        self.task = self.bar.add_task("epoch 0", total=self.total, rate="", values="")
        self.bar.start()
        self.shown = self.rate_since = time.monotonic()
        self.rate_step = first_step

    def on_step(self, progress: Progress) -> None:
        """Move the bar, ten times a second at most."""
        now = time.monotonic()
        if now - self.shown > REFRESH_SECONDS:
            self._show(progress, now)

    def on_epoch(self, progress: Progress, row: dict[str, float]) -> None:
        """Show the epoch's values."""
        self.bar.update(self.task, values=_values(row))

    def close(self) -> None:
        """Leave the bar as it stands."""
        self.bar.refresh()
        self.bar.stop()

    def _show(self, progress: Progress, now: float) -> None:
        rate = (progress.step - self.rate_step) / (now - self.rate_since)
        if now - self.rate_since > 2:
            self.rate_since, self.rate_step = now, progress.step
        self.shown = now
        description = f"epoch {progress.epoch}/{self.epochs}"
        self.bar.update(self.task, completed=progress.step, description=description, rate=f"{rate:,.0f} steps/s")
        self.bar.refresh()


class Silence:
    """Nothing, for quiet=true."""

    def on_step(self, progress: Progress) -> None:
        """Nothing."""

    def on_epoch(self, progress: Progress, row: dict[str, float]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def choose_display(quiet: bool, epochs: int, steps: int, start: Progress) -> EpochLines | ProgressBar | Silence:
    """What suits the place where the output goes, for so many epochs of so many steps, begun at `start`."""
    if quiet:
        return Silence()
    return ProgressBar(epochs, steps, start.step) if sys.stdout.isatty() else EpochLines(epochs, start.seconds)


def _values(row: dict[str, float]) -> str:
    return "  ".join(f"{name} {_number(value)}" for name, value in row.items() if name not in ("epoch", "lr"))


def _number(value: float) -> str:
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 else f"{value:.3e}"
