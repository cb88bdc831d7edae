"""Learning-rate schedules: those of torch.optim.lr_scheduler, and inverse-time decay, which it lacks."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass

from omegaconf import DictConfig
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from dlrun.config.build import build
from dlrun.errors import Mistake, blame, choose
from dlrun.tasks.metrics import higher_is_better


class InverseTimeDecay(LRScheduler):
    """lr(t) = lr / (1 + rate · t / steps), t counted in calls of `step()` (Keras's InverseTimeDecay).

    Raises:
        ValueError: rate below 0 or steps not above 0.
    """

    def __init__(self, optimizer: Optimizer, rate: float, steps: float, last_epoch: int = -1):
        if rate < 0 or steps <= 0:
            raise ValueError(f"rate must be at least 0 and steps above 0, not {rate} and {steps}")
        self.rate = rate
        self.steps = steps
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rate of each parameter group at time `last_epoch`."""
        return [base / (1 + self.rate * self.last_epoch / self.steps) for base in self.base_lrs]


@dataclass
class Schedule:
    """A scheduler and when it moves: every `step`, or every `epoch`, then perhaps by a `monitor`ed value."""

    scheduler: LRScheduler
    interval: str
    monitor: str | None

    def after_step(self) -> None:
        """To be called after each optimizer step."""
        if self.interval == "step":
            self.scheduler.step()

    def after_epoch(self, logged: dict[str, float]) -> None:
        """To be called after each epoch, with the values logged in it."""
        if self.interval == "epoch":
            self.scheduler.step(*([logged[self.monitor]] if self.needs_value else []))

    @property
    def needs_value(self) -> bool:
        """Whether the scheduler is driven by the monitored value (ReduceLROnPlateau)."""
        return isinstance(self.scheduler, ReduceLROnPlateau)


def build_schedule(
    config: DictConfig, optimizer: Optimizer, total_steps: int, allowed: tuple[str, ...]
) -> Schedule | None:
    """The schedule that the config node `scheduler` describes, or None for a constant learning rate.

    Args:
        config: `class` (a factory, or null), `interval` and `monitor`.
        optimizer: whose learning rate it moves.
        total_steps: optimizer steps of the whole training; fills in a `total_steps` that is null.
        allowed: the user's own packages.

    Raises:
        Mistake: unknown interval, no monitor where one is needed, or settings that the scheduler refuses.
    """
    factory = check_schedule(config, allowed)
    if factory is None:
        return None
    arguments = dict(factory.keywords) | {"optimizer": optimizer}
    if "total_steps" in inspect.signature(factory.func).parameters and arguments.get("total_steps") is None:
        arguments["total_steps"] = total_steps
    if issubclass(factory.func, ReduceLROnPlateau):
        if config.monitor is None:
            raise Mistake("scheduler.monitor: the schedule needs a logged value, such as valid/loss")
        arguments.setdefault("mode", "max" if higher_is_better(config.monitor.rpartition("/")[2]) else "min")
    with blame("scheduler.class"):
        return Schedule(factory.func(**arguments), config.interval, config.monitor)


def check_schedule(config: DictConfig, allowed: tuple[str, ...]) -> functools.partial | None:
    """The factory that `scheduler.class` names, or None for a constant learning rate.

    Raises:
        Mistake: an unknown key or interval, or a setting that the class does not have.
    """
    for key in config:
        choose(key, dict.fromkeys(("class", "interval", "monitor")), "scheduler")
    choose(config.interval, dict.fromkeys(("step", "epoch")), "scheduler.interval")
    if config["class"] is None:
        return None
    factory = build(config["class"], "scheduler.class", LRScheduler, allowed, optimizer=None)
    if issubclass(factory.func, ReduceLROnPlateau) and config.interval == "step":
        raise Mistake("scheduler.interval: a schedule that watches a logged value moves every epoch; use epoch")
    return factory
