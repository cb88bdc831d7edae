"""What tasks with classes share: probabilities, their metrics, and rows that are of exactly one class."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from dlrun.errors import Mistake, choose, did_you_mean
from dlrun.tasks.base import Task
from dlrun.tasks.losses import FOR_QUANTITIES, QUANTITY_LOSSES
from dlrun.tasks.metric import Figures, Metric, not_finite
from dlrun.tasks.predictions import Predictions
from dlrun.tasks.predictions_csv import cell, numbers_as_text

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class OneClass(Task):
    """Each row is of exactly one of several classes."""

    has_one_class: ClassVar[bool] = True

    @property
    def summary(self) -> str:
        """How many classes there are."""
        return f"{len(self.class_names)} classes"

    def strata(self, values: np.ndarray) -> np.ndarray:
        """Return the class of each row."""
        return values

    def indices_of(self, names: list[str]) -> np.ndarray:
        """Return the class indices (n,) of classes by name.

        Raises:
            Mistake: a class that the task does not know.
        """
        index = {name: i for i, name in enumerate(self.class_names)}
        if unknown := sorted(set(names) - set(index)):
            near = did_you_mean(unknown[0], self.class_names)
            raise Mistake(f"data.target: the run knows no class '{unknown[0]}'{near}")
        return np.array([index[name] for name in names])

    def class_weights(self, setting: Any, targets: Tensor) -> Tensor | None:
        """Return the weight of each class, (classes,); see Task.class_weights.

        `balanced` is rows / (classes · rows of the class), as scikit-learn's; classes that are not named weigh 1.
        """
        if setting is None:
            return None
        names = self.class_names
        if setting == "balanced":
            counts = torch.bincount(targets.long().ravel().cpu(), minlength=len(names))
            return (len(targets) / (len(names) * counts.clamp(min=1))).float()
        if not isinstance(setting, Mapping):
            raise Mistake(
                f"class_weight is {setting}: it must be null, balanced, or weights by class: {{{names[0]}: 2}}"
            )
        weights = dict.fromkeys(names, 1.0)
        for name, weight in setting.items():
            choose(str(name), weights, "class_weight")
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not weight > 0:
                raise Mistake(f"class_weight.{name} is {weight}: it must be a number above 0")
            weights[str(name)] = float(weight)
        return torch.tensor([weights[name] for name in names])

    def refusal(self, loss: nn.Module) -> str:
        """Return why a loss is not for classes."""
        return FOR_QUANTITIES if isinstance(loss, QUANTITY_LOSSES) else ""

    @property
    def own_metrics(self) -> tuple[Metric, ...]:
        """The figures of two classes, or of several."""
        return BINARY_METRICS if len(self.class_names) == 2 else several_class_metrics(self.class_names)

    def figures(self, predictions: Predictions) -> Figures:
        """Return every metric, and the confusion matrix: rows are the truth."""
        from sklearn.metrics import confusion_matrix

        figures = super().figures(predictions)
        classes = np.arange(len(self.class_names))
        matrix = confusion_matrix(predictions.truth, predictions.prediction, labels=classes)
        figures.values["confusion_matrix"] = matrix.tolist()
        return figures

    @property
    def csv_columns(self) -> list[str]:
        """`truth` and `prediction` by name, and the probability of each class."""
        return ["truth", "prediction", *(f"probability_{name}" for name in self.class_names)]

    def csv_cells(self, predictions: Predictions, rows: slice) -> list[list[str]]:
        """Return the text of the two names, and of the probabilities."""
        names = np.array([*(cell(name) for name in self.class_names), ""], dtype=object)  # -1: there is no truth
        pairs = zip(names[predictions.truth[rows]], names[predictions.prediction[rows]], strict=True)
        return [[f"{true},{predicted}" for true, predicted in pairs], numbers_as_text(_probability(predictions)[rows])]

    def read_csv(self, frame: pd.DataFrame) -> Predictions:
        """Return the predictions that these columns hold, from their text."""
        probability = frame[self.csv_columns[2:]].to_numpy(dtype=np.float64)
        index = {name: i for i, name in enumerate(self.class_names)}
        if unknown := {*frame["truth"], *frame["prediction"]} - set(index):
            raise ValueError(f"no class is called {min(unknown)}")
        truth, prediction = (frame[name].map(index).to_numpy() for name in ("truth", "prediction"))
        return Predictions(truth, prediction, probability)

    def table(self, predictions: Predictions) -> dict[str, np.ndarray]:
        """Return `prediction`, the name of the class, and `probability_<class>`."""
        names = np.asarray(self.class_names, dtype=object)[predictions.prediction]
        return {"prediction": names, **probability_columns(self.class_names, predictions)}

    @abstractmethod
    def log_odds(self, shares: Tensor) -> Tensor:
        """Return the scores (1, width) that stand for the `shares` (classes,) of the classes."""

    def baseline(self, targets: Tensor) -> Tensor:
        """Return the log odds of the classes' shares, so that the majority class is predicted."""
        counts = torch.bincount(targets.cpu().long().ravel(), minlength=len(self.class_names))
        return self.log_odds(counts.double() / len(targets))


def probability_columns(names: tuple[str, ...], predictions: Predictions) -> dict[str, np.ndarray]:
    """Return `probability_<name>` of each class or label."""
    return {f"probability_{name}": column for name, column in zip(names, _probability(predictions).T, strict=True)}


def _probability(predictions: Predictions) -> np.ndarray:
    if predictions.probability is None:
        raise ValueError("these predictions have no probabilities")
    return predictions.probability


def _score(function: str, predictions: Predictions) -> float:
    """Return a figure of predicted classes by a function of sklearn.metrics."""
    from sklearn import metrics

    return float(getattr(metrics, function)(predictions.truth, predictions.prediction))


def _score_of_second(function: str, predictions: Predictions) -> float:
    """Return a figure of the probabilities of the second of two classes by a function of sklearn.metrics."""
    from sklearn import metrics

    return float(getattr(metrics, function)(predictions.truth, _probability(predictions)[:, 1]))


def _log_loss(predictions: Predictions) -> float:
    """Return the log loss of two or of several classes."""
    from sklearn.metrics import log_loss

    probability = _probability(predictions)
    return float(log_loss(predictions.truth, probability, labels=np.arange(probability.shape[1])))


def _log_loss_of_two(predictions: Predictions) -> float:
    from sklearn.metrics import log_loss

    score = _probability(predictions)[:, 1]
    return float(log_loss(predictions.truth, np.column_stack([1 - score, score]), labels=[0, 1]))


def _first(*reasons: Callable[[Predictions], str]) -> Callable[[Predictions], str]:
    """Return what gives the first of these reasons that there is."""
    return lambda predictions: next(filter(None, (reason(predictions) for reason in reasons)), "")


def _one_class(predictions: Predictions) -> str:
    truth = predictions.truth
    return "only one class among the true labels" if truth.min() == truth.max() else ""


def _no_positive(predictions: Predictions) -> str:
    return "" if predictions.truth.any() else "no positive row"


def _none_called(predictions: Predictions) -> str:
    return "" if predictions.prediction.any() else "no row was called positive"


def _neither(predictions: Predictions) -> str:
    both = _no_positive(predictions) and _none_called(predictions)
    return "no row is positive and none was called so" if both else ""


TWO_CLASS_METRICS = (  # of two classes or of one label; the second class is the positive one
    Metric("accuracy", partial(_score, "accuracy_score"), undefined=not_finite),
    Metric("precision", partial(_score, "precision_score"), undefined=_first(_none_called, not_finite)),
    Metric("recall", partial(_score, "recall_score"), undefined=_first(_no_positive, not_finite)),
    Metric("f1", partial(_score, "f1_score"), undefined=_first(_neither, not_finite)),
    Metric("roc_auc", partial(_score_of_second, "roc_auc_score"), undefined=_first(_one_class, not_finite)),
)
BINARY_METRICS = (
    *TWO_CLASS_METRICS,
    Metric(
        "average_precision",
        partial(_score_of_second, "average_precision_score"),
        undefined=_first(_no_positive, not_finite),
    ),
    Metric("log_loss", _log_loss_of_two, higher_is_better=False, undefined=not_finite),
)
BY_CLASS = ("precision", "recall", "f1")


def several_class_metrics(class_names: tuple[str, ...]) -> tuple[Metric, ...]:
    """Return accuracy, macro and weighted precision, recall and F1, one-vs-rest ROC AUC (macro), and log loss."""

    def absent(predictions: Predictions) -> str:
        lacking = sorted(set(range(len(class_names))) - set(predictions.truth.tolist()))
        return f"no row of class {', '.join(class_names[c] for c in lacking[:5])}" if lacking else ""

    return (
        Metric("accuracy", partial(_score, "accuracy_score"), undefined=not_finite),
        *(Metric(name, partial(_mean_by_class, name, False), undefined=not_finite) for name in BY_CLASS),
        *(Metric(f"{name}_weighted", partial(_mean_by_class, name, True), undefined=not_finite) for name in BY_CLASS),
        Metric("roc_auc", _one_against_the_rest, undefined=_first(absent, not_finite)),
        Metric("log_loss", _log_loss, higher_is_better=False, undefined=not_finite),
    )


def _mean_by_class(name: str, weighted: bool, predictions: Predictions) -> float:
    by_class = predictions.scores_by_class
    return float(np.average(by_class[name], weights=by_class["support"] if weighted else None))


def _one_against_the_rest(predictions: Predictions) -> float:
    from sklearn.metrics import roc_auc_score

    probability = _probability(predictions)
    if not (probability != probability[0]).any():  # all rows are tied, which scikit-learn takes long to find out
        return 0.5
    classes = np.arange(probability.shape[1])
    return float(roc_auc_score(predictions.truth, probability, multi_class="ovr", labels=classes))
