"""How much memory there is, asked before data are read that would not fit."""

from __future__ import annotations

from pathlib import Path


def free_memory() -> int | None:
    """Bytes that this machine can still give; None where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None
