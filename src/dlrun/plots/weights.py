"""Pictures of what a model has learned: filters as images, weights by the names of the features."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import nn

from dlrun.models.linear import Linear
from dlrun.plots import axes as draw
from dlrun.plots.finished_run import FinishedRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_FILTERS = 32
MOST_BARS = 20  # at either end
MOST_FEATURES = 40  # with a weight for each of several classes
MOST_COLUMNS = 40  # with an importance


def filters(run: FinishedRun) -> Figure | None:
    """Draw the first layer's weights on images: filters of a convolution, or what each neuron looks at."""
    if not run.is_of_images:
        return None
    shape, model = run.data.inputs.shape, run.fitted.model
    first = _first_layer(model)
    if isinstance(first, nn.Conv2d):
        kernels = first.weight.detach().cpu().double().numpy()
        return _draw_filters(kernels, [], "Filters of the first layer")
    dense = first.weight.detach().cpu().double().numpy() if isinstance(first, nn.Linear) else linear_weights(model)
    if dense is None or dense.shape[1] != math.prod(shape):
        return None
    kernels = dense.reshape(len(dense), *shape)
    if isinstance(first, nn.Linear) and len(kernels) != run.task.width:
        return _draw_filters(kernels, [], "What the neurons of the first layer look at")
    return _draw_filters(kernels, run.class_names if len(kernels) == len(run.class_names) else [], "Weights by class")


def weights(run: FinishedRun) -> Figure | None:
    """Draw the weights of a linear model by the names of its features: the largest and the smallest."""
    values, names = linear_weights(run.fitted.model), run.feature_names
    if values is None or values.shape[1] != len(names) or len(names) < 2:
        return None
    if len(values) == 1:
        meaning = f" (to the right: speaks for {run.positive_class})" if run.task.has_classes else ""
        return _draw_bars(names, values[0], f"weight{meaning}")
    if len(names) > MOST_FEATURES or len(values) != len(run.task.column_names):
        return None
    return _draw_map(names, values, list(run.task.column_names))


def draw_importance(table: pd.DataFrame) -> Figure:
    """Draw by how much a figure gets worse when a column is shuffled, the most important column on top.

    Args:
        table: with `column`, `importance` and `deviation`, the most important first; `attrs["what"]` says what falls.
    """
    rows = table.iloc[:MOST_COLUMNS].iloc[::-1]
    title, size = f"Permutation importance of {len(rows)} columns", (draw.WIDTH, max(3.0, 1 + 0.25 * len(rows)))
    figure, axes = draw.one(title, table.attrs["what"], "", size)
    axes.barh(range(len(rows)), rows["importance"], xerr=rows["deviation"], capsize=2)
    axes.set_yticks(range(len(rows)), [draw.shortened(name, 30) for name in rows["column"]], fontsize=8)
    axes.axvline(0, color="black", linewidth=0.8)
    return figure


def linear_weights(model: Any) -> np.ndarray | None:
    """Return the weights (outputs, features) of a linear model; None of any other."""
    from sklearn.svm import SVC, NuSVC

    if isinstance(model, Linear):
        return model.output.weight.detach().cpu().double().numpy()
    if isinstance(model, nn.Module) or getattr(model, "coef_", None) is None:
        return None
    if isinstance(model, SVC | NuSVC) and len(model.classes_) > 2:
        return None  # those are of pairs of classes
    return np.atleast_2d(np.asarray(model.coef_, dtype=np.float64))


def _first_layer(model: object) -> nn.Module | None:
    """Return the first layer of a network that has weights on its inputs."""
    layers = model.modules() if isinstance(model, nn.Module) else ()
    return next((layer for layer in layers if isinstance(layer, nn.Linear | nn.Conv2d | nn.RNNBase)), None)


def _draw_filters(kernels: np.ndarray, titles: list[str], title: str) -> Figure:
    """Draw weights (n, channels, height, width) as small images: of three channels in colour, else their mean."""
    if len(kernels) > MOST_FILTERS:
        title = f"{title} ({MOST_FILTERS} of {len(kernels)})"
    kernels = kernels[:MOST_FILTERS]
    columns = min(8, max(4, math.ceil(math.sqrt(len(kernels)))))
    rows = math.ceil(len(kernels) / columns)
    figure, grid = draw.several(title, rows, columns, (draw.WIDTH, 0.7 + draw.WIDTH / columns * rows * 1.1))
    largest = np.abs(kernels).max() or 1.0
    for axes in grid.ravel():
        axes.axis("off")
    for axes, kernel in zip(grid.ravel(), kernels, strict=False):
        if len(kernel) == 3:
            axes.imshow(0.5 + kernel.transpose(1, 2, 0) / (2 * largest))
        else:
            axes.imshow(kernel.mean(axis=0), cmap="coolwarm", vmin=-largest, vmax=largest)
    for axes, caption in zip(grid.ravel(), titles, strict=False):
        axes.set_title(caption, fontsize=7)
    return figure


def _draw_bars(names: list[str], values: np.ndarray, label: str) -> Figure:
    """Draw weights (n,) as bars, by size: all of them, or the largest and the smallest."""
    order = np.argsort(values)
    title = "Weights"
    if len(order) > 2 * MOST_BARS:
        order = np.concatenate([order[:MOST_BARS], order[-MOST_BARS:]])
        title = f"The {MOST_BARS} largest and the {MOST_BARS} smallest of {len(values):,} weights"
    figure, axes = draw.one(title, label, "", (draw.WIDTH, max(3.0, 1 + 0.2 * len(order))))
    shown = values[order]
    axes.barh(range(len(order)), shown, color=np.where(shown < 0, "tab:blue", "tab:red"))
    axes.set_yticks(range(len(order)), [draw.shortened(names[i], 30) for i in order], fontsize=8)
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.axvline(0, color="black", linewidth=0.8)
    return figure


def _draw_map(names: list[str], values: np.ndarray, class_names: list[str]) -> Figure:
    """Draw weights (classes, features) as colours."""
    size = (max(draw.WIDTH, 2.5 + 0.4 * len(class_names)), max(draw.HEIGHT, 1.5 + 0.24 * len(names)))
    figure, axes = draw.one("Weights by class", "class", "", size)
    largest = np.abs(values).max() or 1.0
    image = axes.imshow(values.T, aspect="auto", cmap="coolwarm", vmin=-largest, vmax=largest)
    draw.ticks(axes, class_names, names)
    figure.colorbar(image, label="weight")
    return figure
