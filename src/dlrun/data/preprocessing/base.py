"""What every preprocessing is: the contract, and what most of them have in common."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dlrun.data.schema import Column, InputSchema
from dlrun.data.transforms import Transform, as_float
from dlrun.errors import Mistake, did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Self

    from dlrun.data.reading.tables import Format
    from dlrun.data.rows import Rows
    from dlrun.tensors import Inputs, InputSpec

ROWS_AT_ONCE = 10_000


class Preprocessing:
    """From raw inputs to tensors: fitted on the training rows only, saved with the run, applied again by predict.

    A subclass must give `apply`. What the rest does by default suits arrays of numbers, (n, …): nothing is learned,
    new rows come from .npy files and from tables, and every attribute is kept as JSON (numbers, text, lists, dicts,
    arrays, tensors) and set again when the run is loaded.

    Attributes:
        transform: turns a batch of stored inputs into what the network reads: `transform(inputs, dtype)`.
        feature_names: one for each input of a row, where the inputs have names; new rows are looked up by them.
        fits_all_rows: whether `fit` gets all rows, validation and test rows too, as some courses do.
        vocabulary: the number of token ids, where the inputs are tokens; else None.
        form: how a table is written, so that new ones are read alike; None where that is not known.
    """

    transform: Transform = staticmethod(as_float)
    feature_names: Sequence[str] = ()
    fits_all_rows: bool = False
    vocabulary: int | None = None
    form: Format | None = None

    def fit(self, inputs: Any) -> Self:
        """Learn from the raw training inputs, in place.

        Args:
            inputs: the rows of `Source.inputs` that are trained on.

        Returns:
            The preprocessing itself.

        Raises:
            Mistake: the rows cannot be used.
        """
        return self

    def apply(self, inputs: Any) -> Inputs | Rows:
        """Return raw inputs as they are stored: a tensor (n, …), one by the name of each branch, or rows in files.

        Raises:
            Mistake: the rows cannot be used.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method apply(inputs), which returns a tensor")

    def specs_of(self, stored: Mapping[str, InputSpec]) -> dict[str, InputSpec]:
        """Return what the inputs of a row are, by branch: shapes and dtypes as they are stored, and what else is known.

        Args:
            stored: of the rows that `apply` gives.
        """
        names = tuple(self.feature_names)
        return {name: replace(own, vocabulary=self.vocabulary, feature_names=names) for name, own in stored.items()}

    def only(self, columns: Sequence[str]) -> Preprocessing:
        """Return the same preprocessing, not fitted, of some of its columns alone.

        Raises:
            Mistake: it is of something that has no columns to choose from.
        """
        raise Mistake(f"data.branches: {type(self).__name__} cannot be divided; set it to null")

    def schema(self) -> InputSchema:
        """Return what the raw inputs are, as far as it is known after `fit`."""
        return InputSchema("own", tuple(Column(name, "numeric") for name in self.feature_names))

    def inputs_of(self, given: Any) -> Any:
        """Return new rows as raw inputs, as `apply` takes them.

        By default an array stays as it is; a table becomes an array of float64, (n, columns): those that
        `feature_names` name, or all.

        Args:
            given: a DataFrame, or an array.

        Raises:
            Mistake: a column is missing, or holds what is no number.
        """
        import pandas as pd

        if not isinstance(given, pd.DataFrame):
            return np.asarray(given)
        names = list(self.feature_names) or list(given.columns)
        for name in names:
            if name not in given.columns:
                raise Mistake(f"input: there is no column '{name}'{did_you_mean(name, given.columns)}")
        try:
            return given[names].to_numpy(dtype=np.float64)
        except (ValueError, TypeError) as error:
            raise Mistake(f"input: a column of {', '.join(map(str, names))} holds what is no number") from error

    def read(self, path: Path, input_shape: tuple[int, ...]) -> Iterator[tuple[pd.DataFrame, Any]]:
        """Yield new rows from a file or folder, some at a time: what to show beside their predictions, and raw inputs.

        By default those of a .npy file or of a table.

        Args:
            path: of the file or folder.
            input_shape: of a row after preprocessing.

        Raises:
            Mistake: it cannot be read.
        """
        import pandas as pd

        from dlrun.data.reading.arrays import load_array
        from dlrun.data.reading.tables import read_rows

        if path.suffix == ".npy":
            rows = self.inputs_of(load_array(path))
            for start in range(0, len(rows), ROWS_AT_ONCE):
                chunk = rows[start : start + ROWS_AT_ONCE]
                yield pd.DataFrame({"row": range(start, start + len(chunk))}), chunk
            return
        for frame in read_rows(path):
            yield frame, self.inputs_of(frame.mask(frame.isin([""])))

    def surprises(self, inputs: Any) -> dict[str, int]:
        """Return, by column of raw inputs, how many values are there but cannot be used; other columns are left out."""
        return {}

    def differs_from(self, other: Preprocessing) -> str:
        """Return why raw inputs that `other` goes with cannot be judged by what was fitted here: for an image the range
        of its values, for a series its steps; empty: they can.
        """
        return ""

    def describe(self) -> dict[str, Any]:
        """Return what `preprocessing.json` records: plain values, from which `restore` makes the same again.

        Raises:
            Mistake: an attribute is nothing that JSON, or an array, can hold; describe and restore must be written.
        """
        return {name: _plain(value, f"{type(self).__name__}.{name}") for name, value in vars(self).items()}

    def described(self) -> dict[str, Any]:
        """Return what `describe` gives, and the path of the class, by which it is found again."""
        return {"_target_": f"{type(self).__module__}.{type(self).__qualname__}", **self.describe()}

    @classmethod
    def restore(cls, described: Mapping[str, Any], fitted: object | None) -> Self:
        """Return the preprocessing as it was fitted.

        Args:
            described: what `describe` gave, and `_target_`.
            fitted: the scikit-learn object that `fitted` gave, or None.
        """
        restored = cls.__new__(cls)
        for name, value in described.items():
            if name != "_target_":
                setattr(restored, name, _restored(value))
        return restored

    def fitted(self) -> object | None:
        """Return what `preprocessing.skops` holds: a fitted scikit-learn object, or several by name; None: nothing."""
        return None


def _plain(value: Any, name: str) -> Any:
    """Return a value as JSON holds it; arrays and tensors as lists with their dtype."""
    if isinstance(value, Tensor):
        return {"tensor": value.tolist(), "dtype": str(value.dtype).removeprefix("torch.")}
    if isinstance(value, np.ndarray | np.generic) and value.dtype != object:
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        kind = type(value).__name__
        raise Mistake(
            f"data: {name} is a {kind}, which cannot be kept with the run; keep numbers, text, lists, arrays or "
            "tensors, or write describe and restore"
        ) from error
    return value


def _restored(value: Any) -> Any:
    """Return what `_plain` was given."""
    if isinstance(value, dict) and set(value) == {"tensor", "dtype"}:
        return torch.tensor(value["tensor"], dtype=getattr(torch, value["dtype"]))
    if isinstance(value, dict) and set(value) == {"array", "dtype"}:
        return np.array(value["array"], dtype=value["dtype"])
    return value
