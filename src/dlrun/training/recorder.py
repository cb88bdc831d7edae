"""What happens beside the loop: display, history, TensorBoard, checkpoints, and stopping when asked to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

import torch

from dlrun.store.files import writing
from dlrun.store.folder import RunFolder
from dlrun.training.checkpoint_times import Timetable
from dlrun.training.checkpoints import to_bytes
from dlrun.training.contracts import Fitter, Training
from dlrun.training.interruption import Interruption
from dlrun.training.loggers.tensorboard import TensorBoard
from dlrun.training.progress import Display


class Pruning(Protocol):
    """What judges a run while it trains.

    Attributes:
        objective: the figure that it judges by.
    """

    objective: str

    def hopeless(self, epoch: int, logged: Mapping[str, float]) -> bool:
        """Return whether to stop after this epoch, of which these values were logged."""


class Recorder:
    """The watch of one training: its loggers, checkpoints, display, and whoever asks it to stop.

    Args:
        folder: where everything is written.
        config_text: the config as YAML, for TensorBoard.
        fitter: whose limits hold.
        display: what a person sees.
        training: as it begins, or is taken up.
        device: that it computes on.
        interruption: whether somebody has asked to stop.
        pruning: what asks, after each epoch, whether the run is worth going on with.
    """

    def __init__(
        self,
        folder: RunFolder,
        config_text: str,
        fitter: Fitter,
        display: Display,
        training: Training,
        device: torch.device,
        interruption: Interruption,
        pruning: Pruning | None = None,
    ):
        self.folder = folder
        self.device = device
        self.interruption = interruption
        self.pruning = pruning
        self.timetable = Timetable(fitter.checkpoint_every) if fitter.checkpoint_every else None
        with writing(folder.path):
            self.board = TensorBoard(folder.path, config_text, purge_step=training.progress.epochs + 1)
        self.display = display
        self.seconds_before = training.progress.seconds
        self.deadline = time.monotonic() + 60 * fitter.max_minutes if fitter.max_minutes else None

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_error: object) -> None:
        self.display.close()
        with writing(self.folder.path):
            self.board.close()

    def on_step(self, training: Training) -> str | None:
        """Take note of a step, and return the status to stop with, if any."""
        self.display.on_step(training.progress)
        if self.timetable and self.timetable.due(training.progress):
            self.save(training)
        if self.interruption.signal or (self.deadline and time.monotonic() > self.deadline):
            return "interrupted"
        return None

    def on_epoch(self, training: Training, logged: Mapping[str, float]) -> str | None:
        """Write the values of an epoch, and return the status to stop with, if any."""
        progress, judged = training.progress, logged
        logged = {name: value for name, value in judged.items() if name != training.unlogged}
        seconds, self.seconds_before = progress.seconds - self.seconds_before, progress.seconds
        self.folder.append_epoch(logged, progress.epoch, seconds)
        with writing(self.folder.path):
            self.board.on_epoch(logged)
        self.display.on_epoch(progress, logged)
        if self.timetable and self.timetable.due(progress):
            self.save(training)
        return "pruned" if self.pruning and self.pruning.hopeless(progress.epoch, judged) else None

    def save(self, training: Training) -> None:
        """Save all that a resume needs, the events before it."""
        if not self.timetable:
            return
        with writing(self.folder.path):
            self.board.flush()
        self.folder.write_checkpoint(to_bytes(training, self.device))
        self.timetable.saved()
