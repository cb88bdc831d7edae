"""Texts: bags of words, TF-IDF, counts of patterns, or sequences of token ids."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dlrun.data.preprocessing.base import Preprocessing
from dlrun.data.reading.tables import Format, read_rows
from dlrun.data.schema import Column, InputSchema
from dlrun.data.transforms import as_float, as_tokens
from dlrun.errors import Mistake, blame, choose, did_you_mean, one_line

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import CountVectorizer
    from typing_extensions import Self

PUNCTUATION = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n', " "))  # what Keras's Tokenizer drops
PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2


def tokenize(text: str) -> list[str]:
    """Return words in lower case, without punctuation."""
    return text.lower().translate(PUNCTUATION).split()


def as_texts(column: pd.Series) -> np.ndarray:
    """Return (n,) the texts of a column, as strings; where there is none, an empty one."""
    return column.astype(object).fillna("").astype(str).to_numpy(dtype=object)


@dataclass(frozen=True)
class OwnAnalyzer:
    """A function of one's own, from a text to the list of what is counted in it; its mistakes are one line."""

    function: Callable[[str], list[str]]

    @property
    def path(self) -> str:
        """Where it is found."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    def __call__(self, text: str) -> list[str]:
        """Return what is counted in a text.

        Raises:
            Mistake: the function fails, or returns no list of texts.
        """
        with blame("data.analyzer"):
            found = self.function(text)
        if not isinstance(found, list) or not all(isinstance(token, str) for token in found):
            raise Mistake(f"data.analyzer: {self.path} must return a list of texts, not a {type(found).__name__}")
        return found


class TextPreprocessing(Preprocessing):
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
        analyzer: what is counted: `word`, `char` or `char_wb` (characters inside words), as scikit-learn calls them;
            tokens are words, or with `char` characters. Or a function of one's own, from a text to a list of what is
            counted.
        ngrams: [fewest, most] of these in a row that are counted together; for bag and tfidf.
        form: how the table is written, where a person has said so; new ones are read alike.

    Raises:
        Mistake: an unknown representation, place or analyzer, a number below 1, or a pattern that is no regular
            expression.
    """

    def __init__(
        self,
        column: str,
        represent: str,
        words: int,
        stop_words: str | None,
        length: int | None,
        pad: str,
        patterns: dict[str, str] | None = None,
        analyzer: str | Callable[[str], list[str]] = "word",
        ngrams: list[int] | None = None,
        form: Format | None = None,
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
        self._check_analyzer(represent, analyzer, stop_words, ngrams)
        self.analyzer = OwnAnalyzer(analyzer) if callable(analyzer) else analyzer
        self.ngrams = list(ngrams or (1, 1))
        self.form: Format = form or Format()
        for name, value in (("words", words), ("length", length)):
            if value is not None and value < 1:
                raise Mistake(f"data.{name} is {value}: it must be at least 1")
        self.column, self.patterns = column, patterns or {}
        self.represent, self.words, self.stop_words, self.length, self.pad = represent, words, stop_words, length, pad
        self.vectorizer: CountVectorizer | None = None  # or its subclass for TF-IDF, once fitted
        self.ids: dict[str, int] = {}
        self.feature_names: list[str] = list(self.patterns)
        self.vocabulary: int | None = None
        self.transform = as_tokens if represent == "tokens" else as_float

    @staticmethod
    def _check_analyzer(
        represent: str, analyzer: str | Callable, stop_words: str | None, ngrams: list[int] | None
    ) -> None:
        if callable(analyzer):
            if ngrams is not None:
                raise Mistake("data.ngrams: data.analyzer is a function, which decides what is counted; set it to null")
        else:
            choose(analyzer, dict.fromkeys(("word", "char", "char_wb")), "data.analyzer")
        if analyzer != "word" and represent == "patterns":
            raise Mistake("data.analyzer: patterns are looked for in the whole text; leave it at word")
        if analyzer == "char_wb" and represent == "tokens":
            raise Mistake("data.analyzer: tokens are words or characters; char_wb goes with bag and tfidf")
        if analyzer != "word" and stop_words is not None:
            raise Mistake("data.stop_words: are words, and data.analyzer counts characters; set it to null")
        if ngrams is None:
            return
        if represent not in ("bag", "tfidf"):
            raise Mistake("data.ngrams: goes with data.represent=bag and tfidf; set it to null")
        if len(ngrams) != 2 or not 1 <= ngrams[0] <= ngrams[1]:
            raise Mistake(f"data.ngrams is {ngrams}: it must be [fewest, most], as [1, 2] is, or null")

    def tokens(self, text: str) -> list[str]:
        """Return the tokens of a text in their order: words, or characters, in lower case, or what one's own function
        makes of it.
        """
        if isinstance(self.analyzer, OwnAnalyzer):
            return self.analyzer(text)
        return list(" ".join(text.lower().split())) if self.analyzer == "char" else tokenize(text)

    def fit(self, inputs: np.ndarray) -> Self:
        """Learn the vocabulary from the training texts.

        Raises:
            Mistake: there is not one word.
        """
        if self.represent == "tokens":
            counts = Counter(word for text in inputs for word in self.tokens(text))
            ordered = sorted(counts, key=lambda word: (-counts[word], word))[: self.words]
            self.ids = {word: i for i, word in enumerate(ordered, FIRST_WORD)}
            self.vocabulary = FIRST_WORD + len(ordered)
            self.length = self.length or max(1, max(len(self.tokens(text)) for text in inputs))
            return self
        if self.represent == "patterns":
            return self
        from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

        kind = CountVectorizer if self.represent == "bag" else TfidfVectorizer
        try:
            vectorizer = kind(
                max_features=self.words,
                stop_words=self.stop_words,
                analyzer=self.analyzer,
                ngram_range=tuple(self.ngrams),
            ).fit(inputs)
        except ValueError as error:
            raise Mistake(f"data.text: {one_line(error)}") from error
        self.vectorizer = vectorizer
        self.feature_names = [str(name) for name in vectorizer.get_feature_names_out()]
        return self

    def schema(self) -> InputSchema:
        """Return the column that the texts stand in."""
        return InputSchema("text", (Column(self.column, "text"),))

    def apply(self, inputs: np.ndarray) -> Tensor:
        """Return (n, words) float32 for bag and tfidf, (n, patterns) likewise, (n, length) int64 for tokens."""
        if self.represent == "patterns":
            texts = pd.Series(inputs, dtype=object)
            counts = [texts.str.count(pattern) for pattern in self.patterns.values()]
            return torch.from_numpy(np.stack(counts, axis=1).astype(np.float32))
        if self.represent == "tokens":
            return self._token_ids(inputs)
        assert self.vectorizer is not None  # it is fitted
        return torch.from_numpy(self.vectorizer.transform(inputs).astype(np.float32).toarray())

    def _token_ids(self, texts: np.ndarray) -> Tensor:
        """Return (n, length) int64: the ids of the last tokens of each text, padded."""
        assert self.length is not None  # the longest of the training rows, if it was not told
        rows = torch.full((len(texts), self.length), PADDING, dtype=torch.int64)
        for row, text in zip(rows, texts, strict=True):
            ids = [self.ids.get(word, UNKNOWN) for word in self.tokens(text)][-self.length :]
            if ids:
                place = slice(0, len(ids)) if self.pad == "behind" else slice(self.length - len(ids), None)
                row[place] = torch.tensor(ids)
        return rows

    def inputs_of(self, given: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Return the texts that are given, or those in the column of a table that the run was trained on.

        Raises:
            Mistake: the table lacks it.
        """
        if not isinstance(given, pd.DataFrame):
            return np.asarray(given, dtype=object)
        if self.column not in given.columns:
            raise Mistake(f"input: there is no column '{self.column}'{did_you_mean(self.column, given.columns)}")
        return as_texts(given[self.column])

    def read(self, path: Path, input_shape: tuple[int, ...]) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
        """Yield the rows of a table, or the lines of a .txt file, some thousands at a time."""
        if path.suffix == ".txt":
            lines = path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
            yield pd.DataFrame({self.column: lines}), np.array(lines, dtype=object)
            return
        for frame in read_rows(path, form=self.form):
            yield frame, self.inputs_of(frame)

    def describe(self) -> dict[str, Any]:
        """Return what `preprocessing.json` records; a fitted vectorizer goes into `preprocessing.skops`."""
        return {
            "kind": "text",
            "column": self.column,
            "represent": self.represent,
            "words": list(self.ids),
            "patterns": self.patterns,
            "analyzer": self.analyzer.path if isinstance(self.analyzer, OwnAnalyzer) else self.analyzer,
            "functions": ["analyzer"] if isinstance(self.analyzer, OwnAnalyzer) else [],
            "format": asdict(self.form),
            "length": self.length,
            "pad": self.pad,
        }

    @classmethod
    def restore(cls, described: Mapping[str, Any], fitted: object | None) -> Self:
        """Return the preprocessing as it was fitted: from what `describe` gave, and the vectorizer, if any."""
        words = described["words"]
        restored = cls(described["column"], described["represent"], len(words) or 1, None, described["length"],
                       described["pad"], described.get("patterns"), described.get("analyzer", "word"),
                       form=Format(**described.get("format", {})))  # fmt: skip
        vectorizer = cast("CountVectorizer | None", fitted)
        restored.vectorizer = vectorizer
        if restored.represent == "patterns":
            return restored
        if vectorizer is None:
            restored.ids = {word: i for i, word in enumerate(words, FIRST_WORD)}
            restored.vocabulary = FIRST_WORD + len(words)
        else:
            vectorizer.set_params(analyzer=restored.analyzer)
            restored.feature_names = [str(name) for name in vectorizer.get_feature_names_out()]
        return restored

    def only(self, columns: Sequence[str]) -> TextPreprocessing:
        """Return the same preprocessing, not fitted: there is one column."""
        return deepcopy(self)

    def fitted(self) -> CountVectorizer | None:
        """Return the fitted vectorizer; None for tokens and patterns."""
        if self.vectorizer is None:
            return None
        kept = copy(self.vectorizer)
        if isinstance(self.analyzer, OwnAnalyzer):  # no file of a run holds code: its path is in preprocessing.json
            kept.set_params(analyzer="word")
        return kept
