"""Tables: a user's own files, the courses' published ones, and what scikit-learn's loaders and generators return."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dlrun.data.preprocessing.table import TablePreprocessing, check_divisor
from dlrun.data.reading.columns import describe_columns, find_leaks
from dlrun.data.reading.download import File, read
from dlrun.data.reading.missing_markers import is_text
from dlrun.data.reading.tables import Format, Table, find, load_table, require
from dlrun.data.reading.targets import find_tag_separator, read_targets, split_tags, tag_labels
from dlrun.data.source import Source
from dlrun.errors import Mistake, one_line

if TYPE_CHECKING:
    from sklearn.utils import Bunch

_SUPPLIED: ContextVar[pd.DataFrame | None] = ContextVar("frame", default=None)  # it cannot stand in a config


def csv(
    path: str,
    target: Any,
    path_valid: str | None = None,
    path_test: str | None = None,
    drop: list[str] | None = None,
    columns: dict[str, str] | None = None,
    dates: dict[str, str] | None = None,
    missing_values: list[str] | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    header: str | int | None = None,
    quote: str | None = None,
    target_separator: str | None = None,
    max_categories: int | None = None,
    scale: Any = "standard",
    polynomial: int | None = None,
    data_dir: str | None = None,
) -> Source:
    """Return a table of the user's.

    Args:
        path: the file, relative to the current folder or else to `data_dir`.
        target: the column to predict, or a list of columns; or a task for each: {infected: binary, score: regression}.
        path_valid, path_test: files with the same columns for the validation and the test rows.
        drop: columns to leave out.
        columns: kinds of columns where the inferred ones are wrong: numeric, category, boolean, date or ignore.
        dates: formats of dates by column: {when: "%d/%m/%y"}.
        missing_values, decimal, thousands, header, quote: how the file is written; see `Format`.
        target_separator: what divides several tags in the target, each a label of its own; `none`: nothing does; None:
            found out.
        max_categories, scale, polynomial: see TablePreprocessing.
        data_dir: the folder to look in besides the current one.

    Raises:
        Mistake: a file or column that is not there, a table without rows, or validation or test rows whose classes are
            none of the training rows'.
    """
    files = {"train": path, "valid": path_valid, "test": path_test}
    keys = {"train": "data.path", "valid": "data.path_valid", "test": "data.path_test"}
    targets, drop = names_of(target), [str(d) for d in drop or []]
    form = Format(header, quote, missing_values, decimal, thousands)
    tables: dict[str, Table] = {}
    for name, given in files.items():
        if given is not None:
            place = find(given, data_dir, keys[name])
            like_train = replace(form, header="none") if name != "train" and tables["train"].headless else form
            tables[name] = load_table(place, given, drop, categories_in(columns), like_train)
    expected = list(tables["train"].frame.columns)
    require(targets, expected, "data.target", tables["train"].headless)
    for name, table in tables.items():
        require(expected, table.frame, f"{keys[name]}: {files[name]}")
        if name != "train" and table.frame[expected].equals(tables["train"].frame):
            raise Mistake(f"{keys[name]}: has the same rows as data.path; leave it out, and some rows are set apart")
    tasks = _tasks_in(target)
    return _source(tables, targets, columns, dates, form, target_separator, max_categories, scale, polynomial, tasks)


def published(
    file: File,
    target: str | list[str],
    drop: list[str] | None = None,
    columns: dict[str, str] | None = None,
    dates: dict[str, str] | None = None,
    missing_values: list[str] | None = None,
    max_categories: int | None = None,
    scale: Any = "standard",
    polynomial: int | None = None,
    data_dir: str | None = None,
    licence: str = "",
) -> Source:
    """Return a published table: found in `data_dir`, or downloaded and checked; the other settings as for `csv`.

    Raises:
        Mistake: the file cannot be had.
    """
    targets, drop = names_of(target), [str(d) for d in drop or []]
    form = Format(missing_values=missing_values)
    table = load_table(io.BytesIO(read(file, data_dir)), file.path, drop, categories_in(columns), form)
    require(targets, table.frame, "data.target")
    return _source({"train": table}, targets, columns, dates, form, None, max_categories, scale, polynomial)


def frame(
    target: Any,
    drop: list[str] | None = None,
    columns: dict[str, str] | None = None,
    max_categories: int | None = None,
    scale: Any = "standard",
    polynomial: int | None = None,
) -> Source:
    """Return the DataFrame that Python supplies (`supplied`), read just as the same table in a file is.

    Columns of the dtype `category` are categories, whatever they hold, unless `columns` says otherwise; the index is
    left out. The settings are those of `csv`.

    Raises:
        Mistake: there is no DataFrame (on the command line), or a column or row that is needed is not there.
    """
    supply = _SUPPLIED.get()
    if supply is None:
        raise Mistake(
            "data=frame: the rows are a DataFrame, which only dlrun.run(…, data=…) can be given; save it as a file and "
            "use data=csv data.path=… (dlrun predict needs no training data)"
        )
    if supply.columns.nlevels > 1:
        raise Mistake("data: the DataFrame has several levels of column names; give it one name a column")
    targets, drop = names_of(target), [str(name) for name in drop or []]
    names = {str(name): dtype for name, dtype in zip(supply.columns, supply.dtypes, strict=True)}
    marked = [name for name, dtype in names.items() if isinstance(dtype, pd.CategoricalDtype) and name not in targets]
    columns = {name: "category" for name in marked if name not in drop} | (columns or {})
    text = supply.to_csv(sep="\t", index=False).encode()
    form = Format(header=1)
    table = load_table(io.BytesIO(text), "frame.tsv", drop, categories_in(columns), form)
    require(targets, table.frame, "data.target")
    tasks = _tasks_in(target)
    return _source({"train": table}, targets, columns, None, form, None, max_categories, scale, polynomial, tasks)


@contextmanager
def supplied(table: pd.DataFrame | None) -> Iterator[None]:
    """Let `frame` return this DataFrame for as long as the context is entered."""
    token = _SUPPLIED.set(table)
    try:
        yield
    finally:
        _SUPPLIED.reset(token)


def california_housing(file: File, data_dir: str | None = None, scale: Any = "standard", licence: str = "") -> Source:
    """Return California housing by scikit-learn's fetcher; a copy of its cache file in `data_dir` is checked and used
    first.

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


def _tasks_in(target: object) -> dict[str, str] | None:
    """Return the task of each target, where a person has named them."""
    return {str(name): str(task) for name, task in target.items()} if isinstance(target, dict) else None


def categories_in(columns: dict[str, str] | None) -> list[str]:
    """Return the columns that a person has named categories: they are read as they are written."""
    return [name for name, kind in (columns or {}).items() if kind == "category"]


def names_of(target: Any) -> list[str]:
    """Return the columns to predict.

    Raises:
        Mistake: none, or one that stands twice.
    """
    targets = [str(t) for t in (target if isinstance(target, list | dict) else [target])]
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
    """Return a source from arrays: inputs (n, features), columns named x1, x2, …; targets (n,) or (n, k).

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


def from_bunch(
    bunch: Bunch, drop: list[str] | None = None, scale: Any = "standard", polynomial: int | None = None
) -> Source:
    """Return a source from what scikit-learn's `load_*(as_frame=True)` return; see `from_arrays`."""
    names = getattr(bunch, "target_names", None)
    classes = [str(name) for name in names] if names is not None and len(names) > 1 else None
    if not isinstance(bunch.data, pd.DataFrame):
        raise Mistake("data.as_frame: the columns are found by their names; leave it true")
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
    """Return a table of numbers without the columns to `drop`, and its preprocessing."""
    require(drop or [], frame, "data.drop")
    frame = frame.drop(columns=drop or [])
    if frame.shape[1] == 0:
        raise Mistake("data.drop: no column is left to learn from")
    return frame, TablePreprocessing(dict.fromkeys(frame.columns, "numeric"), scale=scale, polynomial=polynomial)


def _source(
    tables: dict[str, Table],
    targets: list[str],
    columns: dict[str, str] | None,
    dates: dict[str, str] | None,
    form: Format,
    target_separator: str | None,
    max_categories: int | None,
    scale: Any,
    polynomial: int | None,
    tasks: dict[str, str] | None = None,
) -> Source:
    """Return the source of one to three tables with the same columns, by the split whose rows they are."""
    expected = tables["train"].frame.columns
    frame = _joined([table.frame[expected] for table in tables.values()])
    numbers = np.concatenate([np.arange(len(table.frame)) for table in tables.values()])
    part = np.repeat(list(tables), [len(table.frame) for table in tables.values()])
    comma_file = tables["train"].comma_file
    notes = list(dict.fromkeys(note for table in tables.values() for note in table.notes))
    truth, remarks = read_targets(frame[targets], form, comma_file, as_labels=tasks is None)
    notes += remarks
    separator = _separator_of(truth, target_separator, notes)
    labels, tags = tag_labels(truth[targets[0]], separator) if separator is not None else (None, [])
    if labels is None:
        known = (truth.notna().all(axis=1) if tasks is None else truth.notna().any(axis=1)).to_numpy()
        if not known.all():
            notes.append(f"{(~known).sum():,} rows without a target were dropped")
        frame, truth = frame[known].reset_index(drop=True), truth[known].reset_index(drop=True)
        numbers, part = numbers[known], part[known]
        if frame.empty:
            raise Mistake(f"data.target: no row has a value of {', '.join(targets)}")
        _refuse_other_classes(truth, part)
    divisors = {str(name): divisor for name, divisor in scale.items()} if isinstance(scale, dict) else {}
    for name in targets:
        if name in divisors:
            check_divisor(name, divisors[name])
            if not pd.api.types.is_numeric_dtype(truth[name]):
                raise Mistake(f"data.scale.{name}: the target holds text, which cannot be divided")
            truth[name] = truth[name] / divisors.pop(name)
    inputs = frame.drop(columns=targets)
    named = {str(name): kind for name, kind in (columns or {}).items()}
    known_columns, reasons = describe_columns(inputs, named, form, dates, comma_file)
    inputs = known_columns.values(inputs)
    leaks = find_leaks(inputs, known_columns.kinds, truth) if labels is None else []
    values = truth[targets[0]].to_numpy() if len(targets) == 1 else truth.to_numpy()
    return Source(
        inputs,
        values if labels is None else labels,
        TablePreprocessing(
            known_columns.kinds,
            max_categories,
            divisors if isinstance(scale, dict) else scale,
            polynomial,
            known_columns,
            tables["train"].headless,
        ),
        given={n: np.flatnonzero(part == n) for n in tables if n != "train"},
        target_names=tags or targets,
        tasks=tasks,
        row_numbers=numbers,
        notes=notes + reasons + leaks,
    )


def _joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Return tables below each other; a column that is text in one of them is text in all."""
    if len(frames) == 1:
        return frames[0]
    for column in frames[0].columns:
        if any(is_text(frame[column]) for frame in frames):
            frames = [frame.assign(**{column: frame[column].map(str, na_action="ignore")}) for frame in frames]
    return pd.concat(frames, ignore_index=True)


def _separator_of(truth: pd.DataFrame, told: str | None, notes: list[str]) -> str | None:
    """Return what divides tags in the target, and say in `notes` that it was found; None where it holds none."""
    if told == "none" or len(truth.columns) != 1 or not is_text(truth[truth.columns[0]]):
        if told not in (None, "none"):
            raise Mistake(f"data.target_separator is '{told}': it divides the text of one target; set it to null")
        return None
    texts = truth[truth.columns[0]]
    separator = told if told is not None else find_tag_separator(texts)
    if separator is not None:
        tags = {tag for text in texts.dropna() for tag in split_tags(str(text), separator)}
        without = int(texts.isna().sum())
        blank = f"; {without:,} rows have none" if without else ""
        how = "" if told is not None else "; data.target_separator=none takes each text as one class"
        notes.append(f"target '{texts.name}': {len(tags)} tags divided by '{separator}', a label each{blank}{how}")
    return separator


def _refuse_other_classes(truth: pd.DataFrame, part: np.ndarray) -> None:
    """Refuse validation or test rows of which none has a class of the training rows: labels written in another way.

    Raises:
        Mistake: as it says; shows the classes of both.
    """
    if len(truth.columns) != 1 or not is_text(truth[truth.columns[0]]):
        return
    classes = truth[truth.columns[0]].astype(str)
    known = sorted(set(classes[part == "train"]))
    for name in dict.fromkeys(part):
        own = sorted(set(classes[part == name]))
        if known and not set(own) & set(known):
            shown, trained = (", ".join(f"'{text}'" for text in texts[:5]) for texts in (own, known))
            raise Mistake(f"data.path_{name}: none of its classes ({shown}) is one of the training rows' ({trained})")
