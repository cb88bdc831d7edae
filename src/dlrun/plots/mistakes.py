"""The worst mistakes: a grid of images, or rows of a table."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from dlrun.plots import axes as draw


def image_grid(images: np.ndarray, titles: list[str], title: str) -> Figure:
    """Images (n, height, width) or (n, height, width, 3) with values in [0, 1], each under its title."""
    columns = min(5, max(1, math.ceil(math.sqrt(len(images)))))
    rows = math.ceil(len(images) / columns)
    figure, grid = draw.several(title, rows, columns, (draw.WIDTH, 0.6 + 1.75 * rows))
    for axes in grid.ravel():
        axes.axis("off")
    for axes, image, caption in zip(grid.ravel(), images, titles, strict=False):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set_title(caption, fontsize=7)
    return figure


def row_table(columns: list[str], rows: list[list[str]], widths: list[float], title: str) -> Figure:
    """A table of text; `widths` are shares of the picture's width."""
    figure = Figure(figsize=(draw.WIDTH + 2, 0.9 + 0.3 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    axes.axis("off")
    axes.set_title(title)
    table = axes.table(rows, colLabels=columns, colWidths=widths, loc="center", cellLoc="left", colLoc="left")
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    table.scale(1, 1.3)
    for (row, _), cell in table.get_celld().items():
        cell.set_linewidth(0.3)
        if row == 0:
            cell.set_text_props(weight="bold")
    return figure
