"""Decoded data, kept between processes: each decoding is done once, however many runs read it at the same time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from dlrun.data.reading.download import cache_folder
from dlrun.store.files import replacing

VERSION = 2  # of the rules by which files become arrays: what was decoded by older ones does not count


def cached(
    kind: str, files: Iterable[Path], settings: object, decode: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Return the arrays that `decode()` gives, from the cache where they have been decoded before.

    Args:
        kind: the sub-folder of the cache.
        files: what is decoded; the arrays count as long as names, sizes and times of these stay the same.
        settings: what else decides the arrays.
        decode: reads the files; its arrays are of numbers or bytes, so that nothing in the cache can run code.
    """
    stamps = [(str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    key = hashlib.sha256(repr((VERSION, stamps, settings)).encode()).hexdigest()[:32]
    place = cache_folder() / kind / f"{key}.npz"
    if place.is_file():
        with np.load(place, allow_pickle=False) as stored:
            return dict(stored)
    arrays = decode()
    with suppress(OSError):  # where nothing can be kept, it is decoded again next time
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as part, open(part, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # no array is called as its one option is
    return arrays
