"""Several labels, each of which a row has or has not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from dlrun.tasks.base import Task
from dlrun.tasks.binary import signs_agree
from dlrun.tasks.classes import TWO_CLASS_METRICS, probability_columns
from dlrun.tasks.losses import FOR_QUANTITIES, QUANTITY_LOSSES
from dlrun.tasks.metric import Metric, by_column, not_finite
from dlrun.tasks.predictions import Predictions
from dlrun.tasks.predictions_csv import numbers_as_text
from dlrun.tasks.running_figures import AccuracySums, Running

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Multilabel(Task):
    """Several labels, by a logit each."""

    name: ClassVar[str] = "multilabel"
    has_threshold: ClassVar[bool] = True

    @property
    def width(self) -> int:
        """A score for each label."""
        return len(self.class_names)

    def encode(self, values: np.ndarray, dtype: torch.dtype) -> Tensor:
        """Return labels (n, k) of 0 and 1."""
        return torch.from_numpy(values.reshape(len(values), -1).astype(np.float64)).to(dtype)

    def loss(self, class_weights: Tensor | None = None) -> nn.Module:
        """Return the mean binary cross-entropy on logits over the labels."""
        return nn.BCEWithLogitsLoss()

    def refusal(self, loss: nn.Module) -> str:
        """Return why a loss is not for labels."""
        if isinstance(loss, nn.CrossEntropyLoss):
            return "needs a score per class; data.task=multiclass gives two classes two of them"
        return FOR_QUANTITIES if isinstance(loss, QUANTITY_LOSSES) else ""

    def running(self) -> Running:
        """Return empty running figures: loss, and accuracy over all labels of all rows."""
        return Running(lambda: AccuracySums(signs_agree))

    def predictions(
        self, scores: Tensor, targets: Tensor, truth: np.ndarray | None = None, threshold: float = 0.5
    ) -> Predictions:
        """Return labels and their probabilities; see Task.predictions."""
        probability = torch.sigmoid(scores.detach().cpu().double()).numpy()
        return Predictions(targets.cpu().long().numpy(), (probability > threshold).astype(np.int64), probability)

    @property
    def own_metrics(self) -> tuple[Metric, ...]:
        """Macro accuracy, precision, recall, F1 and ROC AUC, exact match and log loss; then the figures by label."""
        macro = [
            Metric(metric.name, _macro(metric), undefined=_macro_reason(metric, self.class_names))
            for metric in TWO_CLASS_METRICS
        ]
        exact = Metric("exact_match", lambda p: float((p.truth == p.prediction).all(axis=1).mean()))
        log_loss = Metric("log_loss", _mean_log_loss, higher_is_better=False, undefined=not_finite)
        return (*macro, exact, log_loss, *by_column(TWO_CLASS_METRICS, self.class_names))

    def baseline(self, targets: Tensor) -> Tensor:
        """Return the logit of each label's share."""
        return torch.logit(targets.cpu().double().mean(dim=0, keepdim=True))

    def scores_of(self, probability: np.ndarray) -> Tensor:
        """Return the logits of the probabilities."""
        return torch.logit(torch.from_numpy(probability))

    @property
    def csv_columns(self) -> list[str]:
        """`truth_<label>` and `prediction_<label>` of each label, then the probabilities."""
        pairs = [f"{column}_{name}" for name in self.target_names for column in ("truth", "prediction")]
        return [*pairs, *(f"probability_{name}" for name in self.class_names)]

    def csv_cells(self, predictions: Predictions, rows: slice) -> list[list[str]]:
        """Return the text of truth and prediction of each label, and of the probabilities."""
        pairs = np.stack([predictions.truth[rows], predictions.prediction[rows]], axis=2)
        probability = np.empty((len(pairs), 0)) if predictions.probability is None else predictions.probability[rows]
        return [numbers_as_text(pairs.reshape(len(pairs), -1)), numbers_as_text(probability)]

    def read_csv(self, frame: pd.DataFrame) -> Predictions:
        """Return the predictions that these columns hold, from their text."""
        pairs = self.csv_columns[: 2 * len(self.target_names)]
        truth, prediction = (
            frame[pairs[start::2]].to_numpy(dtype=np.float64).astype(np.int64) for start in (0, 1)
        )  # fmt: skip
        return Predictions(truth, prediction, frame[self.csv_columns[len(pairs) :]].to_numpy(dtype=np.float64))

    def table(self, predictions: Predictions) -> dict[str, np.ndarray]:
        """Return `prediction_<label>` and `probability_<label>`."""
        names = self.target_names
        labels = {f"prediction_{name}": predictions.prediction[:, i] for i, name in enumerate(names)}
        return labels | probability_columns(self.class_names, predictions)


def _macro(metric: Metric) -> Callable[[Predictions], float]:
    def mean(predictions: Predictions) -> float:
        labels = range(predictions.truth.shape[1])
        return float(np.mean([metric.compute(predictions.of_column(label)) for label in labels]))

    return mean


def _macro_reason(metric: Metric, names: tuple[str, ...]) -> Callable[[Predictions], str]:
    def reason(predictions: Predictions) -> str:
        lacking = [name for i, name in enumerate(names) if metric.undefined(predictions.of_column(i))]
        return f"undefined for {', '.join(lacking[:5])}" if lacking else ""

    return reason


def _mean_log_loss(predictions: Predictions) -> float:
    from sklearn.metrics import log_loss

    labels = (predictions.of_column(label) for label in range(predictions.truth.shape[1]))
    return float(np.mean([log_loss(label.truth, label.probability, labels=[0, 1]) for label in labels]))
