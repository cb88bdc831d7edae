"""Data as decoded, before any split, and what turns them into tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd

    from dlrun.data.reading.image_files import ImageFiles


class Preprocessing(Protocol):
    """From raw inputs to tensors. Fitted on the training rows only, saved with the run, applied again by predict."""

    transform: Callable[[Tensor, torch.dtype], Tensor]
    feature_names: list[str]
    fits_all_rows: bool
    vocabulary: int | None

    def fit(self, inputs) -> Preprocessing:
        """Learn from the raw training inputs."""

    def apply(self, inputs) -> Tensor:
        """Raw inputs as the tensor that a Split stores."""

    def inputs_of(self, given: pd.DataFrame | np.ndarray):
        """A DataFrame or an array of new rows as raw inputs."""

    def read(self, path: Path, input_shape: tuple[int, ...]) -> Iterator[tuple[pd.DataFrame, object]]:
        """New rows from a file or folder, some at a time: what to show beside their predictions, and raw inputs."""

    def describe(self) -> dict:
        """What `preprocessing.json` records."""

    def fitted(self) -> bytes | None:
        """What `preprocessing.skops` holds, or None where nothing was learned from the rows."""


@dataclass
class Source:
    """Data as decoded, before any split: a function of its source alone.

    Attributes:
        inputs: a DataFrame (n rows), or images as uint8 (n, channels, height, width), or images in files.
        targets: (n,) labels of any type or numbers, or (n, k) for several targets.
        preprocessing: what turns inputs into tensors, not yet fitted.
        given: rows that the source itself assigns: `{"test": indices}`; the rest is for data.split to divide.
        class_names: by class, where the targets are class indices; None: the labels themselves.
        target_names: one per target.
        row_numbers: each row's number in its own file; None: 0 to n-1.
        first_steps: series: the step at which each row's window begins; `row_numbers` are those of the targets.
        naive: series: the last value of the target that each row's window has seen, as a forecast.
        times: series with times: that of each row's target.
        notes: lines for the person: what was inferred, dropped or suspicious.
    """

    inputs: pd.DataFrame | np.ndarray | ImageFiles
    targets: np.ndarray
    preprocessing: Preprocessing
    given: dict[str, np.ndarray] = field(default_factory=dict)
    class_names: list[str] | None = None
    target_names: list[str] | None = None
    row_numbers: np.ndarray | None = None
    first_steps: np.ndarray | None = None
    naive: np.ndarray | None = None
    times: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.targets)

    def only(self, rows: np.ndarray) -> Source:
        """The same source with the `rows` (ascending) alone."""
        per_row = {name: getattr(self, name) for name in ("row_numbers", "first_steps", "naive", "times")}
        per_row["row_numbers"] = np.arange(len(self)) if self.row_numbers is None else self.row_numbers
        return replace(
            self,
            inputs=take(self.inputs, rows),
            targets=self.targets[rows],
            given={name: np.flatnonzero(np.isin(rows, given)) for name, given in self.given.items()},
            **{name: None if values is None else values[rows] for name, values in per_row.items()},
        )


def take(inputs: pd.DataFrame | np.ndarray | ImageFiles, rows: np.ndarray) -> pd.DataFrame | np.ndarray | ImageFiles:
    """The `rows` of a DataFrame, an array, or images in files."""
    return inputs[rows] if isinstance(inputs, np.ndarray) else inputs.take(rows)
