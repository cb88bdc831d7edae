"""Where the inputs of many rows lie: in memory, in memory by branch, or in image files. One contract for all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from dlrun.errors import Mistake
from dlrun.tensors import Inputs, InputSpec

if TYPE_CHECKING:
    from dlrun.data.reading.image_files import ImageFiles

BRANCH = "inputs"  # what the only branch is called


class Rows(Protocol):
    """The stored inputs of some rows, which are read group by group."""

    @property
    def specs(self) -> Mapping[str, InputSpec]:
        """Shape and dtype of a row's inputs, by branch; where there is one branch only, it is called `inputs`."""
        ...

    @property
    def in_memory(self) -> bool:
        """Whether all rows can be had at once."""
        ...

    @property
    def values_in_row(self) -> int:
        """How many numbers the inputs of a row are, all branches together; 1 at least."""
        ...

    def __len__(self) -> int:
        """Return the number of rows."""

    def read(self, groups: Sequence[Tensor]) -> Iterator[Inputs]:
        """Yield the inputs of each group of row indices (int64, on the device of the rows) in turn."""

    def chunks(self, at_once: int) -> Iterator[Inputs]:
        """Yield the inputs of all rows in their order, `at_once` rows at a time."""

    def stored(self) -> Inputs:
        """Return the inputs of all rows at once.

        Raises:
            Mistake: they are not in memory.
        """

    def take(self, rows: np.ndarray) -> Rows:
        """Return the `rows` (indices) alone."""

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> Rows:
        """Return the same rows on `device`; floats as `dtype`, where one is given."""

    def pieces(self) -> Iterator[Tensor]:
        """Yield what a checksum of the rows is made of."""


@dataclass(frozen=True)
class TensorRows:
    """Rows in memory, of one branch.

    Attributes:
        inputs: (n, *shape), of any dtype, on any device.
    """

    inputs: Tensor
    in_memory = True

    @property
    def specs(self) -> Mapping[str, InputSpec]:
        """Shape and dtype of a row, under the name `inputs`."""
        return {BRANCH: InputSpec(tuple(self.inputs.shape[1:]), self.inputs.dtype)}

    @property
    def values_in_row(self) -> int:
        """How many numbers the inputs of a row are."""
        return max(1, math.prod(self.inputs.shape[1:]))

    def __len__(self) -> int:
        return len(self.inputs)

    def read(self, groups: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield each group of rows; index_select is several times as fast as `inputs[group]`."""
        return (self.inputs.index_select(0, group) for group in groups)

    def chunks(self, at_once: int) -> Iterator[Tensor]:
        """Yield views of all rows in their order."""
        return iter(self.inputs.split(at_once))

    def stored(self) -> Tensor:
        """Return all rows, not copied."""
        return self.inputs

    def take(self, rows: np.ndarray) -> TensorRows:
        """Return the `rows` alone."""
        return TensorRows(self.inputs[torch.from_numpy(rows).to(self.inputs.device)])

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> TensorRows:
        """Return the same rows on `device`; floats as `dtype`, whole numbers as they are."""
        return TensorRows(self.inputs.to(device, dtype if self.inputs.is_floating_point() else None))

    def pieces(self) -> Iterator[Tensor]:
        """Yield the tensor itself."""
        yield self.inputs


@dataclass(frozen=True)
class BranchRows:
    """Rows in memory whose inputs have several branches; they are read as a mapping of tensors, by branch.

    Args:
        branches: the rows of each branch; as many in each.

    Raises:
        ValueError: no branch, or branches with different numbers of rows.
    """

    branches: Mapping[str, TensorRows]
    in_memory = True

    def __post_init__(self) -> None:
        if len({len(rows) for rows in self.branches.values()}) != 1:
            lengths = {name: len(rows) for name, rows in self.branches.items()}
            raise ValueError(f"every branch needs as many rows as the others, not {lengths}")

    @property
    def specs(self) -> Mapping[str, InputSpec]:
        """Shape and dtype of a row's inputs, by branch."""
        return {name: rows.specs[BRANCH] for name, rows in self.branches.items()}

    @property
    def values_in_row(self) -> int:
        """How many numbers the inputs of a row are, all branches together."""
        return sum(rows.values_in_row for rows in self.branches.values())

    def __len__(self) -> int:
        return len(next(iter(self.branches.values())))

    def read(self, groups: Sequence[Tensor]) -> Iterator[dict[str, Tensor]]:
        """Yield each group of rows."""
        return ({name: rows.inputs.index_select(0, group) for name, rows in self.branches.items()} for group in groups)

    def chunks(self, at_once: int) -> Iterator[Inputs]:
        """Yield views of all rows in their order."""
        return cut(self.stored(), at_once)

    def stored(self) -> dict[str, Tensor]:
        """Return all rows, not copied."""
        return {name: rows.inputs for name, rows in self.branches.items()}

    def take(self, rows: np.ndarray) -> BranchRows:
        """Return the `rows` alone."""
        return BranchRows({name: branch.take(rows) for name, branch in self.branches.items()})

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> BranchRows:
        """Return the same rows on `device`; floats as `dtype`, whole numbers as they are."""
        return BranchRows({name: rows.to(device, dtype) for name, rows in self.branches.items()})

    def pieces(self) -> Iterator[Tensor]:
        """Yield the tensors, in the order of the branches' names."""
        return (self.branches[name].inputs for name in sorted(self.branches))


@dataclass(frozen=True)
class FileRows:
    """Images that stay in their files until a group of them is read.

    Attributes:
        images: in their files; (channels, height, width) bytes each.
        device: that a group is put on when it has been read.
    """

    images: ImageFiles
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (an immutable value)
    in_memory = False

    @property
    def specs(self) -> Mapping[str, InputSpec]:
        """Shape and dtype of an image, under the name `inputs`."""
        return {BRANCH: InputSpec(tuple(self.images.shape[1:]), self.images.dtype)}

    @property
    def values_in_row(self) -> int:
        """How many numbers an image is."""
        return max(1, math.prod(self.images.shape[1:]))

    def __len__(self) -> int:
        return len(self.images)

    def read(self, groups: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the images of each group, decoded one group ahead of its use."""
        return (images.to(self.device) for images in self.images.batches(groups))

    def chunks(self, at_once: int) -> Iterator[Tensor]:
        """Yield all images in their order."""
        return self.read(torch.arange(len(self)).split(at_once))

    def stored(self) -> Tensor:
        """Refuse: they are in files.

        Raises:
            Mistake: always.
        """
        raise Mistake("data.in_memory: this model needs all rows at once; set it to true, or take a network")

    def take(self, rows: np.ndarray) -> FileRows:
        """Return the `rows` alone, still in their files."""
        return replace(self, images=self.images.take(rows))

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> FileRows:
        """Return the same images, put on `device` when they are read; they are bytes in any `dtype`."""
        return replace(self, device=device)

    def pieces(self) -> Iterator[Tensor]:
        """Yield the CRC-32 of each image's pixels."""
        yield torch.from_numpy(self.images.checksums)


def rows_of(applied: Inputs | Rows) -> Rows:
    """Return what `Preprocessing.apply` gave as rows: a tensor, a mapping of tensors by branch, or rows already.

    Raises:
        Mistake: it is nothing of these.
    """
    if isinstance(applied, Tensor):
        return TensorRows(applied)
    if isinstance(applied, Mapping):
        return BranchRows({name: TensorRows(inputs) for name, inputs in applied.items()})
    if not hasattr(applied, "specs"):
        kind = type(applied).__name__
        raise Mistake(f"data: the preprocessing's apply gave a {kind}; a tensor belongs there (torch.from_numpy)")
    return applied


def cut(inputs: Inputs, at_once: int) -> Iterator[Inputs]:
    """Yield the inputs of some rows in their order, `at_once` rows at a time, as views."""
    if isinstance(inputs, Tensor):
        return iter(inputs.split(at_once))
    pieces = (tensor.split(at_once) for tensor in inputs.values())
    return (dict(zip(inputs, group, strict=True)) for group in zip(*pieces, strict=True))


def only_spec(specs: Mapping[str, InputSpec]) -> InputSpec:
    """Return what the inputs of a row are, of one branch.

    Raises:
        Mistake: there are several.
    """
    if len(specs) != 1:
        raise Mistake(
            f"the inputs have several branches ({', '.join(specs)}), and here one is read; see model=branches"
        )
    return next(iter(specs.values()))
