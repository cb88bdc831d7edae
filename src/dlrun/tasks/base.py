"""The contract of a task: all that depends on what is learned, from labels to figures. One file a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from dlrun.errors import Mistake
from dlrun.tasks.metric import Figures, Metric, figures_of
from dlrun.tasks.predictions import Predictions
from dlrun.tasks.running_figures import Running

if TYPE_CHECKING:
    import pandas as pd

AnyTask = TypeVar("AnyTask", bound="Task")


@dataclass(frozen=True)
class Task(ABC):
    """What is learned.

    Attributes:
        target_names: one per target.
        class_names: by class index, or one per label; empty for quantities.
        chosen_metrics: those of `metrics=[…]`, besides the task's own.
    """

    target_names: tuple[str, ...] = ("target",)
    class_names: tuple[str, ...] = ()
    chosen_metrics: tuple[Metric, ...] = ()

    name: ClassVar[str]
    has_classes: ClassVar[bool] = True  # and probabilities of them; else quantities
    has_one_class: ClassVar[bool] = False  # each row is of exactly one of the classes
    has_threshold: ClassVar[bool] = False  # a probability divides what is predicted from what is not

    @property
    def main(self) -> Task:
        """What is predicted: the task itself, without heads that only help it to learn."""
        return self

    # --- shapes

    @property
    @abstractmethod
    def width(self) -> int:
        """Scores that a model gives for a row."""

    @property
    def outputs(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each target's scores."""
        return {"target": (self.width,)}

    @property
    def summary(self) -> str:
        """A few words for a person."""
        return self.name

    @property
    def column_names(self) -> tuple[str, ...]:
        """A name for each score where they are of several: classes, labels or targets."""
        return self.class_names or self.target_names

    # --- targets

    @abstractmethod
    def encode(self, values: np.ndarray, dtype: torch.dtype) -> Tensor:
        """Return targets as a network learns them: (n,) class indices as int64, or (n, k) as `dtype`.

        Args:
            values: (n,) class indices, or (n, k) labels or quantities in their own units.
        """

    def truth(self, values: np.ndarray) -> np.ndarray | None:
        """Return the targets in their own units, where these are others than the network's; else None."""
        return None

    def fit(self: AnyTask, values: np.ndarray, scale_target: bool) -> AnyTask:
        """Return the task with what is learned from the training targets: for quantities, mean and deviation."""
        return self

    def strata(self, values: np.ndarray) -> np.ndarray | None:
        """Return the class of each row, which a split keeps the shares of; None where there is no such thing."""
        return None

    def placeholder(self, rows: int, dtype: torch.dtype) -> Tensor:
        """Return targets that mean nothing, for rows whose truth is unknown."""
        return torch.zeros(rows, self.width, dtype=dtype)

    # --- learning

    @abstractmethod
    def loss(self, class_weights: Tensor | None = None) -> nn.Module:
        """Return the task's own loss: a module of (scores, targets) to the mean loss of a batch.

        Args:
            class_weights: (classes,), or None.
        """

    def refusal(self, loss: nn.Module) -> str:
        """Return why a loss is not for this task, or an empty text."""
        return ""

    def class_weights(self, setting: Any, targets: Tensor) -> Tensor | None:
        """Return the weight of each class, (classes,), or None.

        Args:
            setting: `class_weight`: None, `balanced` or weights by class name.
            targets: of the training rows.

        Raises:
            Mistake: there are no classes, no such class, or a weight that is no number above 0.
        """
        if setting is not None:
            raise Mistake("class_weight: these data have no classes; set it to null")
        return None

    @abstractmethod
    def running(self) -> Running:
        """Return empty running figures: loss, and accuracy or R²."""

    @property
    def quick_metric(self) -> str:
        """The figure that is logged for every epoch: accuracy or r2."""
        return "accuracy"

    @property
    def quick_figures(self) -> tuple[str, ...]:
        """What is logged for every epoch besides the loss."""
        return (self.quick_metric,)

    def loss_parts(self, scores: Tensor, targets: Tensor) -> dict[str, float]:
        """Return what the loss is the sum of, by name; nothing where it is of one piece."""
        return {}

    # --- judging

    @abstractmethod
    def predictions(
        self, scores: Tensor, targets: Tensor, truth: np.ndarray | None = None, threshold: float = 0.5
    ) -> Predictions:
        """Turn raw scores (n, width) into predictions, in float64.

        Args:
            targets: as `encode` gives them.
            truth: the targets in their own units, as `truth` gives them; None: the targets, decoded.
            threshold: the probability above which the second of two classes, or a label, is predicted.
        """

    @property
    @abstractmethod
    def own_metrics(self) -> tuple[Metric, ...]:
        """The metrics that every run of this task has."""

    @property
    def metrics(self) -> dict[str, Metric]:
        """All metrics by name: the task's own, and those that were chosen."""
        return {metric.name: metric for metric in (*self.own_metrics, *self.chosen_metrics)}

    def with_metrics(self: AnyTask, chosen: tuple[Metric, ...]) -> AnyTask:
        """Return the same task with these metrics besides its own.

        Raises:
            Mistake: one is called like one of the task's own.
        """
        own = {metric.name for metric in self.own_metrics}
        for metric in chosen:
            if metric.name in own or metric.name in ("loss", "confusion_matrix"):
                raise Mistake(f"metrics: every run has a figure '{metric.name}' already; leave it out or rename yours")
        return replace(self, chosen_metrics=chosen)

    def figures(self, predictions: Predictions) -> Figures:
        """Return every metric of some predictions."""
        return figures_of(self.metrics.values(), predictions)

    def brief_figures(self, predictions: Predictions) -> Figures:
        """Return accuracy or R² alone."""
        return figures_of([self.metrics[self.quick_metric]], predictions)

    @abstractmethod
    def baseline(self, targets: Tensor) -> Tensor:
        """Return the constant scores (1, width) that fit the training targets best without looking at any input."""

    def scores_of(self, probability: np.ndarray) -> Tensor:
        """Return raw scores (n, width) that stand for probabilities strictly within 0 and 1.

        Args:
            probability: (n, classes) or (n, labels).

        Raises:
            TypeError: the task has no probabilities.
        """
        raise TypeError(f"{self.name} has no probabilities")

    def check_threshold(self, threshold: float) -> None:
        """Refuse a threshold that is no probability, or where nothing is divided by one.

        Raises:
            Mistake: one of these.
        """
        if not 0 < threshold < 1:
            raise Mistake(f"threshold is {threshold}: it must lie between 0 and 1")
        if threshold != 0.5 and not self.has_threshold:
            what = f"the most probable of {len(self.class_names)} classes" if self.has_classes else "quantities"
            raise Mistake(f"threshold: divides two classes, and this run predicts {what}; leave it out")

    # --- tables

    @property
    @abstractmethod
    def csv_columns(self) -> list[str]:
        """The columns of predictions.csv that hold truth, prediction and probabilities."""

    @abstractmethod
    def csv_cells(self, predictions: Predictions, rows: slice) -> list[list[str]]:
        """Return the text of these columns for some rows: lists of pieces of a line, side by side."""

    @abstractmethod
    def read_csv(self, frame: pd.DataFrame) -> Predictions:
        """Return the predictions that these columns hold, from their text.

        Raises:
            ValueError: the text is none that a run of this task writes.
        """

    @abstractmethod
    def table(self, predictions: Predictions) -> dict[str, np.ndarray]:
        """Return predictions in the reader's terms, a column each: prediction, and probabilities."""

    # --- storing

    def describe(self) -> dict[str, Any]:
        """Return what `preprocessing.json` records of the task."""
        return {"name": self.name, "target_names": list(self.target_names), "class_names": list(self.class_names)}
