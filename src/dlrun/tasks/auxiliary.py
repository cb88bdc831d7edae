"""A task whose network has a second head, on an inner branch, that learns the same and only helps it to learn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from dlrun.tasks.base import Task
from dlrun.tasks.metric import Figures, Metric
from dlrun.tasks.predictions import Predictions
from dlrun.tasks.running_figures import Running, Sums, in_double

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class WithAuxiliary(Task):
    """The scores of the task itself, and beside them those of the auxiliary head; only the former become predictions.

    The loss is (1 − weight) · that of the task + weight · that of the auxiliary head, as in Géron's Hands-On Machine
    Learning (chapter 10).

    Attributes:
        inner: the task itself.
        weight: of the auxiliary loss.
    """

    inner: Task = None  # type: ignore[assignment]  # it is always given
    weight: float = 0.1

    name: ClassVar[str] = "auxiliary"

    @property
    def main(self) -> Task:
        """The task itself."""
        return self.inner

    @property
    def has_classes(self) -> bool:  # type: ignore[override]  # as the task itself
        """Whether there are probabilities of classes."""
        return self.inner.has_classes

    @property
    def has_one_class(self) -> bool:  # type: ignore[override]
        """Whether each row is of exactly one of the classes."""
        return self.inner.has_one_class

    @property
    def has_threshold(self) -> bool:  # type: ignore[override]
        """Whether a probability divides what is predicted from what is not."""
        return self.inner.has_threshold

    @property
    def width(self) -> int:
        """The scores of both heads."""
        return 2 * self.inner.width

    @property
    def outputs(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each target's scores, and of the auxiliary ones."""
        return {**self.inner.outputs, "auxiliary": (self.inner.width,)}

    @property
    def summary(self) -> str:
        """What the task itself says."""
        return f"{self.inner.summary}, with an auxiliary head"

    @property
    def column_names(self) -> tuple[str, ...]:
        """A name for each score of the task itself."""
        return self.inner.column_names

    def heads(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores of the task itself, and of the auxiliary head."""
        main, auxiliary = scores.split(self.inner.width, dim=1)
        return main, auxiliary

    def encode(self, values: np.ndarray, dtype: torch.dtype) -> Tensor:
        """Return the targets of the task itself."""
        return self.inner.encode(values, dtype)

    def truth(self, values: np.ndarray) -> np.ndarray | None:
        """Return the targets of the task itself, in their own units."""
        return self.inner.truth(values)

    def placeholder(self, rows: int, dtype: torch.dtype) -> Tensor:
        """Return targets that mean nothing."""
        return self.inner.placeholder(rows, dtype)

    def loss(self, class_weights: Tensor | None = None) -> nn.Module:
        """Return the weighted sum of both heads' losses."""
        return LossWithAuxiliary(self.inner.loss(class_weights), self.weight, self.inner.width)

    def refusal(self, loss: nn.Module) -> str:
        """Return why no other loss goes with an auxiliary head."""
        return "does not go with model.auxiliary"

    def class_weights(self, setting: Any, targets: Tensor) -> Tensor | None:
        """Return the weight of each class of the task itself."""
        return self.inner.class_weights(setting, targets)

    def running(self) -> Running:
        """Return the running figures of the task itself, and the losses of both heads."""
        return Running(lambda: SumsOfHeads(self))

    @property
    def quick_metric(self) -> str:
        """That of the task itself."""
        return self.inner.quick_metric

    @property
    def quick_figures(self) -> tuple[str, ...]:
        """Those of the task itself, and the losses of both heads."""
        return ("main/loss", "auxiliary/loss", *self.inner.quick_figures)

    def loss_parts(self, scores: Tensor, targets: Tensor) -> dict[str, float]:
        """Return the losses of both heads, and what that of the task itself is the sum of."""
        scores, targets = scores.cpu(), targets.cpu()
        main, auxiliary = self.heads(scores)
        loss = self.inner.loss()
        own = {"main/loss": loss(main, targets).item(), "auxiliary/loss": loss(auxiliary, targets).item()}
        return own | self.inner.loss_parts(main, targets)

    def predictions(
        self, scores: Tensor, targets: Tensor, truth: np.ndarray | None = None, threshold: float = 0.5
    ) -> Predictions:
        """Return the predictions of the task itself."""
        return self.inner.predictions(self.heads(scores)[0], targets, truth, threshold)

    @property
    def own_metrics(self) -> tuple[Metric, ...]:
        """The metrics of the task itself."""
        return self.inner.own_metrics

    def figures(self, predictions: Predictions) -> Figures:
        """Return every metric of the task itself."""
        return self._inner().figures(predictions)

    def brief_figures(self, predictions: Predictions) -> Figures:
        """Return accuracy or R² alone."""
        return self._inner().brief_figures(predictions)

    def _inner(self) -> Task:
        return self.inner.with_metrics(self.chosen_metrics)

    def baseline(self, targets: Tensor) -> Tensor:
        """Return the constant scores of both heads."""
        scores = self.inner.baseline(targets)
        return torch.cat([scores, scores], dim=1)

    @property
    def csv_columns(self) -> list[str]:
        """The columns of the task itself."""
        return self.inner.csv_columns

    def csv_cells(self, predictions: Predictions, rows: slice) -> list[list[str]]:
        """Return the text of these columns."""
        return self.inner.csv_cells(predictions, rows)

    def read_csv(self, frame: pd.DataFrame) -> Predictions:
        """Return the predictions that these columns hold."""
        return self.inner.read_csv(frame)

    def table(self, predictions: Predictions) -> dict[str, np.ndarray]:
        """Return predictions in the reader's terms."""
        return self.inner.table(predictions)

    def check_threshold(self, threshold: float) -> None:
        """Refuse a threshold that the task itself does not take."""
        self.inner.check_threshold(threshold)

    def describe(self) -> dict[str, Any]:
        """Return what `preprocessing.json` records of the task."""
        return {"name": self.name, "inner": self.inner.describe(), "weight": self.weight}


class LossWithAuxiliary(nn.Module):
    """(1 − weight) · the loss of the first head + weight · the loss of the second.

    Args:
        loss: of scores and targets, for either.
        weight: of the second.
        width: scores of either.
    """

    def __init__(self, loss: nn.Module, weight: float, width: int):
        super().__init__()
        self.loss, self.weight, self.width = loss, weight, width

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the loss () of scores (n, 2 · width) and targets."""
        main, auxiliary = scores.split(self.width, dim=1)
        return (1 - self.weight) * self.loss(main, targets) + self.weight * self.loss(auxiliary, targets)


class SumsOfHeads:
    """What the running figures of a task with an auxiliary head are computed from.

    Args:
        task: whose figures they are.
    """

    def __init__(self, task: WithAuxiliary):
        self.task, self.loss, self.count = task, task.inner.loss(), 0
        self.main: Sums = task.inner.running().sums
        self.losses: list[Tensor | float] = [0.0, 0.0]

    def add(self, scores: Tensor, targets: Tensor) -> None:
        """Take rows: the scores (n, width) of both heads, and targets."""
        heads = self.task.heads(scores)
        self.main.add(heads[0], targets)
        rows = len(targets)
        self.losses = [
            total + in_double(self.loss(own, targets)) * rows for total, own in zip(self.losses, heads, strict=True)
        ]
        self.count += rows

    def figures(self) -> dict[str, float]:
        """Return the losses of both heads and the figures of the task itself, of all rows so far."""
        main, auxiliary = (float(total) / self.count if self.count else math.nan for total in self.losses)
        return {"main/loss": main, "auxiliary/loss": auxiliary, **self.main.figures()}

    def state(self) -> dict[str, Any]:
        """Return the sums."""
        losses = [float(total) for total in self.losses]
        return {"main": self.main.state(), "losses": losses, "count": self.count}

    def restore(self, state: dict[str, Any]) -> None:
        """Take sums from `state`."""
        if state["count"]:
            self.main.restore(state["main"])
        self.losses, self.count = list(state["losses"]), state["count"]


def with_auxiliary(task: Task, weight: float) -> WithAuxiliary:
    """Return a task whose network has an auxiliary head too."""
    bare = replace(task, chosen_metrics=())
    return WithAuxiliary(task.target_names, task.class_names, task.chosen_metrics, inner=bare, weight=weight)
