"""The worst mistakes: the images, or the rows of a table, that a model was most wrong about."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dlrun.plots import axes as draw
from dlrun.plots.finished_run import FinishedRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_IMAGES, MOST_ROWS, MOST_COLUMNS = 25, 12, 6


@dataclass(frozen=True)
class Wrong:
    """A row that was predicted wrongly.

    Attributes:
        row: its index in the split.
        true, predicted: as text.
        probability: of what was predicted, as text; empty for quantities.
    """

    row: int
    true: str
    predicted: str
    probability: str = ""


def mistakes(run: FinishedRun) -> Figure | None:
    """Draw the worst mistakes: the least probable true classes, or the largest residuals, with what was predicted."""
    if not run.task.has_one_class and run.task.width > 1:
        return None
    images = run.is_of_images
    if not images and run.rows.raw is None:
        return None
    worst_rows = worst_classes if run.task.has_classes else worst_quantities
    worst = worst_rows(run, MOST_IMAGES if images else MOST_ROWS)
    if not worst:
        return None
    return _image_grid(run, worst) if images else _row_table(run, worst)


def worst_classes(run: FinishedRun, most: int) -> list[Wrong]:
    """Return the rows of a wrong class, those with the least probability of the truth first."""
    truth, prediction, probability = run.predictions.truth, run.predictions.prediction, run.probability
    wrong = np.flatnonzero(truth != prediction)
    least = wrong[np.argsort(probability[wrong, truth[wrong]], kind="stable")[:most]]
    names = [draw.shortened(name, 16) for name in run.class_names]
    return [
        Wrong(row, names[truth[row]], names[prediction[row]], f"{probability[row, prediction[row]]:.1%}")
        for row in least
    ]


def worst_quantities(run: FinishedRun, most: int) -> list[Wrong]:
    """Return the rows whose first target was missed by the most, the worst first."""
    truth, prediction = run.predictions.truth[:, 0], run.predictions.prediction[:, 0]
    order = np.argsort(-np.abs(truth - prediction), kind="stable")[:most]
    return [Wrong(row, f"{truth[row]:.4g}", f"{prediction[row]:.4g}") for row in order]


def _image_grid(run: FinishedRun, worst: list[Wrong]) -> Figure:
    """Draw images, each under what it is and what it was taken for."""
    columns = min(5, max(1, math.ceil(math.sqrt(len(worst)))))
    rows = math.ceil(len(worst) / columns)
    figure, grid = draw.several(f"The worst mistakes, {run.row_name}", rows, columns, (draw.WIDTH, 0.6 + 1.75 * rows))
    for axes in grid.ravel():
        axes.axis("off")
    for axes, image, wrong in zip(grid.ravel(), _images(run, [w.row for w in worst]), worst, strict=False):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        sure = f" ({wrong.probability})" if wrong.probability else ""
        axes.set_title(f"true {wrong.true}\npredicted {wrong.predicted}{sure}", fontsize=7)
    return figure


def _row_table(run: FinishedRun, worst: list[Wrong]) -> Figure:
    """Draw rows of a table, or texts, as a table of text, each with what it is and what it was taken for."""
    shown = _raw_cells(run.rows.raw, [wrong.row for wrong in worst])
    last = ["probability"] if worst[0].probability else []
    names = ["row", *(name for name, _ in shown), "true", "predicted", *last]
    lines = [
        [str(run.rows.row_numbers[wrong.row]), *(cells[i] for _, cells in shown), wrong.true, wrong.predicted,
         *([wrong.probability] if wrong.probability else [])]
        for i, wrong in enumerate(worst)
    ]  # fmt: skip
    longest = [max(len(name), *(len(line[i]) for line in lines)) + 2 for i, name in enumerate(names)]
    widths = [length / sum(longest) for length in longest]
    figure = draw.blank((draw.WIDTH + 2, 0.9 + 0.3 * len(lines)))
    axes = figure.add_subplot()
    axes.axis("off")
    axes.set_title(f"The worst mistakes, {run.row_name}")
    table = axes.table(lines, colLabels=names, colWidths=widths, loc="center", cellLoc="left", colLoc="left")
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    table.scale(1, 1.3)
    for (line, _), cell in table.get_celld().items():
        cell.set_linewidth(0.3)
        if line == 0:
            cell.set_text_props(weight="bold")
    return figure


def _images(run: FinishedRun, rows: list[int]) -> np.ndarray:
    """Return images of the split as (n, height, width) or (n, height, width, 3), with values in [0, 1]."""
    groups = run.rows.read([torch.as_tensor(rows, device=run.rows.targets.device)])
    stored = cast(Tensor, next(groups))  # images have one branch
    image = run.data.preprocessing.schema().image
    pixels = stored.cpu().double().numpy() / (255.0 if image is None else image.largest)
    return pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1)[..., :3]


def _raw_cells(raw: pd.DataFrame | np.ndarray | None, rows: list[int]) -> list[tuple[str, list[str]]]:
    """Return what to show of some raw rows, by column: a text, or the first columns of a table."""
    if raw is None:
        return []
    if isinstance(raw, np.ndarray):
        return [("text", [draw.shortened(raw[row], 72) for row in rows])]
    columns = [(draw.shortened(name, 16), raw[name].iloc[rows]) for name in list(raw.columns)[:MOST_COLUMNS]]
    return [(name, [_cell(value) for value in values]) for name, values in columns]


def _cell(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else draw.shortened(value, 16)
