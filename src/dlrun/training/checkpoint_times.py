"""When checkpoints are saved."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlrun.errors import Mistake

if TYPE_CHECKING:
    from dlrun.training.contracts import Progress


@dataclass
class Every:
    """How often something happens: after so many minutes, epochs or optimizer steps; null: not by these.

    Raises:
        Mistake: one of them is not above 0.
    """

    minutes: float | None = None
    epochs: int | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not value > 0:
                raise Mistake(f"trainer.checkpoint_every.{name} is {value}: it must be above 0, or null")


class Timetable:
    """When the next checkpoint is due."""

    def __init__(self, every: Every):
        self.every = every
        self.saved_at = time.monotonic()

    def due(self, progress: Progress) -> bool:
        """Return whether to save now, after a step or (batch 0) after an epoch."""
        every, after_epoch = self.every, progress.batch == 0
        if every.steps and not after_epoch and progress.step % every.steps == 0:
            return True
        if every.epochs and after_epoch and progress.epochs % every.epochs == 0:
            return True
        return every.minutes is not None and time.monotonic() - self.saved_at > 60 * every.minutes

    def saved(self) -> None:
        """Begin to count the minutes anew."""
        self.saved_at = time.monotonic()
