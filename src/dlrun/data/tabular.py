"""Tables: a user's own files, the courses' published ones, and what scikit-learn's loaders and generators return."""

from __future__ import annotations

import csv as csv_reader
import io
import lzma
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dlrun.data.columns import describe_columns, find_leaks
from dlrun.data.download import File, read
from dlrun.data.features import TablePreprocessing, check_divisor
from dlrun.data.module import Source
from dlrun.errors import Mistake, did_you_mean, one_line

MISSING = ["", "?", "NA", "N/A", "NaN", "nan", "null", "None", "-"]
UNREADABLE = (ValueError, OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
SEPARATORS = (",", ";", "\t", "|")


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
    frames = {name: read_table(find(p, data_dir, keys[name]), p) for name, p in files.items() if p is not None}
    expected = list(frames["train"].columns)
    for name, frame in frames.items():
        _require(expected, frame, f"{keys[name]}: {files[name]}")
    return _source(frames, target, drop, columns, max_categories, scale, polynomial)


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
    frames = {"train": read_table(io.BytesIO(read(file, data_dir)), file.path)}
    return _source(frames, target, drop, columns, max_categories, scale, polynomial)


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
    return from_bunch(bunch, scale)


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


def read_table(source: Path | io.BytesIO, name: str) -> pd.DataFrame:
    """A table from a file or from unpacked bytes, by the suffix of `name`: .tsv and .tab by tabulators, .parquet,
    anything else by the separator that its first line shows; .gz, .bz2, .xz and .zip files unpacked. `?`, blanks, NA
    and the like are missing values.

    Raises:
        Mistake: it cannot be read as a table, is empty, or has two columns of one name.
    """
    suffixes = {suffix.lower() for suffix in Path(name).suffixes}
    try:
        if ".parquet" in suffixes:
            frame = pd.read_parquet(source)
            header = [str(column) for column in frame.columns]
        else:
            separator, header = _read_header(source, "\t" if suffixes & {".tsv", ".tab"} else None)
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                frame = pd.read_csv(
                    source, sep=separator, na_values=MISSING, keep_default_na=False, skipinitialspace=True,
                    low_memory=False, index_col=False,
                )  # fmt: skip
    except ImportError as error:
        raise Mistake(f"{name}: Parquet needs pyarrow: pip install pyarrow") from error
    except pd.errors.EmptyDataError as error:
        raise Mistake(f"{name}: the file is empty") from error
    except UnicodeDecodeError as error:
        raise Mistake(f"{name}: not UTF-8 text ({one_line(error)}); save it as UTF-8") from error
    except (*UNREADABLE, pd.errors.ParserError, pd.errors.ParserWarning, csv_reader.Error) as error:
        raise Mistake(f"{name}: cannot be read as a table: {one_line(error)}") from error
    twins = sorted({column for column in header if header.count(column) > 1})
    if twins:
        raise Mistake(f"{name}: two columns are called '{twins[0]}'; rename one")
    if frame.empty:
        raise Mistake(f"{name}: there is a header but no row")
    frame.columns = header
    return frame


def from_arrays(inputs: np.ndarray, targets: np.ndarray) -> Source:
    """A source from arrays: inputs (n, features), columns named x1, x2, …; targets (n,) or (n, k).

    Raises:
        Mistake: other shapes.
    """
    inputs, targets = np.asarray(inputs), np.asarray(targets)
    if inputs.ndim != 2 or len(inputs) != len(targets):
        raise Mistake(
            f"data: inputs (rows, features) and as many targets are needed, not {inputs.shape} and {targets.shape}"
        )
    frame = pd.DataFrame(inputs, columns=[f"x{i + 1}" for i in range(inputs.shape[1])])
    return Source(frame, targets, TablePreprocessing(dict.fromkeys(frame.columns, "plain")))


def from_bunch(bunch, scale: Any = "standard") -> Source:
    """A source from what scikit-learn's `load_*(as_frame=True)` return."""
    names = getattr(bunch, "target_names", None)
    classes = [str(name) for name in names] if names is not None and len(names) > 1 else None
    preprocessing = TablePreprocessing(dict.fromkeys(bunch.data.columns, "numeric"), scale=scale)
    return Source(
        bunch.data,
        bunch.target.to_numpy(),
        preprocessing,
        class_names=classes,
        target_names=[str(bunch.target.name)],
    )


def _source(
    frames: dict[str, pd.DataFrame],
    target: str | int | float | list[str],
    drop: list[str] | None,
    columns: dict[str, str] | None,
    max_categories: int,
    scale: Any,
    polynomial: int | None,
) -> Source:
    """The source of one to three tables with the same columns, by the split whose rows they are."""
    targets = [str(t) for t in (target if isinstance(target, list) else [target])]
    if not targets or len(set(targets)) < len(targets):
        raise Mistake(f"data.target: {targets} must name at least one column, and each once")
    drop = [str(d) for d in drop or []]
    train = frames["train"]
    _require(targets, train, "data.target")
    _require(drop, train, "data.drop")
    frame = pd.concat([f[train.columns] for f in frames.values()], ignore_index=True)
    numbers = np.concatenate([np.arange(len(f)) for f in frames.values()])
    part = np.repeat(list(frames), [len(f) for f in frames.values()])
    known = frame[targets].notna().all(axis=1).to_numpy()
    notes = [] if known.all() else [f"{(~known).sum()} rows without a target were dropped"]
    frame, numbers, part = frame[known].reset_index(drop=True), numbers[known], part[known]
    if frame.empty:
        raise Mistake(f"data.target: no row has a value of {', '.join(targets)}")
    inputs = frame.drop(columns=targets + drop)
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


def _read_header(source: Path | io.BytesIO, separator: str | None) -> tuple[str, list[str]]:
    """The separator (whichever of comma, semicolon, tabulator and bar divides the first line most) and the columns."""
    lines = pd.read_csv(source, sep="\x01", header=None, nrows=1, dtype=str, quoting=3, keep_default_na=False)
    if isinstance(source, io.BytesIO):
        source.seek(0)
    line = str(lines.iloc[0, 0])
    if separator is None:
        fields = {candidate: len(next(csv_reader.reader([line], delimiter=candidate))) for candidate in SEPARATORS}
        separator = max(fields, key=fields.get)
    return separator, [name.strip() for name in next(csv_reader.reader([line], delimiter=separator))]


def _require(wanted: list[str], frame: pd.DataFrame, where: str) -> None:
    for column in wanted:
        if column not in frame.columns:
            shown = ", ".join(map(str, frame.columns[:20])) + (", …" if len(frame.columns) > 20 else "")
            raise Mistake(f"{where}: there is no column '{column}'{did_you_mean(column, frame.columns)} (has {shown})")
