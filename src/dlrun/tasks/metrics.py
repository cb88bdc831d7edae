"""Metrics, by scikit-learn, on collected predictions. One that is undefined is None with a reason, never 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from dlrun.tasks.predictions import Predictions
from dlrun.tensors import Spec

LOWER_IS_BETTER = ("loss", "mse", "rmse", "mae", "log_loss", "lr")
EPOCH_METRIC = {"regression": "r2", "binary": "accuracy", "multiclass": "accuracy", "multilabel": "accuracy"}
AVERAGED = ("precision", "recall", "f1")


@dataclass
class Figures:
    """Metrics by name; `undefined` says why a value is None."""

    values: dict[str, object] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, compute: Callable[[], float], why_not: str = "") -> None:
        """Store `compute()`, or None with the reason: `why_not` where given, or that the value is not finite."""
        value = None if why_not else float(compute())
        if value is not None and not math.isfinite(value):
            why_not = f"not finite ({value})"
        self.values[name] = None if why_not else value
        if why_not:
            self.undefined[name] = why_not


def higher_is_better(metric: str) -> bool:
    """Whether more of `metric` is better."""
    return metric not in LOWER_IS_BETTER


def metric_names(spec: Spec) -> list[str]:
    """The numbers that `compute` gives for the task of `spec`; any of them can be monitored."""
    if spec.task == "regression":
        return ["mse", "rmse", "mae", "r2"]
    if spec.task == "multilabel":
        each = [f"{metric}_{label}" for label in spec.class_names for metric in ("accuracy", *AVERAGED, "roc_auc")]
        return ["accuracy", "exact_match", *AVERAGED, "roc_auc", "log_loss", *each]
    if len(spec.class_names) == 2:
        return ["accuracy", *AVERAGED, "roc_auc", "average_precision", "log_loss"]
    return ["accuracy", *AVERAGED, *(f"{metric}_weighted" for metric in AVERAGED), "roc_auc", "log_loss"]


def compute(spec: Spec, found: Predictions) -> Figures:
    """The whole metric suite of the task.

    Regression: MSE, RMSE, MAE and R² in the target's own units (means over several targets). Binary, and multiclass
    with two classes: accuracy, precision, recall, F1, ROC AUC, average precision and log loss, class 1 being the
    positive one. Multiclass: accuracy, macro and weighted precision, recall and F1, one-vs-rest ROC AUC (macro), log
    loss. Multilabel: per label, and macro. Classes add their confusion matrix: rows are the truth.
    """
    if spec.task == "regression":
        return _regression(found)
    if spec.task == "multilabel":
        return _multilabel(spec, found)
    figures = _binary(found) if len(spec.class_names) == 2 else _multiclass(spec, found)
    from sklearn.metrics import confusion_matrix

    classes = np.arange(len(spec.class_names))
    figures.values["confusion_matrix"] = confusion_matrix(found.truth, found.prediction, labels=classes).tolist()
    return figures


def brief_suite(spec: Spec, found: Predictions) -> Figures:
    """Accuracy alone, or R² for quantities: what is logged each epoch, of the same rows."""
    figures = Figures()
    if spec.task == "regression":
        suite = _regression(found)
        return Figures({"r2": suite.values["r2"]}, {k: v for k, v in suite.undefined.items() if k == "r2"})
    broken = "" if np.isfinite(found.probability).all() else "the predictions are not finite"
    figures.add("accuracy", lambda: np.mean(found.truth == found.prediction), broken)
    return figures


def _regression(found: Predictions) -> Figures:
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score, root_mean_squared_error

    figures = Figures()
    few = "" if len(found.truth) > 1 else "R² needs at least two rows"
    constant = "the truth has one value only" if np.ptp(found.truth, axis=0).min() == 0 else ""
    for name, function in (
        ("mse", mean_squared_error),
        ("rmse", root_mean_squared_error),
        ("mae", mean_absolute_error),
    ):
        if np.isfinite(found.prediction).all():
            figures.add(name, lambda f=function: f(found.truth, found.prediction))
        else:
            figures.add(name, lambda: math.nan, "the predictions are not finite")
    broken = "" if np.isfinite(found.prediction).all() else "the predictions are not finite"
    figures.add("r2", lambda: r2_score(found.truth, found.prediction), few or constant or broken)
    return figures


def _binary(found: Predictions) -> Figures:
    figures = Figures()
    _binary_figures(figures, found.truth, found.prediction, found.probability[:, 1], "")
    return figures


def _binary_figures(figures: Figures, truth: np.ndarray, said: np.ndarray, score: np.ndarray, suffix: str) -> None:
    from sklearn.metrics import (
        accuracy_score,
        average_precision_score,
        f1_score,
        log_loss,
        precision_score,
        recall_score,
        roc_auc_score,
    )  # fmt: skip

    one_class = "only one class among the true labels" if truth.min() == truth.max() else ""
    no_positive = "" if truth.any() else "no positive row"
    none_called = "" if said.any() else "no row was called positive"
    broken = "" if np.isfinite(score).all() else "the predictions are not finite"
    figures.add("accuracy" + suffix, lambda: accuracy_score(truth, said), broken)
    figures.add("precision" + suffix, lambda: precision_score(truth, said), none_called or broken)
    figures.add("recall" + suffix, lambda: recall_score(truth, said), no_positive or broken)
    neither = no_positive and none_called and "no row is positive and none was called so"
    figures.add("f1" + suffix, lambda: f1_score(truth, said), neither or broken)
    figures.add("roc_auc" + suffix, lambda: roc_auc_score(truth, score), one_class or broken)
    if not suffix:
        figures.add("average_precision", lambda: average_precision_score(truth, score), no_positive or broken)
        probability = np.column_stack([1 - score, score])
        figures.add("log_loss", lambda: log_loss(truth, probability, labels=[0, 1]), broken)


def _multiclass(spec: Spec, found: Predictions) -> Figures:
    from sklearn.metrics import accuracy_score, log_loss, precision_recall_fscore_support, roc_auc_score

    figures = Figures()
    truth, said, classes = found.truth, found.prediction, np.arange(len(spec.class_names))
    broken = "" if np.isfinite(found.probability).all() else "the predictions are not finite"
    figures.add("accuracy", lambda: accuracy_score(truth, said), broken)
    # zero_division=0 is scikit-learn's own default, without the warning: a class that is never predicted
    *by_class, support = precision_recall_fscore_support(truth, said, zero_division=0)
    for suffix, weights in (("", None), ("_weighted", support)):
        for name, values in zip(AVERAGED, by_class, strict=True):
            figures.add(name + suffix, lambda v=values, w=weights: np.average(v, weights=w), broken)
    absent = sorted(set(classes) - set(truth.tolist()))
    names = ", ".join(spec.class_names[c] for c in absent[:5])
    why_not = f"no row of class {names}" if absent else broken
    ranks = (found.probability != found.probability[0]).any()  # else all rows are tied, which takes long to find out
    roc_auc = partial(roc_auc_score, truth, found.probability, multi_class="ovr", labels=classes)
    figures.add("roc_auc", roc_auc if ranks else lambda: 0.5, why_not)
    figures.add("log_loss", lambda: log_loss(truth, found.probability, labels=classes), broken)
    return figures


def _multilabel(spec: Spec, found: Predictions) -> Figures:
    from sklearn.metrics import accuracy_score

    each = Figures()
    for j, label in enumerate(spec.class_names):
        _binary_figures(each, found.truth[:, j], found.prediction[:, j], found.probability[:, j], f"_{label}")
    figures = Figures()
    for metric in ("accuracy", *AVERAGED, "roc_auc"):
        values = [each.values[f"{metric}_{label}"] for label in spec.class_names]
        lacking = [label for label, value in zip(spec.class_names, values, strict=True) if value is None]
        why_not = f"undefined for {', '.join(lacking[:5])}" if lacking else ""
        figures.add(metric, lambda v=values: np.mean(v), why_not)
    figures.add("exact_match", lambda: accuracy_score(found.truth, found.prediction))
    broken = "" if np.isfinite(found.probability).all() else "the predictions are not finite"
    figures.add("log_loss", lambda: _label_log_loss(found), broken)
    figures.values |= each.values
    figures.undefined |= each.undefined
    return figures


def _label_log_loss(found: Predictions) -> float:
    from sklearn.metrics import log_loss

    columns = zip(found.truth.T, found.probability.T, strict=True)
    return float(np.mean([log_loss(t, np.column_stack([1 - p, p]), labels=[0, 1]) for t, p in columns]))
