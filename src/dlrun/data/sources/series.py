"""Series: tables in order of time, cut into windows of past steps with the value (or class) that follows."""

from __future__ import annotations

import io
import json
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pandas as pd

from dlrun.data.preprocessing.series import SeriesPreprocessing, as_numbers, fill_in
from dlrun.data.reading.download import File, read
from dlrun.data.reading.tables import Format, find, read_table, require
from dlrun.data.reading.times import Clock, find_clock_column, find_further_parts, find_several
from dlrun.data.source import Source
from dlrun.errors import Mistake, choose, did_you_mean


def csv(
    path: str,
    target: str,
    time: str | list[str] | None = None,
    inputs: list[str] | None = None,
    lags: int = 24,
    horizon: int = 1,
    scale: str = "standard",
    test_from: str | None = None,
    gaps: str = "refuse",
    dates: dict[str, str] | None = None,
    timezone: str | None = None,
    impute: str | None = None,
    group: str | dict[str, str] | None = None,
    missing_values: list[str] | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    header: str | int | None = None,
    quote: str | None = None,
    data_dir: str | None = None,
) -> Source:
    """Return a table of the user's, a row a step.

    Args:
        path: the file, relative to the current folder or else to `data_dir`.
        target: the column to forecast.
        time: the column with the time of each step; a list: a date and a time of day, or year, month, day and so on;
            None: the rows are in order and at equal distances.
        inputs: the columns to forecast from; None: the target alone.
        lags, horizon, test_from: see `windows`.
        scale: `standard` (over the training windows) or `none`.
        gaps: `refuse` a series whose steps are not all equally long, or `allow` it.
        dates: how a column of times is written, as a format of strptime; None: as it is found out.
        timezone: of times without an offset, as in Europe/Berlin; None: no hour is repeated or left out.
        impute: what to put where a value is missing; see `fill_in`. None: missing values are refused.
        group: `{column: value}` takes the rows of one series out of a file of several; `none`: the file holds one
            series, whatever its columns say; None: a file of several is refused.
        missing_values, decimal, thousands, header, quote: how the file is written; see tables.Format.
        data_dir: the folder to look in besides the current one.

    Raises:
        Mistake: a file or column that is not there, text where numbers belong, steps out of order or with gaps, or
            several series in one file.
    """
    choose(gaps, dict.fromkeys(("refuse", "allow")), "data.gaps")
    form = Format(header, quote, missing_values, decimal, thousands)
    frame = read_table(find(path, data_dir, "data.path"), path, form=form)
    times = [] if time is None else [time] if isinstance(time, str) else list(time)
    for column in [target, *(inputs or []), *times]:
        if column not in frame.columns:
            raise Mistake(f"data: {path} has no column '{column}'{did_you_mean(column, frame.columns)}")
    for column in dates or {}:
        if column not in times:
            raise Mistake(f"data.dates: '{column}' is none of the columns in data.time{did_you_mean(column, times)}")
    clock = Clock(times, dict(dates or {}), timezone, gaps) if times else None
    frame, notes = _one_series(frame, clock, target, group)
    if clock is not None:
        frame, moments, lines = clock.read(frame)
        frame = frame.set_index(moments)
        notes += [*lines, clock.summary(moments)]
    chosen = list(dict.fromkeys([*(inputs or [target]), target]))
    unread = [column for column in frame.columns if column not in (*chosen, *times)]
    if unread:
        notes.append(f"columns that are not read: {', '.join(unread)} (data.inputs)")
    values = as_numbers(frame[chosen], "data")
    known = values[target].notna()
    values, lines = fill_in(values, impute, "data")
    border = None if test_from is None else _border(test_from, values.index, clock)
    source = windows(values, values[target], inputs or [target], lags, horizon, scale, border)
    source.preprocessing = SeriesPreprocessing(scale, inputs or [target], lags, horizon, True, clock, impute, form)
    source.notes = [*notes, *lines, *source.notes]
    if border is not None:
        source.notes.append(f"test rows: from {str(border).removesuffix(' 00:00:00')} on (data.test_from)")
    return _without_guesses(source, known[values.index].to_numpy())


def _one_series(
    frame: pd.DataFrame, clock: Clock | None, target: str, group: str | dict[str, str] | None
) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of one series, and a line on how many these are.

    Raises:
        Mistake: the file holds several, or has no such series.
    """
    notes = []
    if isinstance(group, str) and group != "none":
        raise Mistake(f"data.group: several series are not learned together; {{{group}: …}} takes one of them")
    for column, value in (group if isinstance(group, dict) else {}).items():
        require([column], frame, "data.group")
        texts = frame[column].astype(str)
        choose(str(value), dict.fromkeys(texts.unique()), f"data.group.{column}")
        notes.append(f"series: {(texts == str(value)).sum()} of {len(frame)} rows, '{column}' is {value} (data.group)")
        frame = frame[texts == str(value)].reset_index(drop=True)
    if group == "none":
        return frame, notes
    if clock is not None and (parts := find_further_parts(frame, clock.columns)):
        raise Mistake(f"data.time: the same {', '.join(clock.columns)} stands in several rows; "
                      f"data.time=[{','.join(parts)}] reads all that there is of the time")  # fmt: skip
    if clock is not None and (of_day := find_clock_column(frame, clock.columns)):
        raise Mistake(f"data.time: each '{clock.columns[0]}' occurs in several rows, and '{of_day}' tells them apart; "
                      f"data.time=[{','.join([*clock.columns, of_day])}] reads both")  # fmt: skip
    if several := find_several(frame, deepcopy(clock), target):
        column = several.split("'")[1]
        raise Mistake(f"data: several series in one file: {several}; data.group={{{column}: {frame[column].iloc[0]}}} "
                      f"takes one of them{'' if clock else ', data.group=none all rows as one'}")  # fmt: skip
    return frame, notes


def _border(test_from: str, times: pd.Index, clock: Clock | None) -> pd.Timestamp | float:
    try:
        return clock.parse(test_from, times) if clock is not None else float(test_from)
    except ValueError as error:
        hint = "" if isinstance(times, pd.DatetimeIndex) else " (a date needs data.time)"
        raise Mistake(f"data.test_from: '{test_from}' is no time of this series{hint}") from error


def _without_guesses(source: Source, known: np.ndarray) -> Source:
    """Return the windows whose target stands in the file: what was filled in is no truth to learn from or judge by."""
    kept = known[source.row_numbers]
    if kept.all():
        return source
    note = f"windows whose target was filled in: {(~kept).sum()} of {len(kept)}, left out"
    return replace(source.only(np.flatnonzero(kept)), notes=[*source.notes, note])


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
    """Return hourly electricity demand of Ontario, (demand − offset) / divide; `Hour` 1 to 24 is what ends then."""
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
    """Return half-hourly bitcoin prices as relative changes; the class is whether the weighted average rises (or
    stays).

    Rows where any column's change is undefined (0/0) are dropped, infinite changes are 0. The course leaves out `skip`
    windows at the beginning of each side.
    """
    frame = pd.DataFrame(json.loads(read(file, data_dir)))
    frame.index = pd.to_datetime(frame.pop("date"), unit="s")
    changes = frame.pct_change().dropna()
    infinite = int(np.isinf(changes).any(axis=1).sum())
    undefined = len(frame) - len(changes)
    notes = [
        f"rows without a change (the first, and from 0 to 0): {undefined}, left out; infinite: {infinite}, taken as 0"
    ]
    changes = changes.replace([np.inf, -np.inf], 0.0)
    rises = (changes["weightedAverage"] >= 0).astype(np.int64)
    source = windows(changes, rises, inputs, lags, horizon, "none", test_from, skip)
    source.class_names, source.target_names, source.naive = ["falls", "rises"], ["weightedAverage"], None
    source.notes = [*notes, *source.notes]
    return source


def windows(
    frame: pd.DataFrame,
    target: pd.Series,
    inputs: list[str],
    lags: int,
    horizon: int,
    scale: str = "none",
    test_from: str | float | pd.Timestamp | None = None,
    skip: int = 0,
) -> Source:
    """Return windows of `lags` steps of the `inputs`, oldest first, whose last lies `horizon` steps before the
    target's.

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
