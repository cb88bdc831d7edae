"""Where a model draws its lines: decision boundaries over two inputs, and classes on two hidden neurons."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from dlrun.plots import axes as draw

POINTS = 150  # of the grid, along each axis
MOST_ROWS = 2000


def decision_boundary(
    rows: dict[str, tuple[np.ndarray, np.ndarray]],
    probability_of: Callable[[np.ndarray], np.ndarray],
    class_names: list[str],
    names: list[str],
    threshold: float | None,
) -> Figure:
    """The plane of two inputs, coloured by the class that is predicted there, and the rows.

    Args:
        rows: by split, inputs (n, 2) and class indices (n,).
        probability_of: from inputs (m, 2) to probabilities (m, classes).
        class_names: by index.
        names: of the two inputs.
        threshold: of two classes; None for several.
    """
    figure, axes = draw.one("Decision boundary", *names, (draw.WIDTH, draw.HEIGHT + 1))
    points = np.concatenate([inputs for inputs, _ in rows.values()])
    low, high = points.min(axis=0), points.max(axis=0)
    low, high = low - 0.08 * (high - low), high + 0.08 * (high - low)
    x, y = np.meshgrid(*(np.linspace(low[i], high[i], POINTS) for i in range(2)))
    found = probability_of(np.column_stack([x.ravel(), y.ravel()]))
    colors = _colors(len(class_names))
    if threshold is not None:
        probability = found[:, 1].reshape(x.shape)
        filled = axes.contourf(x, y, probability, levels=np.linspace(0, 1, 11), cmap="coolwarm", alpha=0.45)
        axes.contour(x, y, probability, levels=[threshold], colors="black", linewidths=1.5)
        figure.colorbar(filled, label=f"probability of {class_names[1]}")
    else:
        regions = found.argmax(axis=1).reshape(x.shape)
        edges = np.arange(len(class_names) + 1) - 0.5
        axes.contourf(x, y, regions, levels=edges, cmap=ListedColormap(colors), alpha=0.25)
    for split, (inputs, classes) in rows.items():
        every = max(1, len(inputs) // MOST_ROWS)
        marker, edge = ("o", "white") if split == "train" else ("^", "black")
        for index, name in enumerate(class_names):
            chosen = inputs[::every][classes[::every] == index]
            label = f"{draw.shortened(name, 24)} ({draw.ROWS[split]})"
            axes.scatter(
                *chosen.T, s=22, marker=marker, color=colors[index], edgecolors=edge, linewidths=0.4, label=label
            )
    axes.legend(fontsize=7, loc="best")
    return figure


def hidden_features(values: np.ndarray, classes: np.ndarray, class_names: list[str], of: str) -> Figure:
    """What the last two hidden neurons say of each row (n, 2), coloured by its true class."""
    figure, axes = draw.one(f"The last hidden layer, {of}", "neuron 1", "neuron 2")
    for index, name in enumerate(class_names):
        chosen = values[classes == index]
        axes.scatter(*chosen.T, s=16, alpha=0.7, linewidths=0, color=_colors(len(class_names))[index], label=name)
    axes.legend(fontsize=8)
    return figure


def _colors(n: int) -> list:
    if n == 2:
        return ["tab:blue", "tab:red"]
    return [colormaps["tab10" if n <= 10 else "tab20"](i % 20) for i in range(n)]
