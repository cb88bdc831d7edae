"""A metric is an object: a name, what computes it, whether more is better, and when it is undefined.

One that is undefined is None with a reason, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from dlrun.tasks.predictions import Predictions

LOWER_IS_BETTER = frozenset(("loss", "mse", "rmse", "mae", "log_loss", "lr"))  # of what every run logs
LOWER_ENDINGS = ("_error", "_loss")  # of the functions of sklearn.metrics that are better when lower


def always_defined(_predictions: Predictions) -> str:
    """No reason why a metric would be undefined."""
    return ""


@dataclass(frozen=True)
class Metric:
    """A figure of some predictions.

    Attributes:
        name: as it is logged, monitored, ranked by and shown.
        compute: from predictions to the value.
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


def figures_of(metrics: Iterable[Metric], predictions: Predictions) -> Figures:
    """Every metric of some predictions, in the order given."""
    figures = Figures()
    for metric in metrics:
        reason = metric.undefined(predictions)
        figures.add(metric.name, None if reason else float(metric.compute(predictions)), reason)
    return figures


def not_finite(predictions: Predictions) -> str:
    """Why nothing can be said of predictions that are infinite or undefined."""
    return "" if predictions.finite else "the predictions are not finite"


def higher_is_better(metric: str, chosen: object = ()) -> bool:
    """Return whether more of a metric is better.

    Args:
        metric: its name.
        chosen: what the config key `metrics` of the run lists: an entry of the metric's name says so itself, and the
            names of scikit-learn's functions do by their ending.
    """
    entries = chosen if isinstance(chosen, list | tuple) else ()
    own = [entry for entry in entries if isinstance(entry, Mapping) and metric_name(entry) == metric]
    if own:
        return own[-1].get("higher_is_better", True) is not False
    return metric not in LOWER_IS_BETTER and not (metric in entries and metric.endswith(LOWER_ENDINGS))


def metric_name(entry: Mapping[str, object]) -> str:
    """Return what the metric that a mapping in `metrics` describes is called: its name, or that of its function."""
    return str(entry.get("name") or str(entry.get("_target_", "")).rpartition(".")[2])
