"""Where a training stands."""

from __future__ import annotations

from dataclasses import dataclass

GROWN = 1e6  # a training loss that has grown so many times since the first epoch has diverged, finite or not


@dataclass
class Progress:
    """Where training stands, in plain numbers.

    Attributes:
        epoch: the epoch that is being trained, counted from 1; after training, the last one.
        batch: batches of this epoch that have been seen.
        step: optimizer steps taken.
        epochs: epochs completed.
        status: running, finished, diverged, pruned or interrupted.
        best_epoch: the epoch whose weights are kept.
        seconds: spent in `fit`.
        lr: the learning rate of the last step.
        first_loss, loss: of the training rows, in the first and in the last epoch.
    """

    epoch: int = 1
    batch: int = 0
    step: int = 0
    epochs: int = 0
    status: str = "running"
    best_epoch: int = 0
    seconds: float = 0.0
    lr: float = 0.0
    first_loss: float | None = None
    loss: float | None = None

    @property
    def has_grown(self) -> bool:
        """Whether the training loss ended far above where it began."""
        return self.loss is not None and self.loss > GROWN * max(self.first_loss, 1.0)
