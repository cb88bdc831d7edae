"""Learning-rate schedules: those of torch.optim.lr_scheduler, and inverse-time decay, which it lacks."""

from __future__ import annotations

import math
import typing
import warnings
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau

from dlrun.config.build import Component, component
from dlrun.errors import Mistake, blame, choose

LENGTHS = ("total_steps", "T_max")  # settings that say how often a schedule moves


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

    def get_lr(self) -> list[float | Tensor]:
        """Return the learning rate of each parameter group at time `last_epoch`."""
        return [base / (1 + self.rate * self.last_epoch / self.steps) for base in self.base_lrs]


@dataclass(frozen=True)
class ScheduleSettings:
    """The settings of the config node `scheduler`.

    Attributes:
        scheduler: a class of torch.optim.lr_scheduler with its settings.
        interval: whether it moves every `step` or every `epoch`.
        monitor: the logged value that it watches, or None.
    """

    scheduler: Component
    interval: str
    monitor: str | None

    @property
    def watches(self) -> bool:
        """Whether the scheduler is driven by the monitored value (ReduceLROnPlateau)."""
        return issubclass(typing.cast(type, self.scheduler.target), ReduceLROnPlateau)


def read_schedule(node: Mapping[str, object], allowed: tuple[str, ...]) -> ScheduleSettings | None:
    """Return what the config node `scheduler` says, or None for a constant learning rate.

    Args:
        node: `class`, `interval` and `monitor`.
        allowed: the user's own packages.

    Raises:
        Mistake: an unknown key or interval, or a setting that the class does not have.
    """
    for key in node:
        choose(key, dict.fromkeys(("class", "interval", "monitor")), "scheduler")
    interval, monitor = node.get("interval"), node.get("monitor")
    choose(interval, dict.fromkeys(("step", "epoch")), "scheduler.interval")
    if monitor is not None and not isinstance(monitor, str):
        raise Mistake(f"scheduler.monitor is {monitor}: it must be a logged value, such as valid/loss, or null")
    if node.get("class") is None:
        return None
    own = node["class"]
    if isinstance(own, Mapping):  # lengths that are null are filled in
        own = {name: value for name, value in own.items() if value is not None or name not in LENGTHS}
    chosen = component(own, "scheduler.class", LRScheduler, allowed, supplied=("optimizer",))
    settings = ScheduleSettings(chosen, str(interval), monitor)
    if settings.watches and interval == "step":
        raise Mistake("scheduler.interval: a schedule that watches a logged value moves every epoch; use epoch")
    if settings.watches and monitor is None:
        raise Mistake("scheduler.monitor: the schedule needs a logged value, such as valid/loss")
    return settings


@dataclass
class Schedule:
    """Schedulers at work, one for each optimizer, all moved at the same times.

    Attributes:
        schedulers: of the optimizers.
        settings: when they move.
    """

    schedulers: list[LRScheduler]
    settings: ScheduleSettings

    def after_step(self) -> None:
        """Move, where the schedule moves by step; to be called after each optimizer step."""
        if self.settings.interval == "step":
            for scheduler in self.schedulers:
                scheduler.step()

    def after_epoch(self, logged: Mapping[str, float]) -> None:
        """Move, where the schedule moves by epoch; to be called after each epoch, with the values logged in it."""
        if self.settings.interval == "epoch":
            value: Any = [logged[str(self.settings.monitor)]] if self.settings.watches else []
            if value and math.isnan(value[0]):
                return  # an undefined value says nothing
            for scheduler in self.schedulers:
                scheduler.step(*value)

    def state(self) -> list[dict[str, object]]:
        """Return what a checkpoint keeps: plain numbers; a scheduler's functions are built anew."""
        return [_plain(scheduler.state_dict()) for scheduler in self.schedulers]

    def restore(self, state: list[dict[str, object]]) -> None:
        """Take the state of a checkpoint."""
        for scheduler, own in zip(self.schedulers, state, strict=True):
            scheduler.load_state_dict(own)


def build_schedule(
    settings: ScheduleSettings | None, optimizers: list[Optimizer], steps: int, epochs: int, maximizes: bool = False
) -> Schedule | None:
    """Return the schedule at work on `optimizers`, or None for a constant learning rate.

    Args:
        steps, epochs: of the whole training; as many as the schedule moves fill in a `total_steps` or `T_max` that is
            null, so that it arrives at its end on the last one.
        maximizes: whether more of the monitored value is better.

    Raises:
        Mistake: settings that the scheduler refuses.
    """
    if settings is None:
        return None
    chosen, arguments = settings.scheduler, dict(settings.scheduler.settings)
    moves = max(1, steps if settings.interval == "step" else epochs)
    arguments |= {name: moves for name in LENGTHS if chosen.takes(name) and arguments.get(name) is None}
    if settings.watches:
        arguments.setdefault("mode", "max" if maximizes else "min")
    rates = {group["lr"] for optimizer in optimizers for group in optimizer.param_groups}
    if chosen.takes("max_lr") and len(rates) > 1:
        name = chosen.target.__name__
        raise Mistake(f"scheduler: {name} gives all groups of parameters its max_lr; take one that keeps theirs")
    with blame(chosen.key):
        _rehearse(settings, arguments, optimizers, moves)
        return Schedule([chosen.target(optimizer, **arguments) for optimizer in optimizers], settings)


def _rehearse(
    settings: ScheduleSettings, arguments: dict[str, Any], optimizers: list[Optimizer], moves: int
) -> None:  # fmt: skip
    """Let a schedule of PyTorch's move once, on stand-ins for the optimizers: some check their settings only then."""
    if settings.watches and arguments.get("factor") == 0:
        raise ValueError("factor is 0: the learning rate would be 0 from its first move on")
    if settings.watches or not settings.scheduler.target.__module__.startswith(("torch.", "dlrun.")):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no optimizer has moved before
        for optimizer in optimizers:
            scheduler = settings.scheduler.target(_stand_in(optimizer), **arguments)
            scheduler.step()
            for name in ("gamma", "factor"):
                if arguments.get(name) == 0:
                    raise ValueError(f"{name} is 0: the learning rate would be 0 from its first move on")
            if isinstance(scheduler, OneCycleLR) and not 0 < arguments.get("pct_start", 0.3) < 1:
                raise ValueError(f"pct_start is {arguments['pct_start']}: it must lie between 0 and 1")
            if isinstance(scheduler, OneCycleLR) and scheduler.total_steps < moves:
                raise ValueError(
                    f"its total_steps are {scheduler.total_steps}, and the training moves it {moves} times; "
                    "give as many, or leave it null"
                )


def _stand_in(optimizer: Optimizer) -> Optimizer:
    """Return an optimizer of nothing, with the settings of `optimizer`."""
    groups = [
        {"params": [torch.zeros(1)], **{name: deepcopy(own) for name, own in group.items() if name != "params"}}
        for group in optimizer.param_groups
    ]
    stand_in = torch.optim.SGD(groups, lr=0.0)
    stand_in.defaults = optimizer.defaults
    return stand_in


def _plain(state: Mapping[str, object]) -> dict[str, object]:
    kinds = (int, float, str, bool, list, tuple, dict, type(None))
    return {name: value for name, value in state.items() if isinstance(value, kinds) and not name.startswith("_get_lr")}
