"""Quantities: one or several, standardised where asked for, and reported in their own units."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from dlrun.tasks.base import Task
from dlrun.tasks.losses import CLASS_LOSSES
from dlrun.tasks.metric import Metric, by_column, not_finite
from dlrun.tasks.predictions import Predictions
from dlrun.tasks.predictions_csv import numbers_as_text
from dlrun.tasks.running_figures import R2Sums, Running

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Regression(Task):
    """One or several quantities.

    Attributes:
        mean, scale: what the standardised target was shifted and divided by, per target.
    """

    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)

    name: ClassVar[str] = "regression"
    has_classes: ClassVar[bool] = False

    @property
    def width(self) -> int:
        """One score for each target."""
        return len(self.target_names)

    @property
    def quick_metric(self) -> str:
        """The figure that is logged for every epoch: r2."""
        return "r2"

    def fit(self, values: np.ndarray, scale_target: bool) -> Regression:
        """Return the task with the mean and deviation of the training targets (n, k), or 0 and 1."""
        mean, scale = np.zeros(values.shape[1]), np.ones(values.shape[1])
        if scale_target:
            deviation = values.std(axis=0)
            mean, scale = values.mean(axis=0), np.where(deviation > 0, deviation, 1.0)
        return replace(self, mean=tuple(mean.tolist()), scale=tuple(scale.tolist()))

    def encode(self, values: np.ndarray, dtype: torch.dtype) -> Tensor:
        """Return (n, k) quantities, standardised."""
        standardised = (values.reshape(len(values), -1) - np.asarray(self.mean)) / np.asarray(self.scale)
        return torch.from_numpy(standardised.astype(np.float64)).to(dtype)

    def truth(self, values: np.ndarray) -> np.ndarray:
        """Return (n, k) quantities in their own units, as float64."""
        return values

    def loss(self, class_weights: Tensor | None = None) -> nn.Module:
        """Return the mean squared error."""
        return nn.MSELoss()

    def refusal(self, loss: nn.Module) -> str:
        """Return why a loss is not for quantities."""
        return "is for classes, and these data have a quantity" if isinstance(loss, CLASS_LOSSES) else ""

    def running(self) -> Running:
        """Return empty running figures: loss and R²."""
        return Running(R2Sums)

    def predictions(
        self, scores: Tensor, targets: Tensor, truth: np.ndarray | None = None, threshold: float = 0.5
    ) -> Predictions:
        """Return quantities in their own units; see Task.predictions."""
        truth = self.in_own_units(targets) if truth is None else truth
        return Predictions(truth, self.in_own_units(scores))

    def in_own_units(self, standardised: Tensor) -> np.ndarray:
        """Return standardised quantities (n, k) in their own units, as float64."""
        return standardised.detach().cpu().double().numpy() * np.asarray(self.scale) + np.asarray(self.mean)

    @property
    def own_metrics(self) -> tuple[Metric, ...]:
        """MSE, RMSE, MAE and R² in the target's own units; of several targets the means, and then those of each."""
        errors = (
            Metric(name, partial(_error, function), higher_is_better=False, undefined=not_finite)
            for name, function in (
                ("mse", "mean_squared_error"),
                ("rmse", "root_mean_squared_error"),
                ("mae", "mean_absolute_error"),
            )
        )
        metrics = (*errors, Metric("r2", partial(_error, "r2_score"), undefined=_why_no_r2))
        several = len(self.target_names) > 1
        return (*metrics, *by_column(metrics, self.target_names)) if several else metrics

    def baseline(self, targets: Tensor) -> Tensor:
        """Return the mean of the training targets."""
        return targets.cpu().double().mean(dim=0, keepdim=True)

    @property
    def csv_columns(self) -> list[str]:
        """`truth` and `prediction`, with the name of the target where there are several."""
        suffixes = [f"_{name}" for name in self.target_names] if len(self.target_names) > 1 else [""]
        return [f"{column}{suffix}" for suffix in suffixes for column in ("truth", "prediction")]

    def csv_cells(self, predictions: Predictions, rows: slice) -> list[list[str]]:
        """Return the text of truth and prediction of each target."""
        pairs = np.stack([predictions.truth[rows], predictions.prediction[rows]], axis=2)
        return [numbers_as_text(pairs.reshape(len(pairs), -1))]

    def read_csv(self, frame: pd.DataFrame) -> Predictions:
        """Return the predictions that these columns hold, from their text."""
        columns = self.csv_columns
        truth, prediction = (
            frame[columns[start::2]].to_numpy(dtype=np.float64) for start in (0, 1)
        )  # fmt: skip
        return Predictions(truth, prediction)

    def table(self, predictions: Predictions) -> dict[str, np.ndarray]:
        """Return `prediction`, or `prediction_<target>` where there are several."""
        if len(self.target_names) == 1:
            return {"prediction": predictions.prediction[:, 0]}
        return {f"prediction_{name}": predictions.prediction[:, i] for i, name in enumerate(self.target_names)}

    def describe(self) -> dict[str, Any]:
        """Return what `preprocessing.json` records of the task."""
        return {**super().describe(), "mean": list(self.mean), "scale": list(self.scale)}


def _error(function: str, predictions: Predictions) -> float:
    """Return a figure by a function of sklearn.metrics, which is imported where figures are needed."""
    from sklearn import metrics

    return float(getattr(metrics, function)(predictions.truth, predictions.prediction))


def _why_no_r2(predictions: Predictions) -> str:
    if len(predictions) < 2:
        return "R² needs at least two rows"
    if np.ptp(predictions.truth, axis=0).min() == 0:
        return "the truth has one value only"
    return not_finite(predictions)
