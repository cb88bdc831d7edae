"""What happens beside the loop: display, history, TensorBoard, checkpoints, and stopping when asked to."""

from __future__ import annotations

import time
from typing import Protocol

import yaml
from omegaconf import DictConfig, OmegaConf

from dlrun.store.files import writing
from dlrun.store.folder import RunFolder
from dlrun.training.checkpoints import Timetable, to_bytes
from dlrun.training.interruption import Interruption
from dlrun.training.loggers.tensorboard import TensorBoard
from dlrun.training.progress import Display
from dlrun.training.trainer import Trainer, Training


class Pruning(Protocol):
    """What judges a run while it trains."""

    def hopeless(self, epoch: int, logged: dict[str, float]) -> bool:
        """Whether to stop after this epoch, of which these values were logged."""


class Recorder:
    """The loggers of one training, handed to `Trainer.fit` as `on_step` and `on_epoch`.

    Args:
        folder: where everything is written.
        config: of the run.
        trainer: whose limits hold.
        display: what a person sees.
        training: as it begins, or is taken up.
        interruption: whether somebody has asked to stop.
        pruning: what asks, after each epoch, whether the run is worth going on with.
    """

    def __init__(
        self,
        folder: RunFolder,
        config: DictConfig,
        trainer: Trainer,
        display: Display,
        training: Training,
        interruption: Interruption,
        pruning: Pruning | None = None,
    ):
        self.folder = folder
        self.resumes = trainer.resumes
        self.interruption = interruption
        self.pruning = pruning
        self.timetable = Timetable(trainer.checkpoint_every)
        text = yaml.safe_dump(OmegaConf.to_container(config, enum_to_str=True), sort_keys=False)
        with writing(folder.path):
            self.board = TensorBoard(folder.path, text, purge_step=training.progress.epochs + 1)
        self.display = display
        self.seconds_before = training.progress.seconds
        self.deadline = time.monotonic() + 60 * trainer.max_minutes if trainer.max_minutes else None

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_error) -> None:
        self.display.close()
        with writing(self.folder.path):
            self.board.close()

    def on_step(self, training: Training) -> str | None:
        """After every step: the status to stop with, if any."""
        self.display.on_step(training.progress)
        if self.timetable.due(training.progress):
            self.save(training)
        if self.interruption.signal or (self.deadline and time.monotonic() > self.deadline):
            return "interrupted"
        return None

    def on_epoch(self, training: Training, logged: dict[str, float]) -> str | None:
        """After every epoch: write its values. The status to stop with, if any."""
        progress = training.progress
        seconds, self.seconds_before = progress.seconds - self.seconds_before, progress.seconds
        self.folder.append_epoch(logged, progress.epoch, seconds)
        with writing(self.folder.path):
            self.board.on_epoch(logged)
        self.display.on_epoch(progress, logged)
        if self.timetable.due(progress):
            self.save(training)
        return "pruned" if self.pruning and self.pruning.hopeless(progress.epoch, logged) else None

    def save(self, training: Training) -> None:
        """Save all that a resume needs, the events before it."""
        if not self.resumes:
            return
        with writing(self.folder.path):
            self.board.flush()
        self.folder.write_checkpoint(to_bytes(training))
        self.timetable.saved()

    def write_final(self, settings: dict[str, object], metrics: dict[str, float]) -> None:
        """Write what TensorBoard compares runs by."""
        with writing(self.folder.path):
            self.board.write_final(settings, metrics)
