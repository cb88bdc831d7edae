"""Text: bags of words, TF-IDF, or sequences of token ids; and windows of characters for a language model."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pandas as pd

from dlrun.data.preprocessing.characters import CharacterPreprocessing
from dlrun.data.preprocessing.text import TextPreprocessing
from dlrun.data.reading.download import File, read
from dlrun.data.reading.tables import find, read_table
from dlrun.data.source import Source
from dlrun.errors import Mistake, did_you_mean


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
    data_dir: str | None = None,
) -> Source:
    """A table of the user's with a column of text.

    Args:
        path: the file, relative to the current folder or else to `data_dir`.
        target: the column to predict.
        text: the column to read.
        represent, words, stop_words, length, pad, patterns: see TextPreprocessing.
        data_dir: the folder to look in besides the current one.

    Raises:
        Mistake: a file or column that is not there.
    """
    preprocessing = TextPreprocessing(text, represent, words, stop_words, length, pad, patterns)
    return _source(
        read_table(find(path, data_dir, "data.path"), path, as_text=[text]), target, text, [], preprocessing
    )


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
    data_dir: str | None = None,
    licence: str = "",
) -> Source:
    """A published table with a column of text; rows whose target is in `exclude` are left out."""
    preprocessing = TextPreprocessing(text, represent, words, stop_words, length, pad, patterns)
    frame = read_table(io.BytesIO(read(file, data_dir)), file.path, as_text=[text])
    return _source(frame, target, text, exclude or [], preprocessing)


def character_windows(file: File, window: int = 3, data_dir: str | None = None, licence: str = "") -> Source:
    """A line a text, in lower case and ended by a line break: windows of characters, and the one that follows as class.

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
    beginnings = Counter(line[:window] for line in lines if len(line) > window)
    preprocessing = CharacterPreprocessing(names, dict(sorted(beginnings.items())))
    return Source(table[:, :-1], table[:, -1], preprocessing, class_names=names, target_names=["next character"])


def _source(
    frame: pd.DataFrame, target: str, text: str, exclude: list[str], preprocessing: TextPreprocessing
) -> Source:
    for key, column in (("target", target), ("text", text)):
        if column not in frame.columns:
            raise Mistake(f"data.{key}: there is no column '{column}'{did_you_mean(column, frame.columns)}")
    if target == text:
        raise Mistake(f"data.text and data.target are the same column '{text}'")
    known = frame[target].notna() & ~frame[target].astype(str).isin(exclude)
    notes = [] if known.all() else [f"{(~known).sum()} rows were left out: without a target, or excluded"]
    texts = frame[text].astype(object).fillna("").astype(str).to_numpy(dtype=object)[known]
    return Source(
        texts,
        frame[target].to_numpy()[known],
        preprocessing,
        target_names=[target],
        row_numbers=np.flatnonzero(known),
        notes=notes,
    )
