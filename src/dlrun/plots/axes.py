"""What all pictures share: size, names of the splits, baselines, ticks."""

from __future__ import annotations

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

rcParams["text.parse_math"] = False  # a dollar in a text or a column's name is a dollar

WIDTH, HEIGHT = 8, 5  # inches
NAMES = {"train_eval": "training rows", "train": "training (running mean)", "valid": "validation", "test": "test"}
ROWS = {"train": "training rows", "valid": "validation rows", "test": "test rows"}


def one(title: str, x: str, y: str, size: tuple[float, float] = (WIDTH, HEIGHT)) -> tuple[Figure, Axes]:
    """A figure with one pair of axes."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def several(title: str, rows: int, columns: int, size: tuple[float, float] = (WIDTH, HEIGHT), **how) -> tuple:
    """A figure with a title and a grid (rows, columns) of axes."""
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title)
    return figure, figure.subplots(rows, columns, squeeze=False, **how)


def baseline(axes: Axes, value: float | None, label: str = "baseline") -> None:
    """A dashed horizontal line at the baseline, where there is one."""
    if value is not None:
        axes.axhline(value, color="grey", linestyle="--", linewidth=1, label=label)


def ticks(axes: Axes, columns: list[str], rows: list[str]) -> None:
    """Names along both axes, leaned where they would touch."""
    columns, rows = [shortened(c, 18) for c in columns], [shortened(r, 24) for r in rows]
    lean = 45 if sum(map(len, columns)) > 50 else 0
    small = 7 if max(len(columns), len(rows)) > 25 else None
    axes.set_xticks(range(len(columns)), columns, rotation=lean, ha="right" if lean else "center", fontsize=small)
    axes.set_yticks(range(len(rows)), rows, fontsize=small)


def whole_numbers(axis) -> None:
    """Ticks at whole numbers only."""
    axis.set_major_locator(MaxNLocator(integer=True))


def logarithmic(axes: Axes, name: str) -> None:
    """Make the axis `name`, x or y, logarithmic, with plain numbers, since no formulas are drawn here."""
    axes.set(**{f"{name}scale": "log"})
    axis = getattr(axes, f"{name}axis")
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def shortened(text: object, length: int) -> str:
    """A text of at most `length` characters, on one line."""
    text = " ".join(str(text).split())
    return text if len(text) <= length else text[: length - 1] + "…"
