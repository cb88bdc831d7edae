"""Arrays in .npy files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dlrun.errors import Mistake, one_line


def load_array(path: Path) -> np.ndarray:
    """Return the array in a .npy file, read as it is needed.

    Raises:
        Mistake: it is none, or could run code.
    """
    try:
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise Mistake(f"{path}: cannot be read as an array ({one_line(error)})") from error
    if not isinstance(array, np.ndarray) or array.ndim < 2 or array.dtype.kind not in "iufb":
        raise Mistake(f"{path}: holds no array of rows of numbers")
    return array
