"""A run that has ended, loaded: its network or estimator with its own preprocessing, ready to predict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from dlrun import runtime as environment
from dlrun.data.labels import to_tensor
from dlrun.data.source import Preprocessing
from dlrun.data.split import Split
from dlrun.errors import Mistake
from dlrun.store.folder import RunFolder
from dlrun.tasks.predictions import Predictions, from_scores
from dlrun.tensors import Spec
from dlrun.training.trainer import Trainer

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


@dataclass
class Trained:
    """What a finished run has learned.

    Attributes:
        folder: of the run.
        config: as the run had it, for reading.
        spec: of the data that it was trained on.
        preprocessing: as it was fitted on the training rows.
        trainer: what scores rows.
        model: the network, on `device` and in evaluation mode, or the estimator.
    """

    folder: RunFolder
    config: DictConfig
    spec: Spec
    preprocessing: Preprocessing
    trainer: Trainer
    model: nn.Module | BaseEstimator
    device: torch.device

    def predict(self, inputs: pd.DataFrame | np.ndarray, threshold: float = 0.5) -> pd.DataFrame:
        """What the model says of new rows.

        Args:
            inputs: a DataFrame with the columns that the run was trained on, in any order and among others; texts;
                images (n, channels, height, width) or (n, height, width) of bytes; windows (n, lags, features).
            threshold: the probability from which on the second of two classes is predicted.

        Returns:
            A row each: `prediction` (a class name, or a quantity in the target's own units; with several targets
            `prediction_<target>`) and, for classes, `probability_<class>`.

        Raises:
            Mistake: the inputs are not of the shape, or lack a column.
        """
        found = self.predictions(self.preprocessing.inputs_of(inputs), threshold)
        return self.table_of(found, _index_of(inputs, len(found.prediction)))

    def predictions(self, inputs, threshold: float = 0.5) -> Predictions:
        """The predictions for raw inputs, as the preprocessing takes them; their truth means nothing."""
        rows = self.rows(inputs)
        return from_scores(self.spec, self.scores({"": rows})[""], rows.targets, threshold=threshold)

    def rows(self, inputs, targets: np.ndarray | None = None) -> Split:
        """Raw inputs as a split on the model's device; without `targets`, these are zeros.

        Raises:
            Mistake: the inputs are not of the shape that the run was trained on.
        """
        stored = self.preprocessing.apply(inputs)
        dtype = environment.dtype_of_precision(self.config.precision)
        stored = stored.to(dtype) if stored.dtype.is_floating_point else stored
        if tuple(stored.shape[1:]) != self.spec.input_shape:
            expected, found = ("×".join(map(str, shape)) for shape in (self.spec.input_shape, stored.shape[1:]))
            raise Mistake(f"input: a row is {found}, and the run was trained on {expected}")
        raw = np.zeros((len(stored), self.spec.outputs)) if targets is None else targets
        raw = raw[:, 0] if targets is None and self.spec.task == "multiclass" else raw
        numbers = np.arange(len(stored))
        split = Split(stored, to_tensor(self.spec.task, raw, dtype), numbers, transform=self.preprocessing.transform)
        return split.to(self.device)

    def scores(self, splits: dict[str, Split]) -> dict[str, Tensor]:
        """The raw scores (n, outputs) of every split."""
        with environment.subnormals_flushed():
            return self.trainer.all_scores(self.model, splits, self.config.precision)

    def table_of(self, found: Predictions, index: pd.Index | None = None) -> pd.DataFrame:
        """Predictions in the reader's terms, a column each."""
        spec = self.spec
        if spec.task in ("binary", "multiclass"):
            columns = {"prediction": np.asarray(spec.class_names, dtype=object)[found.prediction]}
        elif len(spec.target_names) == 1:
            columns = {"prediction": found.prediction[:, 0]}
        else:
            columns = {f"prediction_{n}": found.prediction[:, i] for i, n in enumerate(spec.target_names)}
        if found.probability is not None:
            columns |= {f"probability_{n}": found.probability[:, i] for i, n in enumerate(spec.class_names)}
        return pd.DataFrame(columns, index=index)


def check_threshold(threshold: float, spec: Spec) -> None:
    """Refuse, by a Mistake, what is no probability to divide two classes by, or where there are none to divide."""
    if not 0 < threshold < 1:
        raise Mistake(f"threshold is {threshold}: it must lie between 0 and 1")
    if threshold != 0.5 and spec.task not in ("binary", "multilabel"):
        what = "quantities" if spec.task == "regression" else f"the most probable of {len(spec.class_names)} classes"
        raise Mistake(f"threshold: divides two classes, and this run predicts {what}; leave it out")


def _index_of(inputs, rows: int) -> pd.Index | None:
    """The names of the last `rows` rows: of a series, a window goes by the name of its last step."""
    return inputs.index[-rows:] if isinstance(inputs, pd.DataFrame) else None
