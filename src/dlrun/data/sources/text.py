"""Text: bags of words, TF-IDF, or sequences of token ids; and windows of characters for a language model."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from dlrun.data.preprocessing.characters import CharacterPreprocessing
from dlrun.data.preprocessing.text import TextPreprocessing, as_texts
from dlrun.data.reading.download import File, locate, read
from dlrun.data.reading.tables import Format, find, read_rows, read_table
from dlrun.data.source import Source
from dlrun.errors import Mistake, did_you_mean

# Thai, Lao, Tibetan, Burmese, Khmer, kana and Chinese characters
WITHOUT_BLANKS = "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
UNBROKEN = re.compile(f"[{WITHOUT_BLANKS}]+")
LONGEST_WORD = (
    4  # characters; runs that are longer on average are sentences, and shorter ones words told apart by blanks
)


def csv(
    path: str,
    target: str,
    text: str,
    represent: str = "tfidf",
    words: int = 10_000,
    stop_words: str | None = None,
    length: int | None = None,
    pad: str = "front",
    patterns: dict[str, str] | None = None,
    analyzer: str | Callable[[str], list[str]] = "word",
    ngrams: list[int] | None = None,
    missing_values: list[str] | None = None,
    header: str | int | None = None,
    quote: str | None = None,
    data_dir: str | None = None,
) -> Source:
    """Return a table of the user's with a column of text.

    Args:
        path: the file, relative to the current folder or else to `data_dir`.
        target: the column to predict.
        text: the column to read.
        represent, words, stop_words, length, pad, patterns, analyzer, ngrams: see TextPreprocessing.
        missing_values, header, quote: how the file is written, but for the texts themselves; see tables.Format.
        data_dir: the folder to look in besides the current one.

    Raises:
        Mistake: a file or column that is not there.
    """
    form = Format(header, quote, missing_values)
    preprocessing = TextPreprocessing(text, represent, words, stop_words, length, pad, patterns, analyzer, ngrams, form)
    place = find(path, data_dir, "data.path")
    return _source(read_table(place, path, as_text=[text], form=form), place, target, text, [], preprocessing, form)


def published(
    file: File,
    target: str,
    text: str,
    exclude: list[str] | None = None,
    represent: str = "tfidf",
    words: int = 10_000,
    stop_words: str | None = None,
    length: int | None = None,
    pad: str = "front",
    patterns: dict[str, str] | None = None,
    analyzer: str | Callable[[str], list[str]] = "word",
    ngrams: list[int] | None = None,
    data_dir: str | None = None,
    licence: str = "",
) -> Source:
    """Return a published table with a column of text; rows whose target is in `exclude` are left out."""
    preprocessing = TextPreprocessing(text, represent, words, stop_words, length, pad, patterns, analyzer, ngrams)
    frame = read_table(io.BytesIO(read(file, data_dir)), file.path, as_text=[text])
    return _source(frame, locate(file, data_dir), target, text, exclude or [], preprocessing)


def character_windows(file: File, window: int = 3, data_dir: str | None = None, licence: str = "") -> Source:
    """Return windows of characters with the one that follows as class: of each line, in lower case, and its line break.

    Raises:
        Mistake: the window is below 1, or longer than every line.
    """
    if window < 1:
        raise Mistake(f"data.window is {window}: it must be at least 1")
    lines = [line.lower() + "\n" for line in read(file, data_dir).decode().splitlines() if line]
    alphabet = sorted(set("".join(lines)))
    ids = {character: i for i, character in enumerate(alphabet)}
    pieces = [line[i : i + window + 1] for line in lines for i in range(len(line) - window)]
    if not pieces:
        raise Mistake(f"data.window is {window}: no line is that long")
    table = np.array([[ids[character] for character in piece] for piece in pieces], dtype=np.int64)
    names = ["end" if character == "\n" else character for character in alphabet]
    short = sum(len(line) <= window for line in lines)
    notes = [f"lines in lower case; shorter than the window: {short} of {len(lines)}, left out"] if short else []
    beginnings = Counter(line[:window] for line in lines if len(line) > window)
    preprocessing = CharacterPreprocessing(names, dict(sorted(beginnings.items())))
    return Source(
        table[:, :-1], table[:, -1], preprocessing, class_names=names, target_names=["next character"], notes=notes
    )


def _source(
    frame: pd.DataFrame,
    path: Path,
    target: str,
    text: str,
    exclude: list[str],
    preprocessing: TextPreprocessing,
    form: Format | None = None,
) -> Source:
    """Return the rows of `frame` with a target, with the texts as they stand in the file at `path`: "None" and "NA" are
    texts.

    Raises:
        Mistake: there is no such column.
    """
    for key, column in (("target", target), ("text", text)):
        if column not in frame.columns:
            raise Mistake(f"data.{key}: there is no column '{column}'{did_you_mean(column, frame.columns)}")
    if target == text:
        raise Mistake(f"data.text and data.target are the same column '{text}'")
    known = frame[target].notna() & ~frame[target].astype(str).isin(exclude)
    notes = [] if known.all() else [f"{(~known).sum()} rows were left out: without a target, or excluded"]
    texts = np.concatenate([as_texts(rows[text]) for rows in read_rows(path, form=form)])[known]
    empty = sum(not written.strip() for written in texts)
    notes += [f"texts that are empty: {empty} of {len(texts)}"] if empty else []
    if preprocessing.analyzer == "word" and preprocessing.represent != "patterns":
        notes += _without_blanks(texts, preprocessing.represent)
    return Source(
        texts,
        frame[target].to_numpy()[known],
        preprocessing,
        target_names=[target],
        row_numbers=np.flatnonzero(known),
        notes=notes,
    )


def _without_blanks(texts: np.ndarray, represent: str) -> list[str]:
    """Return a line for the person, where most texts are of a script that puts no blanks between its words."""
    runs = [UNBROKEN.findall(text) for text in texts]
    lengths = [len(run) for own in runs for run in own]
    count = sum(bool(own) for own in runs)
    if 2 * count <= len(texts) or sum(lengths) <= LONGEST_WORD * len(lengths):
        return []
    remedy = "data.analyzer=char takes characters"
    if represent != "tokens":
        remedy = "data.analyzer=char 'data.ngrams=[1,2]' counts characters and pairs of them"
    return [f"warning: {count} of {len(texts)} texts are of a script without blanks, as Chinese, Japanese or Thai is: "
            f"whole sentences are taken as one word; {remedy}"]  # fmt: skip
