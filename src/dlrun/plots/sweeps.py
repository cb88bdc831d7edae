"""Pictures of many runs: what settings and rows do to a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dlrun.plots import axes as draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dlrun.ranking.ranking import Ranking


def draw_learning_curve(table: pd.DataFrame, metric: str, baseline: float | None) -> Figure:
    """Draw a metric of training, validation and test rows against the number of training rows.

    Args:
        table: with `rows`, `<split>/<metric>` and `<split>/<metric>_deviation`.
        metric: loss, accuracy or r2.
        baseline: of the test rows, drawn as a line.
    """
    figure, axes = draw.one(f"{metric} by number of training rows", "training rows", metric)
    for split in ("train_eval", "valid", "test"):
        name = f"{split}/{metric}"
        if name in table:
            spread = pd.to_numeric(table[f"{name}_deviation"]).fillna(0)
            axes.errorbar(table["rows"], table[name], yerr=spread, marker="o", capsize=3, label=draw.NAMES[split])
    draw.baseline(axes, baseline, "baseline (test)")
    axes.legend()
    return figure


def draw_swept_line(
    values: list[float], means: list[float], deviations: list[float], key: str, figure_name: str
) -> Figure:
    """Draw a figure against one swept number, on a logarithmic axis where the numbers span a hundredfold."""
    figure, axes = draw.one(f"{figure_name} by {key}", key, figure_name)
    order = np.argsort(values)
    axes.errorbar(
        np.array(values)[order], np.array(means)[order], yerr=np.array(deviations)[order], marker="o", capsize=3
    )
    if min(values) > 0 and max(values) >= 100 * min(values):
        draw.logarithmic(axes, "x")
    return figure


def draw_front(table: pd.DataFrame, rankings: Sequence[Ranking]) -> Figure:
    """Draw settings by two figures, those on the Pareto front in a line with their numbers.

    Args:
        table: `setting`, the two figures by name, and `front` (bool).
        rankings: of the two figures, which say what is better; further ones are named, since the front is by all.
    """
    x, y = rankings[0], rankings[1]
    label_x, label_y = (f"{r.name} ({'more' if r.maximizes else 'less'} is better)" for r in (x, y))
    figure, axes = draw.one("Pareto front", label_x, label_y)
    if len(rankings) > 2:
        axes.set_title(f"Pareto front, also by {', '.join(ranking.name for ranking in rankings[2:])}")
    others, front = table[~table["front"]], table[table["front"]].sort_values(x.name)
    axes.scatter(others[x.name], others[y.name], marker="x", color="grey", label="others")
    axes.plot(front[x.name], front[y.name], marker="o", label="Pareto front")
    for point, equal in front.groupby([x.name, y.name])["setting"]:
        label = draw.shortened(", ".join(map(str, equal)), 30)
        axes.annotate(label, point, textcoords="offset points", xytext=(-4, 6), ha="right", fontsize="small")
    for ranking, axis in ((x, "x"), (y, "y")):
        if table[ranking.name].min() > 0 and table[ranking.name].max() >= 100 * table[ranking.name].min():
            draw.logarithmic(axes, axis)
    axes.legend()
    return figure


def draw_swept_map(table: pd.DataFrame, figure_name: str) -> Figure:
    """Draw a figure for every pair of two swept values: index and columns of `table`, which have names."""
    x, y = str(table.columns.name), str(table.index.name)
    figure, axes = draw.one(f"{figure_name} by {y} and {x}", x, y)
    values = table.to_numpy(dtype=float)
    image = axes.imshow(values, aspect="auto", cmap="viridis")
    draw.ticks(axes, [str(c) for c in table.columns], [str(i) for i in table.index])
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    if values.size <= 144:
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                axes.text(j, i, f"{value:.3g}", ha="center", va="center", color="black" if value > middle else "white")
    figure.colorbar(image, label=figure_name)
    return figure
