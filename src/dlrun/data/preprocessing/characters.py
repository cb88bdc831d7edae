"""Windows of characters for a model of the next character."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dlrun.data.preprocessing.base import Preprocessing
from dlrun.data.schema import CharacterSchema, InputSchema
from dlrun.data.transforms import as_tokens
from dlrun.errors import Mistake

if TYPE_CHECKING:
    from typing_extensions import Self


class CharacterPreprocessing(Preprocessing):
    """Characters are ids already; every window is full, so none of them stands for padding.

    Args:
        alphabet: the character of each id; `end` is that of a line.
        beginnings: the windows that lines begin with, and how many lines do: what new lines may begin with.
    """

    transform = staticmethod(as_tokens)

    def __init__(self, alphabet: list[str], beginnings: dict[str, int]):
        self.alphabet = alphabet
        self.beginnings = beginnings
        self.vocabulary = len(alphabet)

    def schema(self) -> InputSchema:
        """Return the alphabet, and what lines begin with."""
        return InputSchema("characters", characters=CharacterSchema(tuple(self.alphabet), self.beginnings))

    def apply(self, inputs: np.ndarray) -> Tensor:
        """Return (n, window) int64."""
        return torch.from_numpy(inputs)

    def inputs_of(self, given: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Return windows of ids (n, window)."""
        return np.asarray(given, dtype=np.int64)

    def read(self, path: Path, input_shape: tuple[int, ...]) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
        """Refuse: a model of the next character goes on with lines; it does not judge files.

        Raises:
            Mistake: always.
        """
        raise Mistake("predict: this run is a model of the next character; dlrun generate writes lines with it")

    def describe(self) -> dict[str, Any]:
        """Return what `preprocessing.json` records."""
        return {"kind": "characters", "alphabet": self.alphabet, "beginnings": self.beginnings}

    @classmethod
    def restore(cls, described: Mapping[str, Any], fitted: object | None) -> Self:
        """Return the preprocessing, from what `describe` gave."""
        return cls(described["alphabet"], described["beginnings"])
