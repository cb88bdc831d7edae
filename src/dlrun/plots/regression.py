"""Pictures of quantities: predictions against the truth, residuals, a fitted curve, a forecast over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dlrun.plots import axes as draw
from dlrun.plots.finished_run import THRESHOLD, FinishedRun
from dlrun.tasks.regression import Regression

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_TARGETS = 3  # with a row of the picture each
MOST_POINTS = 5000
GRID_POINTS = 400  # of a curve
FORECAST_STEPS = 240  # the last ones are drawn


def residuals(run: FinishedRun) -> Figure | None:
    """Draw predicted against true quantities, and what is left over; a row for each target, in its own units."""
    if run.task.has_classes:
        return None
    names = list(run.task.target_names)[:MOST_TARGETS]
    means = run.predictions_by_split["train"].truth.mean(axis=0)
    size = (draw.WIDTH + 2, draw.HEIGHT * max(1, 0.8 * len(names)))
    figure, grid = draw.several(f"Predictions and residuals, {run.row_name}", len(names), 2, size)
    every = max(1, len(run.predictions) // MOST_POINTS)
    style = {"s": 8, "alpha": 0.4 if len(run.predictions) > 300 else 0.8, "linewidths": 0}
    for i, name in enumerate(names):
        true, predicted = run.predictions.truth[::every, i], run.predictions.prediction[::every, i]
        left, right = grid[i]
        ends = [true.min(), true.max()]
        left.scatter(true, predicted, **style)
        left.plot(ends, ends, color="black", linewidth=1, label="exact")
        draw.baseline(left, means[i], "baseline: the mean")
        left.set(xlabel=f"{name}, true", ylabel=f"{name}, predicted")
        left.legend(fontsize=8)
        right.scatter(predicted, true - predicted, **style)
        right.axhline(0, color="black", linewidth=1)
        right.set(xlabel=f"{name}, predicted", ylabel="true − predicted")
    return figure


def fitted_curve(run: FinishedRun) -> Figure | None:
    """Draw what is predicted over the one input there is: a quantity, or the probability of a class or label."""
    columns = run.number_columns(1)
    if columns is None or run.task.width != 1:
        return None
    rows = run.numbers(columns)
    if rows is None:
        return None
    points = {split: (x[:, 0], truth.reshape(len(truth), -1)[:, 0].astype(float)) for split, (x, truth) in rows.items()}
    x, truth = points["train"]
    margin = 0.02 * (x.max() - x.min())
    grid = np.linspace(x.min() - margin, x.max() + margin, GRID_POINTS)
    if run.task.has_classes:
        curve = run.fitted.predict_proba(pd.DataFrame({columns[0]: grid}))[:, -1]
        what = f"probability of {run.positive_class}"
    else:
        curve = run.fitted.predictions(pd.DataFrame({columns[0]: grid})).prediction[:, 0]
        what = run.task.target_names[0]
    figure, axes = draw.one(f"{what} by {columns[0]}", columns[0], what)
    for (split, of_split), color in zip(points.items(), ("tab:blue", "tab:orange"), strict=False):
        _scatter(axes, *of_split, color, draw.ROWS[split])
    axes.plot(grid, curve, color="black", linewidth=1.5, label="the run")
    draw.baseline(axes, float(truth.mean()))
    margin = 0.15 * (truth.max() - truth.min())
    axes.set_ylim(truth.min() - margin, truth.max() + margin)
    if run.task.has_classes:
        axes.axhline(THRESHOLD, color="black", linestyle=":", linewidth=1, label=f"threshold {THRESHOLD:g}")
    axes.legend(fontsize=8)
    return figure


def forecast(run: FinishedRun) -> Figure | None:
    """Draw the last steps of a series: forecast, true, and the baseline, which is the last value that was known."""
    rows, task = run.rows, run.task
    if not isinstance(task, Regression) or rows.naive is None:
        return None
    steps = rows.row_numbers if rows.times is None else rows.times
    last = slice(-FORECAST_STEPS, None)
    figure, axes = draw.one(
        f"Forecast, the last {min(len(steps), FORECAST_STEPS)} of the {run.row_name}", "", task.target_names[0]
    )
    truth, predicted, naive = run.predictions.truth, run.predictions.prediction, task.in_own_units(rows.naive)
    axes.plot(steps[last], truth[last, 0], color="black", linewidth=1.5, label="true")
    axes.plot(steps[last], predicted[last, 0], color="tab:orange", linewidth=1.2, label="forecast")
    axes.plot(steps[last], naive[last, 0], color="grey", linestyle="--", linewidth=0.8,
              label="baseline: the last value")  # fmt: skip
    axes.set_xlabel("time" if np.issubdtype(steps.dtype, np.datetime64) else "step")
    axes.tick_params(axis="x", rotation=20)
    axes.legend(fontsize=8)
    return figure


def _scatter(axes: Axes, x: np.ndarray, y: np.ndarray, color: str, label: str) -> None:
    every = max(1, len(x) // MOST_POINTS)
    alpha = 0.3 if len(x) > 1000 else 0.8
    axes.scatter(x[::every], y[::every], s=12, alpha=alpha, linewidths=0, color=color, label=label)
