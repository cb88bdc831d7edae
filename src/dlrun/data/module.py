"""What travels between the data room and the others: the source as decoded, the splits, and the spec of both."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from dlrun.errors import Mistake

if TYPE_CHECKING:
    import pandas as pd

    from dlrun.data.image_files import ImageFiles

TASKS = ("regression", "binary", "multiclass", "multilabel")


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


@dataclass(frozen=True)
class Spec:
    """What data are: all that a model, a loss and a report need to know of them.

    Attributes:
        task: regression, binary, multiclass or multilabel.
        input_shape: of one row: (features,), (channels, height, width), (time, features).
        outputs: scores that a model gives for a row: 1 for binary, else classes, labels or targets.
        class_names: by class index; for multilabel one per label; empty for regression.
        feature_names: one per input of a table, after preprocessing; empty for images.
        target_names: one per target.
        target_mean, target_scale: regression: what the standardised target was shifted and divided by, per target.
        vocabulary: number of token ids, or None where the inputs are not tokens.
    """

    task: str
    input_shape: tuple[int, ...]
    outputs: int
    class_names: list[str] = field(default_factory=list)
    feature_names: list[str] = field(default_factory=list)
    target_names: list[str] = field(default_factory=list)
    target_mean: list[float] = field(default_factory=list)
    target_scale: list[float] = field(default_factory=list)
    vocabulary: int | None = None

    SUPPLIED: ClassVar[tuple[str, ...]] = ("input_shape", "outputs", "vocabulary", "task")

    def supplied(self) -> dict:
        """What the runner passes to a model, where its constructor names it."""
        return {name: getattr(self, name) for name in self.SUPPLIED}


def as_float(inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """Inputs that are features already, in the network's arithmetic."""
    return inputs.to(dtype)


@dataclass(frozen=True)
class Pixels:
    """Bytes to floats, batch by batch: pixel / scale, or (pixel − mean) / deviation, pixel by pixel.

    Attributes:
        scale: the largest value of a pixel, for floats in [0, 1]; 1 leaves the values as they are.
        mean, deviation: (channels, height, width), in place of the scale; None: not standardised.
    """

    scale: float
    mean: Tensor | None = None
    deviation: Tensor | None = None

    def __call__(self, inputs: Tensor, dtype: torch.dtype) -> Tensor:
        if self.mean is None:
            return inputs.to(dtype).div_(self.scale)
        mean, deviation = (t.to(inputs.device, dtype, non_blocking=True) for t in (self.mean, self.deviation))
        return inputs.to(dtype).sub_(mean).div_(deviation)


@dataclass
class Split:
    """Rows to learn from or to be judged by.

    Attributes:
        inputs: (n, *input_shape), as stored (bytes for images), or in their files, where they do not fit in memory.
        targets: (n,) int64 for multiclass, (n, 1) 0/1 for binary, (n, k) otherwise.
        row_numbers: (n,) each row's number in its source.
        truth: regression: (n, k) targets as the source has them, in their own units and float64.
        transform: what turns a batch of stored inputs into what the network reads: `transform(inputs, dtype)`.
        naive: series: the scores (n, outputs) of the forecast "as the last value".
        augment: training rows: what distorts a batch that is ready for the network, batch by batch; or None.
        raw: tables and texts that are not too long: the rows as they were before preprocessing, for pictures.
        times: series with times: that of each row's target.
    """

    inputs: Tensor | ImageFiles
    targets: Tensor
    row_numbers: np.ndarray
    truth: np.ndarray | None = None
    transform: Callable[[Tensor, torch.dtype], Tensor] = as_float
    augment: Callable[[Tensor], Tensor] | None = None
    naive: Tensor | None = None
    raw: pd.DataFrame | np.ndarray | None = None
    times: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device) -> Split:
        """The same rows on `device`; inputs in files stay there."""
        naive = None if self.naive is None else self.naive.to(device)
        inputs = self.inputs.to(device) if self.in_memory else self.inputs
        return replace(self, inputs=inputs, targets=self.targets.to(device), naive=naive)

    @property
    def in_memory(self) -> bool:
        """Whether the inputs are a tensor, and not in files."""
        return isinstance(self.inputs, Tensor)

    def read(self, groups: Sequence[Tensor]) -> Iterator[Tensor]:
        """Inputs as stored, of each group of rows in turn, on the device of the targets."""
        if self.in_memory:  # index_select is several times as fast as [group]
            return (self.inputs.index_select(0, group) for group in groups)
        return (images.to(self.targets.device) for images in self.inputs.batches(groups))

    def chunks(self, at_once: int) -> Iterator[Tensor]:
        """Inputs as stored, of all rows in their order, `at_once` at a time."""
        return iter(self.inputs.split(at_once)) if self.in_memory else self.read(torch.arange(len(self)).split(at_once))

    def stored(self) -> Tensor:
        """Inputs as stored, of all rows at once.

        Raises:
            Mistake: they are not in memory.
        """
        if not self.in_memory:
            raise Mistake("data.in_memory: this model needs all rows at once; set it to true, or take a network")
        return self.inputs


@dataclass
class Data:
    """A data set, ready to train on. `valid` and `test` are None where there are no such rows.

    `preprocessing` is what was fitted on the training rows; it is saved with the run and applied by `predict`.
    """

    spec: Spec
    train: Split
    valid: Split | None
    test: Split | None
    preprocessing: Preprocessing
    notes: list[str] = field(default_factory=list)

    def splits(self) -> dict[str, Split]:
        """The splits that there are, by name, in the order train, valid, test."""
        named = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}

    def to(self, device: torch.device) -> Data:
        """The same data with every split on `device`."""
        moved = {name: split.to(device) for name, split in self.splits().items()}
        return replace(self, **moved)

    @property
    def validates_on_test(self) -> bool:
        """Whether the validation rows are the test rows (`data.split.valid.by=test`)."""
        both = self.valid is not None and self.test is not None
        return both and self.valid.row_numbers is self.test.row_numbers  # one split, on whatever device

    def checksum(self) -> str:
        """sha256 of all inputs and targets, as split and preprocessed: whether two runs saw the same data."""
        digest = hashlib.sha256()
        for rows in self.splits().values():
            stored = rows.inputs if rows.in_memory else torch.from_numpy(rows.inputs.checksums)
            for tensor in (stored, rows.targets):
                digest.update(tensor.cpu().contiguous().numpy().data)
        return digest.hexdigest()
