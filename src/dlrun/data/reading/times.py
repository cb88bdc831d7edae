"""Times of a series: read as they are written, oldest first, and how far one lies from the next."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from dlrun.errors import Mistake, did_you_mean, one_line

NUMBERS, ISO, QUARTERS, WEEKS = (
    "numbers",
    "ISO8601",
    "quarters",
    "weeks",
)  # ways of writing times that no format describes
DAYS = (
    "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%Y", "%d.%m.%y", "%m-%d-%Y", "%d-%m-%Y", "%m-%d-%y",
    "%d-%m-%y", "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d %B %Y", "%b %d, %Y",
    "%B %d, %Y", "%b %d %Y", "%a, %d %b %Y", "%a %b %d %Y", "%Y-%b-%d", "%y-%m-%d", "%y/%m/%d",
)  # fmt: skip
MONTHS = (
    "%Y-%m", "%Y/%m", "%m/%Y", "%m.%Y", "%m-%Y", "%b %Y", "%B %Y", "%b-%Y", "%b-%y", "%Y-%b", "%Y %b", "%YM%m", "%Y",
)  # fmt: skip
CLOCK_PART = re.compile(
    r"(?P<before>[T ]\s*)(?P<hour>\d{1,2})(?P<minute>:\d\d)?(?P<second>:\d\d)?(?P<fraction>\.\d+)?"
    r"(?P<half>\s?[AaPp][Mm])?(?P<offset>\s?(?:Z|[+-]\d\d(?::?\d\d)?))?$"
)
OFFSET_ALONE = re.compile(r"\s*(?:Z|[+-]\d\d(?::?\d\d)?)$")
OFFSET = re.compile(r"[T ]\d\d:?\d\d.*(?:Z|[+-]\d\d(?::?\d\d)?)$")
NAMED_ZERO = re.compile(r"\s?(?:UTC|GMT)$")
WEEK = re.compile(r"^(\d{4})-?W(\d{2})$")
QUARTER = re.compile(r"^(?:(\d{4})[- ]?Q([1-4])|Q([1-4])[-/ ]?(\d{4}))$")
CLOCK = re.compile(r"^\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?$")
DOTTED_CLOCK = re.compile(r"^\d{1,2}\.\d{2}\.\d{2}$")
CLOCK_NAMES = re.compile(r"hour|time|clock|\bhr\b|stunde|uhr|zeit", re.IGNORECASE)
PARTS = ("year", "month", "day", "hour", "minute", "second")
GUESSED = 3  # values that decide which ways of writing come into question
TRIED = 20  # values that decide which ways of writing are tried on all
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SPANS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
HOUR = np.timedelta64(1, "h")
CLOCK_CHANGES = (3, 4, 9, 10, 11)  # the months in which clocks are put forward or back, and the hours before which
BEFORE_HOUR = 5


@dataclass(frozen=True)
class Step:
    """How far one time of a series lies from the next.

    Attributes:
        unit: `numbers`, `seconds`, `months`, or `weekdays` (the days of the week that occur).
        size: how many of these.
        day: of months: the day that the times fall on (31: their end), `first` or `last`: that weekday of the month;
            of weekdays: which, as NumPy writes them (1111100: Monday to Friday).
    """

    unit: str
    size: float
    day: str = ""

    def positions(self, times: pd.Index) -> np.ndarray:
        """Return (n,) where each time lies, counted in steps: whole numbers apart where all are as they should be."""
        if self.unit == "numbers":
            return times.to_numpy(dtype=np.float64) / self.size
        moments = times.to_numpy().astype("datetime64[us]")
        days = moments.astype("datetime64[D]")
        if self.unit == "seconds":
            return (moments - moments[0]) / np.timedelta64(1, "s") / self.size
        if self.unit == "weekdays":
            whole = np.busday_count(days[0], days, weekmask=self.day)
            return whole + (moments - days) / np.timedelta64(1, "D")
        months = moments.astype("datetime64[M]")
        late = (moments - _days_of_months(months, self.day)) / np.timedelta64(31, "D")
        return (months.astype(np.int64) + late) / self.size

    def breaks(self, times: pd.Index) -> np.ndarray:
        """Return the rows whose time does not lie one step after the time of the row before."""
        return np.flatnonzero(~np.isclose(np.diff(self.positions(times)), 1, rtol=0, atol=1e-6)) + 1

    def __str__(self) -> str:
        if self.unit == "numbers":
            return f"{self.size:g}"
        if self.unit == "weekdays":
            shown = [name for name, there in zip(WEEKDAYS, self.day, strict=True) if there == "1"]
            return f"1 weekday ({', '.join(shown)})"
        if self.unit == "months":
            years = self.size % 12 == 0
            count, unit = (self.size / 12, "year") if years else (self.size, "month")
            end = {"31": ", at its end", "last": ", on its last weekday", "first": ", on its first weekday"}
            return f"{count:g} {unit}{'s' if count != 1 else ''}{end.get(self.day, '')}"
        unit, seconds = next(((u, s) for u, s in SPANS if self.size % s == 0), ("second", 1))
        count = self.size / seconds
        return f"{count:g} {unit}{'s' if count != 1 else ''}"


@dataclass
class Clock:
    """How the times of a series are written, and how far they lie apart.

    Attributes:
        columns: of the time: one; a date and a time of day; or year, month, day, hour, …
        written: the way in which each column is written, where that is known: a format of strptime, `ISO8601`,
            `quarters`, `weeks` or `numbers`.
        timezone: of times without an offset, as in Europe/Berlin: what it repeats and leaves out in a year is no gap.
        gaps: `refuse` rows that are not one step apart, or `allow` them.
        step: None until it is known.
        local: whether the steps are those of the clock on the wall: days of 23 and 25 hours are days.
        in_utc: whether the times that are read are in UTC, since their offset or time zone is known.
        others: ways of writing that fit as well as the one that was taken.
    """

    columns: list[str]
    written: dict[str, str] = field(default_factory=dict)
    timezone: str | None = None
    gaps: str = "refuse"
    step: Step | None = None
    local: bool = False
    in_utc: bool = False
    others: list[str] = field(default_factory=list)

    def read(self, frame: pd.DataFrame, key: str = "data.time") -> tuple[pd.DataFrame, pd.Index, list[str]]:
        """Return the rows, oldest first, with their times, and lines that say what was done.

        What is not known yet (ways of writing, the step) is found out and kept.

        Args:
            frame: has the columns.
            key: what a mistake is about.

        Returns:
            The rows; their times, in UTC where they have an offset or a time zone; lines.

        Raises:
            Mistake: a time that is missing or cannot be read, rows out of order, or a gap under gaps=refuse.
        """
        times, wall = self.moments(frame, key)
        lines = []
        steps = np.diff(times.to_numpy())
        if len(steps) and times[0] > times[-1] and (steps < _nothing(steps)).mean() > 0.5:
            frame, times, wall = frame.iloc[::-1].reset_index(drop=True), times[::-1], wall[::-1]
            lines.append(f"rows stand newest first by '{self.columns[0]}': all {len(frame)} were turned round, and are "
                         "numbered from the oldest on")  # fmt: skip
        if self.timezone is not None:
            times = self._localized(times, wall, key)
        self.in_utc = not times.equals(wall)
        self._refuse_disorder(times, key, bool(lines))
        if self.step is None:
            self._learn_step(times, wall)
        lines += self._look_for_gaps(wall if self.local else times, key)
        return frame, times, lines

    def describe(self) -> dict[str, Any]:
        """Return plain values from which `restore` makes the same clock."""
        return asdict(self)

    @classmethod
    def restore(cls, described: Mapping[str, Any]) -> Clock:
        """Return the clock, from what `describe` gave."""
        step = described["step"]
        return cls(**{**described, "step": None if step is None else Step(**step)})

    def parse(self, text: str | float, times: pd.Index) -> pd.Timestamp | float:
        """Return a time that a person wrote in a setting, comparable with `times`: as in the file, or in another plain
        way.

        Raises:
            ValueError: it is none.
        """
        if not isinstance(times, pd.DatetimeIndex):
            return float(text)
        written = self.written.get(self.columns[0], ISO)
        moment = pd.to_datetime(
            str(text), format=None if written in (NUMBERS, QUARTERS, WEEKS) else written, errors="coerce"
        )
        moment = pd.Timestamp(str(text)) if pd.isna(moment) else moment
        if moment.tzinfo is None and self.timezone is not None:
            moment = moment.tz_localize(self.timezone, ambiguous=True, nonexistent="shift_forward")
        return moment if moment.tzinfo is None else moment.tz_convert("UTC").tz_localize(None)

    def summary(self, times: pd.Index) -> str:
        """Return a line on the times: from when to when, how they were read, and their step."""
        ways = [way for way in self.written.values() if "%" in way]
        others = f", though {' and '.join(self.others)} would fit as well" if self.others else ""
        read_as = f", read as {', '.join(ways)}{others} (data.dates)" if ways else ""
        zone = " in UTC" if self.in_utc else ""
        return f"times: {_plain(times[0])} to {_plain(times[-1])}{zone}{read_as}, steps of {self.step}"

    def moments(self, frame: pd.DataFrame, key: str = "data.time") -> tuple[pd.Index, pd.Index]:
        """Return the times of the rows, in UTC where they have offsets, and as they stand on the wall.

        Of several ways to read them that in which they are in order and without gaps; the clock keeps it.

        Raises:
            Mistake: a time is missing, or cannot be read.
        """
        for column in self.columns:
            if column not in frame.columns:
                raise Mistake(f"{key}: there is no column '{column}'{did_you_mean(column, frame.columns)}")
            if frame[column].isna().any():
                empty = np.flatnonzero(frame[column].isna())
                raise Mistake(
                    f"{key}: column '{column}' is empty in {len(empty)} rows, the first of them row {empty[0]}"
                )
        if len(self.columns) == 1:
            return self._best_of_column(frame[self.columns[0]], key, lambda times: times)
        if {column.lower() for column in self.columns} <= set(PARTS):
            return (parts := self._of_parts(frame, key)), parts
        if len(self.columns) == 2:
            return self._of_day_and_time(frame[self.columns[0]], frame[self.columns[1]], key)
        raise Mistake(f"{key}: {self.columns}: a column, [date, time of day], or columns called {', '.join(PARTS)}")

    def _of_day_and_time(self, days: pd.Series, clocks: pd.Series, key: str) -> tuple[pd.Index, pd.Index]:
        codes, once = pd.factorize(days)
        clock_times = _times_of_day(clocks, key)

        def together(dates: pd.Index) -> pd.Index:
            if not isinstance(dates, pd.DatetimeIndex):
                raise Mistake(f"{key}: column '{days.name}' holds numbers; a date belongs before a time of day")
            return dates[codes] + clock_times

        dates, _ = self._best_of_column(pd.Series(once, name=days.name), key, together)
        return (times := together(dates)), times

    def _of_parts(self, frame: pd.DataFrame, key: str) -> pd.DatetimeIndex:
        parts = frame[self.columns].set_axis([column.lower() for column in self.columns], axis=1)
        parts = parts.assign(**{name: 1 for name in ("month", "day") if name not in parts})
        try:
            return pd.DatetimeIndex(pd.to_datetime(parts))
        except (ValueError, TypeError) as error:
            raise Mistake(f"{key}: {self.columns} make no times ({one_line(error)})") from error

    def _best_of_column(
        self, column: pd.Series, key: str, placed: Callable[[pd.Index], pd.Index]
    ) -> tuple[pd.Index, pd.Index]:
        """Return the times of one column, read in the way whose times, `placed` where they belong, are least out of
        order.
        """
        name = str(column.name)
        if isinstance(column.dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_dtype(column):
            moments = pd.DatetimeIndex(column)
            return _apart(moments, lambda: moments.tz_localize(None))
        if name in self.written:
            return _read_as(column, self.written[name], key)
        readings = {way: _read_as(column, way, key) for way in ways_of_writing(column)}
        if not readings:
            raise Mistake(f"{key}: {_first_misfit(column)}; data.dates={{{name}: '%d/%m/%Y %H:%M'}} says how they are "
                          "written")  # fmt: skip
        disorder = {way: _disorder(placed(times)) for way, (times, _) in readings.items()} if len(readings) > 1 else {}
        self.written[name] = min(disorder, key=lambda way: disorder[way]) if disorder else next(iter(readings))
        least = disorder.get(self.written[name])
        self.others = [way for way in disorder if disorder[way] == least and way != self.written[name]]
        return readings[self.written[name]]

    def _localized(self, times: pd.Index, wall: pd.Index, key: str) -> pd.Index:
        """Return times without offsets, which stand in the time zone, in UTC."""
        if not isinstance(times, pd.DatetimeIndex):
            raise Mistake("data.timezone: the times are numbers, and lie in no time zone; leave it null")
        if not times.equals(wall):
            raise Mistake("data.timezone: the times have offsets from UTC already; leave it null")
        try:
            zone = zoneinfo.ZoneInfo(str(self.timezone))
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise Mistake(f"data.timezone: '{self.timezone}' is no time zone, as Europe/Berlin is") from error
        try:
            return times.tz_localize(zone, ambiguous="infer").tz_convert("UTC").tz_localize(None)
        except ValueError as error:
            raise Mistake(f"{key}: not all are times of {self.timezone}: {one_line(error)}") from error

    def _refuse_disorder(self, times: pd.Index, key: str, turned: bool) -> None:
        steps = np.diff(times.to_numpy())
        wrong = np.flatnonzero(steps <= _nothing(steps)) + 1
        if not len(wrong):
            return
        row, earlier = wrong[0], (steps < _nothing(steps)).any()
        shown = len(times) - row if turned else row
        when = _plain(times[row])
        what = f"row {shown} ({when}) is {'not later than' if earlier else 'of the same time as'} the one before"
        if turned:
            what = f"row {shown} ({when}) is not later than the one after, as the others are"
        if self._clocks_changed(times, wrong):
            raise Mistake(f"{key}: {what}; clocks that are put back repeat an hour: data.timezone=Europe/Berlin, or "
                          "what it is, tells the two apart")  # fmt: skip
        if not (steps < _nothing(steps)).any():
            raise Mistake(
                f"{key}: {what} ({len(wrong)} rows so); each time may occur once: leave out what stands twice"
            )
        raise Mistake(f"{key}: {what} ({len(wrong)} rows so); sort the file by '{self.columns[0]}'")

    def _clocks_changed(self, times: pd.Index, rows: np.ndarray) -> bool:
        """Return whether an hour stands twice at each of the `rows`, as when daylight saving ends."""
        if not isinstance(times, pd.DatetimeIndex) or self.timezone is not None or len(times) < 3:
            return False
        steps = np.diff(times.to_numpy())
        usual = np.median(steps.astype(np.int64)).astype(steps.dtype)
        return bool(usual <= HOUR and (steps[rows - 1] == usual - HOUR).all()) and _may_change(times[rows])

    def _learn_step(self, times: pd.Index, wall: pd.Index) -> None:
        self.step = find_step(times)
        if self.step is not None and len(self.step.breaks(times)):
            on_wall = find_step(wall)
            if on_wall is not None and len(on_wall.breaks(wall)) < len(self.step.breaks(times)):
                self.step, self.local = on_wall, True

    def _look_for_gaps(self, times: pd.Index, key: str) -> list[str]:
        step = self.step
        rows = step.breaks(times) if step is not None and len(times) > 1 else np.empty(0, dtype=int)
        if step is None or not len(rows):
            return []
        row = rows[0]
        what = f"{len(rows)} of {len(times) - 1} steps are not {step}"
        if self.gaps == "allow":
            return [f"{what}: the rows are taken as they stand (data.gaps=allow)"]
        hint = ""
        if isinstance(times, pd.DatetimeIndex) and self.timezone is None and step.unit == "seconds":
            seconds = np.diff(step.positions(times))[rows - 1] * step.size
            if np.allclose(seconds, step.size + 3600) and _may_change(times[rows]):
                hint = " (clocks that are put forward leave out an hour: data.timezone=Europe/Berlin, or what it is)"
        remedy = "the run was trained without gaps"
        if key != "input":
            remedy = "data.gaps=allow takes the rows as they stand"
        raise Mistake(f"{key}: {what}, the first before row {row}: {_plain(times[row])} follows "
                      f"{_plain(times[row - 1])}{hint}; {remedy}")  # fmt: skip


def _may_change(times: pd.DatetimeIndex) -> bool:
    """Return whether clocks may be put forward or back just before each of the times."""
    return bool((times.month.isin(CLOCK_CHANGES) & (times.hour < BEFORE_HOUR)).all())


def _plain(time: object) -> str:
    """Return a time as a person writes it: a date alone at midnight."""
    return f"{time:.10g}" if isinstance(time, float) else str(time).removesuffix(" 00:00:00")


def find_step(times: pd.Index) -> Step | None:
    """Return the step that leaves the fewest of the times out of place; None for fewer than two."""
    if len(times) < 2:
        return None
    return min(_possible_steps(times), key=lambda step: len(step.breaks(times)))


def ways_of_writing(column: pd.Series) -> list[str]:
    """Return the ways in which all values of a column are times, the commonest first."""
    texts = _texts(column)
    numbers = pd.to_numeric(texts, errors="coerce")
    if numbers.notna().all():
        whole = numbers % 1 == 0
        packed = [way for way, low, high in (("%Y%m%d", 19000101, 21001231), ("%Y%m", 190001, 210012))
                  if whole.all() and numbers.between(low, high).all()]  # fmt: skip
        fitting = [way for way in packed if _fits(texts.str.removesuffix(".0"), way)]
        return [NUMBERS, *fitting]
    if _fits(texts, ISO):  # in which nothing can be exchanged
        return [ISO]
    return [way for way in _candidates(texts) if _fits(texts, way)]


def find_several(frame: pd.DataFrame, clock: Clock | None, target: str) -> str | None:
    """Return what tells a file with several series from one with one series, as a line; None where it holds one.

    With a time column: columns in each of whose values the times go on in order, while in the file they do not. Without
    one: a column of text whose values stand in blocks.

    Raises:
        Mistake: a time cannot be read.
    """
    times = [] if clock is None else clock.columns
    others = [c for c in frame.columns if c not in (*times, target) and frame[c].notna().all()]
    if clock is None:
        return _find_blocks(frame, others, target)
    texts = [c for c in others if not pd.api.types.is_numeric_dtype(frame[c])]
    moments = pd.Series(pd.factorize(clock.moments(frame)[0], sort=True)[0].tolist(), index=frame.index)
    if _one_way(moments, pd.Series(0, index=frame.index)):
        return None
    numbers = [c for c in others if pd.api.types.is_integer_dtype(frame[c])]
    few = [c for c in (*texts, *numbers) if 2 <= frame[c].nunique() <= len(frame) / 3]
    repeated = moments.duplicated().mean() > 0.1
    for size in (1, 2):
        for columns in combinations(few, size):
            groups = frame.groupby(list(columns)).ngroup()
            if groups.nunique() <= len(frame) / 3 and _one_way(moments, groups) and (repeated or _in_blocks(groups)):
                named = " and ".join(f"'{column}'" for column in columns)
                shown = _shown(frame[columns[0]]) if size == 1 else ""
                return f"the same times occur for each {named}{shown}" if repeated else (
                    f"the times begin anew with each {named}{shown}")  # fmt: skip
    return None


def find_further_parts(frame: pd.DataFrame, dates: list[str]) -> list[str]:
    """Return the columns year, month and so on that a table has beside those in `dates`, which do not make a time
    alone.
    """
    if not {name.lower() for name in dates} <= set(PARTS) or not frame.duplicated(dates).any():
        return []
    there = [name for name in map(str, frame.columns) if name.lower() in PARTS]
    return sorted(there, key=lambda name: PARTS.index(name.lower())) if len(there) > len(dates) else []


def find_clock_column(frame: pd.DataFrame, dates: list[str]) -> str | None:
    """Return a column with the time of day, where each date occurs in several rows and that column tells them apart."""
    if not frame.duplicated(dates).any():
        return None
    for column in frame.columns:
        values = frame[column]
        if column in dates or values.isna().any() or frame.duplicated([*dates, column]).mean() > 0.01:
            continue
        if not pd.api.types.is_numeric_dtype(values):
            texts = values.astype(str)
            if (texts.str.match(CLOCK) | texts.str.match(DOTTED_CLOCK)).all():
                return column
        elif CLOCK_NAMES.search(str(column)) and values.between(0, 2359).all() and (values % 1 == 0).all():
            return column
    return None


def _find_blocks(frame: pd.DataFrame, columns: list[str], target: str) -> str | None:
    """Return what divides the rows of a table without a time column into several series; see `find_several`."""
    for column in columns:
        values = frame[column]
        text = not pd.api.types.is_numeric_dtype(values)
        if text and values.iloc[:TRIED].nunique() > 1 and ways_of_writing(values.iloc[:TRIED]):
            with suppress(Mistake):
                if several := find_several(frame, Clock([column]), target):
                    return several
        elif _in_blocks(values):
            sizes = values.value_counts()
            # numbers in blocks may be years, or prices that stay; many of one size are series
            alike = sizes.nunique() == 1 and sizes.iloc[0] >= 5
            if sizes.min() > 2 and (text or (alike and not values.between(1800, 2100).all())):
                return f"column '{column}' divides the rows into blocks{_shown(values)}"
    return None


def _one_way(moments: pd.Series, groups: pd.Series) -> bool:
    """Return whether the moments of every group only increase, or only decrease."""
    steps = moments.groupby(groups).diff().dropna()
    return bool((steps > 0).all() or (steps < 0).all())


def _in_blocks(column: pd.Series) -> bool:
    """Return whether equal values stand together, and there are several."""
    codes = pd.factorize(column)[0]
    return 2 <= len(np.unique(codes)) == 1 + np.count_nonzero(np.diff(codes))


def _shown(column: pd.Series) -> str:
    values = [str(value) for value in column.unique()]
    return f" ({len(values)}: {', '.join(values[:5])}{', …' if len(values) > 5 else ''})"


def _candidates(texts: pd.Series) -> list[str]:
    """Return the ways of writing a time that one of the first few texts is written in."""
    ways: dict[str, None] = {}
    for text in texts.iloc[:GUESSED]:
        day, clock = text, ""
        if (part := CLOCK_PART.search(text)) and (part["minute"] or part["half"]):
            day, clock = text[: part.start()], _format_of_clock(part)
        ways |= dict.fromkeys(f"{way}{clock}" for way in (*DAYS, *MONTHS) if _is_written(day, way))
    return [ISO, QUARTERS, WEEKS, *ways]


def _format_of_clock(part: re.Match[str]) -> str:
    """Return the format of a time of day that CLOCK_PART has found."""
    blank = lambda name: " " if part[name].startswith(" ") else ""  # noqa: E731
    clock = ("T" if part["before"].startswith("T") else " ") + ("%I" if part["half"] else "%H")
    for name, code in (("minute", ":%M"), ("second", ":%S"), ("fraction", ".%f")):
        clock += code if part[name] else ""
    clock += f"{blank('half')}%p" if part["half"] else ""
    return clock + (f"{blank('offset')}%z" if part["offset"] else "")


def _is_written(text: str, way: str) -> bool:
    try:
        datetime.strptime(text, way)
    except ValueError:
        return False
    return True


def _fits(texts: pd.Series, way: str) -> bool:
    return all(_parsed(part, way).notna().all() for part in (texts.iloc[:TRIED], texts.iloc[TRIED:]) if len(part))


def _parsed(texts: pd.Series, way: str) -> pd.Series:
    """Return texts as moments, those with offsets in UTC; NaT where they are not written so."""
    if way == QUARTERS:
        parts = texts.str.extract(QUARTER)
        year, quarter = parts[0].fillna(parts[3]), parts[1].fillna(parts[2])
        return pd.to_datetime(year + "-" + (quarter.astype(float) * 3 - 2).astype("Int64").astype("string"),
                              format="%Y-%m", errors="coerce")  # fmt: skip
    if way == WEEKS:
        mondays = texts.str.replace(WEEK, r"\1-W\2-1", regex=True)
        return pd.to_datetime(mondays, format="%G-W%V-%u", errors="coerce")
    offsets = texts.str.contains(OFFSET) if way == ISO else pd.Series("%z" in way, index=texts.index)
    if offsets.any() and not offsets.all():
        return pd.Series(pd.NaT, index=texts.index)
    return pd.to_datetime(texts, format=way, errors="coerce", utc=bool(offsets.any()))


def _read_as(column: pd.Series, way: str, key: str) -> tuple[pd.Index, pd.Index]:
    """Return the times of a column that are written in a known way: in UTC where they have offsets, and as on the wall.

    Raises:
        Mistake: one of them is not.
    """
    texts = _texts(column)
    if way == NUMBERS:
        numbers = pd.to_numeric(texts, errors="coerce")
        if numbers.isna().any():
            raise Mistake(f"{key}: row {np.flatnonzero(numbers.isna())[0]} of column '{column.name}' is no number")
        return pd.Index(numbers), pd.Index(numbers)
    texts = texts.str.removesuffix(".0") if way in ("%Y%m%d", "%Y%m") else texts
    try:
        moments = _parsed(texts, way)
    except ValueError as error:
        raise Mistake(f"data.dates: '{way}' is no way to write a date ({one_line(error)})") from error
    if moments.isna().any():
        row = np.flatnonzero(moments.isna())[0]
        raise Mistake(f"{key}: row {row} of column '{column.name}' ('{texts.iloc[row]}') is not written as {way}")
    return _apart(pd.DatetimeIndex(moments), lambda: pd.DatetimeIndex(
        _parsed(texts.str.replace(OFFSET_ALONE, "", regex=True), way.removesuffix("%z").strip())))  # fmt: skip


def _apart(times: pd.DatetimeIndex, wall: Callable[[], pd.DatetimeIndex]) -> tuple[pd.Index, pd.Index]:
    """Return times with a zone as those in UTC and those on the wall; others as they are, twice."""
    return (times, times) if times.tz is None else (times.tz_convert("UTC").tz_localize(None), wall())


def _texts(column: pd.Series) -> pd.Series:
    return column.astype(str).str.strip().str.replace(NAMED_ZERO, "Z", regex=True)


def _first_misfit(column: pd.Series) -> str:
    """Return what to say of a column that is not written in one known way."""
    texts = _texts(column)
    first = texts.iloc[:TRIED]
    best = max(_candidates(first), key=lambda way: _parsed(first, way).notna().sum())
    misfits = np.flatnonzero(_parsed(texts, best).isna())
    if len(misfits) == len(texts):
        return f"column '{column.name}' holds no times in a way that is known ('{texts.iloc[0]}')"
    return (f"{len(misfits)} rows of column '{column.name}' are not written as the others ({best}), the first of them "
            f"row {misfits[0]} ('{texts.iloc[misfits[0]]}')")  # fmt: skip


def _disorder(times: pd.Index) -> int:
    """Return how many rows are out of order or not one step after the one before."""
    steps = np.diff(times.to_numpy())
    if len(steps) and (steps < _nothing(steps)).mean() > 0.5:
        return _disorder(times[::-1])
    wrong = int((steps <= _nothing(steps)).sum())
    step = find_step(times) if not wrong else None
    return wrong * len(times) + (len(step.breaks(times)) if step is not None else 0)


def _nothing(steps: np.ndarray) -> np.ndarray:
    """Return no time at all, in the unit of `steps`."""
    return np.zeros(1, dtype=steps.dtype)


def _possible_steps(times: pd.Index) -> Iterator[Step]:
    if not isinstance(times, pd.DatetimeIndex):
        steps = np.diff(times.to_numpy(dtype=np.float64))
        usual = float(np.median(steps)) or 1.0
        yield Step("numbers", usual * float(_commonest(np.round(steps / usual, 6))))
        return
    moments = times.to_numpy().astype("datetime64[us]")
    yield Step("seconds", float(_commonest(np.diff(moments)) / np.timedelta64(1, "s")) or 1.0)
    week = pd.Series(times.day_of_week).value_counts()
    if 2 <= len(week) <= 6 and len(times) >= 3 * len(week):
        yield Step("weekdays", 1.0, "".join("01"[day in week.index] for day in range(7)))
    months = moments.astype("datetime64[M]")
    apart = np.diff(months.astype(np.int64))
    if (apart > 0).all():
        days = (moments.astype("datetime64[D]") - months.astype("datetime64[D]")).astype(int) + 1
        for day in (str(_commonest(days)), str(days.max()), "first", "last"):
            yield Step("months", float(_commonest(apart)), day)


def _commonest(values: np.ndarray) -> Any:
    """Return the value that occurs most often, of whatever type the values are."""
    distinct, counts = np.unique(values, return_counts=True)
    return distinct[counts.argmax()]


def _days_of_months(months: np.ndarray, day: str) -> np.ndarray:
    """Return the day of each month: a number, or where the month is shorter its end; or its first or last weekday."""
    starts, ends = months.astype("datetime64[D]"), (months + 1).astype("datetime64[D]")
    if day == "first":
        return np.busday_offset(starts, 0, roll="forward")
    if day == "last":
        return np.busday_offset(ends, -1, roll="forward")
    return np.minimum(starts + np.timedelta64(int(day) - 1, "D"), ends - np.timedelta64(1, "D"))


def _times_of_day(column: pd.Series, key: str) -> pd.TimedeltaIndex:
    """Return times of day: 13:00, 1:00 PM, hours from 0 on or (24: the hour that ends then) to 24, or 1300.

    Raises:
        Mistake: they are none.
    """
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().all() and numbers.between(0, 24).all():
        return pd.TimedeltaIndex(pd.to_timedelta(numbers, unit="h"))
    if numbers.notna().all() and numbers.between(0, 2400).all() and (numbers % 100 < 60).all():
        return pd.TimedeltaIndex(pd.to_timedelta(numbers // 100 * 60 + numbers % 100, unit="min"))
    texts = _texts(column)
    texts = texts.str.replace(".", ":") if texts.str.match(DOTTED_CLOCK).all() else texts
    if texts.str.match(CLOCK).all():
        full = texts.where(texts.str.count(":") == 2, texts + ":00")
        return pd.TimedeltaIndex(pd.to_timedelta(full))
    for way in ("%I:%M %p", "%I:%M:%S %p", "%I %p", "%I%p"):
        moments = pd.to_datetime(texts, format=way, errors="coerce")
        if moments.notna().all():
            return pd.TimedeltaIndex(moments - moments.dt.normalize())
    raise Mistake(f"{key}: column '{column.name}' holds no times of day ('{texts.iloc[0]}')")
