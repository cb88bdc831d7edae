"""What every picture of one run is drawn from: the run that has ended, with its rows and predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dlrun.data.split import Data, Split
from dlrun.plots import axes as draw
from dlrun.tasks.base import Task
from dlrun.tasks.predictions import Predictions
from dlrun.tasks.several import Several, SeveralPredictions

if TYPE_CHECKING:
    from dlrun.fitted import Fitted

THRESHOLD = 0.5  # at which the predictions of a run divide two classes


@dataclass
class FinishedRun:
    """A run that has ended, with all that its pictures need.

    Attributes:
        fitted: the model with its preprocessing, ready to predict.
        data: what it was trained and judged on.
        predictions_by_split: of `train`, and of `valid` and `test` where there are such rows.
        metrics: what metrics.json holds.
        history: what was logged, a row an epoch; empty where nothing was trained by epochs.
    """

    fitted: Fitted
    data: Data
    predictions_by_split: Mapping[str, Predictions]
    metrics: Mapping[str, Any]
    history: pd.DataFrame

    @property
    def task(self) -> Task:
        """What was learned and is predicted."""
        return self.data.task.main

    def of_target(self, name: str) -> FinishedRun:
        """Return the run as if it had learned one of its several targets alone, judged by the rows that have it.

        Only what is drawn from predictions can be drawn of it: its model still gives the scores of all targets.
        """
        assert isinstance(self.task, Several)
        part = next(part for part in self.task.parts if part.name == name)
        splits: dict[str, Any] = {}
        predictions, metrics = {}, dict(self.metrics)
        for split, rows in self.data.splits().items():
            whole = self.predictions_by_split[split]
            assert isinstance(whole, SeveralPredictions)
            splits[split] = rows.take(whole.known_rows(name))
            predictions[split] = whole.known(name)
            kind = "train_eval" if split == "train" else split
            own = {key.removeprefix(f"{name}/"): v for key, v in metrics[kind].items() if key.startswith(f"{name}/")}
            metrics[kind] = own
        data = replace(self.data, task=part.task, **splits)
        return replace(self, data=data, predictions_by_split=predictions, metrics=metrics, history=pd.DataFrame())

    @property
    def split(self) -> str:
        """The split that the run is judged by: test, else valid, else train."""
        return next(name for name in ("test", "valid", "train") if name in self.predictions_by_split)

    @property
    def rows(self) -> Split:
        """The rows of this split."""
        return self.data.splits()[self.split]

    @property
    def row_name(self) -> str:
        """What these rows are called: `test rows`."""
        return draw.ROWS[self.split]

    @property
    def predictions(self) -> Predictions:
        """The predictions of these rows, beside their truth."""
        return self.predictions_by_split[self.split]

    @property
    def probability(self) -> np.ndarray:
        """The probability of each class or label in these rows, (n, classes).

        Raises:
            TypeError: the run predicts quantities.
        """
        if self.predictions.probability is None:
            raise TypeError("quantities have no probabilities")
        return self.predictions.probability

    @property
    def is_of_images(self) -> bool:
        """Whether the inputs are images (channels, height, width)."""
        return len(self.data.specs) == 1 and len(self.data.inputs.shape) == 3

    @property
    def figures(self) -> Mapping[str, Any]:
        """The metrics of these rows by name."""
        return self.metrics["train_eval" if self.split == "train" else self.split]

    @property
    def class_names(self) -> list[str]:
        """The names of the classes by index; of the labels, where there are several; empty for quantities."""
        return list(self.task.class_names)

    @property
    def positive_class(self) -> str:
        """What the second of two classes, or the only label, is called; a number with its target: `survived = 1`."""
        name = self.task.class_names[-1]
        return f"{self.task.target_names[0]} = {name}" if self.task.target_names and not name.isalpha() else name

    @property
    def feature_names(self) -> list[str]:
        """A name for each input of a table or a text; for a series, of each step: `load, 3 back`; of several branches
        none.
        """
        if len(self.data.specs) > 1:
            return []
        names, shape = list(self.data.inputs.feature_names), self.data.inputs.shape
        if len(shape) != 2 or len(names) != shape[1]:
            return names
        return [f"{name}, {shape[0] - step} back" for step in range(shape[0]) for name in names]

    def number_columns(self, count: int) -> list[str] | None:
        """Return the columns that the model reads, where these are `count` and all numbers; else None."""
        schema = self.data.preprocessing.schema()
        numbers = schema.kind == "table" and schema.numbers_only and len(schema.used) == count
        return [column.name for column in schema.used] if numbers else None

    def numbers(self, columns: list[str]) -> dict[str, tuple[np.ndarray, np.ndarray]] | None:
        """Return, for the training rows and those that the run is judged by, raw inputs (n, columns) and truth (n, …).

        Rows without a number in one of the `columns` are left out. None where a split has no other rows, or where the
        raw inputs have not been kept.
        """
        by_split = {}
        for split in dict.fromkeys(("train", self.split)):
            raw = self.data.splits()[split].raw
            if not isinstance(raw, pd.DataFrame):
                return None
            inputs = raw[columns].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
            whole = np.isfinite(inputs).all(axis=1)
            if not whole.any():
                return None
            by_split[split] = inputs[whole], self.predictions_by_split[split].truth[whole]
        return by_split
