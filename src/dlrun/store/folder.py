"""The run folder: every read and write of it. Files are written whole or not at all, except the append-only ones."""

from __future__ import annotations

import csv
import io
import json
import re
import secrets
import shutil
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from dlrun.errors import Mistake, one_line
from dlrun.store.files import finite, flatten, write_whole, writing

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 2  # of the run folder; raised when an older dlrun could not read what is written


class RunFolder:
    """A folder that belongs to one run.

    Attributes:
        path: where it is.
    """

    def __init__(self, path: Path):
        self.path = path
        self.appended: dict[str, Path] = {}  # files that grow row by row, looked at once

    @classmethod
    def create(cls, output_dir: str, data: str, model: str) -> RunFolder:
        """Make `<output_dir>/<data>-<model>/<date>_<time>_<id>/`, which no other run has, however fast they start.

        Raises:
            Mistake: it cannot be written there.
        """
        return cls(_new_folder(Path(output_dir).expanduser() / _file_name(f"{data}-{model}")))

    @classmethod
    def create_sweep(cls, output_dir: str) -> RunFolder:
        """Make `<output_dir>/sweeps/<date>_<time>_<id>/`, for a run of several.

        Raises:
            Mistake: it cannot be written there.
        """
        return cls(_new_folder(Path(output_dir).expanduser() / "sweeps"))

    @classmethod
    def make(cls, path: str) -> RunFolder:
        """The folder at `path`, made if it is not there, for runs that the person gives a place of their own.

        Raises:
            Mistake: it cannot be made, or holds something else than runs.
        """
        folder = cls(Path(path).expanduser())
        with writing(folder.path):
            folder.path.mkdir(parents=True, exist_ok=True)
        if any(folder.path.iterdir()) and "whole" not in (
            folder.read_json("metrics.json") if folder.has("metrics.json") else {}
        ):
            raise Mistake(f"sweep_dir: {path} holds something else than a sweep; name another folder")
        return folder

    @classmethod
    def open(cls, path: str) -> RunFolder:
        """The run folder at `path`; `latest` is the newest below outputs/.

        Raises:
            Mistake: there is none, or it was made by a newer dlrun.
        """
        folder = cls(_latest(Path("outputs")) if path == "latest" else Path(path).expanduser())
        if not folder.path.is_dir():
            raise Mistake(f"{path}: there is no such folder")
        lacking = [n for n in ("metrics.json", "environment.json", "overrides.yaml") if not folder.has(n)]
        if lacking:
            raise Mistake(f"{path}: no run folder of dlrun's (it has no {lacking[0]})")
        made = folder.read_json("environment.json").get("format")
        if made != FORMAT:
            raise Mistake(
                f"{path}: has format {made}, and this dlrun reads format {FORMAT}; use the dlrun that made it"
                " (0.1 for format 1)"
            )
        return folder

    def has(self, name: str) -> bool:
        """Whether there is a file `name`."""
        return (self.path / name).is_file()

    def read_bytes(self, name: str) -> bytes:
        """The content of a file of this folder.

        Raises:
            Mistake: it is not there, cannot be read, or is a link that leads out of the folder.
        """
        target = self._inside(name)
        try:
            return target.read_bytes()
        except OSError as error:
            raise Mistake(f"{target}: cannot be read ({error.strerror})") from error

    def read_json(self, name: str) -> dict:
        """A JSON object of this folder.

        Raises:
            Mistake: it cannot be read, or is no JSON object.
        """
        try:
            value = json.loads(self.read_bytes(name))
        except ValueError as error:
            raise Mistake(f"{self.path / name}: is damaged ({error})") from error
        if not isinstance(value, dict):
            raise Mistake(f"{self.path / name}: is damaged (no object)")
        return value

    def read_yaml(self, name: str) -> object:
        """A YAML file of this folder, as plain values.

        Raises:
            Mistake: it cannot be read, or is no YAML.
        """
        try:
            return yaml.safe_load(self.read_bytes(name))
        except (yaml.YAMLError, ValueError) as error:
            raise Mistake(f"{self.path / name}: is damaged ({one_line(error)})") from error

    def read_table(self, name: str, **options: object) -> pd.DataFrame:
        """A CSV file of this folder; `options` are those of pandas.read_csv.

        Raises:
            Mistake: it cannot be read, or is no table.
        """
        import pandas as pd  # not where nothing is read as a table, such as in a run that draws nothing

        try:
            return pd.read_csv(io.BytesIO(self.read_bytes(name)), **options)
        except ValueError as error:  # of which pandas' own are kinds
            raise Mistake(f"{self.path / name}: is damaged ({one_line(error)})") from error

    def tidy(self) -> None:
        """Delete what a process that was killed left of files under their temporary names."""
        for part in self.path.rglob(".*.part"):
            part.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the folder with all that is in it, and the two above it where nothing else is in them."""
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            for empty in list(self.path.parents)[:2]:
                empty.rmdir()

    def keep_rows(self, name: str, rows: int) -> None:
        """Cut an append-only CSV file back to its first `rows` rows; a torn last line goes with the rest."""
        if self.has(name):
            lines = self.read_bytes(name).splitlines(keepends=True)
            self.write_bytes(name, b"".join(lines[: rows + 1]) if rows else b"")

    def begin(self, overrides: list[str], config: dict, environment: dict) -> None:
        """Write what is known before training: config.yaml, overrides.yaml, environment.json, and status running."""
        self.write_json("environment.json", {"format": FORMAT, **environment})
        self.update(overrides, config)

    def update(self, overrides: list[str], config: dict) -> None:
        """Write config.yaml, overrides.yaml and status running."""
        self.write_text("config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        self.write_text("overrides.yaml", yaml.safe_dump(overrides, allow_unicode=True))
        self.write_json("metrics.json", {"status": "running", "config": dict(flatten(config))})

    def write_text(self, name: str, text: str) -> None:
        """Write a file whole or not at all."""
        self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all: under a temporary name first, then renamed."""
        target = self._inside(name)
        with writing(self.path):
            target.parent.mkdir(exist_ok=True)
            write_whole(target, content)

    def write_json(self, name: str, value: dict) -> None:
        """Write a dict as JSON, whole or not at all; an infinite setting, which JSON lacks, as text."""
        self.write_text(name, json.dumps(finite(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def write_table(self, name: str, rows: list[dict[str, object]]) -> None:
        """Write a CSV file, whole or not at all; the columns are those of all rows, in order."""
        text = io.StringIO()
        columns = list(dict.fromkeys(key for row in rows for key in row))
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self.write_text(name, text.getvalue())

    def append_row(self, name: str, row: dict[str, object]) -> None:
        """Append a row to a CSV file; the first one writes the header."""
        if name not in self.appended:
            self.appended[name] = self._inside(name)
        target = self.appended[name]
        with writing(self.path), open(target, "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            if not file.tell():
                writer.writerow(row)
            writer.writerow(row.values())

    def _inside(self, name: str) -> Path:
        """The path of a file of this folder.

        Raises:
            Mistake: it is a link that leads out of the folder.
        """
        target = self.path / name
        if self.path.resolve() not in target.resolve().parents:
            raise Mistake(f"{target}: leads out of the run folder")
        return target

    def __str__(self) -> str:
        return str(self.path)


def _new_folder(parent: Path) -> Path:
    while True:
        path = parent / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(3)}"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            path.mkdir()
            return path
        except FileExistsError:
            if not parent.is_dir():
                raise Mistake(f"output_dir: {parent} is a file, not a folder; choose another output_dir") from None
        except OSError as error:
            raise Mistake(
                f"output_dir: cannot write to '{parent}' ({error.strerror}); choose another: output_dir=<folder>"
            ) from error


def _latest(outputs: Path) -> Path:
    """The run folder below `outputs` that was begun last; of a sweep, or a run in parts, the folder of the whole."""
    every = {path.parent for path in outputs.rglob("environment.json")}
    folders = [folder for folder in every if not every.intersection(folder.parents)]
    if not folders:
        raise Mistake("latest: there is no run below outputs/ yet")
    return max(folders, key=lambda folder: (date_of(folder), folder.stat().st_ctime))


def date_of(folder: Path) -> str:
    """When a run was begun, by the name of its folder; empty where a person named it."""
    return folder.name[:19] if re.match(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_", folder.name) else ""


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", text)
