"""Images in files: decoded all at once, or batch by batch where they do not fit in memory."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from joblib import cpu_count
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dlrun.data.reading.cache import cached
from dlrun.data.reading.download import progress
from dlrun.data.reading.memory import free_memory
from dlrun.data.reading.read_ahead import ahead
from dlrun.errors import Mistake

UNREADABLE = (OSError, ValueError, SyntaxError, Warning)  # Pillow raises all of these for broken images


class ImageFiles(Dataset):
    """Images that stay in their files until a batch of them is read.

    Args:
        files: of the images.
        size: [height, width] of all of them, resized where they differ.
        grey: whether they have one channel, or three.
        checksums: (n,) CRC-32 of the pixels of each.
        workers: threads that decode.

    Attributes:
        shape: (n, channels, height, width).
    """

    dtype, ndim = torch.uint8, 4

    def __init__(self, files: np.ndarray, size: list[int], grey: bool, checksums: np.ndarray, workers: int):
        self.files, self.size, self.grey = files, size, grey
        self.checksums, self.workers = checksums, workers
        self.shape = (len(files), 1 if grey else 3, *size)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> Tensor:
        """An image, (channels, height, width) bytes.

        Raises:
            Mistake: its file can no longer be read.
        """
        image = decode(self.files[row], self.size, self.grey)
        if image is None:
            raise Mistake(f"data.path: {self.files[row]} can no longer be read")
        return torch.from_numpy(np.ascontiguousarray(image))

    def __getitems__(self, rows: list[int]) -> list[Tensor]:
        """Several images, which is how a DataLoader asks for a batch; Pillow lets threads decode side by side."""
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(self.__getitem__, rows))

    def take(self, rows: np.ndarray) -> ImageFiles:
        """These rows alone, still in their files."""
        return ImageFiles(self.files[rows], self.size, self.grey, self.checksums[rows], self.workers)

    def batches(self, groups: Sequence[Tensor]) -> Iterator[Tensor]:
        """The images (n, channels, height, width) of each group of row indices, one group ahead of its use.

        Raises:
            Mistake: a file can no longer be read.
        """
        loader = DataLoader(
            self,
            batch_sampler=[group.tolist() for group in groups],
            generator=torch.Generator(),  # else it would draw from the generator that dropout draws from
        )
        return ahead(iter(loader))


def load_images(files: list[Path], size: list[int] | None, grey: bool) -> tuple[np.ndarray, list[Path]]:
    """(n, channels, height, width) bytes of the `files` that can be read, and those that cannot.

    The result is cached, so that it is decoded once.

    Raises:
        Mistake: the images do not fit in memory.
    """
    found = cached("images", files, (size, grey), lambda: _decode_all(files, size, grey))
    return found["images"], [files[i] for i in found["broken"]]


def open_images(files: list[Path], size: list[int] | None, grey: bool, workers: int) -> tuple[ImageFiles, list[Path]]:
    """The `files` that can be read, as images that stay in them, and those that cannot.

    All are decoded once, to see whether they can be; what was seen is cached.
    """
    found = cached("image_files", files, (size, grey), lambda: _look_at_all(files, size, grey))
    readable = np.setdiff1d(np.arange(len(files)), found["broken"])
    kept = np.array([str(files[i]) for i in readable], dtype=object)
    images = ImageFiles(kept, found["size"].tolist(), grey, found["checksums"], workers)
    return images, [files[i] for i in found["broken"]]


def _decode_all(files: list[Path], size: list[int] | None, grey: bool) -> dict[str, np.ndarray]:
    size = size or _commonest_size(files)
    shape = (len(files), 1 if grey else 3, *size)
    _refuse_too_many(shape)
    images, readable = np.empty(shape, dtype=np.uint8), np.ones(len(files), dtype=bool)
    for i, image in enumerate(_decoded(files, size, grey)):
        if image is None:
            readable[i] = False
        else:
            images[i] = image
    return {"images": images if readable.all() else images[readable], "broken": np.flatnonzero(~readable)}


def _look_at_all(files: list[Path], size: list[int] | None, grey: bool) -> dict[str, np.ndarray]:
    size = size or _commonest_size(files)
    found = [None if image is None else zlib.crc32(image.tobytes()) for image in _decoded(files, size, grey)]
    return {
        "size": np.array(size),
        "checksums": np.array([checksum for checksum in found if checksum is not None], dtype=np.uint32),
        "broken": np.array([i for i, checksum in enumerate(found) if checksum is None], dtype=np.int64),
    }


def _decoded(files: list[Path], size: list[int], grey: bool) -> Iterator[np.ndarray | None]:
    """Every image, decoded by threads a few ahead, so that they are not all in memory at once."""
    with ThreadPoolExecutor(cpu_count()) as pool:
        at_once = 100 * cpu_count()
        groups = (files[start : start + at_once] for start in range(0, len(files), at_once))
        images = (image for group in groups for image in pool.map(partial(decode, size=size, grey=grey), group))
        yield from progress(images, len(files), "decoding images")


def _commonest_size(files: list[Path]) -> list[int]:
    sizes = [size for size in map(_size_of, files) if size]
    return list(Counter(sizes).most_common(1)[0][0]) if sizes else [1, 1]


def _refuse_too_many(shape: tuple[int, ...]) -> None:
    """Refuse, by a Mistake, images that this machine's free memory cannot hold."""
    needed, free = 2 * math.prod(shape), free_memory()  # twice: as decoded, and divided into the splits
    if free is not None and needed > free:
        size = "×".join(map(str, shape[1:]))
        raise Mistake(
            f"data.path: {shape[0]:,} images of {size} need {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} are "
            "free; set data.in_memory=false, which reads them batch by batch, or a smaller data.size"
        )


def _size_of(file: Path) -> tuple[int, int] | None:
    """(height, width), or None for a file that is no image."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            return image.height, image.width
    except UNREADABLE:
        return None


def decode(file: Path | str, size: list[int], grey: bool) -> np.ndarray | None:
    """(channels, height, width) bytes, or None for a file that cannot be read."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            image = image.convert("L" if grey else "RGB")
            if (image.height, image.width) != tuple(size):
                image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            pixels = np.array(image)
    except UNREADABLE:
        return None
    return pixels[None] if grey else pixels.transpose(2, 0, 1)
