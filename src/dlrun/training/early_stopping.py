"""When to stop, and which weights were the best."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dlrun.errors import Mistake, choose
from dlrun.tasks.metrics import higher_is_better


@dataclass
class EarlyStopping:
    """Stop when a logged value has not improved for a while.

    Args:
        monitor: any logged value, such as valid/loss, valid/accuracy or train/loss.
        mode: whether less or more is better: min, max, or auto (by the metric's nature).
        patience: epochs in a row without an improvement after which training stops, as in Keras; 0 and 1 both stop at
            the first of them.
        min_delta: an improvement counts if it is larger than this.
        restore_best: whether the weights of the best epoch are evaluated and saved, or those of the last.

    Raises:
        Mistake: patience or min_delta below 0, or an unknown mode.
    """

    monitor: str = "valid/loss"
    mode: str = "auto"
    patience: int = 5
    min_delta: float = 0.0
    restore_best: bool = True

    def __post_init__(self):
        key = "trainer.early_stopping"
        if self.patience < 0:
            raise Mistake(f"{key}.patience is {self.patience}: it must be at least 0")
        if not self.min_delta >= 0:
            raise Mistake(f"{key}.min_delta is {self.min_delta}: it must be at least 0")
        choose(self.mode, dict.fromkeys(("auto", "min", "max")), f"{key}.mode")

    @property
    def maximizes(self) -> bool:
        """Whether more is better."""
        return self.mode == "max" or (self.mode == "auto" and higher_is_better(self.monitor.rpartition("/")[2]))


@dataclass
class Stopper:
    """The counters of early stopping: best value, its epoch, and epochs since."""

    settings: EarlyStopping
    best: float = math.nan
    best_epoch: int = 0
    waited: int = 0

    def improves(self, value: float, epoch: int) -> bool:
        """Take the monitored value of an epoch; whether it is the best so far."""
        gain = value - self.best if self.settings.maximizes else self.best - value
        if not math.isnan(value) and (math.isnan(self.best) or gain > self.settings.min_delta):
            self.best, self.best_epoch, self.waited = value, epoch, 0
            return True
        self.waited += 1
        return False

    @property
    def stops(self) -> bool:
        """Whether patience is exhausted."""
        return self.waited > 0 and self.waited >= self.settings.patience
