"""A user's files: where they are, and tables read from them whatever their separator, packing or missing values."""

from __future__ import annotations

import csv as csv_reader
import io
import lzma
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd

from dlrun.data.reading.arrays import load_array
from dlrun.data.reading.download import OPENERS
from dlrun.data.reading.memory import free_memory
from dlrun.errors import Mistake, did_you_mean, one_line

MISSING = ["", "?", "NA", "N/A", "NaN", "nan", "null", "None", "-"]
UNREADABLE = (ValueError, OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
SEPARATORS = (",", ";", "\t", "|")
ROWS_AT_ONCE = 20_000
PACKED = 4  # how much larger than its Parquet file a table is as text, or so
COPIES = 5  # memory that a table takes while it becomes features, as a multiple of its size as text; measured


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


def check_memory(path: Path, name: str) -> None:
    """Refuse a table that this machine's free memory cannot hold, before it is read.

    Raises:
        Mistake: it is too large; says what to do.
    """
    free = free_memory()
    if free is None:
        return
    try:
        size = _unpacked_size(path, free // COPIES)
    except UNREADABLE:  # what is wrong with it is said when it is read
        return
    if size * COPIES > free:
        raise Mistake(
            f"{name}: a table of {size / 1e9:.1f} GB or more needs about {size * COPIES / 1e9:.0f} GB of memory, and "
            f"{free / 1e9:.0f} GB are free; leave columns out (data.drop=[…], they are not read then), or train on a "
            "part of its rows in a file of their own"
        )


def _unpacked_size(path: Path, most: int) -> int:
    """Bytes of a table when it is unpacked, counted up to `most`; of Parquet an estimate."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return sum(member.file_size for member in archive.infolist())
    if path.suffix not in OPENERS:
        return path.stat().st_size * (PACKED if path.suffix == ".parquet" else 1)
    size = 0
    with OPENERS[path.suffix](path, "rb") as file:
        while size <= most and (chunk := file.read(1 << 20)):
            size += len(chunk)
    return size


def read_table(
    source: Path | io.BytesIO,
    name: str,
    drop: list[str] | None = None,
    targets: list[str] | None = None,
    as_text: list[str] | None = None,
) -> pd.DataFrame:
    """A table from a file or from unpacked bytes, by the suffix of `name`: .tsv and .tab by tabulators, .parquet,
    anything else by the separator that its first line shows; .gz, .bz2, .xz and .zip files unpacked. `?`, blanks, NA
    and the like are missing values, but "None" is a class where a column of `targets` holds text. The columns in `drop`
    are not read; those in `as_text` are text, whatever they look like (zip codes).

    Raises:
        Mistake: it cannot be read as a table, is empty, has two columns of one name, none of a name in `drop`, or is
            more than free memory holds.
    """
    if isinstance(source, Path):
        check_memory(source, name)
    with _explained(name):
        if ".parquet" in _suffixes(name):
            frame = pd.read_parquet(source)
            frame.columns = [str(column) for column in frame.columns]
            require(drop or [], frame, "data.drop")
            frame = frame.drop(columns=drop or [])
        else:
            frame = _read_text_table(source, name, drop or [], targets or [], as_text or [])
    if frame.empty:
        raise Mistake(f"{name}: there is a header but no row")
    return frame


def _read_text_table(
    source: Path | io.BytesIO, name: str, drop: list[str], targets: list[str], as_text: list[str]
) -> pd.DataFrame:
    separator, header = _read_header(source, "\t" if _suffixes(name) & {".tsv", ".tab"} else None)
    _refuse_twins(header, name)
    require(drop, header, "data.drop")
    kept = [column for column in header if column not in drop]
    missing = {column: [m for m in MISSING if m != "None" or column not in targets] for column in kept}
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        frame = pd.read_csv(
            source, sep=separator, names=header, header=0, na_values=missing, keep_default_na=False,
            skipinitialspace=True, low_memory=False, index_col=False, usecols=kept if drop else None,
            dtype={column: str for column in as_text if column in kept},
        )  # fmt: skip
    for column in set(targets) & set(kept):
        without = frame[column].mask(frame[column] == "None")
        with suppress(ValueError, TypeError):  # text: None is one of its classes
            frame[column] = pd.to_numeric(without)
    return frame


def read_rows(path: Path, of_array: Callable | None = None) -> Iterator[pd.DataFrame]:
    """The rows of a table to predict for, ROWS_AT_ONCE at a time, so that it need not fit in memory.

    Text stays as it stands in the file, so that it can be written out again unchanged; see `as_values`.

    Args:
        path: a table as `read_table` reads it, or a .npy file where there is `of_array`.
        of_array: turns an array into a table.

    Raises:
        Mistake: it cannot be read as a table.
    """
    with _explained(path.name):
        if path.suffix == ".npy":
            if of_array is None:
                raise Mistake(f"{path}: an array has no names; give a table")
            array = load_array(path)
            for start in range(0, max(len(array), 1), ROWS_AT_ONCE):
                yield of_array(array[start : start + ROWS_AT_ONCE])
        elif ".parquet" in _suffixes(path.name):
            import pyarrow.parquet

            for batch in pyarrow.parquet.ParquetFile(path).iter_batches(ROWS_AT_ONCE):
                yield batch.to_pandas()
        else:
            separator, header = _read_header(path, "\t" if _suffixes(path.name) & {".tsv", ".tab"} else None)
            _refuse_twins(header, path.name)
            with pd.read_csv(
                path, sep=separator, names=header, header=0, dtype=str, keep_default_na=False, skipinitialspace=True,
                index_col=False, chunksize=ROWS_AT_ONCE,
            ) as chunks:  # fmt: skip
                yield from chunks


def as_values(frame: pd.DataFrame) -> pd.DataFrame:
    """A table of `read_rows` with what counts as missing turned into missing values."""
    texts = frame.select_dtypes(include=["object", "string"]).columns
    stripped = {column: frame[column].astype(object) for column in texts}
    return frame.assign(**{column: values.mask(values.isin(MISSING)) for column, values in stripped.items()})


def _suffixes(name: str) -> set[str]:
    return {suffix.lower() for suffix in Path(name).suffixes}


@contextmanager
def _explained(name: str):
    """Turn what a file that is no table leads to into one line."""
    try:
        yield
    except ImportError as error:
        raise Mistake(f"{name}: Parquet needs pyarrow: pip install pyarrow") from error
    except pd.errors.EmptyDataError as error:
        raise Mistake(f"{name}: the file is empty") from error
    except UnicodeDecodeError as error:
        raise Mistake(f"{name}: not UTF-8 text ({one_line(error)}); save it as UTF-8") from error
    except (*UNREADABLE, pd.errors.ParserError, pd.errors.ParserWarning, csv_reader.Error) as error:
        raise Mistake(f"{name}: cannot be read as a table: {one_line(error)}") from error


def _refuse_twins(header: list[str], name: str) -> None:
    twins = sorted({column for column in header if header.count(column) > 1})
    if twins:
        raise Mistake(f"{name}: two columns are called '{twins[0]}'; rename one")


def require(wanted: list[str], there: pd.DataFrame | list[str], where: str) -> None:
    """Refuse, by a Mistake at `where`, columns that are not there."""
    columns = list(there)
    for column in wanted:
        if column not in columns:
            shown = ", ".join(map(str, columns[:20])) + (", …" if len(columns) > 20 else "")
            raise Mistake(f"{where}: there is no column '{column}'{did_you_mean(column, columns)} (has {shown})")


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
