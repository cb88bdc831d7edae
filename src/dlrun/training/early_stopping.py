"""When to stop, and which weights were the best."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dlrun.errors import Mistake, choose


@dataclass
class EarlyStopping:
    """Stop when a logged value has not improved for a while.

    Args:
        monitor: any logged value, such as valid/loss, valid/accuracy or train/loss.
        mode: whether less or more is better: min, max, or auto (by the metric's nature).
        patience: epochs in a row without an improvement after which training stops, as in Keras; 0 and 1 both stop at
            the first of them. `auto`: as many as make 6,000 steps, but 5 at least and 15 at most.
        min_delta: an improvement counts if it is larger than this.
        restore_best: whether the weights of the best epoch are evaluated and saved, or those of the last.

    Raises:
        Mistake: patience or min_delta below 0, or an unknown mode.
    """

    monitor: str = "valid/loss"
    mode: str = "auto"
    patience: int | str = "auto"
    min_delta: float = 0.0
    restore_best: bool = True

    def __post_init__(self) -> None:
        key = "trainer.early_stopping"
        if isinstance(self.patience, str) and self.patience != "auto":
            raise Mistake(f"{key}.patience is {self.patience}: it must be a whole number, or auto")
        if not isinstance(self.patience, str) and self.patience < 0:
            raise Mistake(f"{key}.patience is {self.patience}: it must be at least 0")
        if not self.min_delta >= 0:
            raise Mistake(f"{key}.min_delta is {self.min_delta}: it must be at least 0")
        choose(self.mode, dict.fromkeys(("auto", "min", "max")), f"{key}.mode")

    def maximizes(self, higher_is_better: bool) -> bool:
        """Return whether more is better: as `mode` says, or by the nature of the monitored value."""
        return self.mode == "max" or (self.mode == "auto" and higher_is_better)


@dataclass
class Stopper:
    """The counters of early stopping: best value, its epoch, and epochs since.

    Attributes:
        settings: when to stop.
        maximizes: whether more of the monitored value is better.
        best, best_epoch, waited: the best value so far, its epoch, and epochs since.
    """

    settings: EarlyStopping
    maximizes: bool = False
    best: float = math.nan
    best_epoch: int = 0
    waited: int = 0

    def improves(self, value: float, epoch: int) -> bool:
        """Take the monitored value of an epoch, and return whether it is the best so far.

        A value that is undefined (NaN) says nothing: it is neither an improvement nor a lack of one.
        """
        if math.isnan(value):
            return False
        gain = value - self.best if self.maximizes else self.best - value
        if math.isnan(self.best) or gain > self.settings.min_delta:
            self.best, self.best_epoch, self.waited = value, epoch, 0
            return True
        self.waited += 1
        return False

    @property
    def stops(self) -> bool:
        """Whether patience is exhausted."""
        return self.waited > 0 and self.waited >= int(self.settings.patience)

    def state(self) -> dict[str, float]:
        """Return the counters, for a checkpoint."""
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}

    def restore(self, state: dict[str, float]) -> None:
        """Take the counters of a checkpoint."""
        self.best, self.best_epoch, self.waited = state["best"], int(state["best_epoch"]), int(state["waited"])
