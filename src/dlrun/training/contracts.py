"""Where a training stands, and the contracts between what is trained, what trains it, and what watches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from dlrun.data.split import Data, Split
from dlrun.runtime import Runtime
from dlrun.tasks.metric import figures_of
from dlrun.tasks.running_figures import Running
from dlrun.tensors import Batch
from dlrun.training.checkpoint_times import Every
from dlrun.training.early_stopping import Stopper

GROWN = 1e6  # a training loss that has grown so many times since the first epoch has diverged, finite or not

Weights = dict[str, Tensor]


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
        return self.loss is not None and self.loss > GROWN * max(self.first_loss or 0.0, 1.0)


class Step(NamedTuple):
    """What a learner made of a batch: its mean loss () and scores (n, width), detached, and the learning rate."""

    loss: Tensor
    scores: Tensor
    targets: Tensor
    lr: float


class Learner(Protocol):
    """What is trained and then judges rows: a network, or an estimator of scikit-learn."""

    @property
    def parameters(self) -> int | None:
        """Trainable parameters; None for an estimator that has none."""

    def loss_of(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss () of scores (n, width) and targets."""

    def judged_by(self, loss: nn.Module) -> Learner:
        """Return the same learner with another loss."""

    def scores(self, splits: Mapping[str, Split]) -> dict[str, Tensor]:
        """Return the raw scores (n, width) of every split, in the order of its rows."""

    def weights_file(self) -> bytes:
        """Return what the run folder keeps of the learner."""


class GradientLearner(Learner, Protocol):
    """A learner that learns batch by batch."""

    def begin_epoch(self, resumed: bool) -> None:
        """Get ready for the training rows of an epoch, or for the rest of one that was stopped in its midst."""

    def step(self, batch: Batch, group: int, last: bool) -> Step:
        """Learn from a batch.

        Args:
            batch: rows, ready for the network.
            group: how many batches' gradients are averaged before the weights move.
            last: whether this is the last batch of its group, at which the weights move.
        """

    def end_epoch(self, logged: Mapping[str, float]) -> None:
        """Take the logged values of an epoch, by which a schedule may move."""

    def validation_scores(self, split: Split) -> Tensor:
        """Return the raw scores (n, width) of validation rows in the middle of training."""

    def snapshot(self) -> Weights:
        """Return a copy of the weights."""

    def load(self, weights: Weights) -> None:
        """Take weights that `snapshot` gave."""

    def state(self) -> dict[str, Any]:
        """Return all that a checkpoint keeps of the learner, as tensors and plain numbers."""

    def restore(self, state: dict[str, Any]) -> None:
        """Take the state of a checkpoint."""


@dataclass
class Training:
    """A training under way: all that changes while it runs, and so all that a checkpoint holds.

    Attributes:
        learner: what is trained.
        running: the running figures of this epoch.
        progress: where it stands.
        stopper: the counters of early stopping, or None.
        best: the best weights so far; empty where the last are kept.
        watched: metrics that are computed on the validation rows after every epoch, besides loss and accuracy (R²).
        unlogged: the logged value that only the pruning of a search looks at, and no file keeps; None: no such.
    """

    learner: Any
    running: Running
    progress: Progress = field(default_factory=Progress)
    stopper: Stopper | None = None
    best: Weights = field(default_factory=dict)
    watched: tuple[str, ...] = ()
    unlogged: str | None = None

    def restore_best(self) -> None:
        """Put the best weights into the learner, where they were kept."""
        if self.best:
            self.learner.load(self.best)


class Watch(Protocol):
    """What is told of steps and epochs, and may ask to stop: recorder, display, loggers, pruning."""

    def on_step(self, training: Training) -> str | None:
        """Return the status to stop with at once, if any; called after every step."""

    def on_epoch(self, training: Training, logged: Mapping[str, float]) -> str | None:
        """Return the status to stop with, if any; called after every epoch with its logged values."""


class Fitter(Protocol):
    """How a learner is trained: by gradient descent, in closed form, by L-BFGS, or by an estimator's own fit."""

    @property
    def epochs(self) -> int:
        """The most epochs; a whole number once it has been settled by `for_rows`."""

    @property
    def trains_networks(self) -> bool:
        """Whether its learners are networks, and not estimators of scikit-learn."""

    @property
    def max_minutes(self) -> float | None:
        """When to stop for lack of time, or None."""

    @property
    def checkpoint_every(self) -> Every | None:
        """How often a checkpoint is saved; None for what cannot be resumed."""

    @property
    def keep_checkpoints(self) -> bool:
        """Whether the last checkpoint is kept when training has come to its end."""

    def for_rows(self, rows: int) -> Fitter:
        """Return the same fitter with everything settled that depends on the number of training rows."""

    def steps(self, rows: int) -> int:
        """Return the optimizer steps of an epoch over so many training rows."""

    def check(self, training: Training, data: Data) -> None:
        """Refuse, by a Mistake, a training that it cannot do."""

    def fit(self, training: Training, data: Data, runtime: Runtime, watch: Watch) -> Progress:
        """Train the learner in place, from where the training stands."""


def validation_figures(training: Training, data: Data, scores: Tensor) -> dict[str, float]:
    """Return loss and metrics of the validation rows, as `valid/…`, from their scores."""
    split, task = data.valid, data.task
    if split is None:
        return {}
    quick = task.running()
    quick.add(training.learner.loss_of(scores, split.targets), scores, split.targets)
    figures = quick.figures()
    if training.watched:
        predictions = task.predictions(scores, split.targets, split.truth)
        watched = figures_of([task.metrics[name] for name in training.watched], predictions).values
        figures |= {name: value if isinstance(value, float) else math.nan for name, value in watched.items()}
    return {f"valid/{name}": value for name, value in figures.items()}


def logged_names(quick_figures: Iterable[str], metrics: Iterable[str], validated: bool) -> list[str]:
    """Return every value that can be monitored: what is logged each epoch, and all metrics on validation rows."""
    quick = list(quick_figures)
    names = [f"train/{name}" for name in ("loss", *quick)]
    return names + [f"valid/{name}" for name in dict.fromkeys(("loss", *quick, *metrics))] * validated
