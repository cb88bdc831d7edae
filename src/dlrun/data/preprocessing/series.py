"""Windows of a series: left as they are, or standardised."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dlrun.data.preprocessing.base import Preprocessing
from dlrun.data.reading.arrays import load_array
from dlrun.data.reading.tables import Format, as_values, read_rows, read_table
from dlrun.data.reading.times import Clock
from dlrun.data.schema import Column, InputSchema, SeriesSchema
from dlrun.errors import Mistake, choose, did_you_mean

if TYPE_CHECKING:
    from typing_extensions import Self

FILLINGS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "interpolate": lambda values: values.interpolate(limit_area="inside"),
    "forward": lambda values: values.ffill(),
    "zero": lambda values: values.fillna(0.0),
}
PLACE = "place of the row"  # a column for the time of reading, of a name that no table has


class SeriesPreprocessing(Preprocessing):
    """Windows stay as they are, or are standardised feature by feature over the training windows.

    Args:
        scale: `standard` or `none`.
        inputs: the names of the features.
        lags: steps in a window.
        horizon: steps from the last one of the window to the target.
        table: whether the inputs are columns of a table as they stand there.
        clock: how the times of a table are read; None: it has none.
        impute: what is put where a value is missing; None: missing values are refused.
        form: how the table is written, where a person has said so; new ones are read alike.

    Raises:
        Mistake: an unknown scale.
    """

    ranges: list[list[float]] | None = None  # smallest and largest value of each feature in the training windows

    def __init__(
        self,
        scale: str,
        inputs: list[str],
        lags: int,
        horizon: int,
        table: bool = False,
        clock: Clock | None = None,
        impute: str | None = None,
        form: Format | None = None,
    ):
        if scale not in ("standard", "none"):
            raise Mistake(f"data.scale: '{scale}' is neither standard nor none")
        self.table, self.clock, self.impute = table, clock, impute
        self.form: Format = form or Format()
        self.scale, self.lags, self.horizon = scale, lags, horizon
        self.feature_names = list(inputs)
        self.mean, self.deviation = np.zeros(len(inputs)), np.ones(len(inputs))

    def fit(self, inputs: np.ndarray) -> Self:
        """Learn mean and deviation of each feature from training windows (n, time, features)."""
        if self.scale == "standard":
            self.mean, self.deviation = inputs.mean(axis=(0, 1)), inputs.std(axis=(0, 1))
            self.deviation[self.deviation == 0] = 1.0
        self.ranges = np.stack([inputs.min(axis=(0, 1)), inputs.max(axis=(0, 1))], axis=1).tolist()
        return self

    def schema(self) -> InputSchema:
        """Return the features that a window has, their ranges, and how windows and targets lie."""
        ranges = [(low, high) for low, high in self.ranges] if self.ranges else [None] * len(self.feature_names)
        columns = [Column(name, "numeric", range=own) for name, own in zip(self.feature_names, ranges, strict=True)]
        return InputSchema("series", tuple(columns), series=SeriesSchema(self.lags, self.horizon, self.table))

    def apply(self, inputs: np.ndarray) -> Tensor:
        """Return (n, time, features) float64."""
        return torch.from_numpy((inputs - self.mean) / self.deviation)

    def inputs_of(self, given: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Return windows (n, lags, features), oldest step first: those given, or every run of `lags` rows of a table.

        Raises:
            Mistake: the table has too few rows, lacks a column, holds text or misses values, its times are not in order
                or not one step apart, or the run was not trained on a table.
        """
        if not isinstance(given, pd.DataFrame):
            return np.asarray(given, dtype=np.float64)
        ordered, values, lines = self._read_table(as_values(given, self.form))
        if len(values) < len(given) or not ordered.index.equals(pd.RangeIndex(len(given))):
            raise Mistake(f"input: {'; '.join(lines)}; give rows in order and whole, oldest first")
        return self._windows(values)

    def _read_table(self, given: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
        """Return the rows of a table that can be used, oldest first, by their places in it; their inputs; and lines
        that say what was done.
        """
        if not self.table:
            raise Mistake(f"input: this run read its data in a way of its own; give windows (n, {self.lags}, "
                          f"{len(self.feature_names)}) as an array, in a .npy file")  # fmt: skip
        for column in self.feature_names:
            if column not in given.columns:
                raise Mistake(f"input: there is no column '{column}'{did_you_mean(column, given.columns)}")
        rows = given.reset_index(drop=True)
        lines: list[str] = []
        if self.clock is not None and set(self.clock.columns) <= set(given.columns):
            places = rows.assign(**{PLACE: range(len(rows))})
            places, _, lines = self.clock.read(places, "input")
            rows = places.set_index(PLACE)
        elif self.clock is not None:
            lines = [f"there is no column '{self.clock.columns[0]}' with times: the rows are taken as in order, oldest "
                     "first, and without gaps"]  # fmt: skip
        numbers, filled = fill_in(as_numbers(rows[self.feature_names], "input"), self.impute, "input")
        return rows.loc[numbers.index], numbers.to_numpy(), [*lines, *filled]

    def _windows(self, values: np.ndarray) -> np.ndarray:
        if len(values) < self.lags:
            raise Mistake(f"input: {len(values)} rows are fewer than the {self.lags} lags")
        return np.lib.stride_tricks.sliding_window_view(values, self.lags, axis=0).transpose(0, 2, 1)

    def read(self, path: Path, input_shape: tuple[int, ...]) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
        """Yield the windows of a table, each shown by the row of its last step; or an array of windows in a .npy file.

        Rows that stand newest first are turned round; this, and what was filled in, is said on standard error.
        """
        if path.suffix == ".npy":
            windows = self.inputs_of(load_array(path))
            yield pd.DataFrame({"row": range(len(windows))}), windows
            return
        frame = pd.concat(read_rows(path, form=self.form), ignore_index=True)
        ordered, values, lines = self._read_table(read_table(path, path.name, form=self.form))
        for line in lines:
            print(f"dlrun: input: {line}", file=sys.stderr)
        shown = frame.iloc[ordered.index[self.lags - 1 :]]
        yield shown.reset_index(drop=True), self._windows(values)

    def differs_from(self, other: Preprocessing) -> str:
        """Return how the rows of other data lie apart, where it is otherwise than those of the run; empty: alike."""
        own, found = (p.clock.step if isinstance(p, SeriesPreprocessing) and p.clock else None for p in (self, other))
        if own is None or found is None or own == found:
            return ""
        return f"their rows lie in steps of {found}, and the run was trained on steps of {own}"

    def describe(self) -> dict[str, Any]:
        """Return what `preprocessing.json` records: all there is."""
        return {
            "kind": "series",
            "inputs": self.feature_names,
            "table": self.table,
            "lags": self.lags,
            "horizon": self.horizon,
            "scale": self.scale,
            "time": None if self.clock is None else self.clock.describe(),
            "impute": self.impute,
            "format": asdict(self.form),
            "mean": self.mean.tolist(),
            "deviation": self.deviation.tolist(),
            "ranges": self.ranges,
        }

    @classmethod
    def restore(cls, described: Mapping[str, Any], fitted: object | None) -> Self:
        """Return the preprocessing as it was fitted, from what `describe` gave."""
        restored = cls(
            described["scale"],
            described["inputs"],
            described["lags"],
            described["horizon"],
            described["table"],
            Clock.restore(described["time"]) if described.get("time") else None,
            described.get("impute"),
            Format(**described.get("format", {})),
        )
        restored.mean, restored.deviation = np.array(described["mean"]), np.array(described["deviation"])
        restored.ranges = described.get("ranges")
        return restored


def as_numbers(columns: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return columns as float64, NaN where a value is missing or infinite.

    Raises:
        Mistake: one of them holds text; the line begins with `key`.
    """
    numbers = columns.apply(pd.to_numeric, errors="coerce").astype(np.float64)
    for column in columns:
        text = np.flatnonzero(numbers[column].isna() & columns[column].notna())
        if len(text):
            value = columns[column].iloc[text[0]]
            raise Mistake(f"{key}: column '{column}' holds text in {len(text)} rows, the first of them row {text[0]} "
                          f"('{value}'); a series is forecast from numbers, and is numbers")  # fmt: skip
    return numbers.replace([np.inf, -np.inf], np.nan)


def fill_in(values: pd.DataFrame, impute: str | None, key: str) -> tuple[pd.DataFrame, list[str]]:
    """Return values with what is missing filled in, without the rows at the ends where nothing can be, and lines on
    both.

    Args:
        values: of a series, oldest first.
        impute: `interpolate` (a straight line from the value before a gap to the one after it), `forward` (the last
            value that is known) or `zero`; None: missing values are refused.
        key: what a mistake is about.

    Raises:
        Mistake: values are missing and `impute` is None, or is none of these.
    """
    if impute is not None:
        choose(impute, FILLINGS, "data.impute")
    missing = values.isna()
    if not missing.any(axis=None):
        return values, []
    counts = ", ".join(f"{count} of {len(values)} in '{name}'" for name, count in missing.sum().items() if count)
    if impute is None:
        row = np.flatnonzero(missing.any(axis=1))[0]
        remedy = "the run was trained without any"
        if key != "input":
            remedy = "data.impute=interpolate, forward or zero fills them in"
        raise Mistake(f"{key}: values are missing or infinite ({counts}; the first in row {row}); {remedy}")
    filled = FILLINGS[impute](values)
    kept = filled.notna().all(axis=1)
    if not kept.any():
        raise Mistake(f"{key}: values are missing or infinite ({counts}), and in no row there are all of them")
    lines = [f"missing or infinite values: {counts}, filled in (data.impute={impute})"]
    if not kept.all():
        lines.append(f"rows at the ends where nothing could be filled in: {(~kept).sum()}, left out")
    return filled[kept], lines
