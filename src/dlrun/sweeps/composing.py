"""The configs of many runs are composed by one Composer a process, which does the slow part once."""

from __future__ import annotations

import functools
from pathlib import Path

from dlrun.config.compose import Composer


def composer_for(config_dir: str | Path | None, anew: bool = False) -> Composer:
    """Return the Composer of this process for the user's folder `config_dir` (None: our own groups alone).

    It is made anew where a file of that folder, or the current folder, has changed, and on request (`anew`).
    """
    if anew:
        _composer.cache_clear()
    return _composer(None if config_dir is None else str(config_dir), str(Path.cwd()), _state_of(config_dir))


@functools.lru_cache(maxsize=4)
def _composer(config_dir: str | None, _cwd: str, _state: tuple) -> Composer:
    return Composer(config_dir)


def _state_of(config_dir: str | Path | None) -> tuple:
    """Return name, size and date of every file in `config_dir`: another tuple where one has changed."""
    files = sorted(Path(config_dir).rglob("*.yaml")) if config_dir is not None else []
    stats = [(str(file), file.stat()) for file in files if file.is_file()]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
