"""Pictures of how training went: loss and metric by epoch, and the learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from dlrun.plots import axes as draw
from dlrun.plots.finished_run import FinishedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRICS = ("loss", "accuracy", "r2")  # with a curve


def learning_curves(run: FinishedRun) -> Figure | None:
    """Draw loss and accuracy (R²) by epoch, with the best epoch and the baseline."""
    history, baselines = run.history, run.metrics["baseline"]
    if len(history) < 2:
        return None
    metrics = logged(history)
    figure, grid = draw.several("Learning curves", 1, len(metrics), (max(draw.WIDTH, 5 * len(metrics)), draw.HEIGHT))
    for axes, metric in zip(grid[0], metrics, strict=True):
        axes.set(xlabel="epoch", ylabel=metric)
        _lines(axes, history, metric)
        draw.baseline(axes, (baselines.get("valid") or baselines["train_eval"]).get(metric))
        best = run.metrics.get("best_epoch")
        if best is not None and best != run.metrics.get("epochs"):
            axes.axvline(best, color="black", linestyle=":", linewidth=1, label=f"best epoch {best}")
        _limit(axes, history, metric)
        axes.legend(fontsize=8)
    return figure


def learning_rate(run: FinishedRun) -> Figure | None:
    """Draw the learning rate at the end of each epoch, where a schedule changed it."""
    if len(run.history) < 2 or run.history["lr"].nunique() < 2:
        return None
    figure, axes = draw.one("Learning rate by epoch", "epoch", "learning rate")
    axes.plot(run.history["epoch"], run.history["lr"], marker="." * (len(run.history) < 40))
    if run.history["lr"].min() > 0 and run.history["lr"].max() > 50 * run.history["lr"].min():
        draw.logarithmic(axes, "y")
    draw.whole_numbers(axes.xaxis)
    return figure


def logged(history: pd.DataFrame) -> list[str]:
    """Return which of METRICS the history of a run has, of all targets together and of each."""
    names = [str(column).removeprefix("train/") for column in history if str(column).startswith("train/")]
    names = [name for name in names if name.rpartition("/")[2] in METRICS]
    return sorted(
        names, key=lambda name: ("/" in name, METRICS.index(name.rpartition("/")[2]) if "/" not in name else 0)
    )


def draw_curves(history: pd.DataFrame, metric: str) -> Figure:
    """Draw a metric over the epochs, with a band of one standard deviation where several runs were averaged.

    Args:
        history: with `epoch`, `train/<metric>`, `valid/<metric>`, and perhaps the same with `_deviation`.
        metric: loss, accuracy or r2.
    """
    figure, axes = draw.one(f"{metric} by epoch", "epoch", metric)
    _lines(axes, history, metric)
    axes.legend()
    return figure


def draw_runs_beside(histories: dict[str, pd.DataFrame], metrics: list[str]) -> Figure:
    """Draw loss and metric of several runs by epoch: solid on validation rows, dotted on training rows.

    Args:
        histories: by the name of the run.
        metrics: those to draw, a panel each.
    """
    from matplotlib.lines import Line2D

    figure, grid = draw.several("", 1, len(metrics), (max(draw.WIDTH, 5 * len(metrics)), draw.HEIGHT))
    for axes, metric in zip(grid[0], metrics, strict=True):
        axes.set(xlabel="epoch", ylabel=metric)
        for number, history in enumerate(histories.values()):
            for split, style in (("train", ":"), ("valid", "-")):
                if f"{split}/{metric}" in history:
                    axes.plot(history["epoch"], history[f"{split}/{metric}"], style, color=f"C{number % 10}")
        draw.whole_numbers(axes.xaxis)
        _limit(axes, pd.concat(histories.values()), metric)
    handles = [Line2D([], [], color=f"C{i % 10}", label=draw.shortened(name, 60)) for i, name in enumerate(histories)]
    kinds = [
        Line2D([], [], color="black", linestyle=":", label="training"),
        Line2D([], [], color="black", linestyle="-", label="validation"),
    ]
    figure.legend(handles=[*handles, *kinds], loc="outside lower center", fontsize=8, ncols=2)
    return figure


def _lines(axes: Axes, history: pd.DataFrame, metric: str) -> None:
    for split in ("train", "valid"):
        name = f"{split}/{metric}"
        if name in history:
            marker = "." * (len(history) < 40)
            line = axes.plot(history["epoch"], history[name], marker=marker, label=draw.NAMES[split])[0]
            if f"{name}_deviation" in history:
                spread = history[f"{name}_deviation"].fillna(0)
                low, high = history[name] - spread, history[name] + spread
                axes.fill_between(history["epoch"], low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    draw.whole_numbers(axes.xaxis)


def _limit(axes: Axes, history: pd.DataFrame, metric: str) -> None:
    """Keep the part of the axis that can be read: a logarithm for a loss that fell far, no R² far below 0."""
    values = history[[name for name in history if name in (f"train/{metric}", f"valid/{metric}")]]
    low, high = values.min().min(), values.max().max()
    if metric == "loss" and low > 0 and high > 50 * low:
        draw.logarithmic(axes, "y")
    elif metric == "r2" and low < -1 < high:
        axes.set_ylim(bottom=-1)
