"""A finished run, loaded: its network or estimator with its own preprocessing, ready to predict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dlrun.data.preprocessing.base import Preprocessing
from dlrun.data.rows import only_spec, rows_of
from dlrun.data.split import Split
from dlrun.errors import Mistake
from dlrun.runtime import Runtime
from dlrun.store.folder import RunFolder
from dlrun.tasks.base import Task
from dlrun.tasks.predictions import Predictions
from dlrun.tasks.several import Several
from dlrun.tensors import InputSpec
from dlrun.training.contracts import Learner

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass
class Fitted:
    """What a finished run has learned.

    Attributes:
        folder: of the run.
        task: what was learned.
        specs: what the inputs of a row are, after preprocessing, by branch.
        preprocessing: as it was fitted on the training rows.
        learner: the network, in evaluation mode, or the estimator.
        runtime: where it computes; entered for as long as something is computed, and no longer.
    """

    folder: RunFolder
    task: Task
    specs: Mapping[str, InputSpec]
    preprocessing: Preprocessing
    learner: Learner
    runtime: Runtime

    @property
    def inputs(self) -> InputSpec:
        """What the inputs of a row are, of one branch.

        Raises:
            Mistake: there are several.
        """
        return only_spec(self.specs)

    @property
    def model(self) -> Any:
        """The network (nn.Module) or the estimator of scikit-learn."""
        return self.learner.model  # type: ignore[attr-defined]  # both kinds of learner have one

    def predict(self, inputs: pd.DataFrame | np.ndarray, threshold: float = 0.5) -> pd.DataFrame:
        """Predict for new rows.

        Args:
            inputs: a DataFrame with the columns that the run was trained on, in any order and among others; texts;
                images (n, channels, height, width) or (n, height, width) of bytes; windows (n, lags, features).
            threshold: the probability above which the second of two classes is predicted.

        Returns:
            A row each: `prediction` (a class name, or a quantity in the target's own units; with several targets
            `prediction_<target>`) and, for classes, `probability_<class>`.

        Raises:
            Mistake: the inputs are not of the shape, or lack a column.
        """
        predictions = self.predictions(self.preprocessing.inputs_of(inputs), threshold)
        # of a series the last rows have a forecast: each goes by the last step of its window
        index = inputs.index[-len(predictions.prediction) :] if isinstance(inputs, pd.DataFrame) else None
        return self.table(predictions, index)

    def predict_proba(self, inputs: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Return the probability of each class or label for new rows, as scikit-learn's classifiers do.

        Returns:
            (n, classes), in the order of `task.class_names`.

        Raises:
            Mistake: the run predicts quantities, or the inputs are not of the shape.
        """
        probability = self.predictions(self.preprocessing.inputs_of(inputs)).probability
        if probability is None:
            what = "several targets" if isinstance(self.task.main, Several) else "quantities"
            raise Mistake(f"predict_proba: this run predicts {what}, not the classes of one; use predict")
        return probability

    def score(self, inputs: pd.DataFrame | np.ndarray, targets: ArrayLike) -> float:
        """Return the accuracy (for several labels: of all of them together), for quantities R², as scikit-learn does.

        Args:
            inputs: as for `predict`.
            targets: (n,) class names or quantities in their own units, or (n, k) of several.

        Raises:
            Mistake: the inputs are not of the shape, or not as many as the targets.
        """
        from sklearn.metrics import accuracy_score, r2_score

        if isinstance(self.task.main, Several):
            raise Mistake("score: this run predicts several targets, whose figures are no one number; use predict")
        table = self.predict(inputs)
        truth = np.asarray(targets)
        if len(truth) != len(table):
            raise Mistake(f"score: {len(table)} rows and {len(truth)} targets; there must be as many of both")
        predicted = table[[name for name in table if str(name).startswith("prediction")]].to_numpy()
        if not self.task.has_classes:
            return float(r2_score(truth.reshape(predicted.shape), predicted))
        if self.task.has_one_class:
            return float(accuracy_score(truth.astype(str).ravel(), predicted.astype(str).ravel()))
        return float((truth.reshape(predicted.shape) == predicted).mean())

    def predictions(self, inputs: Any, threshold: float = 0.5) -> Predictions:
        """Return the predictions for raw inputs, as the preprocessing takes them; their truth means nothing."""
        rows = self.rows(inputs)
        return self.task.predictions(self.scores({"": rows})[""], rows.targets, threshold=threshold)

    def read(self, path: Path) -> Iterator[tuple[pd.DataFrame, Any]]:
        """Yield new rows from a file or folder, some at a time: what to show beside their predictions, and raw inputs.

        Raises:
            Mistake: it cannot be read.
        """
        shape = self.inputs.shape if len(self.specs) == 1 else ()
        return self.preprocessing.read(path, shape)

    def rows(self, inputs: Any, targets: Tensor | None = None) -> Split:
        """Return raw inputs as a split on the runtime's device; without `targets`, these mean nothing.

        Raises:
            Mistake: the inputs are not of the shape that the run was trained on.
        """
        dtype = self.runtime.dtype
        stored = rows_of(self.preprocessing.apply(inputs)).to(self.runtime.device, dtype)
        for name, spec in self.specs.items():
            shape = stored.specs[name].shape if name in stored.specs else ()
            if shape != spec.shape:
                expected, given = ("×".join(map(str, own)) for own in (spec.shape, shape))
                branch = f" in the branch {name}" if len(self.specs) > 1 else ""
                raise Mistake(f"input: a row is {given}{branch}, and the run was trained on {expected}")
        answers = self.task.placeholder(len(stored), dtype) if targets is None else targets
        numbers = np.arange(len(stored))
        return Split(stored, answers, numbers, transform=self.preprocessing.transform).to(self.runtime.device)

    def scores(self, splits: dict[str, Split]) -> dict[str, Tensor]:
        """Return the raw scores (n, width) of every split."""
        with self.runtime, torch.inference_mode():
            return self.learner.scores(splits)

    def table(self, predictions: Predictions, index: pd.Index | None = None) -> pd.DataFrame:
        """Return predictions in the reader's terms, a column each."""
        return pd.DataFrame(self.task.table(predictions), index=index)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from html import escape

        size = self.learner.parameters
        parameters = "" if size is None else f", {size:,} parameters"
        name, folder = escape(type(self.model).__name__), escape(str(self.folder))
        return f"<b>{name}</b> ({self.task.summary}{parameters})<br>{folder}"
