"""Tables: a user's own files, the courses' published ones, and what scikit-learn's loaders and generators return."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dlrun.data.preprocessing.table import TablePreprocessing, check_divisor
from dlrun.data.reading.columns import describe_columns, find_leaks
from dlrun.data.reading.download import File, read
from dlrun.data.reading.tables import find, read_table, require
from dlrun.data.source import Source
from dlrun.errors import Mistake, one_line

_SUPPLIED: ContextVar[pd.DataFrame | None] = ContextVar("frame", default=None)  # it cannot stand in a config


def csv(
    path: str,
    target: str | int | float | list[str],
    path_valid: str | None = None,
    path_test: str | None = None,
    drop: list[str] | None = None,
    columns: dict[str, str] | None = None,
    max_categories: int = 30,
    scale: Any = "standard",
    polynomial: int | None = None,
    data_dir: str | None = None,
) -> Source:
    """A table of the user's.

    Args:
        path: the file, relative to the current folder or else to `data_dir`.
        target: the column to predict, or a list of columns.
        path_valid, path_test: files with the same columns for the validation and the test rows.
        drop: columns to leave out.
        columns: kinds of columns where the inferred ones are wrong: numeric, category, boolean, date or ignore.
        max_categories, scale, polynomial: see TablePreprocessing.
        data_dir: the folder to look in besides the current one.

    Raises:
        Mistake: a file or column that is not there, or a table without rows.
    """
    files = {"train": path, "valid": path_valid, "test": path_test}
    keys = {"train": "data.path", "valid": "data.path_valid", "test": "data.path_test"}
    targets, drop = names_of(target), [str(d) for d in drop or []]
    frames = {}
    for name, given in files.items():
        if given is not None:
            place = find(given, data_dir, keys[name])
            frames[name] = read_table(place, given, drop, targets, categories_in(columns))
    expected = list(frames["train"].columns)
    for name, frame in frames.items():
        require(expected, frame, f"{keys[name]}: {files[name]}")
        if name != "train" and frame[expected].equals(frames["train"]):
            raise Mistake(f"{keys[name]}: has the same rows as data.path; leave it out, and some rows are set apart")
    return _source(frames, targets, columns, max_categories, scale, polynomial)


def published(
    file: File,
    target: str | list[str],
    drop: list[str] | None = None,
    columns: dict[str, str] | None = None,
    max_categories: int = 30,
    scale: Any = "standard",
    polynomial: int | None = None,
    data_dir: str | None = None,
    licence: str = "",
) -> Source:
    """A published table: found in `data_dir`, or downloaded and checked; the other settings as for `csv`.

    Raises:
        Mistake: the file cannot be had.
    """
    targets, drop = names_of(target), [str(d) for d in drop or []]
    frames = {"train": read_table(io.BytesIO(read(file, data_dir)), file.path, drop, targets, categories_in(columns))}
    return _source(frames, targets, columns, max_categories, scale, polynomial)


def frame(
    target: str | int | float | list[str],
    drop: list[str] | None = None,
    columns: dict[str, str] | None = None,
    max_categories: int = 30,
    scale: Any = "standard",
    polynomial: int | None = None,
) -> Source:
    """Return the DataFrame that Python supplies (`supplied`), read just as the same table in a file is.

    Columns of the dtype `category` are categories, whatever they hold, unless `columns` says otherwise; the index is
    left out. The settings are those of `csv`.

    Raises:
        Mistake: there is no DataFrame (on the command line), or a column or row that is needed is not there.
    """
    table = _SUPPLIED.get()
    if table is None:
        raise Mistake(
            "data=frame: the rows are a DataFrame, which only dlrun.run(…, data=…) can be given; save it as a file and "
            "use data=csv data.path=… (dlrun predict needs no training data)"
        )
    if table.columns.nlevels > 1:
        raise Mistake("data: the DataFrame has several levels of column names; give it one name a column")
    targets, drop = names_of(target), [str(name) for name in drop or []]
    names = {str(name): dtype for name, dtype in zip(table.columns, table.dtypes, strict=True)}
    marked = [name for name, dtype in names.items() if isinstance(dtype, pd.CategoricalDtype) and name not in targets]
    columns = {name: "category" for name in marked if name not in drop} | (columns or {})
    text = table.to_csv(sep="\t", index=False).encode()
    return _source(
        {"train": read_table(io.BytesIO(text), "frame.tsv", drop, targets, categories_in(columns))},
        targets, columns, max_categories, scale, polynomial,
    )  # fmt: skip


@contextmanager
def supplied(table: pd.DataFrame | None) -> Iterator[None]:
    """Let `frame` return this DataFrame for as long as the context is entered."""
    token = _SUPPLIED.set(table)
    try:
        yield
    finally:
        _SUPPLIED.reset(token)


def california_housing(file: File, data_dir: str | None = None, scale: Any = "standard", licence: str = "") -> Source:
    """California housing by scikit-learn's fetcher; a copy of its cache file in `data_dir` is checked and used first.

    Raises:
        Mistake: it can be had neither there nor by the fetcher.
    """
    from sklearn.datasets import fetch_california_housing

    home = None
    if data_dir is not None and (Path(data_dir).expanduser() / file.path).is_file():
        read(file, data_dir)
        home = str((Path(data_dir).expanduser() / file.path).parent)
    try:
        bunch = fetch_california_housing(data_home=home, as_frame=True)
    except OSError as error:
        raise Mistake(f"california_housing: cannot be downloaded ({one_line(error)})") from error
    return from_bunch(bunch, scale=scale)


def categories_in(columns: dict[str, str] | None) -> list[str]:
    """The columns that a person has named categories: they are read as they are written."""
    return [name for name, kind in (columns or {}).items() if kind == "category"]


def names_of(target: str | int | float | list[str]) -> list[str]:
    """The columns to predict.

    Raises:
        Mistake: none, or one that stands twice.
    """
    targets = [str(t) for t in (target if isinstance(target, list) else [target])]
    if not targets or len(set(targets)) < len(targets):
        raise Mistake(f"data.target: {targets} must name at least one column, and each once")
    return targets


def from_arrays(
    inputs: np.ndarray,
    targets: np.ndarray,
    drop: list[str] | None = None,
    scale: Any = "none",
    polynomial: int | None = None,
) -> Source:
    """A source from arrays: inputs (n, features), columns named x1, x2, …; targets (n,) or (n, k).

    Args:
        drop: columns to leave out.
        scale, polynomial: see TablePreprocessing.

    Raises:
        Mistake: other shapes.
    """
    inputs, targets = np.asarray(inputs), np.asarray(targets)
    if inputs.ndim != 2 or len(inputs) != len(targets):
        raise Mistake(
            f"data: inputs (rows, features) and as many targets are needed, not {inputs.shape} and {targets.shape}"
        )
    frame = pd.DataFrame(inputs, columns=[f"x{i + 1}" for i in range(inputs.shape[1])])
    frame, preprocessing = _numbers(frame, drop, scale, polynomial)
    return Source(frame, targets, preprocessing)


def from_bunch(bunch, drop: list[str] | None = None, scale: Any = "standard", polynomial: int | None = None) -> Source:
    """A source from what scikit-learn's `load_*(as_frame=True)` return; see `from_arrays`."""
    names = getattr(bunch, "target_names", None)
    classes = [str(name) for name in names] if names is not None and len(names) > 1 else None
    frame, preprocessing = _numbers(bunch.data, drop, scale, polynomial)
    return Source(
        frame,
        bunch.target.to_numpy(),
        preprocessing,
        class_names=classes,
        target_names=[str(bunch.target.name)],
    )


def _numbers(
    frame: pd.DataFrame, drop: list[str] | None, scale: Any, polynomial: int | None
) -> tuple[pd.DataFrame, TablePreprocessing]:
    """A table of numbers without the columns to `drop`, and its preprocessing."""
    require(drop or [], frame, "data.drop")
    frame = frame.drop(columns=drop or [])
    if frame.shape[1] == 0:
        raise Mistake("data.drop: no column is left to learn from")
    return frame, TablePreprocessing(dict.fromkeys(frame.columns, "numeric"), scale=scale, polynomial=polynomial)


def _source(
    frames: dict[str, pd.DataFrame],
    targets: list[str],
    columns: dict[str, str] | None,
    max_categories: int,
    scale: Any,
    polynomial: int | None,
) -> Source:
    """The source of one to three tables with the same columns, by the split whose rows they are."""
    train = frames["train"]
    require(targets, train, "data.target")
    frame = pd.concat([f[train.columns] for f in frames.values()], ignore_index=True)
    numbers = np.concatenate([np.arange(len(f)) for f in frames.values()])
    part = np.repeat(list(frames), [len(f) for f in frames.values()])
    known = frame[targets].notna().all(axis=1).to_numpy()
    notes = [] if known.all() else [f"{(~known).sum()} rows without a target were dropped"]
    frame, numbers, part = frame[known].reset_index(drop=True), numbers[known], part[known]
    if frame.empty:
        raise Mistake(f"data.target: no row has a value of {', '.join(targets)}")
    inputs = frame.drop(columns=targets)
    divisors = {str(name): divisor for name, divisor in scale.items()} if isinstance(scale, dict) else {}
    divided = frame[targets].copy()
    for name in targets:
        if name in divisors:
            check_divisor(name, divisors[name])
            if not pd.api.types.is_numeric_dtype(divided[name]):
                raise Mistake(f"data.scale.{name}: the target holds text, which cannot be divided")
            divided[name] = divided[name] / divisors.pop(name)
    kinds, reasons = describe_columns(inputs, columns or {})
    return Source(
        inputs,
        divided[targets[0]].to_numpy() if len(targets) == 1 else divided.to_numpy(),
        TablePreprocessing(kinds, max_categories, divisors if isinstance(scale, dict) else scale, polynomial),
        given={n: np.flatnonzero(part == n) for n in frames if n != "train"},
        target_names=targets,
        row_numbers=numbers,
        notes=notes + reasons + find_leaks(inputs, kinds, divided),
    )
