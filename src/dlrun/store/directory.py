"""Reading and writing the files of one directory: whole or not at all, and never through a link or a pipe."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from dlrun.errors import Mistake, one_line
from dlrun.store.files import finite, write_whole, writing

if TYPE_CHECKING:
    import pandas as pd

_AS_IT_IS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Directory:
    """A directory whose files are regular files inside it.

    Links are not followed, and pipes and devices are refused without waiting for them: a folder may come from anyone.

    Args:
        path: where it is.
    """

    def __init__(self, path: Path):
        self.path = path

    def has(self, name: str) -> bool:
        """Return whether there is anything called `name`; what is no regular file is refused when it is read."""
        return os.path.lexists(self.path / name)

    def read_bytes(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            Mistake: it is not there, cannot be read, or is a link, a pipe or the like.
        """
        target = self._inside(name)
        try:
            with open(open_regular(target, os.O_RDONLY), "rb") as file:
                return file.read()
        except OSError as error:
            raise Mistake(f"{target}: cannot be read ({error.strerror})") from error

    def read_json(self, name: str) -> dict[str, Any]:
        """Return a JSON object.

        Raises:
            Mistake: it cannot be read, or is no JSON object (NaN and infinity are no JSON).
        """
        where, content = self.path / name, self.read_bytes(name)
        try:
            value = json.loads(content, parse_constant=_refuse_constant)
            if b"\\ud" in content.lower():
                json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair can be read, but not be printed
        except (ValueError, RecursionError) as error:
            raise Mistake(f"{where}: is damaged ({one_line(error)})") from error
        if not isinstance(value, dict):
            raise Mistake(f"{where}: is damaged (no object)")
        return value

    def read_yaml(self, name: str) -> object:
        """Return a YAML file as plain values.

        Raises:
            Mistake: it cannot be read, or is no YAML.
        """
        try:
            return yaml.safe_load(self.read_bytes(name))
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise Mistake(f"{self.path / name}: is damaged ({one_line(error)})") from error

    def read_table(self, name: str, **options: Any) -> pd.DataFrame:
        """Return a CSV file as a table; `options` are those of pandas.read_csv.

        Raises:
            Mistake: it cannot be read, or is no table.
        """
        import pandas as pd  # not where nothing is read as a table, such as in a run that draws nothing

        try:
            return pd.read_csv(io.BytesIO(self.read_bytes(name)), **options)
        except ValueError as error:  # of which pandas' own are kinds
            raise Mistake(f"{self.path / name}: is damaged ({one_line(error)})") from error

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all: under a temporary name first, then renamed."""
        target = self._inside(name)
        with writing(self.path):
            target.parent.mkdir(exist_ok=True)
            write_whole(target, content)

    def write_text(self, name: str, text: str) -> None:
        """Write a file whole or not at all."""
        self.write_bytes(name, text.encode())

    def write_json(self, name: str, value: Mapping[str, object]) -> None:
        """Write a JSON object, whole or not at all; an infinite number, which JSON lacks, as text."""
        self.write_text(name, json.dumps(finite(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def write_yaml(self, name: str, value: object) -> None:
        """Write plain values as YAML, whole or not at all, in their order."""
        self.write_text(name, yaml.safe_dump(value, sort_keys=False, allow_unicode=True))

    def write_rows(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Write a CSV file, whole or not at all; the columns are those of all rows, in order."""
        text = io.StringIO()
        columns = list(dict.fromkeys(key for row in rows for key in row))
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self.write_text(name, text.getvalue())

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """Write a table as a CSV file, whole or not at all, without its index."""
        self.write_text(name, table.to_csv(index=False, lineterminator="\n"))

    def append_row(self, name: str, row: Mapping[str, object]) -> None:
        """Append a row to a CSV file; the first one writes the header.

        Raises:
            Mistake: it cannot be written, or is a link, a pipe or the like.
        """
        with writing(self.path):
            descriptor = open_regular(self.path / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            with open(descriptor, "a", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                if not file.tell():
                    writer.writerow(row)
                writer.writerow(row.values())

    def keep_rows(self, name: str, rows: int) -> None:
        """Cut an append-only CSV file back to its first `rows` rows; a torn last line goes with the rest."""
        if self.has(name):
            lines = self.read_bytes(name).splitlines(keepends=True)
            self.write_bytes(name, b"".join(lines[: rows + 1]) if rows else b"")

    def tidy(self) -> None:
        """Delete what a process that was killed left of files under their temporary names."""
        for part in self.path.rglob(".*.part"):
            part.unlink(missing_ok=True)

    def _inside(self, name: str) -> Path:
        """Return the path of a file of this directory.

        Args:
            name: may lie in a folder of it: `plots/roc.png`.

        Raises:
            Mistake: it, or a folder between, is a link.
        """
        target = self.path
        for piece in PurePosixPath(name).parts:
            target = target / piece
            if target.is_symlink():
                raise Mistake(f"{target}: is a link, and links in a run folder are not followed")
        return target

    def __str__(self) -> str:
        return str(self.path)


def open_regular(path: Path, flags: int) -> int:
    """Return the descriptor of a regular file, opened without following a link or waiting for a pipe.

    Raises:
        OSError: it is none, or cannot be opened.
    """
    descriptor = os.open(path, flags | _AS_IT_IS, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "it is no regular file; remove it")
    return descriptor


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
