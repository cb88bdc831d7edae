"""checkpoints/last.pt: all that a resume needs, as tensors and plain numbers, so that loading it can run no code."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from dlrun.errors import Mistake

if TYPE_CHECKING:
    from dlrun.training.state import Progress
    from dlrun.training.trainer import Training


@dataclass
class Every:
    """How often something happens: after so many minutes, epochs or optimizer steps; null: not by these.

    Raises:
        Mistake: one of them is not above 0.
    """

    minutes: float | None = None
    epochs: int | None = None
    steps: int | None = None

    def __post_init__(self):
        for name, value in vars(self).items():
            if value is not None and not value > 0:
                raise Mistake(f"trainer.checkpoint_every.{name} is {value}: it must be above 0, or null")


class Timetable:
    """When the next checkpoint is due."""

    def __init__(self, every: Every):
        self.every = every
        self.saved_at = time.monotonic()

    def due(self, progress: Progress) -> bool:
        """Whether to save now, after a step or (batch 0) after an epoch."""
        every, after_epoch = self.every, progress.batch == 0
        if every.steps and not after_epoch and progress.step % every.steps == 0:
            return True
        if every.epochs and after_epoch and progress.epochs % every.epochs == 0:
            return True
        return bool(every.minutes) and time.monotonic() - self.saved_at > 60 * every.minutes

    def saved(self) -> None:
        """Begin to count the minutes anew."""
        self.saved_at = time.monotonic()


def to_bytes(training: Training) -> bytes:
    """The whole state of `training` and of PyTorch's random generators."""
    learner, means = training.learner, training.means
    state = {
        "progress": vars(training.progress).copy(),
        "model": learner.model.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "schedule": _plain(learner.schedule.scheduler.state_dict()) if learner.schedule else None,
        "stopper": _counters(training.stopper) if training.stopper else None,
        "best": training.best,
        "state": training.state,
        "means": {"losses": means.losses, "scores": means.scores, "targets": means.targets},
        "random": {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()},
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def restore(training: Training, content: bytes, device: torch.device) -> None:
    """Put `training` and PyTorch's generators into the state that `content`, from `to_bytes`, holds.

    Raises:
        Mistake: the checkpoint is cut short or broken, or belongs to another model.
    """
    try:
        state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except Exception as error:  # torch raises half a dozen types for a broken file; all mean the same to a person
        kind = type(error).__name__
        raise Mistake(f"checkpoints/last.pt: cannot be read ({kind}); it is cut short or broken") from error
    learner = training.learner
    try:
        learner.model.load_state_dict(state["model"])
        learner.optimizer.load_state_dict(state["optimizer"])
        if learner.schedule:
            learner.schedule.scheduler.load_state_dict(state["schedule"])
        for name, value in state["progress"].items():
            setattr(training.progress, name, value)
        if training.stopper:
            for name, value in state["stopper"].items():
                setattr(training.stopper, name, value)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise Mistake(f"checkpoints/last.pt: belongs to another model or optimizer ({reason})") from error
    training.best, training.state = state["best"], state["state"]
    vars(training.means).update(state["means"])
    torch.set_rng_state(state["random"]["cpu"].cpu())
    if state["random"]["cuda"] and len(state["random"]["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([random.cpu() for random in state["random"]["cuda"]])


def _counters(stopper) -> dict:
    return {name: value for name, value in vars(stopper).items() if name != "settings"}


def _plain(state: dict) -> dict:
    """A scheduler's state without what is no number, text or list of them (its functions are built anew)."""
    kinds = (int, float, str, bool, list, tuple, dict, type(None))
    return {name: value for name, value in state.items() if isinstance(value, kinds) and not name.startswith("_get_lr")}
