"""A metric is an object: a name, what computes it, whether more is better, and when it is undefined.

One that is undefined is None with a reason, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from dlrun.tasks.predictions import Predictions

LOWER_IS_BETTER = frozenset(("loss", "mse", "rmse", "mae", "log_loss", "lr"))  # of what every run logs


def always_defined(_predictions: Predictions) -> str:
    """Return no reason why a metric would be undefined."""
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
    """Return every metric of some predictions, in the order given."""
    figures = Figures()
    for metric in metrics:
        reason = metric.undefined(predictions)
        figures.add(metric.name, None if reason else float(metric.compute(predictions)), reason)
    return figures


def not_finite(predictions: Predictions) -> str:
    """Return why predictions that are infinite or undefined have no figures."""
    return "" if predictions.finite else "the predictions are not finite"


def higher_is_better(metric: str) -> bool:
    """Return whether more of a metric that every run logs is better; a metric of one's own says so itself."""
    return metric not in LOWER_IS_BETTER
