"""How much memory there is, asked before data are read that would not fit."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")  # where Linux says what a container or a job of a cluster may use


def free_memory() -> int | None:
    """Return the bytes that this process can still have: what the machine can give, or less if its cgroup allows less.

    Returns:
        None where neither says.
    """
    known = [free for free in (_of_machine(), _of_cgroups(CGROUPS, Path("/proc/self/cgroup"))) if free is not None]
    return min(known, default=None)


def _of_machine() -> int | None:
    """Return the bytes that the machine can give without swapping."""
    if not sys.platform.startswith("linux"):
        import psutil

        return psutil.virtual_memory().available
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None


def _of_cgroups(root: Path, membership: Path) -> int | None:
    """Return the bytes that the cgroups of this process leave free: the least of its own and those above it; None: no
    limit.
    """
    try:
        lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:
        return None
    left = []
    for _, controllers, path in lines:
        if not controllers:  # version 2: one tree for all
            names, tree = ("memory.max", "memory.current", "inactive_file"), root
        elif "memory" in controllers.split(","):
            names, tree = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"), root / "memory"
        else:
            continue
        left += [free for folder in _upwards(tree, path) if (free := _left_in(folder, *names)) is not None]
    return min(left, default=None)


def _upwards(tree: Path, path: str) -> Iterator[Path]:
    """Yield the folder of a cgroup and of those that it lies in; in a container its own is the root of what is seen."""
    folder = tree / path.lstrip("/")
    while folder != tree:
        yield folder
        folder = folder.parent
    yield tree


def _left_in(folder: Path, limit: str, used: str, cached: str) -> int | None:
    """Return the bytes that a cgroup may still take; files that are kept in memory (`cached`) give way where memory is
    needed.
    """
    try:
        allowed, taken = (folder / limit).read_text().strip(), int((folder / used).read_text())
        counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    return None if allowed == "max" else max(0, int(allowed) - taken + int(counts.get(cached, 0)))
