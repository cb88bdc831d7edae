"""The columns to predict, as numbers, classes or tags, however they are written."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dlrun.config.grammar import hint
from dlrun.data.reading.columns import MANY, TRUTHS, category_text, counted, numbers_in
from dlrun.data.reading.missing_markers import WORDS, is_text, without_markers
from dlrun.data.reading.numbers import ENOUGH, find_notation, finite, parse
from dlrun.data.reading.parquet import holds_objects
from dlrun.data.reading.tables import Format
from dlrun.errors import Mistake

TAG_SEPARATORS = ("|", ";")
FEW_TAGS = 0.2  # different tags, as a share of the rows, for a column to hold tags


def read_targets(
    frame: pd.DataFrame, form: Format, comma_file: bool = False, as_labels: bool = True
) -> tuple[pd.DataFrame, list[str]]:
    """Return the columns to predict: numbers, or text without blanks around it; None or NaN where there is no value.

    Several columns of two truth values each are labels of 0 and 1 (`as_labels`), or keep their text.

    Raises:
        Mistake: a column holds lists or the like.
    """
    columns, lines = {}, []
    for name in frame:
        column = frame[name]
        if what := holds_objects(column):
            raise Mistake(f"data.target: column '{name}' holds {what}; numbers, classes or tags are needed")
        values, remarks = _numbers_or_classes(column, form, comma_file)
        if as_labels and len(frame.columns) > 1 and is_text(values):
            values = _labels(values)
        columns[name] = values
        lines += [f"target '{name}': {line}" for line in remarks]
    return pd.DataFrame(columns, index=frame.index), lines


def _numbers_or_classes(column: pd.Series, form: Format, comma_file: bool) -> tuple[pd.Series, list[str]]:
    if not is_text(column):
        values = without_markers(column, "numeric", form.missing_values)
        if not pd.api.types.is_float_dtype(values):
            return values, []
        kept = finite(values)
        lost = int((values.notna() & kept.isna()).sum())
        remarks = [f"{counted(lost, 'value')} infinite, or of 1e37 and more, taken as missing"] if lost else []
        return kept, remarks
    known = numbers_in(column, form, comma_file)
    if known is not None and known.kind == "numeric":
        texts = without_markers(column, "numeric", form.missing_values)
        values = finite(parse(texts, known.notation))
        if not known.notation.unit or values.nunique() > MANY:  # "3 stars" is a class
            written = [] if known.notation.plain else [f"numbers as written ({known.notation})"]
            return values, written + ([known.remark] if known.remark else [])
    texts = without_markers(column, "category", form.missing_values)
    texts = texts.map(lambda value: category_text(value) if isinstance(value, str) else value)
    return texts, _said_of_classes(texts, form)


def _said_of_classes(texts: pd.Series, form: Format) -> list[str]:
    """Return lines on classes that could be gaps, and on numbers that are taken as classes."""
    filled = texts.dropna().astype(str)
    counts = filled.value_counts()
    lines = []
    for text in counts.index[counts.index.str.lower().isin(WORDS)]:
        remedy = hint("data.missing_values", [text])
        lines.append(f"'{text}' is the class of {counts[text]:,} rows; {remedy} takes them as rows without a target")
    if len(counts):
        notation, share = find_notation(filled, form.decimal, form.thousands_mark)
        numbers = parse(filled, notation)
        if 0.5 <= share < ENOUGH and numbers.nunique() > MANY:
            others = list(filled[numbers.isna()].unique()[:3])
            lines.append(
                f"{share:.0%} of the values are numbers, the others ({', '.join(others)}, …) are not: taken as "
                f"classes; for a quantity, {hint('data.missing_values', others)} and so on"
            )
    return lines


def _labels(texts: pd.Series) -> pd.Series:
    """Return 1 and 0 for two truth values, else the texts."""
    known = texts.map(lambda text: TRUTHS.get(str(text).lower()), na_action="ignore")
    return known.astype(float) if known.notna().sum() == texts.notna().sum() and texts.notna().any() else texts


def find_tag_separator(texts: pd.Series) -> str | None:
    """Return what divides a column of text into tags that occur again and again, or None where it holds none."""
    filled = texts.dropna().astype(str)
    for separator in TAG_SEPARATORS:
        several = filled.str.contains(separator, regex=False)
        if several.mean() < 0.05 or not len(filled):
            continue
        written = [tag for text in filled.unique() for tag in split_tags(text, separator)]
        tags = set(written)
        if 2 < len(tags) <= max(3, FEW_TAGS * len(filled)) and len(tags) < len(written):  # they occur in several texts
            return separator
    return None


def split_tags(text: str, separator: str) -> list[str]:
    """Return the tags in a text, without blanks around them."""
    return [tag.strip() for tag in text.split(separator) if tag.strip()]


def tag_labels(texts: pd.Series, separator: str) -> tuple[np.ndarray, list[str]]:
    """Return a label of 0 or 1 for every row and tag, (n, tags), and the tags; a row without a text has none.

    Raises:
        Mistake: there are fewer than two tags.
    """
    rows = [split_tags(str(text), separator) if text is not None and text == text else [] for text in texts]
    tags = sorted({tag for row in rows for tag in row})
    if len(tags) < 2:
        raise Mistake(f"data.target_separator is '{separator}': it divides '{texts.name}' into {len(tags)} tags")
    index = {tag: i for i, tag in enumerate(tags)}
    labels = np.zeros((len(rows), len(tags)), dtype=np.int64)
    for i, row in enumerate(rows):
        labels[i, [index[tag] for tag in row]] = 1
    return labels, tags
