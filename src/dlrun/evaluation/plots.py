"""Pictures of results: each function draws plain figures, and gives a matplotlib Figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

WIDTH, HEIGHT = 8, 5  # inches
NAMES = {"train_eval": "training rows", "train": "training (running mean)", "valid": "validation", "test": "test"}


def curves(history: pd.DataFrame, metric: str) -> Figure:
    """A metric over the epochs, with a band of one standard deviation where several runs were averaged.

    Args:
        history: with `epoch`, `train/<metric>`, `valid/<metric>`, and perhaps the same with `_deviation`.
        metric: loss, accuracy or r2.
    """
    figure, axes = _axes(f"{metric} by epoch", "epoch", metric)
    for split in ("train", "valid"):
        name = f"{split}/{metric}"
        if name in history:
            line = axes.plot(history["epoch"], history[name], marker="." * (len(history) < 40), label=NAMES[split])[0]
            if f"{name}_deviation" in history:
                spread = history[f"{name}_deviation"].fillna(0)
                low, high = history[name] - spread, history[name] + spread
                axes.fill_between(history["epoch"], low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    _whole_numbers(axes.xaxis)
    axes.legend()
    return figure


def learning_curve(table: pd.DataFrame, metric: str, baseline: float | None) -> Figure:
    """A metric of training, validation and test rows against the number of training rows.

    Args:
        table: with `rows`, `<split>/<metric>` and `<split>/<metric>_deviation`.
        metric: loss, accuracy or r2.
        baseline: of the test rows, drawn as a line.
    """
    figure, axes = _axes(f"{metric} by number of training rows", "training rows", metric)
    for split in ("train_eval", "valid", "test"):
        name = f"{split}/{metric}"
        if name in table:
            spread = pd.to_numeric(table[f"{name}_deviation"]).fillna(0)
            axes.errorbar(table["rows"], table[name], yerr=spread, marker="o", capsize=3, label=NAMES[split])
    _baseline(axes, baseline)
    axes.legend()
    return figure


def swept_line(values: list[float], means: list[float], deviations: list[float], key: str, figure_name: str) -> Figure:
    """A figure against one swept number, on a logarithmic axis where the numbers span a hundredfold."""
    figure, axes = _axes(f"{figure_name} by {key}", key, figure_name)
    order = np.argsort(values)
    axes.errorbar(
        np.array(values)[order], np.array(means)[order], yerr=np.array(deviations)[order], marker="o", capsize=3
    )
    if min(values) > 0 and max(values) >= 100 * min(values):
        axes.set_xscale("log")
    return figure


def swept_map(table: pd.DataFrame, figure_name: str) -> Figure:
    """A figure for every pair of two swept values: rows and columns of `table`, whose index and columns have names."""
    figure, axes = _axes(
        f"{figure_name} by {table.index.name} and {table.columns.name}", table.columns.name, table.index.name
    )
    values = table.to_numpy(dtype=float)
    image = axes.imshow(values, aspect="auto", cmap="viridis")
    _ticks(axes, [str(c) for c in table.columns], [str(i) for i in table.index])
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    if values.size <= 144:
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                axes.text(j, i, f"{value:.3g}", ha="center", va="center", color="black" if value > middle else "white")
    figure.colorbar(image, label=figure_name)
    return figure


def confusion_matrix(counts: list[list[int]], names: list[str], title: str) -> Figure:
    """How often each class (rows) was taken for each (columns): counts, coloured by their share of the row."""
    matrix = np.array(counts, dtype=float)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    size = max(HEIGHT, min(12.0, 0.45 * len(names) + 2))
    figure, axes = _axes(title, "predicted", "true", (size + 1.5, size))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    _ticks(axes, names, names)
    if len(names) <= 30:
        for (i, j), count in np.ndenumerate(matrix):
            text = f"{count:.0f}" + (f"\n{shares[i, j]:.0%}" if len(names) <= 12 and count else "")
            color = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, text, ha="center", va="center", color=color, fontsize=9 if len(names) <= 12 else 6)
    figure.colorbar(image, label="share of the true class")
    return figure


def _axes(title: str, x: str, y: str, size: tuple[float, float] = (WIDTH, HEIGHT)):
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def _baseline(axes, value: float | None) -> None:
    if value is not None:
        axes.axhline(value, color="grey", linestyle="--", label="baseline (test)")


def _ticks(axes, columns: list[str], rows: list[str]) -> None:
    """Names along both axes, leaned where they would touch."""
    lean = 45 if sum(map(len, columns)) > 50 else 0
    axes.set_xticks(range(len(columns)), columns, rotation=lean, ha="right" if lean else "center")
    axes.set_yticks(range(len(rows)), rows)


def _whole_numbers(axis) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))
