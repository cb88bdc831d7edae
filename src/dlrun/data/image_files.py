"""Images in files: decoded all at once, or batch by batch where they do not fit in memory."""

from __future__ import annotations

import math
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dlrun.data.cache import cached
from dlrun.data.download import progress
from dlrun.data.memory import free_memory
from dlrun.errors import Mistake

UNREADABLE = (OSError, ValueError, SyntaxError, Warning)  # Pillow raises all of these for broken images


class ImageFiles(Dataset):
    """Images that stay in their files until a batch of them is read.

    `images[3]` is one, (channels, height, width) bytes, or None where its file can no longer be read; `images[rows]`
    are those rows, still in their files.

    Args:
        files: of the images.
        size: [height, width] of all of them, resized where they differ.
        grey: whether they have one channel, or three.
        checksums: (n,) CRC-32 of the pixels of each.
        workers: processes that decode ahead of the training; 0: it decodes for itself.

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

    def __getitem__(self, rows: int | slice | np.ndarray) -> Tensor | None | ImageFiles:
        if not isinstance(rows, int):
            return ImageFiles(self.files[rows], self.size, self.grey, self.checksums[rows], self.workers)
        image = decode(self.files[rows], self.size, self.grey)
        return None if image is None else torch.from_numpy(np.ascontiguousarray(image))

    def batches(self, groups: list[Tensor]) -> Iterator[Tensor]:
        """The images (n, channels, height, width) of each group of row indices, in turn.

        Raises:
            Mistake: a file that could be read before can no longer be.
        """
        loader = DataLoader(
            self,
            batch_sampler=[group.tolist() for group in groups],
            num_workers=self.workers,
            collate_fn=_stacked,
            generator=torch.Generator(),  # else it would draw from the generator that dropout draws from
        )
        for group, images in zip(groups, loader, strict=True):
            if images is None:
                files = self.files[group.numpy()]
                broken = next(file for file in files if decode(file, self.size, self.grey) is None)
                raise Mistake(f"data.path: {broken} can no longer be read")
            yield images


def _stacked(images: list[Tensor | None]) -> Tensor | None:
    return None if any(image is None for image in images) else torch.stack(images)


def load_images(files: list[Path], size: list[int] | None, grey: bool) -> tuple[np.ndarray, list[Path]]:
    """(n, channels, height, width) bytes of the `files` that can be read, and those that cannot.

    The result is cached, so that it is decoded once.

    Raises:
        Mistake: the images do not fit in memory.
    """
    found = cached("images", files, (size, grey), lambda: _decode_all(files, size, grey))
    return found["images"], [files[i] for i in found["broken"]]


def open_images(files: list[Path], size: list[int] | None, grey: bool, workers: str | int) -> tuple[ImageFiles, list]:
    """The `files` that can be read, as images that stay in them, and those that cannot.

    All are decoded once, to see whether they can be; what was seen is cached.
    """
    found = cached("image_files", files, (size, grey), lambda: _look_at_all(files, size, grey))
    readable = np.setdiff1d(np.arange(len(files)), found["broken"])
    kept = np.array([str(files[i]) for i in readable], dtype=object)
    images = ImageFiles(kept, found["size"].tolist(), grey, found["checksums"], choose_workers(workers))
    return images, [files[i] for i in found["broken"]]


def choose_workers(workers: str | int) -> int:
    """Processes that decode images: the number given; auto: all cores but the one that trains, and at least one.

    Raises:
        Mistake: neither `auto` nor a number from 0 on.
    """
    if workers == "auto":
        return max(1, (os.cpu_count() or 1) - 1)
    if not isinstance(workers, int) or workers < 0:
        raise Mistake(f"workers is {workers}: it must be auto, or at least 0")
    return workers


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
    with ThreadPoolExecutor() as pool:
        at_once = 100 * (os.cpu_count() or 1)
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
            pixels = np.asarray(image)
    except UNREADABLE:
        return None
    return pixels[None] if grey else pixels.transpose(2, 0, 1)
