"""Tables: a user's own files, and what scikit-learn's loaders and generators return."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from dlrun.data.columns import describe_columns
from dlrun.data.features import TablePreprocessing
from dlrun.data.module import Source
from dlrun.errors import Mistake, did_you_mean, one_line

MISSING = ["", "?", "NA", "N/A", "NaN", "nan", "null", "None", "-"]


def csv(
    path: str,
    target: str | int | float | list[str],
    path_valid: str | None = None,
    path_test: str | None = None,
    drop: list[str] | None = None,
    columns: dict[str, str] | None = None,
    max_categories: int = 30,
    data_dir: str | None = None,
) -> Source:
    """A table of the user's.

    Args:
        path: the file, relative to the current folder or else to `data_dir`.
        target: the column to predict, or a list of columns.
        path_valid, path_test: files with the same columns for the validation and the test rows.
        drop: columns to leave out.
        columns: kinds of columns where the inferred ones are wrong: numeric, category, boolean, date or ignore.
        max_categories: categories of a column that get an input of their own; the rarer ones share one.
        data_dir: the folder to look in besides the current one.

    Raises:
        Mistake: a file or column that is not there, or a table without rows.
    """
    targets = [str(t) for t in (target if isinstance(target, list) else [target])]
    drop = [str(d) for d in drop or []]
    files = {"train": path, "valid": path_valid, "test": path_test}
    frames = {
        n: read_table(find(p, data_dir, f"data.path_{n}" if n != "train" else "data.path"))
        for n, p in files.items()
        if p is not None
    }
    for name in frames:
        _require_columns(frames[name], targets + drop, list(frames["train"].columns), name, files[name])
    frame = pd.concat([f[frames["train"].columns] for f in frames.values()], ignore_index=True)
    numbers = np.concatenate([np.arange(len(f)) for f in frames.values()])
    part = np.repeat(list(frames), [len(f) for f in frames.values()])
    known = frame[targets].notna().all(axis=1).to_numpy()
    notes = [] if known.all() else [f"{(~known).sum()} rows without a target were dropped"]
    frame, numbers, part = frame[known].reset_index(drop=True), numbers[known], part[known]
    if frame.empty:
        raise Mistake(f"{path}: there are no rows with a value of {', '.join(targets)}")
    inputs = frame.drop(columns=targets + drop)
    kinds, reasons = describe_columns(inputs, columns or {})
    values = frame[targets[0]].to_numpy() if len(targets) == 1 else frame[targets].to_numpy()
    return Source(
        inputs,
        values,
        TablePreprocessing(kinds, max_categories),
        given={n: np.flatnonzero(part == n) for n in frames if n != "train"},
        target_names=targets,
        row_numbers=numbers,
        notes=notes + reasons,
    )


def find(path: str, data_dir: str | None, key: str) -> Path:
    """The file `path`: in the current folder (or absolute), else in `data_dir`.

    Raises:
        Mistake: there is no such file; names a near one.
    """
    places = [Path(path).expanduser()] + ([Path(data_dir).expanduser() / path] if data_dir else [])
    for place in places:
        if place.is_file():
            return place
        if place.is_dir():
            raise Mistake(f"{key}: {place} is a folder, not a file")
    neighbours = [p.name for place in places if place.parent.is_dir() for p in place.parent.iterdir()]
    hint = did_you_mean(places[0].name, neighbours)
    raise Mistake(f"{key}: there is no file '{path}' (the current folder is {Path.cwd()}){hint}")


def read_table(path: Path) -> pd.DataFrame:
    """The table in `path`, by its suffix: .tsv and .tab by tabulators, .parquet, anything else by the separator
    that its first line shows; .gz, .bz2, .xz and .zip unpacked. `?`, blanks, NA and the like are missing values.

    Raises:
        Mistake: the file cannot be read as a table, is empty, or has two columns of one name.
    """
    suffixes = [s.lower() for s in path.suffixes]
    try:
        if ".parquet" in suffixes:
            frame = pd.read_parquet(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                separator = "\t" if {".tsv", ".tab"} & set(suffixes) else _separator(path)
                frame = pd.read_csv(
                    path,
                    sep=separator,
                    na_values=MISSING,
                    keep_default_na=False,
                    skipinitialspace=True,
                    low_memory=False,
                    index_col=False,
                    header=None,
                    nrows=1,
                    dtype=str,
                )
                header = [str(name).strip() for name in frame.iloc[0]]
                _refuse_twins(header, path)
                frame = pd.read_csv(
                    path,
                    sep=separator,
                    na_values=MISSING,
                    keep_default_na=False,
                    skipinitialspace=True,
                    low_memory=False,
                    index_col=False,
                )
    except ImportError as error:
        raise Mistake(f"{path}: Parquet needs pyarrow: pip install pyarrow") from error
    except pd.errors.EmptyDataError as error:
        raise Mistake(f"{path}: the file is empty") from error
    except UnicodeDecodeError as error:
        raise Mistake(f"{path}: not UTF-8 text ({one_line(error)}); save it as UTF-8") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError, OSError, EOFError) as error:
        raise Mistake(f"{path}: cannot be read as a table: {one_line(error)}") from error
    frame.columns = [str(name).strip() for name in frame.columns]
    _refuse_twins(list(frame.columns), path)
    if frame.empty:
        raise Mistake(f"{path}: there is a header but no row")
    return frame


def from_arrays(inputs: np.ndarray, targets: np.ndarray) -> Source:
    """A source from arrays: inputs (n, features), columns named x1, x2, …; targets (n,) or (n, k)."""
    inputs, targets = np.asarray(inputs), np.asarray(targets)
    if inputs.ndim != 2 or len(inputs) != len(targets):
        raise Mistake(
            f"data: inputs (rows, features) and as many targets are needed, not {inputs.shape} and {targets.shape}"
        )
    frame = pd.DataFrame(inputs, columns=[f"x{i + 1}" for i in range(inputs.shape[1])])
    return Source(frame, targets, TablePreprocessing(dict.fromkeys(frame.columns, "plain")))


def from_bunch(bunch) -> Source:
    """A source from what scikit-learn's `load_*(as_frame=True)` return."""
    names = getattr(bunch, "target_names", None)
    classes = [str(name) for name in names] if names is not None and len(names) > 1 else None
    preprocessing = TablePreprocessing(dict.fromkeys(bunch.data.columns, "numeric"))
    return Source(
        bunch.data, bunch.target.to_numpy(), preprocessing, class_names=classes, target_names=[str(bunch.target.name)]
    )


def _separator(path: Path) -> str:
    """The separator of the header: whichever of comma, semicolon, tabulator and bar it has most of."""
    header = pd.read_csv(path, sep="\x01", header=None, nrows=1, dtype=str, quoting=3, keep_default_na=False)
    line = str(header.iloc[0, 0]) if header.size else ""
    counts = {separator: line.count(separator) for separator in (",", ";", "\t", "|")}
    best = max(counts, key=counts.get)
    return best if counts[best] else ","


def _refuse_twins(names: list[str], path: Path) -> None:
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise Mistake(f"{path}: two columns are called '{twins[0]}'; rename one")


def _require_columns(frame: pd.DataFrame, wanted: list[str], expected: list[str], name: str, path: str) -> None:
    key = {"train": "data.target"}.get(name, f"data.path_{name}")
    for column in wanted if name == "train" else expected:
        if column not in frame.columns:
            raise Mistake(
                f"{key}: {path} has no column '{column}'{did_you_mean(column, frame.columns)} "
                f"(it has {', '.join(frame.columns[:20])}{', …' if len(frame.columns) > 20 else ''})"
            )
