"""The fitter for scikit-learn estimators: the same data, splits, metrics and run folder as for networks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import skops.io
import torch
from sklearn.base import BaseEstimator, is_classifier
from torch import Tensor

from dlrun.data.split import Data, Split
from dlrun.errors import Mistake, blame
from dlrun.training.state import Progress
from dlrun.training.trainer import Trainer, Training


@dataclass
class EstimatorTrainer(Trainer):
    """Fits a scikit-learn estimator on the training rows; epochs, batches and optimizer mean nothing to it."""

    model_class: ClassVar[type] = BaseEstimator
    resumes: ClassVar[bool] = False

    def fit(
        self,
        training: Training,
        data: Data,
        *,
        seed: int,
        precision: str,
        on_step: Callable[[Training], str | None],
        on_epoch: Callable[[Training, dict[str, float]], str | None],
    ) -> Progress:
        """Fit `training.learner.model` in place; see Trainer.fit.

        Raises:
            Mistake: the estimator refuses its settings or the data.
        """
        progress, estimator = training.progress, training.learner.model
        started = time.perf_counter()
        targets = data.train.targets.numpy()
        with blame(f"model: {type(estimator).__name__}"):
            estimator.fit(features(data.train), targets.ravel() if data.spec.outputs == 1 else targets)
        progress.seconds = time.perf_counter() - started
        progress.status, progress.epochs, progress.best_epoch = "finished", 1, 1
        return progress

    def check(self, training: Training, data: Data) -> None:
        """Refuse a classifier for quantities and a regressor for classes."""
        estimator, task = training.learner.model, training.means.epoch_metrics.spec.task
        with blame(f"model: {type(estimator).__name__}"):
            estimator._validate_params()
        if is_classifier(estimator) == (task == "regression"):
            what = "classes, and the target is a quantity" if task == "regression" else "quantities, not classes"
            raise Mistake(f"model: {type(estimator).__name__} predicts {what}; choose another model=sklearn/…")

    def scores(self, model: BaseEstimator, split: Split, precision: str) -> Tensor:
        """Raw scores (n, outputs): quantities, log odds of the probabilities, or decision values where an estimator
        gives no probabilities.

        Decision values d of any size become sign(d)·log(1 + |d|): in the same order, and small enough for the
        probabilities made from them not to be 0 and 1 all over, which would lose the order.
        """
        inputs, multilabel = features(split), split.targets.dim() == 2 and split.targets.shape[1] > 1
        if not hasattr(model, "classes_"):
            return torch.from_numpy(np.asarray(model.predict(inputs), dtype=np.float64).reshape(len(split), -1))
        if hasattr(model, "predict_proba"):
            found = model.predict_proba(inputs)
            probability = (
                np.stack([p[:, 1] for p in found], axis=1) if multilabel and isinstance(found, list) else found
            )
            smallest = np.finfo(np.float64).eps  # as scikit-learn's log_loss, so that a certain 0 has a logarithm
            probability = torch.from_numpy(np.asarray(probability, dtype=np.float64)).clamp(smallest, 1 - smallest)
            if split.targets.dim() == 1:
                return probability.log()
            return torch.logit(probability if multilabel else probability[:, 1:])
        decisions = np.asarray(model.decision_function(inputs), dtype=np.float64).reshape(len(split), -1)
        return torch.from_numpy(np.sign(decisions) * np.log1p(np.abs(decisions)))

    def device_for(self, chosen: torch.device) -> torch.device:
        """The CPU, whatever was chosen: scikit-learn works there."""
        return torch.device("cpu")

    def weights(self, model: BaseEstimator) -> tuple[str, bytes]:
        """The format and content of the file that holds the fitted estimator (no pickle)."""
        return "skops", skops.io.dumps(model)

    def parameters(self, model: BaseEstimator) -> int | None:
        """Fitted coefficients and intercepts; None for estimators that have none."""
        if not hasattr(model, "coef_") and not hasattr(model, "coefs_"):
            return None
        arrays = [getattr(model, n) for n in ("coef_", "intercept_", "coefs_", "intercepts_") if hasattr(model, n)]
        flat = [a for array in arrays for a in (array if isinstance(array, list) else [array])]
        return int(sum(np.size(a) for a in flat)) if flat else None


def features(split: Split) -> np.ndarray:
    """The inputs as scikit-learn wants them: (n, features) float64, images flattened."""
    return split.transform(split.stored().cpu(), torch.float64).flatten(1).numpy()
