"""The metrics that `metrics=[…]` names: functions of sklearn.metrics, and those of the group `metric`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from dlrun.config.build import OURS, component
from dlrun.errors import Mistake, blame, choose, did_you_mean, one_line
from dlrun.tasks.base import Task
from dlrun.tasks.metric import LOWER_ENDINGS, Metric, Undefined, metric_name, not_finite
from dlrun.tasks.predictions import Predictions

ENDINGS = ("_score", "_error", "_loss", "_coef", "_coefficient")  # of the figures among sklearn.metrics' functions
OF_PROBABILITIES = (  # functions of sklearn.metrics that are wrong on predicted classes
    "roc_auc_score", "average_precision_score", "log_loss", "brier_score_loss", "hinge_loss", "dcg_score", "ndcg_score",
    "d2_log_loss_score", "d2_brier_score", "top_k_accuracy_score", "coverage_error", "label_ranking_loss",
    "label_ranking_average_precision_score",
)  # fmt: skip


def read_metrics(entries: object, allowed: tuple[str, ...]) -> tuple[Metric, ...]:
    """Return the metrics that the config key `metrics` lists.

    Args:
        entries: names of functions of sklearn.metrics, or mappings: `name`, `_target_` (a function of truth and
            prediction), `higher_is_better` (default true), `of` (what it is given beside the truth: `prediction`,
            the default, or `probability`), and further settings of the function.
        allowed: the user's own packages.

    Raises:
        Mistake: no list, no such function, or a setting that it does not have.
    """
    if not isinstance(entries, list | tuple):
        raise Mistake(f"metrics: a list belongs here, as in [{entries}]")
    return tuple(_read(entry, allowed) for entry in entries)


def _read(entry: object, allowed: tuple[str, ...]) -> Metric:
    if isinstance(entry, Mapping):
        settings, name = dict(entry), metric_name(entry)
        settings.pop("name", None)
        higher = settings.pop("higher_is_better", True)
        of = settings.pop("of", "prediction")
        choose(of, dict.fromkeys(("prediction", "probability")), f"metrics.{name}.of")
        if not isinstance(higher, bool):
            raise Mistake(f"metrics.{name}.higher_is_better is {higher}: it must be true or false")
        chosen = component(settings, f"metrics.{name}", is_function, allowed)
        return Metric(name, _computed(name, partial(chosen.target, **chosen.settings), of), higher, not_finite)
    from sklearn import metrics

    names = [name for name in metrics.__all__ if name.endswith(ENDINGS)]
    name = str(entry)
    if name in OF_PROBABILITIES:
        raise Mistake(f"metrics: {name} judges probabilities; what dlrun has of that kind is in the table already")
    if name not in names:
        raise Mistake(
            f"metrics: there is no '{name}' in sklearn.metrics{did_you_mean(name, names)} (nor in the group metric: "
            "dlrun list metric; one of your own is metric/… in the folder of --config-dir)"
        )
    function = getattr(metrics, name)
    return Metric(name, _computed(name, function, "prediction"), not name.endswith(LOWER_ENDINGS), not_finite)


def try_out(metrics: Iterable[Metric], task: Task, targets: Tensor) -> None:
    """Compute each metric of the baseline's predictions of some targets, before a training is lost to it.

    Raises:
        Mistake: a function refuses them, or its settings.
    """
    for metric in metrics:
        predictions = task.predictions(task.baseline(targets).expand(len(targets), -1), targets.cpu())
        with blame(f"metrics: {metric.name}"):
            metric.compute(predictions)


def is_function(target: Any) -> bool:
    """a function of truth and prediction: one of sklearn.metrics, or of a package of yours in allow_targets"""
    from sklearn import metrics

    if not callable(target) or isinstance(target, type):
        return False
    is_ours = target.__module__.partition(".")[0] in OURS  # of which others write files, or run what they are given
    return not is_ours or any(target is getattr(metrics, name) for name in metrics.__all__)


def _computed(name: str, function: Callable[..., Any], of: str) -> Callable[[Predictions], float]:
    def compute(predictions: Predictions) -> float:
        given = getattr(predictions, of)
        if given is None:
            raise Mistake(f"metrics: {name} judges probabilities, and quantities have none")
        try:
            return float(function(predictions.truth, given))
        except ValueError as error:
            raise Undefined(one_line(error)) from error

    return compute
