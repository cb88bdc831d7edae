"""Data as decoded, before any split, and what turns them into tensors."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from dlrun.data.preprocessing.base import Preprocessing

if TYPE_CHECKING:
    import pandas as pd

    from dlrun.data.reading.image_files import ImageFiles


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
        tasks: where each target is learned by a task of its own: its name, by target; a row may lack some of the
            targets (None or NaN).
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
    tasks: dict[str, str] | None = None
    row_numbers: np.ndarray | None = None
    first_steps: np.ndarray | None = None
    naive: np.ndarray | None = None
    times: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.targets)

    def of_target(self, name: str) -> Source:
        """Return the same source with one of its targets alone, and the rows that have it."""
        rows, column = self.rows_with(name), self._column(name)
        own = column[rows].infer_objects().to_numpy()
        return replace(self.only(rows), targets=own, target_names=[name], tasks=None)

    def whole_column(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return (n,) numbers that belong to the rows with a target, at their places; NaN in the other rows."""
        column = np.full(len(self), np.nan)
        column[self.rows_with(name)] = values.ravel()
        return column

    def rows_with(self, name: str) -> np.ndarray:
        """Return the indices of the rows that have one of several targets."""
        return np.flatnonzero(self._column(name).notna())

    def _column(self, name: str) -> pd.Series:
        import pandas as pd

        assert self.target_names is not None
        return pd.Series(self.targets.reshape(len(self), -1)[:, self.target_names.index(name)])

    def only(self, rows: np.ndarray) -> Source:
        """Return the same source with the `rows` (ascending) alone."""
        return replace(
            self,
            inputs=take(self.inputs, rows),
            targets=self.targets[rows],
            given={name: np.flatnonzero(np.isin(rows, given)) for name, given in self.given.items()},
            row_numbers=rows if self.row_numbers is None else self.row_numbers[rows],
            first_steps=None if self.first_steps is None else self.first_steps[rows],
            naive=None if self.naive is None else self.naive[rows],
            times=None if self.times is None else self.times[rows],
        )


def take(inputs: pd.DataFrame | np.ndarray | ImageFiles, rows: np.ndarray) -> pd.DataFrame | np.ndarray | ImageFiles:
    """Return the `rows` of a DataFrame, an array, or images in files."""
    return inputs[rows] if isinstance(inputs, np.ndarray) else inputs.take(rows)
