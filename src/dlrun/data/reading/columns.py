"""What kind of thing each column of a table holds, and why: numeric, boolean, category, date, or to be ignored."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from dlrun.config.grammar import hint
from dlrun.data.reading.dates import date_format, find_date_format, order_said, parse_dates
from dlrun.data.reading.missing_markers import is_text, stripped, without_markers
from dlrun.data.reading.numbers import ENOUGH, Notation, find_notation, finite, parse
from dlrun.data.reading.parquet import holds_objects
from dlrun.data.reading.tables import Format
from dlrun.errors import Mistake, choose, did_you_mean

KINDS = {"numeric": "", "category": "", "boolean": "", "date": "", "ignore": ""}
TRUTHS = {"true": 1.0, "yes": 1.0, "t": 1.0, "y": 1.0, "false": 0.0, "no": 0.0, "f": 0.0, "n": 0.0}
NUMBERED_TRUTHS = {**TRUTHS, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}
DATE_PARTS = ("year", "month", "day", "day_of_week", "hour")
MANY = 20  # different numbers: more, and a column of numbers and a word or two is one of numbers
SHOWN = 12  # columns of a kind that a line names


@dataclass(frozen=True)
class Column:
    """What a column holds, and how it is written.

    Attributes:
        kind: numeric, category, boolean, date or ignore.
        reason: why, in words.
        notation: of numbers.
        dates: the format of dates that are text.
        flag: the one text of a column whose gaps mean "false".
        remark: what a person should know: values read as missing, the order of day and month.
    """

    kind: str
    reason: str
    notation: Notation = Notation()
    dates: str | None = None
    flag: str | None = None
    remark: str = ""


@dataclass
class Columns:
    """The columns of a table, by name, and how the table is written: all that it takes to read new rows likewise."""

    by_name: dict[str, Column] = field(default_factory=dict)
    form: Format = field(default_factory=Format)

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of every column."""
        return {name: column.kind for name, column in self.by_name.items()}

    def values(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return a table with numbers as numbers, dates as dates, and None or NaN where a value is missing."""
        return frame.assign(
            **{c: values_of(frame[c], self.by_name[c], self.form.missing_values) for c in self.by_name if c in frame}
        )

    def without_markers(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return a table whose text is as it was, but for the values that are missing."""
        return frame.assign(
            **{
                c: without_markers(frame[c], column.kind, self.form.missing_values)
                for c, column in self.by_name.items()
                if c in frame and column.kind != "ignore"
            }
        )


def describe_columns(
    frame: pd.DataFrame,
    named: dict[str, str],
    form: Format | None = None,
    dates: dict[str, str] | None = None,
    comma_file: bool = False,
) -> tuple[Columns, list[str]]:
    """Return what every column holds, inferred unless `named`, and lines that say so to the person.

    Args:
        frame: the table as it stands in its file.
        named: kinds by column, where the person has said so.
        form: how the table is written, where the person has said so.
        dates: formats of dates by column, as in `%d/%m/%y`; these columns are dates.
        comma_file: whether the table's separator suggests a decimal comma.

    Raises:
        Mistake: an unknown column or kind, a column that holds no dates where it was told to, or no column is left to
            learn from.
    """
    form = form or Format()
    for key, given in (("data.columns", named), ("data.dates", dates or {})):
        for column in given:
            if column not in frame.columns:
                raise Mistake(f"{key}: there is no column '{column}'{did_you_mean(column, frame.columns)}")
    for column, kind in named.items():
        choose(kind, KINDS, f"data.columns.{column}")
    named = {**dict.fromkeys(dates or {}, "date"), **named}
    comma_file = comma_file or any(_has_decimal_comma(frame[c]) for c in frame if is_text(frame[c]))
    by_name = {
        c: told_column(frame[c], named[c], form, (dates or {}).get(c), comma_file)
        if c in named
        else infer_column(frame[c], form, comma_file)
        for c in frame.columns
    }
    lines = _lines_of(by_name)
    if all(column.kind == "ignore" for column in by_name.values()):
        texts = [str(c) for c, column in by_name.items() if "free text" in column.reason]
        of_texts = f"; to learn from texts: data=text {hint('data.text', texts[0])}" if texts else ""
        why = "; ".join(lines) or "the table has only the target"
        raise Mistake(f"data: no column is left to learn from ({why}){of_texts}")
    return Columns(by_name, form), lines


def _lines_of(by_name: dict[str, Column]) -> list[str]:
    """Return a line for every kind, one for numbers and one for dates that are written in a way of their own, and one
    for every remark.
    """
    lines = []
    for kind in KINDS:
        members = [c for c in by_name if by_name[c].kind == kind]
        if members:
            shown = [f"{c} ({by_name[c].reason})" if kind == "ignore" or by_name[c].flag else c for c in members]
            lines.append(f"{'ignored' if kind == 'ignore' else kind} columns: {_listed(shown)}")
    written = [f"{name} ({c.notation})" for name, c in by_name.items() if c.kind == "numeric" and not c.notation.plain]
    if written:
        lines.append(
            f"numbers as written: {_listed(written)}; data.decimal, data.thousands or data.columns say otherwise"
        )
    ordered = [f"{name} ({order_said(c.dates)})" for name, c in by_name.items() if c.dates]
    if ordered:
        lines.append(f"dates as written: {_listed(ordered)}; data.dates={{<column>: <format>}} says otherwise")
    remarks = [f"column '{name}': {column.remark}" for name, column in by_name.items() if column.remark]
    more = [f"and such remarks about {len(remarks) - SHOWN} more columns"] if len(remarks) > SHOWN else []
    return lines + remarks[:SHOWN] + more


def _listed(shown: list[str]) -> str:
    more = f", and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return ", ".join(shown[:SHOWN]) + more


def infer_column(column: pd.Series, form: Format | None = None, comma_file: bool = False) -> Column:
    """Return what a column holds."""
    form = form or Format()
    if what := holds_objects(column):
        return Column("ignore", f"holds {what}")
    if is_text(column):
        return _infer_text(column, form, comma_file)
    values = without_markers(column, "numeric", form.missing_values)
    filled = values.dropna()
    distinct = filled.nunique()
    if distinct == 0:
        return Column("ignore", "no value at all")
    if distinct == 1:
        return _one_value(filled.iloc[0], len(values) - len(filled))
    if pd.api.types.is_bool_dtype(filled):
        return Column("boolean", "two truth values")
    if pd.api.types.is_datetime64_any_dtype(filled):
        return Column("date", "dates")
    if _are_compact_dates(filled):
        return Column("date", "dates", dates="%Y%m%d")
    if _numbers_rows(filled, str(column.name)):
        return Column("ignore", "numbers the rows")
    return Column("numeric", "numbers", remark=_too_large(filled))


def _infer_text(column: pd.Series, form: Format, comma_file: bool) -> Column:
    told = form.missing_values
    texts = without_markers(column, "category", told)
    filled = texts.dropna()
    distinct = filled.nunique()
    if distinct == 0:
        return Column("ignore", "no value at all")
    if distinct == 1 or (len(filled) < len(texts) and distinct < 5 and filled.astype(str).str.lower().nunique() == 1):
        return _one_value(filled.iloc[0], len(texts) - len(filled))
    if _are_truths(without_markers(column, "boolean", told).dropna()):
        return Column("boolean", "two truth values")
    number = numbers_in(column, form, comma_file)
    if number is not None:
        return number
    dates = without_markers(column, "date", told).dropna()
    if len(dates):
        written, share, other = find_date_format(dates)
        if share >= ENOUGH:
            return Column("date", "dates", dates=written, remark=_of_dates(column, dates, written, share, other))
    values = filled.astype(str)
    if distinct == len(values) and len(values) > 20:
        return Column("ignore", "a different value in every row: an identifier or free text")
    if distinct > 0.5 * len(values) and values.iloc[:500].map(lambda text: len(text.split())).mean() > 4:
        return Column("ignore", "free text")
    return Column("category", f"{distinct} categories", remark=_half_numbers(values, form))


def numbers_in(column: pd.Series, form: Format, comma_file: bool) -> Column | None:
    """Return how the numbers in a column of text are written, or None where it holds something else.

    At least 95 % of its values must be numbers; or half of them, more than 20 different ones, where nothing but one to
    three other texts stand between them, which are missing values then.
    """
    filled = without_markers(column, "numeric", form.missing_values).dropna()
    if not len(filled):
        return None
    notation, share = find_notation(filled, form.decimal, form.thousands_mark, comma_file)
    numbers = parse(filled, notation)
    others = filled[numbers.isna()]
    marked = share >= 0.5 and others.nunique() <= 3 and numbers.nunique() > MANY
    if share < ENOUGH and not marked:
        return None
    if numbers.nunique() == 1:
        return _one_value(filled.iloc[0], len(column) - len(filled))
    remark = f"{_other_texts(others)} read as missing" if len(others) else ""
    return Column("numeric", "numbers", notation, remark=", ".join(filter(None, (remark, _too_large(numbers)))))


def told_column(
    column: pd.Series, kind: str, form: Format, dates: str | None = None, comma_file: bool = False
) -> Column:
    """Return what a column holds whose kind the person has named, with what does not fit it.

    Raises:
        Mistake: it was to hold dates, and holds none of one format.
    """
    values = without_markers(column, kind, form.missing_values)
    filled = values.dropna()
    if kind == "numeric" and is_text(column):
        notation, _ = find_notation(filled, form.decimal, form.thousands_mark, comma_file)
        others = filled[parse(filled, notation).isna()]
        remark = f"{_other_texts(others)} read as missing" if len(others) else ""
        return Column("numeric", "as told", notation, remark=remark)
    if kind == "date" and not pd.api.types.is_datetime64_any_dtype(column):
        return _told_dates(column, filled.astype(str), dates)
    if kind == "boolean" and filled.nunique() == 1 and len(filled) < len(values):
        return _one_value(filled.iloc[0], len(values) - len(filled))
    return Column(kind, "as told")


def _told_dates(column: pd.Series, filled: pd.Series, told: str | None) -> Column:
    name = str(column.name)
    written, share, other = (told, 0.0, None) if told is not None else find_date_format(filled)
    if told is not None:
        share = float(parse_dates(filled, told).notna().mean()) if len(filled) else 0.0
    if share < (ENOUGH if told is None else 1e-9):
        best = f"; '{written}' fits {share:.0%} of them" if written and told is None else ""
        example = f" ('{filled.iloc[0]}', …)" if len(filled) else ""
        raise Mistake(
            f"data.columns.{name}: column '{name}' holds no dates of one format with a year{example}{best}; "
            f"{hint('data.dates', {name: '%d/%m/%Y'})} names the format, {hint('data.columns', {name: 'category'})} "
            "takes it as a category"
            if told is None
            else f"data.dates.{name}: no value of column '{name}' is written as {told}{example}"
        )
    return Column("date", "as told", dates=written, remark=_of_dates(column, filled, written, share, other))


def _one_value(value: object, gaps: int) -> Column:
    """Return what a column with one value is: of no use, or a flag where there are gaps beside it."""
    if not gaps:
        return Column("ignore", "one value only")
    shown = category_text(str(value))
    return Column(
        "boolean", f"'{shown}' or blank", flag=shown, remark=f"{counted(gaps, 'gap')} beside '{shown}' mean false"
    )


def _numbers_rows(values: pd.Series, name: str) -> bool:
    """Return whether whole numbers do nothing but number the rows, in whatever order."""
    if not pd.api.types.is_integer_dtype(values) or len(values) <= 20 or values.nunique() < len(values):
        return False
    steps = np.diff(np.sort(values.to_numpy()))
    named_so = re.fullmatch(r"column \d+|unnamed: ?\d+|index|id|row|row_?id|nr|no", name.lower()) is not None
    return bool((steps == 1).mean() >= (0.5 if named_so else ENOUGH))


def _are_compact_dates(values: pd.Series) -> bool:
    """Return whether whole numbers are dates without a mark between year, month and day: 20190131."""
    if not pd.api.types.is_integer_dtype(values) or not values.between(18000101, 21001231).mean() >= ENOUGH:
        return False
    parsed = pd.to_datetime(values.astype(str), format="%Y%m%d", errors="coerce")
    return values.nunique() > 2 and parsed.notna().mean() >= ENOUGH


def _too_large(values: pd.Series) -> str:
    """Return a remark on infinities, and on numbers that no float32 holds."""
    if not pd.api.types.is_float_dtype(values):
        return ""
    count = int((values.notna() & finite(values).isna()).sum())
    return f"{counted(count, 'value')} infinite, or of 1e37 and more, read as missing" if count else ""


def counted(count: int, what: str) -> str:
    """Return a count and what is counted: `1 value`, `2 values`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _other_texts(others: pd.Series) -> str:
    """Return how many other texts there are, and the most frequent of them."""
    counts = others.astype(str).value_counts()
    shown = ", ".join(f"'{_short(text)}'" for text in counts.index[:3]) + (", …" if len(counts) > 3 else "")
    return f"{counted(len(others), 'other text')} ({shown})"


def _of_dates(column: pd.Series, filled: pd.Series, written: str | None, share: float, other: str | None) -> str:
    """Return a remark on texts that are no dates, and on an order of day and month that could be another."""
    remarks = []
    if share < 1:
        remarks.append(f"{_other_texts(filled[parse_dates(filled, written).isna()])} read as missing dates")
    if other is not None:
        remarks.append(
            f"day and month could be exchanged in every row; {hint('data.dates', {str(column.name): other})} reads "
            "them the other way"
        )
    return ", ".join(remarks)


def _half_numbers(values: pd.Series, form: Format) -> str:
    """Return a remark on categories among which many are numbers."""
    notation, share = find_notation(values, form.decimal, form.thousands_mark)
    numbers = parse(values, notation) if share >= 0.5 else pd.Series(dtype=float)
    if numbers.nunique() <= MANY:
        return ""
    others = values[numbers.isna()]
    return (
        f"{share:.0%} of its values are numbers, beside {_other_texts(others)}: taken as categories; "
        "data.missing_values names texts that mean no value"
    )


def _has_decimal_comma(column: pd.Series) -> bool:
    """Return whether numbers with a decimal comma stand in a column of text, by its first rows."""
    filled = pd.Series(dtype=object)
    if not holds_objects(column):
        filled = without_markers(column.iloc[:500], "numeric", None).dropna()
    if not len(filled):
        return False
    notation, share = find_notation(filled)
    return share >= ENOUGH and notation.decimal == ","


def _short(text: str) -> str:
    text = " ".join(str(text).split())
    return text if len(text) <= 30 else text[:29] + "…"


def values_of(column: pd.Series, known: Column, told: list[str] | None = None) -> pd.Series:
    """Return a column with numbers as numbers, dates as dates, and None or NaN where a value is missing.

    What is there already as it should be stays so: of a table that has been read, this changes nothing.
    """
    if known.kind == "ignore":
        return stripped(column) if column.dtype != object and is_text(column) else column
    values = without_markers(column, known.kind, told)
    if known.kind == "date":
        return parse_dates(values if not _is_number(values) else values.astype("Int64").astype("string"), known.dates)
    if known.flag is not None:
        return _flag_values(values, known.flag)
    if known.kind == "numeric":
        if is_text(values):
            return finite(parse(values, known.notation))
        return finite(values) if pd.api.types.is_float_dtype(values) else values
    return values


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values)


def _flag_values(values: pd.Series, flag: str) -> pd.Series:
    """Return 1 where a flag is set, 0 where it is not, NaN where something else stands there."""
    if pd.api.types.is_bool_dtype(values):
        return values.astype(float)
    texts = values.map(lambda value: category_text(str(value)).lower(), na_action="ignore")
    known = {**NUMBERED_TRUTHS, category_text(flag).lower(): 1.0}
    return texts.map(known).where(texts.notna(), 0.0).astype(float)


def find_leaks(frame: pd.DataFrame, kinds: dict[str, str], targets: pd.DataFrame) -> list[str]:
    """Return a warning for every column that equals or determines a target, as an answer among the questions does.

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
            remedy = f"{hint('data.drop', [column])}?"
            if _is_multiple(values, truth):
                lines.append(f"warning: column '{column}' equals the target '{name}' up to scale{where}; {remedy}")
            elif 0 < values.nunique() <= len(values) / 5 and truth.groupby(values).nunique().max() == 1:
                lines.append(f"warning: column '{column}' determines the target '{name}'{where}; {remedy}")
    return lines


def _is_multiple(values: pd.Series, truth: pd.Series) -> bool:
    """Return whether two columns of numbers lie on one straight line."""
    if not (_is_number(values) and _is_number(truth)) or values.nunique() < 3 or truth.nunique() < 3:
        return False
    spread = values.astype(float) - values.astype(float).mean()
    return bool(abs(np.corrcoef(spread / spread.abs().max(), truth.astype(float))[0, 1]) > 1 - 1e-9)


def numbers_of(column: pd.Series, known: Column, told: list[str] | None = None) -> pd.DataFrame:
    """Return a numeric, boolean or date column as float columns; what does not fit is NaN."""
    values = values_of(column, known, told)
    if known.kind == "date":
        parts = {f"{column.name} {part}": getattr(values.dt, part).astype(float) for part in DATE_PARTS}
        return pd.DataFrame(parts, index=column.index)
    if known.kind == "boolean" and known.flag is None:
        texts = values.astype("string").str.strip().str.lower().map(NUMBERED_TRUTHS)
        return texts.astype(float).to_frame(column.name)
    return finite(pd.to_numeric(values, errors="coerce")).to_frame(column.name)


def category_texts(column: pd.Series) -> pd.Series:
    """Return the categories of a column as text, None where missing.

    A number is written in one way only, whether the other values of its column made it an integer, a float or text.
    """
    written = {value: category_text(str(value)) for value in column.dropna().unique()}
    texts = column.astype(object).map(written)
    return texts.where(texts.notna(), None)


def category_text(text: str) -> str:
    """Return a category in the one way that it is written here: without blanks around it, 1.0 as 1, true as True."""
    text = text.strip()
    if text in ("TRUE", "true", "FALSE", "false"):  # as pandas reads them, and writes them again
        return text.capitalize()
    return text.rstrip("0").rstrip(".") if re.fullmatch(r"-?(0|[1-9]\d*)\.\d+", text) else text


def times_of(column: pd.Series) -> np.ndarray:
    """Return the times of a column, to be sorted by: dates, or numbers.

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
    dates = parse_dates(column.astype(str), written)
    if dates.isna().any():
        raise Mistake(f"data.split: column '{column.name}' has {dates.isna().sum()} rows whose time is no date")
    return dates.to_numpy()


def _are_truths(values: pd.Series) -> bool:
    distinct = set(map(str.lower, values.astype(str).unique()[:5]))
    return len(distinct) == 2 and {TRUTHS.get(text) for text in distinct} == {0.0, 1.0}
