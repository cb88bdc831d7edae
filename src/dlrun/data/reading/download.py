"""Files that a data set is read from: looked for locally, else downloaded once, and checked before they are used."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal, TypeVar

from dlrun.errors import Mistake, one_line

T = TypeVar("T")
UNVERIFIED = "unverified"
Opener = Callable[[Path, Literal["rb"]], io.BufferedIOBase]
OPENERS: dict[str, Opener] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
EXPLODES = 200  # times its packed size, and 100 MB: what unpacks to more was made to fill the memory


@dataclass
class File:
    """A file of a data set.

    Attributes:
        path: below the data folder or the cache folder.
        url, mirror: where it is downloaded from, and the second address; null: there is none.
        sha256: of the unpacked content, so that a file that was packed again still counts; `unverified` where the
            publisher gives none: the first download records it, and from then on it holds.
    """

    path: str
    url: str | None
    sha256: str
    mirror: str | None = None

    def __post_init__(self) -> None:
        path = PurePath(self.path)
        if path.is_absolute() or path.drive or ".." in path.parts:
            raise Mistake(f"data: the file path '{self.path}' leads out of the data folder")


def read(file: File, data_dir: str | None) -> bytes:
    """Return the unpacked content of `file`: from `data_dir`, else from the cache, else from the network into the
    cache.

    Raises:
        Mistake: no such data folder, a content with another checksum, or no address that answers.
    """
    return _checked(locate(file, data_dir), file)


def locate(file: File, data_dir: str | None) -> Path:
    """Return where `file` lies: in `data_dir`, or else in the cache, downloaded if need be. Its content is not checked
    here.

    Raises:
        Mistake: no such data folder, or no address that answers with the right content.
    """
    if data_dir is not None:
        if not Path(data_dir).expanduser().is_dir():
            raise Mistake(f"data_dir: there is no folder '{data_dir}'")
        local = Path(data_dir).expanduser() / file.path
        if local.is_file():
            return local
    cached = cache_folder() / file.path
    if not cached.is_file():
        _download(file, cached)
    return cached


def progress(items: Iterable[T], total: int, description: str) -> Iterable[T]:
    """Return `items`, which come with a progress bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(items, description, total, console=console, disable=not console.is_terminal)


def cache_folder() -> Path:
    """Return the user's cache folder for data (`$XDG_CACHE_HOME/dlrun` or the system's own place)."""
    import pooch

    return Path(pooch.os_cache("dlrun"))


def _checked(path: Path, file: File) -> bytes:
    content = unpack(path)
    recorded = path.with_name(f"{path.name}.sha256")
    expected: str | None = file.sha256
    if expected == UNVERIFIED:
        expected = recorded.read_text().strip() if recorded.is_file() else None
    if expected is not None and hashlib.sha256(content).hexdigest() != expected:
        raise Mistake(
            f"{path}: the content is not the published one (its sha256 differs); delete the file to have it downloaded"
        )
    return content


def unpack(path: Path) -> bytes:
    """Return the content of a file, unpacked by its suffix (.gz, .bz2, .xz).

    Raises:
        Mistake: it cannot be read or unpacked.
    """
    try:
        if path.suffix not in OPENERS:
            return path.read_bytes()
        most = max(100_000_000, EXPLODES * path.stat().st_size)
        with OPENERS[path.suffix](path, "rb") as file:
            content = file.read(most + 1)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        raise Mistake(f"{path}: cannot be unpacked ({one_line(error)}); delete it to have it downloaded") from error
    if len(content) > most:
        raise Mistake(
            f"{path}: unpacks to more than {most / 1e9:.1f} GB, {EXPLODES} times its size and more; delete it"
        )
    return content


def _download(file: File, target: Path) -> None:
    """Download into the cache: a temporary name first, the right name only once the content has been checked."""
    failures = []
    for address in filter(None, (file.url, file.mirror)):
        part = target.with_name(f".{os.getpid()}-{target.name}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _fetch(address, part)
            checksum = hashlib.sha256(unpack(part)).hexdigest()
            if file.sha256 not in (checksum, UNVERIFIED):
                raise ValueError("what came is not the published content (its sha256 differs)")
            if file.sha256 == UNVERIFIED:
                target.with_name(f"{target.name}.sha256").write_text(checksum)
            part.replace(target)
            return
        except (OSError, ValueError, Mistake) as error:
            unreachable = type(error).__name__ in ("ConnectionError", "ConnectTimeout", "ReadTimeout")  # of requests
            failures.append(f"{address}: {'no connection' if unreachable else one_line(error)}")
        finally:
            part.unlink(missing_ok=True)
    where = "; ".join(failures) or "no address is known"
    raise Mistake(
        f"{file.path}: not found locally and cannot be downloaded ({where}); put it into a folder of your own "
        f"and name that: data_dir=<folder>"
    )


class _Bar:
    """The progress bar in the shape that pooch drives: total, update, reset, close. Silent off a terminal."""

    def __init__(self, description: str):
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._progress.add_task(description, total=None)
        self._progress.start()

    @property
    def total(self) -> float | None:
        return self._progress.tasks[0].total

    @total.setter
    def total(self, size: float) -> None:
        self._progress.update(self._task, total=size)

    def update(self, amount: int) -> None:
        self._progress.update(self._task, advance=amount)

    def reset(self) -> None:
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        self._progress.stop()


def _fetch(address: str, target: Path) -> None:
    import pooch

    print(f"downloading {address}", file=sys.stderr)
    bar = _Bar(target.name.partition("-")[2])
    try:
        pooch.HTTPDownloader(progressbar=bar, timeout=30)(address, str(target), None)
    finally:
        bar.close()
