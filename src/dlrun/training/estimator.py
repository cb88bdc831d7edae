"""An estimator of scikit-learn as a learner, and its own fit: the same data, metrics and run folder as for networks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from dlrun.data.split import Data, Split
from dlrun.errors import Mistake, blame
from dlrun.runtime import Runtime
from dlrun.tasks.base import Task
from dlrun.training.contracts import Progress, Training, Watch

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


@dataclass
class Estimator:
    """An estimator of scikit-learn.

    Attributes:
        model: the estimator.
        task: what it learns.
        loss: of (scores, targets), by which it is judged; it is not what it minimises.
    """

    model: BaseEstimator
    task: Task
    loss: nn.Module

    @property
    def parameters(self) -> int | None:
        """Fitted coefficients and intercepts; None for estimators that have none."""
        names = ("coef_", "intercept_", "coefs_", "intercepts_")
        arrays = [getattr(self.model, name) for name in names if getattr(self.model, name, None) is not None]
        if not hasattr(self.model, "coef_") and not hasattr(self.model, "coefs_"):
            return None
        flat = [a for array in arrays for a in (array if isinstance(array, list) else [array])]
        return int(sum(np.size(a) for a in flat)) if flat else None

    def judged_by(self, loss: nn.Module) -> Estimator:
        """Return the same estimator with another loss."""
        return replace(self, loss=loss)

    def loss_of(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss () of scores (n, width) and targets."""
        return self.loss(scores, targets.to(scores.dtype) if targets.is_floating_point() else targets)

    def scores(self, splits: Mapping[str, Split]) -> dict[str, Tensor]:
        """Return the raw scores (n, width) of every split."""
        return {name: self._scores(split) for name, split in splits.items()}

    def weights_file(self) -> bytes:
        """Return the fitted estimator, as skops writes it (no pickle)."""
        import skops.io

        return skops.io.dumps(self.model)

    def _scores(self, split: Split) -> Tensor:
        """Return quantities, log odds of the probabilities, or decision values where there are no probabilities.

        Decision values d of any size become sign(d)·log(1 + |d|): in the same order, and small enough for the
        probabilities made from them not to be 0 and 1 all over, which would lose the order.
        """
        inputs = features(split)
        if not self.task.has_classes:
            predicted = np.asarray(self.model.predict(inputs), dtype=np.float64)
            return torch.from_numpy(predicted.reshape(len(split), -1))
        if hasattr(self.model, "predict_proba"):
            smallest = np.finfo(np.float64).eps  # as scikit-learn's log_loss, so that a certain 0 has a logarithm
            return self.task.scores_of(np.clip(self._probability(inputs), smallest, 1 - smallest))
        decisions = np.asarray(self.model.decision_function(inputs), dtype=np.float64).reshape(len(split), -1)
        scores = torch.from_numpy(np.sign(decisions) * np.log1p(np.abs(decisions)))
        known = self._known_classes()
        if self.task.has_one_class and len(known) == 2 < len(self.task.class_names) and scores.shape[1] == 1:
            scores = torch.cat([-scores, scores], dim=1)  # of two classes there is one decision value
        if self.task.has_one_class and scores.shape[1] == len(known) != len(self.task.class_names):
            return self._at_known(scores, known, scores.min().item() - 1)
        return scores

    def _probability(self, inputs: np.ndarray) -> np.ndarray:
        """Return the probabilities (n, classes) or (n, labels); those of classes without a training row are 0."""
        predicted = self.model.predict_proba(inputs)
        if self.task.has_one_class:
            probability = np.asarray(predicted, dtype=np.float64)
            known = self._known_classes()
            if len(known) == len(self.task.class_names):
                return probability
            return self._at_known(torch.from_numpy(probability), known, 0.0).numpy()
        if not isinstance(predicted, list):
            return np.asarray(predicted, dtype=np.float64)
        classes = self.model.classes_  # one array for each label, which may know one value only
        both = zip(predicted, classes, strict=True)
        columns = [p[:, list(known).index(1)] if 1 in known else np.zeros(len(p)) for p, known in both]
        return np.stack(columns, axis=1).astype(np.float64)

    def _known_classes(self) -> list[int]:
        """Return the indices of the classes that had training rows, in the order of the estimator's columns."""
        return [int(index) for index in self.model.classes_] if self.task.has_one_class else []

    def _at_known(self, values: Tensor, known: list[int], elsewhere: float) -> Tensor:
        """Return columns at the places of the classes that are known, and `elsewhere` at those of the others."""
        whole = torch.full((len(values), len(self.task.class_names)), elsewhere, dtype=values.dtype)
        whole[:, known] = values
        return whole


@dataclass
class EstimatorFitter:
    """Fits an estimator of scikit-learn on all training rows at once; what is said of epochs means nothing to it."""

    trains_networks: ClassVar[bool] = False
    epochs: ClassVar[int] = 1
    max_minutes: ClassVar[None] = None
    checkpoint_every: ClassVar[None] = None
    keep_checkpoints: ClassVar[bool] = False

    def for_rows(self, rows: int) -> EstimatorFitter:
        """Return the same."""
        return self

    def steps(self, rows: int) -> int:
        """Return 1: all rows are one step."""
        return 1

    def check(self, training: Training, data: Data) -> None:
        """Refuse a classifier for quantities and a regressor for classes.

        Raises:
            Mistake: one of these, or settings that the estimator refuses.
        """
        from sklearn.base import is_classifier

        model = training.learner.model
        name = type(model).__name__
        with blame(f"model: {name}"):
            model._validate_params()
        if is_classifier(model) != data.task.has_classes:
            what = "quantities, not classes" if data.task.has_classes else "classes, and the target is a quantity"
            raise Mistake(f"model: {name} predicts {what}; choose another model=sklearn/…")

    def fit(self, training: Training, data: Data, runtime: Runtime, watch: Watch) -> Progress:
        """Fit the estimator in place.

        Raises:
            Mistake: the estimator refuses the data.
        """
        progress, model = training.progress, training.learner.model
        started = time.perf_counter()
        targets = data.train.targets.numpy()
        with blame(f"model: {type(model).__name__}"):
            model.fit(features(data.train), targets.ravel() if data.task.width == 1 else targets)
        progress.seconds = time.perf_counter() - started
        progress.status, progress.epochs, progress.best_epoch = "finished", 1, 1
        return progress


def features(split: Split) -> np.ndarray:
    """Return the inputs as scikit-learn wants them: (n, features) float64, images flattened."""
    stored = cast(Tensor, split.stored())  # of one branch
    inputs = cast(Tensor, split.transform(stored.cpu(), torch.float64))
    return inputs.flatten(1).numpy()


def is_estimator(target: Any) -> bool:
    """a subclass of scikit-learn's BaseEstimator"""
    from sklearn.base import BaseEstimator

    return isinstance(target, type) and issubclass(target, BaseEstimator)
