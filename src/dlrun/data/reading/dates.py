"""Dates as they are written, and which order of day and month they have."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pandas as pd

from dlrun.data.reading.numbers import ENOUGH

DAYS = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m-%d-%Y", "%d-%m-%Y", "%m.%d.%Y",
    "%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%m-%d-%y", "%d-%m-%y", "%y/%m/%d", "%Y-%m", "%Y/%m", "%m/%Y", "%Y%m%d",
    "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%B-%Y", "%d-%b-%y",
    "%d %b %y", "%d %B, %Y", "%d. %B %Y", "%d/%b/%Y", "%b-%Y", "%b-%y", "%b %Y", "%B %Y", "%Y-%b-%d", "%Y %b %d",
)  # fmt: skip
TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %H")
FORMATS = tuple(day + time for time, day in product(TIMES, DAYS)) + ("%b %d %H:%M:%S %Y",)
OFFSET = re.compile(r"(?<=\d)\s*(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2}(?=$))$")
FRACTION = re.compile(r"(:\d{2})[.,]\d+")
WEEKDAY = re.compile(r"^(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s+", re.IGNORECASE)
CLOCK = re.compile(r"(?<=\d)T(?=\d{2}:)|,?\s+(?=\d{1,2}:)")
HALF = re.compile(r"(?<=\d)\s*([ap])\.?m\.?$", re.IGNORECASE)
SAMPLE = 200


def parse_dates(texts: pd.Series, written: str | None) -> pd.Series:
    """Return dates without a time zone: local time, as it stands there. NaT where a text is no such date.

    Names of weekdays, fractions of seconds and offsets from UTC are read over.
    """
    if pd.api.types.is_datetime64_any_dtype(texts):
        return local(texts)
    values = texts.astype("string")
    if written not in FORMATS:  # the person's own, which may ask for what is read over
        moments = pd.to_datetime(values, format=written, errors="coerce", utc="%z" in str(written))
        return local(moments).fillna(pd.to_datetime(_canonical(values), format=written, errors="coerce"))
    return pd.to_datetime(_canonical(values), format=written, errors="coerce")


def local(dates: pd.Series) -> pd.Series:
    """Return dates as the clock at their place shows them."""
    return dates if getattr(dates.dt, "tz", None) is None else dates.dt.tz_localize(None)


def find_date_format(texts: pd.Series) -> tuple[str | None, float, str | None]:
    """Return the format in which most `texts` are dates with a year, their share, and one that fits as well.

    Where day and month could be exchanged in every row, the order is taken in which the dates follow each other at the
    more even steps, else the month comes first; the other order is the third value.
    """
    values = _canonical(texts.dropna().astype("string"))
    if not len(values):
        return None, 0.0, None
    places = np.unique(np.linspace(0, len(values) - 1, SAMPLE).astype(int))
    sample = values.iloc[places]
    hopeful = [f for f in FORMATS if pd.to_datetime(sample, format=f, errors="coerce").notna().mean() >= ENOUGH - 0.1]
    if not hopeful:
        return None, 0.0, None
    parsed = {f: pd.to_datetime(values, format=f, errors="coerce") for f in hopeful}
    shares = {f: float(dates.notna().mean()) for f, dates in parsed.items()}
    most = max(shares.values())
    best = [f for f in hopeful if shares[f] == most]
    chosen = best[0]
    other = next((f for f in best[1:] if _exchanged(f) == chosen), None)
    if other is not None and _unevenness(parsed[other]) < _unevenness(parsed[chosen]):
        chosen, other = other, chosen
    return chosen, most, other


def date_format(texts: pd.Series) -> str | None:
    """Return the one format in which at least 95 % of the `texts` are dates with a year, or None."""
    written, share, _ = find_date_format(texts)
    return written if share >= ENOUGH else None


def order_said(written: str) -> str:
    """Return a date format in words where day and month could be mistaken for each other, else as it is."""
    day, month = written.find("%d"), written.find("%m")
    if min(day, month) < 0 or written.startswith(("%Y", "%y")):
        return written
    return f"{written}, {'day before month' if day < month else 'month before day'}"


def _canonical(values: pd.Series) -> pd.Series:
    """Return texts without weekdays, fractions of seconds and offsets, a blank between day and time."""
    distinct = values.dropna().unique()
    return values.map({text: _canonical_text(text) for text in distinct}).astype("string")


def _canonical_text(text: str) -> str:
    text = WEEKDAY.sub("", text.strip())
    if ":" in text:  # a time of day
        text = CLOCK.sub(" ", FRACTION.sub(r"\1", OFFSET.sub("", text)), count=1)
    return HALF.sub(r" \1m", text)


def _exchanged(written: str) -> str:
    """Return a format with day and month exchanged."""
    return written.replace("%d", "%?").replace("%m", "%d").replace("%?", "%m")


def _unevenness(dates: pd.Series) -> float:
    """Return by how much the steps between dates differ, as a share of their mean; infinite where dates go back."""
    steps = np.diff(dates.dropna().to_numpy().astype("datetime64[s]").astype(np.int64)).astype(float)
    if len(steps) < 2 or not ((steps >= 0).all() or (steps <= 0).all()) or steps.mean() == 0:
        return float("inf")
    return float(steps.std() / abs(steps.mean()))
