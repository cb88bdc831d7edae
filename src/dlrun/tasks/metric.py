"""A metric is an object: a name, what computes it, whether more is better, and when it is undefined.

One that is undefined is None with a reason, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dlrun.tasks.predictions import Predictions

LOWER_IS_BETTER = frozenset(("loss", "mse", "rmse", "mae", "log_loss", "lr"))  # of what every run logs
ERRORS_OF_A_TARGET = ("mse_", "rmse_", "mae_")  # the same, of one of several targets
LOWER_ENDINGS = ("_error", "_loss")  # of the functions of sklearn.metrics that are better when lower


def always_defined(_predictions: Predictions) -> str:
    """Return no reason why a metric would be undefined."""
    return ""


class Undefined(ValueError):
    """These predictions have no such figure; the text says why."""


@dataclass(frozen=True)
class Metric:
    """A figure of some predictions.

    Attributes:
        name: as it is logged, monitored, ranked by and shown.
        compute: from predictions to the value; it may raise Undefined.
        higher_is_better: whether more of it is better.
        undefined: the reason why these predictions have no such figure, or an empty text.
    """

    name: str
    compute: Callable[[Predictions], float]
    higher_is_better: bool = True
    undefined: Callable[[Predictions], str] = always_defined


@dataclass
class Figures:
    """Metrics by name; `undefined` says why a value is None."""

    values: dict[str, object] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, value: float | None, reason: str = "") -> None:
        """Store a value, or None with the reason: the one given, or that the value is not finite."""
        if value is not None and not reason and not math.isfinite(value):
            reason = f"not finite ({value})"
        self.values[name] = None if reason else value
        if reason:
            self.undefined[name] = reason


def by_column(metrics: Iterable[Metric], names: Sequence[str]) -> list[Metric]:
    """Return each metric of each label or target by itself, called `<metric>_<name>`."""

    def of_one(metric: Metric, column: int, name: str) -> Metric:
        return Metric(
            f"{metric.name}_{name}",
            lambda predictions: metric.compute(predictions.of_column(column)),
            metric.higher_is_better,
            lambda predictions: metric.undefined(predictions.of_column(column)),
        )

    return [of_one(metric, column, name) for column, name in enumerate(names) for metric in metrics]


def figures_of(metrics: Iterable[Metric], predictions: Predictions) -> Figures:
    """Return every metric of some predictions, in the order given."""
    figures = Figures()
    for metric in metrics:
        reason = metric.undefined(predictions)
        try:
            figures.add(metric.name, None if reason else float(metric.compute(predictions)), reason)
        except Undefined as why:
            figures.add(metric.name, None, str(why))
    return figures


def not_finite(predictions: Predictions) -> str:
    """Return why predictions that are infinite or undefined have no figures."""
    return "" if predictions.finite else "the predictions are not finite"


def higher_is_better(metric: str, chosen: object = ()) -> bool:
    """Return whether more of a metric is better.

    Args:
        metric: its name.
        chosen: what the config key `metrics` of the run lists: an entry of the metric's name says so itself, and the
            names of scikit-learn's functions do by their ending.
    """
    entries = {metric_name(entry): entry for entry in _list_of(chosen)}
    if metric not in entries:
        return metric not in LOWER_IS_BETTER and not metric.startswith(ERRORS_OF_A_TARGET)
    entry = entries[metric]
    if isinstance(entry, Mapping):
        return entry.get("higher_is_better", True) is not False
    return not metric.endswith(LOWER_ENDINGS)


def chosen_names(chosen: object) -> list[str]:
    """Return the names of the metrics that the config key `metrics` of a run lists."""
    return list(dict.fromkeys(map(metric_name, _list_of(chosen))))


def metric_name(entry: object) -> str:
    """Return what the metric that an entry of `metrics` describes is called: its name, or that of its function."""
    if isinstance(entry, Mapping):
        return str(entry.get("name") or str(entry.get("_target_", "")).rpartition(".")[2])
    return str(entry)


def _list_of(chosen: object) -> Sequence[object]:
    return chosen if isinstance(chosen, Sequence) and not isinstance(chosen, str) else ()
