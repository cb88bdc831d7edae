"""What kind of file it is, by its first bytes; and its text, unpacked."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import cast

from dlrun.data.reading.download import OPENERS
from dlrun.errors import Mistake

CSV = "save the table as CSV (UTF-8)"
SIGNATURES = (
    (b"\xd0\xcf\x11\xe0", "an Excel file (.xls)", CSV),
    (b"SQLite format 3", "an SQLite database", CSV),
    (b"\x89HDF", "an HDF5 file", "save the table as CSV or Parquet"),
    (b"ARROW1", "an Arrow (Feather) file", "save it as Parquet"),
    (b"ORC", "an ORC file", "save it as Parquet"),
    (b"Obj\x01", "an Avro file", "save it as Parquet"),
    (b"\x93NUMPY", "a NumPy array", "save it as CSV, with a line of names for its columns"),
    (b"PAR1", "a Parquet file", "give it a name that ends in .parquet"),
    (b"\x1f\x8b", "a gzip file", "give it a name that ends in .csv.gz"),
    (b"BZh", "a bzip2 file", "give it a name that ends in .csv.bz2"),
    (b"\xfd7zXZ", "an xz file", "give it a name that ends in .csv.xz"),
    (b"7z\xbc\xaf", "a 7-Zip archive", "unpack it"),
    (b"Rar!", "a RAR archive", "unpack it"),
    (b"%PDF", "a PDF", CSV),
    (b"$FL2", "an SPSS file", CSV),
    (b"<stata_dta>", "a Stata file", CSV),
    (b"HEADER RECORD", "a SAS file", CSV),
    (b"RDX", "an R data file", "write it by write.csv"),
    (b"\x80\x04\x95", "a Python pickle", "which can run code when it is read; save the table as CSV or Parquet"),
    (b"\x80\x05\x95", "a Python pickle", "which can run code when it is read; save the table as CSV or Parquet"),
    (b"MATLAB", "a MATLAB file", CSV),
)  # fmt: skip
BEGINNINGS = (
    (("<!doctype", "<html"), "a web page", "download the file itself (on GitHub: Raw)"),
    (("<?xml",), "an XML file", CSV),
    (("@relation",), "an ARFF file", CSV),
    (("{\n", "{\r", '{"', "[{", "[\n", "[["), "a JSON file", CSV),
    (("version https://git-lfs",), "a pointer of Git LFS, and not the file itself", "fetch it by git lfs pull"),
)
LOOKED_AT = 4096


def open_text(source: Path | io.BytesIO, name: str) -> io.TextIOWrapper:
    """Return the text of a table, unpacked, with plain line ends and without a byte order mark.

    Raises:
        Mistake: it is a file of another kind, which is named; or an archive of several files.
    """
    raw = open_bytes(source, name)
    head = raw.peek(LOOKED_AT)[:LOOKED_AT]
    refuse_other_formats(head, name)
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    return io.TextIOWrapper(raw, encoding=encoding)


def open_bytes(source: Path | io.BytesIO, name: str) -> io.BufferedReader:
    """Return the content of a file, unpacked where its name says that it is packed.

    Raises:
        Mistake: an archive of several files, or of none.
    """
    if isinstance(source, io.BytesIO):
        return io.BufferedReader(io.BytesIO(source.getbuffer()))
    suffix = source.suffix.lower()
    if suffix in OPENERS:
        return io.BufferedReader(OPENERS[suffix](source, "rb"))
    if suffix != ".zip":
        return open(source, "rb")
    archive = zipfile.ZipFile(source)
    members = [m for m in archive.namelist() if not m.endswith("/") and not m.startswith("__MACOSX/")]
    if len(members) != 1:
        raise Mistake(f"{name}: the archive holds {len(members)} files, and one table is needed; unpack it")
    return io.BufferedReader(cast(zipfile.ZipExtFile, archive.open(members[0])))  # as it is for reading


def refuse_other_formats(head: bytes, name: str) -> None:
    """Refuse, by a Mistake that names it, a file whose first bytes are those of another format than text.

    Raises:
        Mistake: as it says.
    """
    if head.startswith(b"PK\x03\x04"):
        excel = b"xl/" in head or b"[Content_Types]" in head or Path(name).suffix.lower() in (".xlsx", ".xlsm")
        arrays = b".npy" in head[:200]
        what = "an Excel file" if excel else "an archive of NumPy arrays" if arrays else "a zip archive"
        do = CSV if excel or arrays else "give it a name that ends in .zip"
        raise Mistake(f"{name}: is {what}, which is not read here; {do}")
    for signature, what, do in SIGNATURES:
        if head.startswith(signature):
            raise Mistake(f"{name}: is {what}, which is not read here; {do}")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return
    text = head.decode("utf-8-sig", errors="replace").lstrip().lower()
    lines = [line.lstrip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("%")]
    suffix = Path(name).suffix.lower()
    for beginnings, what, do in BEGINNINGS:
        if text.startswith(beginnings) or (lines and lines[0].startswith(beginnings)) or suffix == _SUFFIXES.get(what):
            raise Mistake(f"{name}: is {what}, which is not read here; {do}")
    if b"\0" in head:
        raise Mistake(f"{name}: is no text; {CSV}, or as Parquet")


_SUFFIXES = {"an ARFF file": ".arff", "a JSON file": ".json"}
