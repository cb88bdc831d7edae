"""Several branches of one table's columns: each has a preprocessing of its own, fitted to the same rows."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from dlrun.config.grammar import hint
from dlrun.data.preprocessing.base import Preprocessing
from dlrun.data.reading.tables import Format, read_rows
from dlrun.data.schema import IGNORED, Column, InputSchema
from dlrun.data.transforms import ByBranch
from dlrun.errors import Mistake, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor
    from typing_extensions import Self

    from dlrun.tensors import InputSpec

ALL = "all"
NAME = re.compile(r"[A-Za-z]\w*")  # a part of a parameter's name


class BranchPreprocessing(Preprocessing):
    """The rows of a table to several inputs, by branch.

    Args:
        branches: the preprocessing of each branch, by its name; each finds its columns in the whole table.
        form: how the table is written, where a person has said so; new ones are read alike.
    """

    def __init__(self, branches: Mapping[str, Preprocessing], form: Format | None = None):
        self.branches: dict[str, Preprocessing] = dict(branches)
        self.form: Format = form or Format()
        self.notes: list[str] = []

    @property
    def transform(self) -> ByBranch:  # type: ignore[override]  # it depends on what the branches have learned
        """What turns a batch of stored inputs, by branch, into what the network reads."""
        return ByBranch({name: own.transform for name, own in self.branches.items()})

    @property
    def fits_all_rows(self) -> bool:  # type: ignore[override]
        """Whether any branch is fitted to all rows."""
        return any(own.fits_all_rows for own in self.branches.values())

    def fit(self, inputs: pd.DataFrame) -> Self:
        """Fit each branch to its columns of the training rows."""
        self.notes = []
        for own in self.branches.values():
            own.fit(own.inputs_of(inputs))
            self.notes += [note for note in getattr(own, "notes", []) if note not in self.notes]
        return self

    def apply(self, inputs: pd.DataFrame) -> dict[str, Tensor]:
        """Return the inputs by branch, (n, …) each.

        Raises:
            Mistake: a column that the run was trained on is missing, or a branch keeps its rows in files.
        """
        return {name: own.apply(own.inputs_of(inputs)) for name, own in self.branches.items()}  # type: ignore[misc]

    def specs_of(self, stored: Mapping[str, InputSpec]) -> dict[str, InputSpec]:
        """Return what the inputs of a row are, by branch."""
        return {name: own.specs_of({name: stored[name]})[name] for name, own in self.branches.items()}

    def schema(self) -> InputSchema:
        """Return the columns of all branches, each once."""
        columns: dict[str, Column] = {}
        for own in self.branches.values():
            for column in own.schema().columns:
                columns.setdefault(column.name, column)
        return InputSchema("table", tuple(columns.values()))

    def inputs_of(self, given: pd.DataFrame | np.ndarray) -> pd.DataFrame:
        """Return the table that is given.

        Raises:
            Mistake: it is an array, whose columns have no names.
        """
        if not isinstance(given, pd.DataFrame):
            raise Mistake("input: the run reads several branches, whose columns are found by name; give a table")
        return given

    def read(self, path: Path, input_shape: tuple[int, ...]) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
        """Yield the rows of a table, some thousands at a time."""
        for frame in read_rows(path, form=self.form):
            yield frame, frame

    def surprises(self, inputs: pd.DataFrame) -> dict[str, int]:
        """Return, by column, how many values are of no use; see Preprocessing.surprises."""
        unusable: dict[str, int] = {}
        for own in self.branches.values():
            unusable |= own.surprises(own.inputs_of(inputs))
        return unusable

    def only(self, columns: Sequence[str]) -> Preprocessing:
        """Return the preprocessing of some columns, which all belong to one branch.

        Raises:
            Mistake: they belong to several.
        """
        for own in self.branches.values():
            if set(columns) <= {column.name for column in own.schema().columns}:
                return own.only(columns)
        raise Mistake(
            f"data.branches: {', '.join(columns)} are of several kinds (numbers, text, images): each needs a branch "
            "of its own"
        )

    def describe(self) -> dict[str, Any]:
        """Return what `preprocessing.json` records: that of every branch."""
        branches = {name: own.described() for name, own in self.branches.items()}
        return {"kind": "branches", "branches": branches, "format": asdict(self.form)}

    def fitted(self) -> dict[str, object] | None:
        """Return what was fitted by scikit-learn, by branch."""
        parts = {name: own.fitted() for name, own in self.branches.items()}
        return {name: part for name, part in parts.items() if part is not None} or None


def into_branches(whole: Preprocessing, branches: Mapping[str, object]) -> BranchPreprocessing:
    """Return a table's preprocessing, not fitted yet, divided into branches.

    Args:
        whole: of all columns.
        branches: by name, the columns: a list of names and patterns (`sensor_*`), one of them, or `all`.

    Raises:
        Mistake: no table, a name that is none, a column that is not there, or one that stands in no branch.
    """
    schema = whole.schema()
    if schema.kind != "table":
        raise Mistake("data.branches: divides the columns of a table, and these data are none; set it to null")
    known = [column.name for column in schema.columns if column.kind != IGNORED]
    chosen = {name: _columns(name, entry, known) for name, entry in branches.items()}
    lost = [column for column in known if not any(column in own for own in chosen.values())]
    if lost:
        shown, more = ", ".join(lost[:5]), f" and {len(lost) - 5} more" if len(lost) > 5 else ""
        remedy = hint("data.columns", {lost[0]: "ignore"})
        raise Mistake(f"data.branches: {shown}{more} stand in no branch; put them in one, or leave them out: {remedy}")
    return BranchPreprocessing({name: whole.only(columns) for name, columns in chosen.items()}, whole.form)


def _columns(name: str, entry: object, known: list[str]) -> list[str]:
    """Return the columns of a branch, in the order of the table.

    Raises:
        Mistake: the branch is called by no plain word, is empty, or names a column that is not there.
    """
    if not NAME.fullmatch(name):
        raise Mistake(f"data.branches: '{name}' is no name for a branch; take a word of letters, digits and _")
    names = [str(one) for one in (entry if isinstance(entry, list) else [entry])]
    found: set[str] = set()
    for one in names:
        matching = known if one == ALL else [one] if one in known else fnmatch.filter(known, one)
        if not matching:
            raise Mistake(f"data.branches.{name}: there is no column '{one}'{did_you_mean(one, known)}")
        found.update(matching)
    if not found:
        raise Mistake(f"data.branches.{name}: has no columns; name some, or {ALL}")
    return [column for column in known if column in found]
