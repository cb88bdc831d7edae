"""What all pictures share: size, names of the splits, baselines, ticks.

Matplotlib takes a third of a second to import, so here and in the files of pictures it is imported where it is used:
what a run will draw is looked up before it trains, and drawn after its results are shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 8, 5  # inches
NAMES = {"train_eval": "training rows", "train": "training (running mean)", "valid": "validation", "test": "test"}
ROWS = {"train": "training rows", "valid": "validation rows", "test": "test rows"}


def blank(size: tuple[float, float]) -> Figure:
    """Return a figure of so many inches without axes, in which a dollar in a text or a column's name is a dollar."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    rcParams["text.parse_math"] = False
    return Figure(figsize=size, layout="constrained")


def one(title: str, x: str, y: str, size: tuple[float, float] = (WIDTH, HEIGHT)) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes, and these."""
    figure = blank(size)
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def several(
    title: str, rows: int, columns: int, size: tuple[float, float] = (WIDTH, HEIGHT), **how: Any
) -> tuple[Figure, np.ndarray]:
    """Return a figure with a title, and its grid (rows, columns) of axes."""
    figure = blank(size)
    figure.suptitle(title)
    return figure, figure.subplots(rows, columns, squeeze=False, **how)


def baseline(axes: Axes, value: float | None, label: str = "baseline") -> None:
    """Draw a dashed horizontal line at the baseline, where there is one."""
    if value is not None:
        axes.axhline(value, color="grey", linestyle="--", linewidth=1, label=label)


def ticks(axes: Axes, columns: list[str], rows: list[str]) -> None:
    """Write names along both axes, leaned where they would touch."""
    columns, rows = [shortened(c, 18) for c in columns], [shortened(r, 24) for r in rows]
    lean = 45 if sum(map(len, columns)) > 50 else 0
    small = 7 if max(len(columns), len(rows)) > 25 else None
    axes.set_xticks(range(len(columns)), columns, rotation=lean, ha="right" if lean else "center", fontsize=small)
    axes.set_yticks(range(len(rows)), rows, fontsize=small)


def whole_numbers(axis: Axis) -> None:
    """Put ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def logarithmic(axes: Axes, name: str) -> None:
    """Make the axis `name`, x or y, logarithmic, with plain numbers, since no formulas are drawn here."""
    from matplotlib.ticker import NullFormatter

    axes.set(**{f"{name}scale": "log"})
    axis = getattr(axes, f"{name}axis")
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def shortened(text: object, length: int) -> str:
    """Return a text of at most `length` characters, on one line."""
    text = " ".join(str(text).split())
    return text if len(text) <= length else text[: length - 1] + "…"
