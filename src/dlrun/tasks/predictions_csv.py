"""predictions.csv: one line a row, floats written so that reading gives the same bits back."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import orjson

from dlrun.tasks.predictions import Predictions

if TYPE_CHECKING:
    from dlrun.tasks.base import Task

LINES_AT_ONCE = 10_000  # made in memory
KEYS = ["row", "split", "part"]


def header(task: Task) -> list[str]:
    """Return the columns of predictions.csv; `part` is for folds and repeats, and empty in a run of its own."""
    return [*KEYS, *task.csv_columns]


def to_csv(task: Task, predictions: Mapping[str, Predictions], row_numbers: Mapping[str, np.ndarray]) -> bytes:
    """Return the content of predictions.csv.

    Args:
        predictions, row_numbers: by split.
    """
    text = io.BytesIO()
    text.write(f"{','.join(map(cell, header(task)))}\n".encode())
    for split, judged in predictions.items():
        for start in range(0, len(row_numbers[split]), LINES_AT_ONCE):
            rows = slice(start, start + LINES_AT_ONCE)
            pieces = zip(row_numbers[split][rows].tolist(), *task.csv_cells(judged, rows), strict=True)
            lines = (f"{number},{split},,{','.join(line)}\n" for number, *line in pieces)
            text.write("".join(lines).encode())
    return text.getvalue()


def numbers_as_text(values: np.ndarray) -> list[str]:
    """Return each row of (n, k) numbers, with commas between them.

    orjson writes floats twenty times as fast as Python, but none that are infinite or undefined.
    """
    if not np.isfinite(values).all():
        return [",".join(map(repr, row)) for row in values.tolist()]
    written = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return written[2:-2].split("],[")


def cell(text: str) -> str:
    """Return a text as it stands in a CSV file, in quotes where it needs them."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(["", text])  # both of which Python then quotes
    return line.getvalue()[1:-2]
