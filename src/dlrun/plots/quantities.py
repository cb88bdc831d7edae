"""Quantities: predictions against the truth, residuals, a fitted curve, a forecast over time."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from dlrun.plots import axes as draw

MOST_POINTS = 5000
FORECAST_STEPS = 240  # the last ones are drawn


def residuals(truth: np.ndarray, prediction: np.ndarray, names: list[str], baselines: np.ndarray, of: str) -> Figure:
    """Predicted against true values, and what is left over; a row for each target, in its own units.

    Args:
        truth, prediction: (n, targets).
        names: of the targets.
        baselines: (targets,) what the baseline predicts for every row.
        of: which rows these are.
    """
    figure, grid = draw.several(
        f"Predictions and residuals, {of}", len(names), 2, (draw.WIDTH + 2, draw.HEIGHT * max(1, 0.8 * len(names)))
    )
    every = max(1, len(truth) // MOST_POINTS)
    style = {"s": 8, "alpha": 0.4 if len(truth) > 300 else 0.8, "linewidths": 0}
    for i, name in enumerate(names):
        true, said = truth[::every, i], prediction[::every, i]
        left, right = grid[i]
        ends = [true.min(), true.max()]
        left.scatter(true, said, **style)
        left.plot(ends, ends, color="black", linewidth=1, label="exact")
        draw.baseline(left, baselines[i], "baseline: the mean")
        left.set(xlabel=f"{name}, true", ylabel=f"{name}, predicted")
        left.legend(fontsize=8)
        right.scatter(said, true - said, **style)
        right.axhline(0, color="black", linewidth=1)
        right.set(xlabel=f"{name}, predicted", ylabel="true − predicted")
    return figure


def fitted_curve(
    seen: tuple[np.ndarray, np.ndarray],
    judged: tuple[np.ndarray, np.ndarray] | None,
    of: str,
    grid: np.ndarray,
    curve: np.ndarray,
    baseline: float,
    names: tuple[str, str],
    threshold: float | None = None,
) -> Figure:
    """A curve through the rows, with one input.

    Args:
        seen, judged: inputs and targets of the training rows, and of the rows of another split.
        of: which rows those are.
        grid, curve: inputs, and what is predicted there: the quantity, or the probability of a class.
        baseline: what the baseline predicts.
        names: of the input and of what is predicted.
        threshold: of a probability.
    """
    figure, axes = draw.one(f"{names[1]} by {names[0]}", names[0], names[1])
    for rows, label, color in ((seen, "training rows", "tab:blue"), (judged, of, "tab:orange")):
        if rows is not None:
            every = max(1, len(rows[0]) // MOST_POINTS)
            alpha = 0.3 if len(rows[0]) > 1000 else 0.8
            axes.scatter(rows[0][::every], rows[1][::every], s=12, alpha=alpha, linewidths=0, color=color, label=label)
    low, high = seen[1].min(), seen[1].max()
    axes.plot(grid, curve, color="black", linewidth=1.5, label="the run")
    draw.baseline(axes, baseline)
    axes.set_ylim(low - 0.15 * (high - low), high + 0.15 * (high - low))
    if threshold is not None:
        axes.axhline(threshold, color="black", linestyle=":", linewidth=1, label=f"threshold {threshold:g}")
    axes.legend(fontsize=8)
    return figure


def forecast(
    times: np.ndarray, truth: np.ndarray, prediction: np.ndarray, naive: np.ndarray, name: str, of: str
) -> Figure:
    """The last steps of a series, forecast and true, beside the forecast "as the last value"; all are (n,)."""
    figure, axes = draw.one(f"Forecast, the last {min(len(truth), FORECAST_STEPS)} of the {of}", "", name)
    last = slice(-FORECAST_STEPS, None)
    axes.plot(times[last], truth[last], color="black", linewidth=1.5, label="true")
    axes.plot(times[last], prediction[last], color="tab:orange", linewidth=1.2, label="forecast")
    axes.plot(times[last], naive[last], color="grey", linestyle="--", linewidth=0.8, label="baseline: the last value")
    axes.set_xlabel("time" if np.issubdtype(times.dtype, np.datetime64) else "step")
    axes.tick_params(axis="x", rotation=20)
    axes.legend(fontsize=8)
    return figure
