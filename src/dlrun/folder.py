"""The run folder: every read and write of it. Files are written whole or not at all, except the append-only ones."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import secrets
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import yaml

from dlrun.errors import Mistake

FORMAT = 1  # of the run folder; raised when an older dlrun could not read what is written


class RunFolder:
    """A folder that belongs to one run.

    Attributes:
        path: where it is.
    """

    def __init__(self, path: Path):
        self.path = path

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

    def begin(self, overrides: list[str], config: dict, environment: dict) -> None:
        """Write what is known before training: config.yaml, overrides.yaml, environment.json, and status running."""
        self.write_text("config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        self.write_text("overrides.yaml", yaml.safe_dump(overrides, allow_unicode=True))
        self.write_json("environment.json", {"format": FORMAT, **environment})
        self.write_json("metrics.json", {"status": "running", "config": dict(flatten(config))})

    def write_text(self, name: str, text: str) -> None:
        """Write a file whole or not at all."""
        self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all: under a temporary name first, then renamed."""
        target = self.path / name
        part = target.with_name(f".{target.name}.part")
        with writing(self.path):
            target.parent.mkdir(exist_ok=True)
            with open(part, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)

    def write_json(self, name: str, value: dict) -> None:
        """Write a dict as JSON, whole or not at all."""
        self.write_text(name, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def append_row(self, name: str, row: dict[str, object]) -> None:
        """Append a row to a CSV file; the first one writes the header."""
        target = self.path / name
        with writing(self.path):
            new = not target.exists()
            with open(target, "a", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                if new:
                    writer.writerow(row)
                writer.writerow(row.values())

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


class writing:  # noqa: N801 (reads as a statement: with writing(folder))
    """Turn what the disk refuses into one line."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, _traceback) -> None:
        if isinstance(error, OSError):
            reason = {
                errno.ENOSPC: "the disk is full",
                errno.ENOENT: "the folder is gone",
                errno.EROFS: "the disk is read-only",
            }.get(error.errno, error.strerror)
            raise Mistake(f"{self.path}: cannot write ({reason})") from error


def flatten(config: dict, prefix: str = "") -> Iterable[tuple[str, object]]:
    """(dotted key, value) of a nested dict."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", text)
