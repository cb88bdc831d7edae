"""A user's files: where they are, and tables read from them whatever their separator, packing or missing values."""

from __future__ import annotations

import csv as csv_reader
import io
import lzma
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np
import pandas as pd

from dlrun.data.reading.arrays import load_array
from dlrun.data.reading.download import OPENERS
from dlrun.data.reading.formats import open_text
from dlrun.data.reading.header import SAMPLE, Layout, find_layout
from dlrun.data.reading.memory import free_memory
from dlrun.data.reading.missing_markers import is_text, without_markers
from dlrun.data.reading.numbers import find_notation, parse
from dlrun.data.reading.parquet import plain_types
from dlrun.errors import Mistake, choose, did_you_mean, one_line

UNREADABLE = (ValueError, OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
SEPARATED = (",", ";", "\t", "|")
FEW = 20  # different values
ROWS_AT_ONCE = 20_000
PACKED = 4  # how much larger than its Parquet file a table is as text, or so
COPIES = 5  # memory that a table takes while it becomes features, as a multiple of its size as text; measured


@dataclass(frozen=True)
class Format:
    """How a table is written, where a person has said so.

    Attributes:
        header: `none`, the number of the line that is the header, or None: found out.
        quote: what stands around fields that hold a separator; `none`: quotes are letters like others.
        missing_values: the texts that mean "no value"; None: see `missing.markers`.
        decimal: `.` or `,`; None: found out for each column.
        thousands: what stands between groups of digits, `none`, or None: found out for each column.
    """

    header: str | int | None = None
    quote: str | None = None
    missing_values: list[str] | None = None
    decimal: str | None = None
    thousands: str | None = None

    def __post_init__(self) -> None:
        if self.decimal is not None:
            choose(self.decimal, dict.fromkeys((".", ",")), "data.decimal")
        if self.thousands is not None:
            choose(self.thousands, dict.fromkeys((",", ".", "'", " ", "_", "none")), "data.thousands")
        if self.decimal is not None and self.decimal == self.thousands:
            raise Mistake(f"data.decimal and data.thousands are both '{self.decimal}'; they must differ")
        if self.quote is not None and self.quote != "none" and len(self.quote) != 1:
            raise Mistake(f"data.quote is '{self.quote}': it is one character, or none")

    @property
    def quote_mark(self) -> str | None:
        """The character that quotes fields, or None."""
        return None if self.quote == "none" else self.quote or '"'

    @property
    def thousands_mark(self) -> str | None:
        """The mark between groups of digits, an empty text for none, or None where it is found out."""
        return "" if self.thousands == "none" else self.thousands


@dataclass
class Table:
    """A table as it stands in its file: columns of numbers where all values are numbers, else of text.

    Attributes:
        frame: the columns; empty fields are missing, other markers of missing values are still there.
        headless: whether columns are called by their number.
        notes: what was passed over or inferred.
    """

    frame: pd.DataFrame
    headless: bool = False
    comma_file: bool = False
    notes: list[str] = field(default_factory=list)


def find(path: str, data_dir: str | None, key: str) -> Path:
    """Return the file `path`: in the current folder (or absolute), else in `data_dir`.

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
    """Return the bytes of a table when it is unpacked, counted up to `most`; of Parquet an estimate."""
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


def load_table(
    source: Path | io.BytesIO,
    name: str,
    drop: list[str] | None = None,
    as_text: list[str] | None = None,
    form: Format | None = None,
) -> Table:
    """Return a table from a file or from unpacked bytes, by the suffix of `name`: .tsv and .tab by tabulators,
    .parquet, anything else by the separator that divides its lines; .gz, .bz2, .xz and .zip files unpacked.

    Args:
        source: where it is.
        name: of the file, for messages.
        drop: columns that are not read.
        as_text: columns that are text, whatever they look like (zip codes).
        form: how it is written, where the person has said so.

    Raises:
        Mistake: it cannot be read as a table, is empty, has two columns of one name, none of a name in `drop`, or is
            more than free memory holds.
    """
    if isinstance(source, Path):
        check_memory(source, name)
    with _explained(name):
        if ".parquet" in _suffixes(name):
            table = _load_parquet(source, drop or [])
        else:
            table = _load_text(source, name, drop or [], as_text or [], form or Format())
    if table.frame.empty:
        raise Mistake(f"{name}: there is a header but no row")
    return table


def read_table(
    source: Path | io.BytesIO,
    name: str,
    as_text: list[str] | None = None,
    form: Format | None = None,
) -> pd.DataFrame:
    """Return a table whose columns are numbers where every value is one, however it is written; see `load_table`.

    What means "no value" is missing (see `missing.markers`), but in the columns of `as_text`, which stay as they are.

    Raises:
        Mistake: as `load_table`.
    """
    form = form or Format()
    table = load_table(source, name, None, as_text, form)
    return table.frame.assign(
        **{c: _values(table.frame[c], form, table.comma_file) for c in table.frame.columns if c not in (as_text or [])}
    )


def as_values(frame: pd.DataFrame, form: Format) -> pd.DataFrame:
    """Return a table whose columns are numbers where every value is one, as `read_table` does of a file."""
    return frame.assign(**{column: _values(frame[column], form, False) for column in frame.columns})


def _values(column: pd.Series, form: Format, comma_file: bool) -> pd.Series:
    """Return numbers where all values of a column are numbers, else its text."""
    if is_text(column):
        among_numbers = without_markers(column, "numeric", form.missing_values)
        filled = among_numbers.dropna()
        notation, share = find_notation(filled, form.decimal, form.thousands_mark, comma_file)
        if share == 1.0 and (not notation.unit or filled.nunique() > FEW):  # "3 doors" can be a class
            return parse(among_numbers, notation)
        return without_markers(column, "category", form.missing_values)
    return without_markers(column, "numeric", form.missing_values)


def _load_parquet(source: Path | io.BytesIO, drop: list[str]) -> Table:
    frame = pd.read_parquet(source)
    frame.columns = [str(column) for column in frame.columns]
    require(drop, frame, "data.drop")
    return Table(plain_types(frame.drop(columns=drop).reset_index(drop=True)))


def _load_text(source: Path | io.BytesIO, name: str, drop: list[str], as_text: list[str], form: Format) -> Table:
    layout = _layout_of(source, name, form)
    require(drop, layout.names, "data.drop")
    kept = [column for column in layout.names if column not in [*drop, *layout.left_out]]
    told = form.decimal is not None or form.thousands is not None
    with _opened(source, name, layout) as text:
        frame = pd.read_csv(
            text, **_options(layout, form), usecols=kept if len(kept) < len(layout.names) else None,
            na_values=[""], keep_default_na=False, low_memory=False,
            dtype=str if told else {column: str for column in as_text if column in kept},
        )  # fmt: skip
    notes = list(layout.notes)
    nameless = [column for column in layout.empty if column in frame and frame[column].isna().all()]
    if nameless:
        frame = frame.drop(columns=nameless)
        notes.append(f"without a name and without a value, and left out: {', '.join(nameless)}")
    notes += _lines_beside_rows(source, name, layout, frame, form)
    for column in [c for c in frame if pd.api.types.is_object_dtype(frame[c])]:  # truth values and gaps
        frame[column] = frame[column].map(str, na_action="ignore")
    return Table(frame, layout.headless, layout.separator == ";", notes)


def _layout_of(source: Path | io.BytesIO, name: str, form: Format) -> Layout:
    with open_text(source, name) as text:
        lines = [line.rstrip("\n") for _, line in zip(range(SAMPLE), text, strict=False)]
    separator = "\t" if _suffixes(name) & {".tsv", ".tab"} else None
    return find_layout(lines, name, separator, form.header, form.quote_mark)


@contextmanager
def _opened(source: Path | io.BytesIO, name: str, layout: Layout) -> Iterator[io.TextIOWrapper]:
    """Yield the text of a table from its first row on."""
    with open_text(source, name) as text, warnings.catch_warnings():
        for _ in range(layout.skip):
            text.readline()
        warnings.simplefilter("error", pd.errors.ParserWarning)
        yield text


class _Options(TypedDict):
    """How pandas is to read the rows, by the names of its own settings."""

    sep: str
    names: list[str]
    header: None
    index_col: Literal[False]
    quoting: Literal[0, 3]  # csv.QUOTE_MINIMAL and csv.QUOTE_NONE
    quotechar: str
    skipinitialspace: bool


def _options(layout: Layout, form: Format) -> _Options:
    """Return how pandas is to read the rows."""
    return {
        "sep": layout.separator,
        "names": layout.names,
        "header": None,
        "index_col": False,
        "quoting": csv_reader.QUOTE_MINIMAL if form.quote_mark else csv_reader.QUOTE_NONE,
        "quotechar": form.quote_mark or '"',
        "skipinitialspace": True,
    }


def _lines_beside_rows(
    source: Path | io.BytesIO, name: str, layout: Layout, frame: pd.DataFrame, form: Format
) -> list[str]:
    """Return a line where rows hold more lines than there are rows: texts of several lines, or a quote too many."""
    with open_text(source, name) as text:
        for _ in range(layout.skip):
            text.readline()
        lines = sum(1 for line in text if line.strip())
    if lines <= len(frame) or form.quote_mark is None:
        return []
    for column in frame.columns[[is_text(frame[c]) for c in frame]]:
        texts = frame[column].dropna()
        inner = texts[texts.str.contains("\n", regex=False)].str.split("\n")
        for at, pieces in inner.items():
            fields = [len(piece.split(layout.separator)) for piece in pieces[1:-1]] or [0]
            if layout.separator in SEPARATED and max(fields) >= len(layout.names) > 1:
                return [
                    f"warning: {lines:,} lines give {len(frame):,} rows: in row {at + 1}, column '{column}', a quote "
                    f"({form.quote_mark}) opens that closes {len(pieces) - 1} lines later only; data.quote=none takes "
                    "quotes as they stand"
                ]
    return [
        f"{lines:,} lines give {len(frame):,} rows: fields in quotes go on over several lines (data.quote=none takes "
        "quotes as they stand)"
    ]


def read_rows(
    path: Path, of_array: Callable[[np.ndarray], pd.DataFrame] | None = None, form: Format | None = None
) -> Iterator[pd.DataFrame]:
    """Yield the rows of a table to predict for, ROWS_AT_ONCE at a time, so that it need not fit in memory.

    Text stays as it stands in the file, so that it can be written out again unchanged.

    Args:
        path: a table as `load_table` reads it, or a .npy file where there is `of_array`.
        of_array: turns an array into a table.
        form: how the table is written, where that is known.

    Raises:
        Mistake: it cannot be read as a table.
    """
    form = form or Format()
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
                frame = batch.to_pandas()
                frame.columns = [str(column) for column in frame.columns]
                yield plain_types(frame)
        else:
            layout = _layout_of(path, path.name, form)
            with (
                _opened(path, path.name, layout) as text,
                pd.read_csv(
                    text, **_options(layout, form), dtype=str, keep_default_na=False, chunksize=ROWS_AT_ONCE
                ) as chunks,
            ):
                yield from chunks


def _suffixes(name: str) -> set[str]:
    return {suffix.lower() for suffix in Path(name).suffixes}


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what a file that is no table leads to into one line."""
    try:
        yield
    except ImportError as error:
        raise Mistake(f"{name}: Parquet needs pyarrow: pip install pyarrow") from error
    except pd.errors.EmptyDataError as error:
        raise Mistake(f"{name}: the file is empty") from error
    except UnicodeDecodeError as error:
        raise Mistake(f"{name}: not UTF-8 text ({one_line(error)}); save it as UTF-8") from error
    except pd.errors.ParserError as error:
        raise Mistake(f"{name}: cannot be read as a table: {_of_parser(str(error))}") from error
    except pd.errors.ParserWarning as error:
        raise Mistake(f"{name}: cannot be read as a table: a row has more values than the header") from error
    except (*UNREADABLE, csv_reader.Error) as error:
        raise Mistake(f"{name}: cannot be read as a table: {one_line(error)}") from error


def _of_parser(message: str) -> str:
    """Return what pandas says of a table that it cannot read, in this program's words."""
    if match := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message):
        return (
            f"row {match[2]} has {match[3]} values and the header {match[1]} (a decimal comma, or another comma in a "
            "text, needs quotes or another separator)"
        )
    if match := re.search(r"EOF inside string starting at row (\d+)", message):
        return (
            f"a quote opens in row {int(match[1]) + 1} and does not close; data.quote=none takes quotes as they stand"
        )
    return one_line(message.removeprefix("Error tokenizing data. C error: "))


def require(wanted: list[str], there: pd.DataFrame | list[str], where: str, headless: bool = False) -> None:
    """Refuse, by a Mistake at `where`, columns that are not there; `headless`: they are called by their number."""
    columns = list(there)
    for column in wanted:
        if column not in columns:
            shown = ", ".join(map(str, columns[:20])) + (", …" if len(columns) > 20 else "")
            why = "; the first line was taken as a row, and columns are called by their number" if headless else ""
            raise Mistake(f"{where}: there is no column '{column}'{did_you_mean(column, columns)} (has {shown}{why})")
