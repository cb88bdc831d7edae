"""A folder in which one process works at a time."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dlrun.errors import Mistake
from dlrun.store.directory import open_regular
from dlrun.store.files import writing
from dlrun.store.folder import WORK

HELD = (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Keep other processes from working in a run folder.

    The file is locked by the system, which lets go of it when its process ends, however it ends. Where a file system
    knows no locks (some network drives), nobody is kept away.

    Raises:
        Mistake: another process is at work there.
    """
    path = folder / WORK
    with writing(folder):
        descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
    try:
        if not (_lock(descriptor) and _is_same_file(descriptor, path)):
            raise Mistake(f"{folder}: another process is at work in it; wait until it has ended, or stop it")
        try:
            yield
        finally:
            with suppress(OSError):  # Windows deletes no open file: it stays, and keeps nobody away
                path.unlink()
    finally:
        os.close(descriptor)


def is_worked_in(folder: Path) -> bool:
    """Return whether a process is at work in a run folder."""
    try:
        descriptor = open_regular(folder / WORK, os.O_RDWR)
    except OSError:  # there is no such file
        return False
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock an open file until it is closed; return False where another has locked it."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]  # is there on Windows only
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in HELD
    return True


def _is_same_file(descriptor: int, path: Path) -> bool:
    """Return whether an open file is still the one at `path`, and not one that its last user has deleted meanwhile."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    return False
