"""Series: tables in order of time, cut into windows of past steps with the value (or class) that follows."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dlrun.data.arrays import load_array
from dlrun.data.columns import date_format
from dlrun.data.download import File, read
from dlrun.data.files import find, read_rows, read_table
from dlrun.data.module import Source, as_float
from dlrun.errors import Mistake, choose, did_you_mean


def csv(
    path: str,
    target: str,
    time: str | None = None,
    inputs: list[str] | None = None,
    lags: int = 24,
    horizon: int = 1,
    scale: str = "standard",
    test_from: str | None = None,
    gaps: str = "refuse",
    data_dir: str | None = None,
) -> Source:
    """A table of the user's, a row a step.

    Args:
        path: the file, relative to the current folder or else to `data_dir`.
        target: the column to forecast.
        time: the column with the time of each step; None: the rows are in order and at equal distances.
        inputs: the columns to forecast from; None: the target alone.
        lags, horizon, test_from: see `windows`.
        scale: `standard` (over the training windows) or `none`.
        gaps: `refuse` a series whose steps are not all equally long, or `allow` it.
        data_dir: the folder to look in besides the current one.

    Raises:
        Mistake: a file or column that is not there, text where numbers belong, or steps out of order or with gaps.
    """
    choose(gaps, dict.fromkeys(("refuse", "allow")), "data.gaps")
    frame = read_table(find(path, data_dir, "data.path"), path)
    for column in [target, *(inputs or []), *([time] if time else [])]:
        if column not in frame.columns:
            raise Mistake(f"data: {path} has no column '{column}'{did_you_mean(column, frame.columns)}")
    times = pd.RangeIndex(len(frame)) if time is None else _times(frame[time], gaps)
    chosen = frame[list(dict.fromkeys([*(inputs or [target]), target]))]
    values = chosen.apply(pd.to_numeric, errors="coerce")
    for column in values.columns[values.isna().any()]:
        if values[column].isna().sum() > chosen[column].isna().sum():
            raise Mistake(f"data: column '{column}' holds text; a series is forecast from numbers, and is numbers")
        raise Mistake(f"data: column '{column}' has missing values; fill them in first")
    values.index = times
    source = windows(values, values[target], inputs or [target], lags, horizon, scale, test_from)
    source.preprocessing.table = True
    return source


def zonal_demand(
    file: File,
    target: str = "Total Ontario",
    lags: int = 1,
    horizon: int = 1,
    offset: float = 10_000,
    divide: float = 5000,
    test_from: str | None = "2014-01-01",
    data_dir: str | None = None,
    licence: str = "",
) -> Source:
    """Hourly electricity demand of Ontario, (demand − offset) / divide; `Hour` 1 to 24 is the hour that ends then."""
    frame = read_table(io.BytesIO(read(file, data_dir)), file.path)
    long = frame["Date"].str.len() == 10  # the file has two ways of writing a date
    days = pd.to_datetime(frame["Date"].where(long), format="%Y/%m/%d").fillna(
        pd.to_datetime(frame["Date"].where(~long), format="%d-%b-%y")
    )
    values = ((frame[[target]].astype(float) - offset) / divide).set_axis(
        pd.DatetimeIndex(days + pd.to_timedelta(frame["Hour"], unit="h")), axis=0
    )
    return windows(values, values[target], [target], lags, horizon, "none", test_from)


def poloniex(
    file: File,
    inputs: list[str],
    lags: int = 36,
    horizon: int = 1,
    skip: int = 1,
    test_from: str | None = "2017-01-01",
    data_dir: str | None = None,
    licence: str = "",
) -> Source:
    """Half-hourly bitcoin prices as relative changes; the class is whether the weighted average rises (or stays).

    Rows where any column's change is undefined (0/0) are dropped, infinite changes are 0. The course leaves out `skip`
    windows at the beginning of each side.
    """
    frame = pd.DataFrame(json.loads(read(file, data_dir)))
    frame.index = pd.to_datetime(frame.pop("date"), unit="s")
    changes = frame.pct_change().dropna().replace([np.inf, -np.inf], 0.0)
    rises = (changes["weightedAverage"] >= 0).astype(np.int64)
    source = windows(changes, rises, inputs, lags, horizon, "none", test_from, skip)
    source.class_names, source.target_names, source.naive = ["falls", "rises"], ["weightedAverage"], None
    return source


def windows(
    frame: pd.DataFrame,
    target: pd.Series,
    inputs: list[str],
    lags: int,
    horizon: int,
    scale: str = "none",
    test_from: str | None = None,
    skip: int = 0,
) -> Source:
    """Windows of `lags` steps of the `inputs`, oldest first, whose last lies `horizon` steps before the target's.

    With `test_from` the windows are made separately before and from that time on (the step at that very time belongs to
    both sides, as in pandas' slices), so that no window reaches across the border.

    Raises:
        Mistake: lags or horizon below 1, too few steps, or a border with nothing on one side.
    """
    if lags < 1 or horizon < 1:
        raise Mistake(f"data.lags is {lags} and data.horizon {horizon}: each must be at least 1")
    sides = [np.arange(len(frame))]
    if test_from is not None:
        try:
            border = pd.Timestamp(test_from) if isinstance(frame.index, pd.DatetimeIndex) else float(test_from)
        except ValueError as error:
            hint = "" if isinstance(frame.index, pd.DatetimeIndex) else " (a date needs data.time)"
            raise Mistake(f"data.test_from: '{test_from}' is no time of this series{hint}") from error
        sides = [np.flatnonzero(frame.index <= border), np.flatnonzero(frame.index >= border)]
    reach = lags + horizon - 1 + skip
    if min(len(side) for side in sides) <= reach:
        raise Mistake(
            f"data: windows of {lags} lags and a horizon of {horizon} need more than {reach} steps on each side; there "
            f"are {' and '.join(str(len(side)) for side in sides)}"
        )
    ends = np.concatenate([side[reach:] for side in sides])  # the step of each window's target
    steps = (ends - reach + skip)[:, None] + np.arange(lags)
    values = frame[inputs].to_numpy(dtype=np.float64)[steps]
    tested = np.arange(len(ends)) >= len(sides[0]) - reach
    own = target.to_numpy()
    name = str(target.name)
    return Source(
        values,
        own[ends],
        SeriesPreprocessing(scale, inputs, lags, horizon),
        given={"test": np.flatnonzero(tested)} if test_from is not None else {},
        target_names=[name],
        row_numbers=ends,
        first_steps=steps[:, 0],
        naive=own[steps[:, -1]],
        times=frame.index.to_numpy()[ends] if isinstance(frame.index, pd.DatetimeIndex) else None,
        notes=[f"windows: {lags} steps of {', '.join(inputs)}, the target {horizon} steps after the last"],
    )


class SeriesPreprocessing:
    """Windows stay as they are, or are standardised feature by feature over the training windows."""

    transform = staticmethod(as_float)
    fits_all_rows = False
    vocabulary = None

    def __init__(self, scale: str, inputs: list[str], lags: int, horizon: int):
        if scale not in ("standard", "none"):
            raise Mistake(f"data.scale: '{scale}' is neither standard nor none")
        self.table = False  # whether the inputs are columns of a table as they stand there
        self.scale, self.lags, self.horizon = scale, lags, horizon
        self.feature_names = list(inputs)
        self.mean, self.deviation = np.zeros(len(inputs)), np.ones(len(inputs))

    def fit(self, inputs: np.ndarray) -> SeriesPreprocessing:
        """Learn mean and deviation of each feature from training windows (n, time, features)."""
        if self.scale == "standard":
            self.mean, self.deviation = inputs.mean(axis=(0, 1)), inputs.std(axis=(0, 1))
            self.deviation[self.deviation == 0] = 1.0
        return self

    def apply(self, inputs: np.ndarray) -> Tensor:
        """(n, time, features) float64."""
        return torch.from_numpy((inputs - self.mean) / self.deviation)

    def inputs_of(self, given: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Windows (n, lags, features), oldest step first; or a table of which every run of `lags` rows is a window.

        Raises:
            Mistake: the table has too few rows, lacks a column or holds text, or the run was not trained on a table.
        """
        if not isinstance(given, pd.DataFrame):
            return np.asarray(given, dtype=np.float64)
        if not self.table:
            raise Mistake(f"input: this run read its data in a way of its own; give windows (n, {self.lags}, "
                          f"{len(self.feature_names)}) as an array, in a .npy file")  # fmt: skip
        for column in self.feature_names:
            if column not in given.columns:
                raise Mistake(f"input: there is no column '{column}'{did_you_mean(column, given.columns)}")
        values = given[self.feature_names].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
        if len(values) < self.lags or np.isnan(values).any():
            what = (
                f"{len(values)} rows are fewer than the {self.lags} lags"
                if len(values) < self.lags
                else "a value is missing or no number"
            )
            raise Mistake(f"input: {what}")
        return np.lib.stride_tricks.sliding_window_view(values, self.lags, axis=0).transpose(0, 2, 1)

    def read(self, path: Path, input_shape: tuple[int, ...]) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
        """The windows of a table, each shown by the row of its last step; or an array of windows in a .npy file."""
        if path.suffix == ".npy":
            windows = self.inputs_of(load_array(path))
            yield pd.DataFrame({"row": range(len(windows))}), windows
            return
        frame = pd.concat(read_rows(path), ignore_index=True)
        yield frame.iloc[self.lags - 1 :].reset_index(drop=True), self.inputs_of(frame)

    def describe(self) -> dict:
        """What `preprocessing.json` records: all there is."""
        return {
            "kind": "series",
            "inputs": self.feature_names,
            "table": self.table,
            "lags": self.lags,
            "horizon": self.horizon,
            "scale": self.scale,
            "mean": self.mean.tolist(),
            "deviation": self.deviation.tolist(),
        }

    @classmethod
    def restore(cls, described: dict, _nothing: None) -> SeriesPreprocessing:
        """From what `describe` gave."""
        found = cls(described["scale"], described["inputs"], described["lags"], described["horizon"])
        found.table = described["table"]
        found.mean, found.deviation = np.array(described["mean"]), np.array(described["deviation"])
        return found

    def fitted(self) -> None:
        """There is nothing beyond `describe`."""


def _times(column: pd.Series, gaps: str) -> pd.Index:
    """The times of a column: dates, or numbers.

    Raises:
        Mistake: no dates of one format, steps out of order, or unequal ones under gaps=refuse.
    """
    if pd.api.types.is_numeric_dtype(column):
        times = pd.Index(column)
    else:
        written = date_format(column.dropna().astype(str))
        if written is None or column.isna().any():
            raise Mistake(f"data.time: column '{column.name}' holds no dates of one format with a year")
        times = pd.DatetimeIndex(pd.to_datetime(column, format=written))
    steps = np.diff(times.to_numpy())
    if (steps <= np.zeros(1, dtype=steps.dtype)).any():
        row = int(np.flatnonzero(steps <= np.zeros(1, dtype=steps.dtype))[0]) + 1
        raise Mistake(f"data.time: row {row} is not later than the one before it; sort the file by '{column.name}'")
    months = isinstance(times, pd.DatetimeIndex) and (times.day == 1).all() and (steps >= np.timedelta64(28, "D")).all()
    if gaps == "refuse" and not months and len(set(steps.tolist())) > 1:
        row = int(np.flatnonzero(steps != np.median(steps.astype(np.int64)).astype(steps.dtype))[0]) + 1
        raise Mistake(f"data.time: the step before row {row} is not as long as the others; data.gaps=allow takes it so")
    return times
