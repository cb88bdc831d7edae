"""Pictures of where a model draws its lines: decision boundaries over two inputs, and classes on two hidden neurons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import nn

from dlrun.plots import axes as draw
from dlrun.plots.finished_run import THRESHOLD, FinishedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 150  # of the grid, along each axis
MOST_ROWS = 2000


def decision_boundary(run: FinishedRun) -> Figure | None:
    """Draw the plane of two inputs, coloured by the class that is predicted there, and the rows."""
    columns = run.number_columns(2)
    if columns is None or not run.task.has_one_class:
        return None
    rows = run.numbers(columns)
    if rows is None:
        return None
    figure, axes = draw.one("Decision boundary", columns[0], columns[1], (draw.WIDTH, draw.HEIGHT + 1))
    x, y = _plane(np.concatenate([inputs for inputs, _ in rows.values()]))
    plane = pd.DataFrame(np.column_stack([x.ravel(), y.ravel()]), columns=columns)
    probability = run.fitted.predict_proba(plane)
    if run.task.has_threshold:
        second = probability[:, 1].reshape(x.shape)
        filled = axes.contourf(x, y, second, levels=np.linspace(0, 1, 11), cmap="coolwarm", alpha=0.45)
        axes.contour(x, y, second, levels=[THRESHOLD], colors="black", linewidths=1.5)
        figure.colorbar(filled, label=f"probability of {run.class_names[1]}")
    else:
        edges = np.arange(len(run.class_names) + 1) - 0.5
        predicted = probability.argmax(axis=1).reshape(x.shape)
        axes.contourf(x, y, predicted, levels=edges, colors=_colors(len(run.class_names)), alpha=0.25)
    for split, (inputs, classes) in rows.items():
        _scatter(axes, split, inputs, classes, run.class_names)
    axes.legend(fontsize=7, loc="best")
    return figure


def hidden_features(run: FinishedRun) -> Figure | None:
    """Draw what the last hidden layer makes of each row, coloured by its true class, if that layer has two neurons."""
    if not run.task.has_one_class or not isinstance(run.fitted.model, nn.Module):
        return None
    linear = [module for module in run.fitted.model.modules() if isinstance(module, nn.Linear)]
    if len(linear) < 2 or linear[-1].in_features != 2:
        return None
    seen: list[torch.Tensor] = []
    hook = linear[-1].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].detach().cpu()))
    run.fitted.scores({run.split: run.rows})
    hook.remove()
    values = torch.cat(seen).double().numpy()
    figure, axes = draw.one(f"The last hidden layer, {run.row_name}", "neuron 1", "neuron 2")
    for index, (name, color) in enumerate(zip(run.class_names, _colors(len(run.class_names)), strict=True)):
        chosen = values[run.predictions.truth == index]
        axes.scatter(chosen[:, 0], chosen[:, 1], s=16, alpha=0.7, linewidths=0, color=color, label=name)
    axes.legend(fontsize=8)
    return figure


def _plane(points: np.ndarray) -> Sequence[np.ndarray]:
    """Return the coordinates x and y, (POINTS, POINTS) each, of a grid that holds the points (n, 2)."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.08 * (high - low)
    return np.meshgrid(*(np.linspace(low[i] - margin[i], high[i] + margin[i], POINTS) for i in range(2)))


def _scatter(axes: Axes, split: str, inputs: np.ndarray, classes: np.ndarray, names: list[str]) -> None:
    every = max(1, len(inputs) // MOST_ROWS)
    marker, edge = ("o", "white") if split == "train" else ("^", "black")
    for index, (name, color) in enumerate(zip(names, _colors(len(names)), strict=True)):
        chosen = inputs[::every][classes[::every] == index]
        label = f"{draw.shortened(name, 24)} ({draw.ROWS[split]})"
        axes.scatter(
            chosen[:, 0], chosen[:, 1], s=22, marker=marker, color=color, edgecolors=edge, linewidths=0.4, label=label
        )


def _colors(n: int) -> list[str | tuple[float, float, float, float]]:
    from matplotlib import colormaps

    if n == 2:
        return ["tab:blue", "tab:red"]
    return [colormaps["tab10" if n <= 10 else "tab20"](i % 20) for i in range(n)]
