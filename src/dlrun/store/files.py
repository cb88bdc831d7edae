"""Writing files whole or not at all."""

from __future__ import annotations

import errno
import math
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlrun.errors import Mistake


def write_whole(target: Path, content: bytes) -> None:
    """Write a file whole or not at all: under a temporary name first, then renamed."""
    with replacing(target) as part, open(part, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path beside `target`, no other process's, to write to: it replaces `target` if all goes well."""
    part = target.with_name(f".{target.name}.{secrets.token_hex(3)}.part")
    try:
        yield part
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


class writing:  # noqa: N801 (reads as a statement: with writing(folder))
    """Turn what the disk refuses into one line."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, OSError):
            reasons = {
                errno.ENOSPC: "the disk is full",
                errno.ENOENT: "the folder is gone",
                errno.EROFS: "the disk is read-only",
            }
            reason = reasons.get(error.errno or 0, error.strerror or type(error).__name__)
            raise Mistake(f"{self.path}: cannot write ({reason})") from error


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, object]]:
    """Return (dotted key, value) of a nested dict."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def finite(value: object) -> object:
    """Return `value` with its infinite and undefined floats as text."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
