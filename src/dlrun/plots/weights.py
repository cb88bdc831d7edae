"""What a model has learned: filters as images, weights by the names of the features."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from dlrun.plots import axes as draw


def filters(weights: np.ndarray, titles: list[str], title: str) -> Figure:
    """Weights (n, channels, height, width) as small images: of three channels in colour, else their mean."""
    columns = min(8, max(4, math.ceil(math.sqrt(len(weights)))))
    rows = math.ceil(len(weights) / columns)
    figure, grid = draw.several(title, rows, columns, (draw.WIDTH, 0.7 + draw.WIDTH / columns * rows * 1.1))
    largest = np.abs(weights).max() or 1.0
    for axes in grid.ravel():
        axes.axis("off")
    for axes, kernel, caption in zip(grid.ravel(), weights, titles, strict=False):
        if len(kernel) == 3:
            axes.imshow(0.5 + kernel.transpose(1, 2, 0) / (2 * largest))
        else:
            axes.imshow(kernel.mean(axis=0), cmap="coolwarm", vmin=-largest, vmax=largest)
        axes.set_title(caption, fontsize=7)
    return figure


def weights_by_name(names: list[str], weights: np.ndarray, label: str, most: int) -> Figure:
    """Weights (n,) as bars, by size: all of them, or the `most` largest and the `most` smallest."""
    order = np.argsort(weights)
    title = "Weights"
    if len(order) > 2 * most:
        order = np.concatenate([order[:most], order[-most:]])
        title = f"The {most} largest and the {most} smallest of {len(weights):,} weights"
    figure, axes = draw.one(title, label, "", (draw.WIDTH, max(3.0, 1 + 0.2 * len(order))))
    values = weights[order]
    axes.barh(range(len(order)), values, color=np.where(values < 0, "tab:blue", "tab:red"))
    axes.set_yticks(range(len(order)), [draw.shortened(names[i], 30) for i in order], fontsize=8)
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.axvline(0, color="black", linewidth=0.8)
    return figure


def weight_map(names: list[str], weights: np.ndarray, class_names: list[str]) -> Figure:
    """Weights (classes, features) as colours."""
    size = (max(draw.WIDTH, 2.5 + 0.4 * len(class_names)), max(draw.HEIGHT, 1.5 + 0.24 * len(names)))
    figure, axes = draw.one("Weights by class", "class", "", size)
    largest = np.abs(weights).max() or 1.0
    image = axes.imshow(weights.T, aspect="auto", cmap="coolwarm", vmin=-largest, vmax=largest)
    draw.ticks(axes, class_names, names)
    figure.colorbar(image, label="weight")
    return figure


def importance(names: list[str], means: np.ndarray, deviations: np.ndarray, label: str) -> Figure:
    """By how much a figure gets worse when a column is shuffled, the most important column on top."""
    order = np.argsort(means)[-40:]
    figure, axes = draw.one(f"Permutation importance of {len(order)} columns", label, "",
                            (draw.WIDTH, max(3.0, 1 + 0.25 * len(order))))  # fmt: skip
    axes.barh(range(len(order)), means[order], xerr=deviations[order], capsize=2)
    axes.set_yticks(range(len(order)), [draw.shortened(names[i], 30) for i in order], fontsize=8)
    axes.axvline(0, color="black", linewidth=0.8)
    return figure
