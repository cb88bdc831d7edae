"""Text: bags of words, TF-IDF, or sequences of token ids; and windows of characters for a language model."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dlrun.data.download import File, read
from dlrun.data.files import find, read_rows, read_table
from dlrun.data.module import Source, as_float
from dlrun.errors import Mistake, choose, did_you_mean, one_line

PUNCTUATION = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n', " "))  # what Keras's Tokenizer drops
PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2


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
        read_table(find(path, data_dir, "data.path"), path, targets=[target]), target, text, [], preprocessing
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
    frame = read_table(io.BytesIO(read(file, data_dir)), file.path, targets=[target])
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


def as_tokens(inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """Token ids are no quantities: they stay whole numbers in any arithmetic."""
    return inputs


def tokenize(text: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return text.lower().translate(PUNCTUATION).split()


class TextPreprocessing:
    """Texts to features or to token ids. The vocabulary is that of the training rows.

    Args:
        column: that the texts stand in, where they come from a table.
        represent: `bag` (counts of words) or `tfidf`, by scikit-learn's vectorizers, `patterns` (how often each of the
            patterns is found), or `tokens`: ids in order, 0 for padding, 1 for unknown words, then the words, the most
            frequent first.
        patterns: regular expressions by the name of the feature: {digits: "[0-9]"}; for `patterns`.
        words: the largest vocabulary.
        stop_words: `english` leaves the commonest words out of bag and tfidf.
        length: tokens in a row, the last ones of longer texts; None: the longest of the training rows.
        pad: where shorter texts are padded: `front` or `behind`.

    Raises:
        Mistake: an unknown representation or place, a number below 1, or a pattern that is no regular expression.
    """

    fits_all_rows = False

    def __init__(
        self,
        column: str,
        represent: str,
        words: int,
        stop_words: str | None,
        length: int | None,
        pad: str,
        patterns: dict[str, str] | None = None,
    ):
        choose(represent, dict.fromkeys(("bag", "tfidf", "tokens", "patterns")), "data.represent")
        if (represent == "patterns") != bool(patterns):
            raise Mistake("data.patterns: goes with data.represent=patterns: {digits: '[0-9]'}")
        for name, pattern in (patterns or {}).items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise Mistake(f"data.patterns.{name}: '{pattern}' is no regular expression ({error})") from error
        choose(pad, dict.fromkeys(("front", "behind")), "data.pad")
        if stop_words not in (None, "english"):
            raise Mistake(f"data.stop_words: '{stop_words}' is neither english nor null")
        for name, value in (("words", words), ("length", length)):
            if value is not None and value < 1:
                raise Mistake(f"data.{name} is {value}: it must be at least 1")
        self.column, self.patterns = column, patterns or {}
        self.represent, self.words, self.stop_words, self.length, self.pad = represent, words, stop_words, length, pad
        self.vectorizer = None
        self.ids: dict[str, int] = {}
        self.feature_names: list[str] = list(self.patterns)
        self.vocabulary: int | None = None
        self.transform = as_tokens if represent == "tokens" else as_float

    def fit(self, inputs: np.ndarray) -> TextPreprocessing:
        """Learn the vocabulary from the training texts.

        Raises:
            Mistake: there is not one word.
        """
        if self.represent == "tokens":
            counts = Counter(word for text in inputs for word in tokenize(text))
            ordered = sorted(counts, key=lambda word: (-counts[word], word))[: self.words]
            self.ids = {word: i for i, word in enumerate(ordered, FIRST_WORD)}
            self.vocabulary = FIRST_WORD + len(ordered)
            self.length = self.length or max(1, max(len(tokenize(text)) for text in inputs))
            return self
        if self.represent == "patterns":
            return self
        from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

        vectorizer = CountVectorizer if self.represent == "bag" else TfidfVectorizer
        try:
            self.vectorizer = vectorizer(max_features=self.words, stop_words=self.stop_words).fit(inputs)
        except ValueError as error:
            raise Mistake(f"data.text: {one_line(error)}") from error
        self.feature_names = [str(name) for name in self.vectorizer.get_feature_names_out()]
        return self

    def apply(self, inputs: np.ndarray) -> Tensor:
        """(n, words) float32 for bag and tfidf, (n, patterns) likewise, (n, length) int64 for tokens."""
        if self.represent == "patterns":
            texts = pd.Series(inputs, dtype=object)
            counts = [texts.str.count(pattern) for pattern in self.patterns.values()]
            return torch.from_numpy(np.stack(counts, axis=1).astype(np.float32))
        if self.represent != "tokens":
            return torch.from_numpy(self.vectorizer.transform(inputs).astype(np.float32).toarray())
        rows = torch.full((len(inputs), self.length), PADDING, dtype=torch.int64)
        for row, text in zip(rows, inputs, strict=True):
            found = [self.ids.get(word, UNKNOWN) for word in tokenize(text)][-self.length :]
            if found:
                place = slice(0, len(found)) if self.pad == "behind" else slice(self.length - len(found), None)
                row[place] = torch.tensor(found)
        return rows

    def inputs_of(self, given: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Texts, or a table with the column that the run was trained on.

        Raises:
            Mistake: the table lacks it.
        """
        if not isinstance(given, pd.DataFrame):
            return np.asarray(given, dtype=object)
        if self.column not in given.columns:
            raise Mistake(f"input: there is no column '{self.column}'{did_you_mean(self.column, given.columns)}")
        return given[self.column].astype(object).fillna("").astype(str).to_numpy(dtype=object)

    def read(self, path: Path, input_shape: tuple[int, ...]) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
        """The rows of a table, or the lines of a .txt file, some thousands at a time."""
        if path.suffix == ".txt":
            lines = path.read_text(encoding="utf-8").splitlines()
            yield pd.DataFrame({self.column: lines}), np.array(lines, dtype=object)
            return
        for frame in read_rows(path):
            yield frame, self.inputs_of(frame)

    def describe(self) -> dict:
        """What `preprocessing.json` records; a fitted vectorizer goes into `preprocessing.skops`."""
        return {
            "kind": "text",
            "column": self.column,
            "represent": self.represent,
            "words": list(self.ids),
            "patterns": self.patterns,
            "length": self.length,
            "pad": self.pad,
        }

    @classmethod
    def restore(cls, described: dict, vectorizer) -> TextPreprocessing:
        """As it was fitted: from what `describe` gave, and the vectorizer of `fitted`, if any."""
        words = described["words"]
        found = cls(described["column"], described["represent"], len(words) or 1, None, described["length"],
                    described["pad"], described.get("patterns"))  # fmt: skip
        found.vectorizer = vectorizer
        if found.represent == "patterns":
            return found
        if vectorizer is None:
            found.ids = {word: i for i, word in enumerate(words, FIRST_WORD)}
            found.vocabulary = FIRST_WORD + len(words)
        else:
            found.feature_names = [str(name) for name in vectorizer.get_feature_names_out()]
        return found

    def fitted(self) -> bytes | None:
        """The fitted vectorizer, as skops writes it (no pickle); None for tokens and patterns."""
        if self.vectorizer is None:
            return None
        import skops.io

        return skops.io.dumps(self.vectorizer)


class CharacterPreprocessing:
    """Characters are ids already; every window is full, so none of them stands for padding.

    Args:
        alphabet: the character of each id; `end` is that of a line.
        beginnings: the windows that lines begin with, and how many lines do: what new lines may begin with.
    """

    fits_all_rows = False
    transform = staticmethod(as_tokens)

    def __init__(self, alphabet: list[str], beginnings: dict[str, int]):
        self.alphabet = alphabet
        self.beginnings = beginnings
        self.vocabulary = len(alphabet)
        self.feature_names: list[str] = []

    def fit(self, inputs: np.ndarray) -> CharacterPreprocessing:
        """Nothing is learned from the rows."""
        return self

    def apply(self, inputs: np.ndarray) -> Tensor:
        """(n, window) int64."""
        return torch.from_numpy(inputs)

    def inputs_of(self, given: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Windows of ids (n, window)."""
        return np.asarray(given, dtype=np.int64)

    def read(self, path: Path, input_shape: tuple[int, ...]) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
        """A model of the next character goes on with lines; it does not judge files.

        Raises:
            Mistake: always.
        """
        raise Mistake("predict: this run is a model of the next character; dlrun generate writes lines with it")

    def describe(self) -> dict:
        """What `preprocessing.json` records."""
        return {"kind": "characters", "alphabet": self.alphabet, "beginnings": self.beginnings}

    @classmethod
    def restore(cls, described: dict, _nothing: None) -> CharacterPreprocessing:
        """From what `describe` gave."""
        return cls(described["alphabet"], described["beginnings"])

    def fitted(self) -> None:
        """Nothing was learned from the rows."""


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
