"""Which texts in a table mean that there is no value."""

from __future__ import annotations

import pandas as pd

GAPS = frozenset(
    ["", "?", "-", "--", "---", ".", "..", "–", "—", "nan", "-nan", "+nan", "null", "(null)", "<null>", "n/a", "#n/a",
     "#n/a n/a", "#na", "<na>", "n.a.", "nat", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "1.#inf", "-1.#inf",
     "#value!", "#div/0!", "#null!", "#ref!", "#num!", "#name?", "\\n"]
)  # fmt: skip
WORDS = frozenset(
    ["na", "none", "nil", "nothing", "unknown", "missing", "not available", "not applicable", "undefined"]
)
MARKERS_OF = {"category": GAPS, "boolean": GAPS | {"na"}}  # elsewhere, among numbers and dates, a word is a gap


def markers(kind: str, told: list[str] | None = None) -> frozenset[str]:
    """Return the texts, in lower case, that mean "no value" in a column of a kind.

    What pandas takes as missing, and what other programs write, never is a number or a date, so among these it is a
    gap. In a column of text a word such as "None", "NA" or "unknown" can be one of the categories, and is one.

    Args:
        kind: `numeric`, `date`, `boolean` or `category`.
        told: `data.missing_values`: these are missing in every column, and in text nothing else but blanks is; None:
            as above.
    """
    if told is None:
        return MARKERS_OF.get(kind, GAPS | WORDS)
    own = frozenset(str(text).strip().lower() for text in told) | {""}
    return own if kind in MARKERS_OF else own | GAPS | WORDS


def is_text(column: pd.Series) -> bool:
    """Return whether a column holds text, or objects of several types."""
    return column.dtype == object or isinstance(column.dtype, pd.StringDtype)


def stripped(column: pd.Series) -> pd.Series:
    """Return a column of text as objects: without blanks at either end, None where there is no text."""
    texts = column.astype(object)
    kept = texts.where(texts.notna(), None)
    return kept.map(lambda value: value.strip() if isinstance(value, str) else value)


def without_markers(column: pd.Series, kind: str, told: list[str] | None) -> pd.Series:
    """Return a column with None, or NaN, where a value is missing; see `markers`."""
    if is_text(column):
        texts = stripped(column)
        gaps = markers(kind, told)
        marks = [value for value in texts.dropna().unique() if isinstance(value, str) and value.lower() in gaps]
        return texts.mask(texts.isin(marks), None) if marks else texts
    numbers = [number for number in map(_number, told or []) if number is not None]
    if numbers and pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        gap = column.isin(numbers)
        return column.mask(gap) if gap.any() else column
    return column


def _number(text: object) -> float | None:
    try:
        return float(str(text))
    except ValueError:
        return None
