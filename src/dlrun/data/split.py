"""What travels between the data room and the others: the source as decoded, the splits, and the spec of both."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

from dlrun.data.preprocessing.base import Preprocessing
from dlrun.data.rows import Rows, only_spec
from dlrun.data.source import take
from dlrun.data.transforms import Transform, as_float
from dlrun.tasks.base import Task
from dlrun.tensors import Inputs, InputSpec

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Split:
    """Rows to learn from or to be judged by.

    Attributes:
        rows: the inputs as stored: in memory (bytes for images), by branch, or in files.
        targets: (n,) int64 for multiclass, (n, 1) 0/1 for binary, (n, k) otherwise.
        row_numbers: (n,) each row's number in its source.
        truth: regression: (n, k) targets as the source has them, in their own units and float64.
        transform: what turns a batch of stored inputs into what the network reads: `transform(inputs, dtype)`.
        naive: series: the scores (n, outputs) of the forecast "as the last value".
        augment: training rows: what distorts a batch that is ready for the network, batch by batch; or None.
        raw: tables and texts that are not too long: the rows as they were before preprocessing, for pictures.
        times: series with times: that of each row's target.
    """

    rows: Rows
    targets: Tensor
    row_numbers: np.ndarray
    truth: np.ndarray | None = None
    transform: Transform = as_float
    augment: Callable[[Tensor], Tensor] | None = None
    naive: Tensor | None = None
    raw: pd.DataFrame | np.ndarray | None = None
    times: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: np.ndarray) -> Split:
        """Return the `rows` (indices) alone."""
        chosen = torch.from_numpy(rows).to(self.targets.device)
        return replace(
            self,
            rows=self.rows.take(rows),
            targets=self.targets[chosen],
            row_numbers=self.row_numbers[rows],
            truth=None if self.truth is None else self.truth[rows],
            naive=None if self.naive is None else self.naive[chosen],
            raw=None if self.raw is None else cast("pd.DataFrame | np.ndarray", take(self.raw, rows)),
            times=None if self.times is None else self.times[rows],
        )

    def to(self, device: torch.device) -> Split:
        """Return the same rows on `device`; inputs in files stay there."""
        naive = None if self.naive is None else self.naive.to(device)
        return replace(self, rows=self.rows.to(device), targets=self.targets.to(device), naive=naive)

    @property
    def in_memory(self) -> bool:
        """Whether the inputs of all rows can be had at once."""
        return self.rows.in_memory

    @property
    def values_in_row(self) -> int:
        """How many numbers the inputs of a row are."""
        return self.rows.values_in_row

    def read(self, groups: Sequence[Tensor]) -> Iterator[Inputs]:
        """Yield the inputs as stored, of each group of rows in turn, on the device of the targets."""
        return self.rows.read(groups)

    def chunks(self, at_once: int) -> Iterator[Inputs]:
        """Yield the inputs as stored, of all rows in their order, `at_once` at a time."""
        return self.rows.chunks(at_once)

    def stored(self) -> Inputs:
        """Return the inputs as stored, of all rows at once.

        Raises:
            Mistake: they are not in memory.
        """
        return self.rows.stored()


@dataclass
class Data:
    """A data set, ready to train on. `valid` and `test` are None where there are no such rows.

    Attributes:
        task: what is learned.
        specs: what the inputs of a row are, after preprocessing, by branch; the only one is called `inputs`.
        train, valid, test: the rows.
        preprocessing: what was fitted on the training rows; it is saved with the run and applied by `predict`.
        notes: lines for the person.
    """

    task: Task
    specs: Mapping[str, InputSpec]
    train: Split
    valid: Split | None
    test: Split | None
    preprocessing: Preprocessing
    notes: list[str] = field(default_factory=list)

    @property
    def inputs(self) -> InputSpec:
        """What the inputs of a row are, of one branch.

        Raises:
            Mistake: there are several.
        """
        return only_spec(self.specs)

    def splits(self) -> dict[str, Split]:
        """Return the splits that there are, by name, in the order train, valid, test."""
        named = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}

    def to(self, device: torch.device) -> Data:
        """Return the same data with every split on `device`."""
        valid = None if self.valid is None else self.valid.to(device)
        test = None if self.test is None else self.test.to(device)
        return replace(self, train=self.train.to(device), valid=valid, test=test)

    @property
    def validates_on_test(self) -> bool:
        """Whether the validation rows are the test rows (`data.split.valid.by=test`)."""
        if self.valid is None or self.test is None:
            return False
        return self.valid.row_numbers is self.test.row_numbers  # one split, on whatever device

    def checksum(self) -> str:
        """Return the sha256 of all inputs and targets, as split and preprocessed: the same for the same data."""
        digest = hashlib.sha256()
        for split in self.splits().values():
            for tensor in (*split.rows.pieces(), split.targets):
                digest.update(tensor.cpu().contiguous().numpy().data)
        return digest.hexdigest()
