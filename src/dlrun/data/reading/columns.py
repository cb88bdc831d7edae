"""What kind of thing each column of a table holds, and why: numeric, boolean, category, date, or to be ignored."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from dlrun.errors import Mistake, choose, did_you_mean

KINDS = {"numeric": "", "category": "", "boolean": "", "date": "", "ignore": ""}
TRUTHS = {"true": 1.0, "yes": 1.0, "t": 1.0, "y": 1.0, "false": 0.0, "no": 0.0, "f": 0.0, "n": 0.0}
DATE_FORMATS = [
    f"{day}{time}"
    for day in ("%Y-%m-%d", "%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m-%d-%Y", "%d-%m-%Y", "%Y-%m")
    for time in ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", "T%H:%M:%S", "T%H:%M:%S.%f", "T%H:%M:%SZ")
]
DATE_PARTS = ("year", "month", "day", "day_of_week", "hour")


def describe_columns(frame: pd.DataFrame, named: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """The kind of every column, inferred unless `named`, and lines that say so to the person.

    Raises:
        Mistake: `named` has an unknown column or kind, or no column is left to learn from.
    """
    for column, kind in named.items():
        if column not in frame.columns:
            raise Mistake(f"data.columns: there is no column '{column}'{did_you_mean(column, frame.columns)}")
        choose(kind, KINDS, f"data.columns.{column}")
    found = {c: (named[c], _told(frame[c], named[c])) if c in named else infer_kind(frame[c]) for c in frame.columns}
    kinds = {column: kind for column, (kind, _) in found.items()}
    lines = []
    for kind in KINDS:
        members = [c for c in kinds if kinds[c] == kind]
        if members:
            shown = [
                f"{c} ({found[c][1]})" if kind == "ignore" or "missing" in found[c][1] else c for c in members[:12]
            ]
            more = f", and {len(members) - 12} more" if len(members) > 12 else ""
            lines.append(f"{'ignored' if kind == 'ignore' else kind} columns: {', '.join(shown)}{more}")
    if all(kind == "ignore" for kind in kinds.values()):
        raise Mistake(f"data: no column is left to learn from ({'; '.join(lines) or 'the table has only the target'})")
    return kinds, lines


def infer_kind(column: pd.Series) -> tuple[str, str]:
    """(kind, reason) of one column."""
    values = column.dropna()
    distinct = values.nunique()
    if distinct == 0:
        return "ignore", "no value at all"
    if distinct == 1:
        return "ignore", "one value only"
    if pd.api.types.is_bool_dtype(values) or _are_truths(values):
        return "boolean", "two truth values"
    if pd.api.types.is_datetime64_any_dtype(values):
        return "date", "dates"
    if pd.api.types.is_numeric_dtype(values):
        counts_rows = pd.api.types.is_integer_dtype(values) and distinct == len(values) and len(values) > 20
        if counts_rows and values.diff().dropna().eq(1).all():
            return "ignore", "numbers the rows"
        return "numeric", "numbers"
    return _infer_text_kind(values.astype(str), distinct)


def _told(column: pd.Series, kind: str) -> str:
    """The reason of a kind that the person named, with what does not fit it."""
    values = column.dropna()
    unfit = pd.to_numeric(values, errors="coerce").isna().mean() if kind == "numeric" and len(values) else 0
    return f"as told, {unfit:.1%} other text read as missing" if unfit else "as told"


def _infer_text_kind(values: pd.Series, distinct: int) -> tuple[str, str]:
    numbers = pd.to_numeric(values, errors="coerce").notna().mean()
    if numbers >= 0.95:
        return "numeric", f"numbers, {1 - numbers:.1%} other text read as missing"
    if date_format(values) is not None:
        return "date", "dates"
    if distinct == len(values) and len(values) > 20:
        return "ignore", "a different value in every row: an identifier or free text"
    if distinct > 0.5 * len(values) and values.iloc[:500].str.split().str.len().mean() > 4:
        return "ignore", "free text"
    return "category", f"{distinct} categories"


def find_leaks(frame: pd.DataFrame, kinds: dict[str, str], targets: pd.DataFrame) -> list[str]:
    """Returns a warning for every column that equals or determines a target, as an answer among the questions does.

    A category counts as determining when each of its values, five rows or more on average, has one target only. Rows
    where the column is empty say nothing about it: they are not counted, and the line says how many are left.
    """
    lines = []
    for name in targets:
        for column, kind in kinds.items():
            if kind == "ignore":
                continue
            filled = frame[column].notna()
            values, truth = frame[column][filled], targets[name][filled]
            where = "" if filled.all() else f" in the {len(values):,} of {len(filled):,} rows where it is filled"
            if _is_multiple(values, truth):
                lines.append(f"warning: column '{column}' equals the target '{name}' up to scale{where}; data.drop=[{column}]?")
            elif 0 < values.nunique() <= len(values) / 5 and truth.groupby(values).nunique().max() == 1:
                lines.append(f"warning: column '{column}' determines the target '{name}'{where}; data.drop=[{column}]?")
    return lines


def _is_multiple(values: pd.Series, truth: pd.Series) -> bool:
    """Returns whether two columns of numbers lie on one straight line."""
    if not (pd.api.types.is_numeric_dtype(values) and pd.api.types.is_numeric_dtype(truth)):
        return False
    if values.nunique() < 3 or truth.nunique() < 3:
        return False
    spread = values.astype(float) - values.astype(float).mean()
    return bool(abs(np.corrcoef(spread / spread.abs().max(), truth.astype(float))[0, 1]) > 1 - 1e-9)


def numbers_of(column: pd.Series, kind: str, dates_as: str | None = None) -> pd.DataFrame:
    """A numeric, boolean or date column (written as `dates_as`) as float columns; what does not fit is NaN."""
    if kind == "date":
        dates = column
        if not pd.api.types.is_datetime64_any_dtype(column):
            dates = pd.to_datetime(column.astype("string"), errors="coerce", format=dates_as)
        parts = {f"{column.name} {part}": getattr(dates.dt, part).astype(float) for part in DATE_PARTS}
        return pd.DataFrame(parts, index=column.index)
    if kind == "boolean":
        texts = column.astype("string").str.lower().map({**TRUTHS, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0})
        return texts.astype(float).to_frame(column.name)
    values = pd.to_numeric(column, errors="coerce").astype(float)
    return values.replace([np.inf, -np.inf], np.nan).to_frame(column.name)


def category_texts(column: pd.Series) -> pd.Series:
    """The categories of a column as text, None where missing.

    A number is written in one way only, whether the other values of its column made it an integer, a float or text.
    """
    written = {value: _written(str(value)) for value in column.dropna().unique()}
    texts = column.astype(object).map(written)
    return texts.where(texts.notna(), None)


def _written(text: str) -> str:
    if text in ("TRUE", "true", "FALSE", "false"):  # as pandas reads them, and writes them again
        return text.capitalize()
    return text.rstrip("0").rstrip(".") if re.fullmatch(r"-?(0|[1-9]\d*)\.\d+", text) else text


def times_of(column: pd.Series) -> np.ndarray:
    """The times of a column, to be sorted by: dates, or numbers.

    Raises:
        Mistake: values are missing, or are neither numbers nor dates of one format with a year.
    """
    if column.isna().any():
        raise Mistake(f"data.split: column '{column.name}' has {column.isna().sum()} rows without a time")
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return column.to_numpy()
    written = date_format(column.astype(str))
    if written is None:
        raise Mistake(f"data.split: column '{column.name}' holds no numbers, and no dates of one format with a year")
    return pd.to_datetime(column, format=written).to_numpy()


def date_format(texts: pd.Series) -> str | None:
    """The one format in which all `texts` are dates with a year, or None.

    Where day and month could be exchanged in every row, the month is read first.
    """
    for written in DATE_FORMATS:
        first, rest = texts.iloc[:20], texts.iloc[20:]
        if all(pd.to_datetime(part, errors="coerce", format=written).notna().all() for part in (first, rest)):
            return written
    return None


def _are_truths(values: pd.Series) -> bool:
    found = set(map(str.lower, values.astype(str).unique()[:3]))
    return len(found) == 2 and {TRUTHS.get(text) for text in found} == {0.0, 1.0}
