"""Series: tables in order of time, cut into windows of past steps with the value (or class) that follows."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd

from dlrun.data.preprocessing.series import SeriesPreprocessing
from dlrun.data.reading.columns import date_format
from dlrun.data.reading.download import File, read
from dlrun.data.reading.tables import find, read_table
from dlrun.data.source import Source
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
