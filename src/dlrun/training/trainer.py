"""The loop of gradient descent."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from dlrun.data.split import Data
from dlrun.errors import Mistake
from dlrun.runtime import Runtime, seed_torch
from dlrun.training.batches import Batching, mixed_seed
from dlrun.training.checkpoint_times import Every
from dlrun.training.contracts import GradientLearner, Progress, Training, Watch, validation_figures
from dlrun.training.early_stopping import EarlyStopping

STEPS, EPOCHS = 80_000, (30, 400)  # of a training whose epochs are auto: its steps, and the fewest and most epochs
PATIENCE_STEPS, PATIENCE = 6_000, (5, 15)  # the same of the patience of early stopping


@dataclass
class Trainer:
    """Trains a network by gradient descent.

    Args:
        epochs: the most epochs; 0 trains nothing. `auto`: as many as make 80,000 steps, 30 at least and 400 at most.
        batch_size: rows in a batch; the last, smaller batch of an epoch is kept unless `drop_last`.
        shuffle: whether each epoch has its own order of rows, a pure function of seed and epoch; `once`: one random
            order for all epochs.
        drop_last: whether a last batch of fewer rows is left out.
        steps_per_epoch: optimizer steps in an epoch, going on with newly shuffled rows if need be; None: one pass.
        grad_clip: largest norm of the gradient of all parameters together; None: no limit.
        accumulate: batches whose gradients are averaged before a step; the last group of an epoch has what is left.
        early_stopping: when to stop; None: never, and the last weights are kept.
        stateful: whether a recurrent network carries its state on from row to row, in order: through the training rows
            of an epoch, on into the validation rows, and from there into the test rows.
        max_minutes: when to stop for lack of time; what has been learned is evaluated. None: no limit.
        checkpoint_every: how often all that a resume needs is saved.
        keep_checkpoints: whether that is kept when training has come to its end, so that it can be given more epochs.

    Raises:
        Mistake: a number out of its range.
    """

    trains_networks: ClassVar[bool] = True

    epochs: int | str = "auto"
    batch_size: int = 32
    shuffle: bool | str = True
    drop_last: bool = False
    steps_per_epoch: int | None = None
    grad_clip: float | None = None
    accumulate: int = 1
    early_stopping: EarlyStopping | None = field(default_factory=EarlyStopping)
    stateful: bool = False
    max_minutes: float | None = None
    checkpoint_every: Every = field(default_factory=Every)
    keep_checkpoints: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.epochs, str) and self.epochs != "auto":
            raise Mistake(f"trainer.epochs is {self.epochs}: it must be a whole number, or auto")
        least = {"epochs": 0, "batch_size": 1, "steps_per_epoch": 1, "accumulate": 1}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and value != "auto" and value < smallest:
                raise Mistake(f"trainer.{name} is {value}: it must be at least {smallest}")
        for name in ("grad_clip", "max_minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise Mistake(f"trainer.{name} is {value}: it must be above 0, or null for no limit")
        if self.shuffle not in (True, False, "once"):
            raise Mistake(f"trainer.shuffle is {self.shuffle}: it must be true, false, or once")
        if self.stateful and (self.shuffle or self.batch_size != 1):
            raise Mistake(
                "trainer.stateful: each row goes on where the one before it stopped; set trainer.shuffle=false and "
                "trainer.batch_size=1"
            )

    @property
    def batching(self) -> Batching:
        """How the rows of an epoch are cut into batches."""
        return Batching(self.batch_size, self.shuffle, self.drop_last, self.steps_per_epoch, self.accumulate)

    def for_rows(self, rows: int) -> Trainer:
        """Return the same trainer with `auto` settled: epochs and patience by the steps that an epoch has.

        Small tables need many epochs until their weights have moved anywhere, large data sets few.
        """
        steps = max(1, self.steps(rows))
        stopping = self.early_stopping
        if stopping is not None and stopping.patience == "auto":
            stopping = replace(stopping, patience=_between(PATIENCE, math.ceil(PATIENCE_STEPS / steps)))
        epochs = _between(EPOCHS, math.ceil(STEPS / steps)) if self.epochs == "auto" else self.epochs
        return replace(self, epochs=epochs, early_stopping=stopping)

    def steps(self, rows: int) -> int:
        """Return the optimizer steps of an epoch over so many training rows."""
        return self.batching.steps(rows)

    def fit(self, training: Training, data: Data, runtime: Runtime, watch: Watch) -> Progress:
        """Train the network of `training` in place, on data that are on its device already, from where it stands.

        Returns:
            Where training ended. The network holds the last weights; `training.restore_best()` gives the best.
        """
        learner: GradientLearner = training.learner
        progress, running, batching = training.progress, training.running, self.batching
        epochs = int(self.epochs)
        count, seed = batching.count(len(data.train)), runtime.seed or 0
        before, started = progress.seconds, time.perf_counter()

        while progress.status == "running" and progress.epochs < epochs:
            if progress.batch == 0:  # else this is a resume, and the generators stand where they stood
                progress.epoch = progress.epochs + 1
                seed_torch(mixed_seed(seed, progress.epoch))
                running.clear()
            learner.begin_epoch(resumed=progress.batch > 0)
            for batch in batching.batches(data.train, seed, progress.epoch, progress.batch, runtime):
                group = batching.group(progress.batch, count)
                progress.batch += 1
                last = progress.batch % self.accumulate == 0 or progress.batch == count
                step = learner.step(batch, group, last)
                running.add(step.loss, step.scores, step.targets)
                if not last:
                    continue  # gradients add up until the step
                progress.step, progress.lr = progress.step + 1, step.lr
                progress.seconds = before + time.perf_counter() - started
                if stop := watch.on_step(training):
                    progress.status = stop
                    return progress

            logged = {"epoch": progress.epoch, "lr": progress.lr}
            logged |= {f"train/{name}": value for name, value in running.figures().items()}
            if data.valid is not None:
                logged |= validation_figures(training, data, learner.validation_scores(data.valid))
            progress.epochs, progress.batch = progress.epoch, 0
            self._judge(training, logged)
            if progress.status == "running":
                learner.end_epoch(logged)
            progress.seconds = before + time.perf_counter() - started
            if (stop := watch.on_epoch(training, logged)) and progress.status == "running":
                progress.status = stop

        if progress.status == "running":
            progress.status = "finished"
        if progress.status == "finished" and progress.has_grown:
            progress.status = "diverged"
        return progress

    def _judge(self, training: Training, logged: Mapping[str, float]) -> None:
        """Decide whether the epoch was the best so far, the last, or a divergence."""
        progress, stopper = training.progress, training.stopper
        progress.loss = logged["train/loss"]
        progress.first_loss = progress.loss if progress.first_loss is None else progress.first_loss
        if not all(math.isfinite(logged[name]) for name in ("train/loss", "valid/loss") if name in logged):
            progress.status = "diverged"
            return
        improved = stopper is None or stopper.improves(logged[stopper.settings.monitor], progress.epoch)
        restores = stopper is not None and stopper.settings.restore_best
        if improved or not restores:
            progress.best_epoch = progress.epoch
        if improved and restores:
            training.best = training.learner.snapshot()
        if stopper is not None and stopper.stops:
            progress.status = "finished"

    def check(self, training: Training, data: Data) -> None:
        """Refuse a training that this trainer cannot do.

        Raises:
            Mistake: no full batch; a lone row in a batch that is normalised; or `stateful`, and the network has no
                state to carry on, or the rows are not in order.
        """
        rows, size = len(data.train), self.batch_size
        if self.batching.count(rows) < 1:
            raise Mistake(
                f"trainer.batch_size is {size}: the {rows} training rows make no full batch, and "
                "trainer.drop_last=true leaves the rest out; lower it"
            )
        lone = size == 1 or (rows % size == 1 and not self.drop_last and not self.steps_per_epoch)
        if lone and not training.learner.learns_from_a_lone_row(data.train):
            which, remedy = f"the last batch of {rows} rows", "use another size, or trainer.drop_last=true"
            if size == 1:
                which, remedy = "each batch", "use a larger size"
            raise Mistake(
                f"trainer.batch_size is {size}: {which} would be a single row, which batch norm cannot normalise; "
                f"{remedy}"
            )
        if not self.stateful:
            return
        if not hasattr(training.learner.model, "with_state") or data.inputs.vocabulary is not None:
            raise Mistake("trainer.stateful: needs a recurrent network (model=rnn, lstm or gru) and a series")
        numbers = np.concatenate([split.row_numbers for split in data.splits().values()])
        if (np.diff(numbers) < 0).any():
            raise Mistake(
                "trainer.stateful: the rows are not in order; take data.split.test.by=last and data.split.valid.by=last"
            )


def _between(limits: tuple[int, int], value: int) -> int:
    return max(limits[0], min(limits[1], value))
