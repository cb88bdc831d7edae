"""Images: scikit-learn's digits, IDX files (MNIST), CIFAR-10, and folders of images; stored as bytes."""

from __future__ import annotations

import io
import math
import os
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd

from dlrun.data.arrays import load_array
from dlrun.data.download import File, read
from dlrun.data.image_files import ImageFiles, decode, load_images, open_images
from dlrun.data.module import Pixels, Source
from dlrun.errors import Mistake, choose, one_line

IMAGES_AT_ONCE = 1000
VALUES_AT_ONCE = 2**22  # pixels that are summed at once
CIFAR_ROW = 1 + 3 * 32 * 32
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")


def digits(scale: str = "unit") -> Source:
    """The 1,797 digits that ship with scikit-learn: 8×8 pixels of 0 to 16; `scale`: see ImagePreprocessing."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = bunch.images.astype(np.uint8)[:, None]
    names = [str(name) for name in bunch.target_names]
    return Source(images, bunch.target, ImagePreprocessing(16.0, scale), class_names=names, target_names=["digit"])


def idx(
    files: dict[str, File],
    class_names: list[str],
    data_dir: str | None = None,
    licence: str = "",
    scale: str = "unit",
) -> Source:
    """Images and labels in the IDX format of MNIST (http://yann.lecun.com/exdb/mnist/).

    Args:
        files: `train_images`, `train_labels`, `test_images` and `test_labels`.
        class_names: by label.
        scale: see ImagePreprocessing.
        data_dir: where the files are looked for first.
        licence: of the data; for the reader.

    Raises:
        Mistake: a file that cannot be had, or is no IDX file of bytes.
    """
    arrays = {name: parse_idx(read(file, data_dir), file.path) for name, file in files.items()}
    images = np.concatenate([arrays["train_images"], arrays["test_images"]])[:, None]
    labels = np.concatenate([arrays["train_labels"], arrays["test_labels"]]).astype(np.int64)
    trained, n = len(arrays["train_labels"]), len(labels)
    numbers = np.concatenate([np.arange(trained), np.arange(n - trained)])
    return Source(
        images,
        labels,
        ImagePreprocessing(255.0, scale),
        given={"test": np.arange(trained, n)},
        class_names=class_names,
        target_names=["label"],
        row_numbers=numbers,
    )


def parse_idx(content: bytes, name: str) -> np.ndarray:
    """The array in the unpacked IDX file `content`: magic number 0x08 (bytes), the sizes, the values.

    Raises:
        Mistake: another magic number, or too few or too many bytes.
    """
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise Mistake(f"{name}: no IDX file of bytes (it begins with {content[:4].hex() or 'nothing'}, not 000008)")
    dimensions = content[3]
    offset = 4 + 4 * dimensions
    if len(content) < offset:
        raise Mistake(f"{name}: the IDX file ends inside its header")
    sizes = struct.unpack(f">{dimensions}I", content[4:offset])
    if len(content) - offset != math.prod(sizes):
        raise Mistake(f"{name}: the IDX file has {len(content) - offset} bytes for {'×'.join(map(str, sizes))} values")
    return np.frombuffer(content, dtype=np.uint8, offset=offset).reshape(sizes)


class ImagePreprocessing:
    """Images stay bytes; each batch is turned into floats on its way into the network.

    Args:
        largest: the largest value that a pixel can have.
        scale: `unit` divides by it, `standard` standardises each pixel over the training rows, `none` leaves all as is.

    Raises:
        Mistake: an unknown scale.
    """

    fits_all_rows = False
    vocabulary = None

    def __init__(self, largest: float, scale: str = "unit"):
        choose(scale, dict.fromkeys(("unit", "standard", "none")), "data.scale")
        self.largest, self.scale = largest, scale
        self.transform = Pixels(largest if scale == "unit" else 1.0)
        self.feature_names: list[str] = []

    def fit(self, inputs: np.ndarray | ImageFiles) -> ImagePreprocessing:
        """Learn the mean and deviation of each pixel, under `standard`; else nothing is learned."""
        if self.scale == "standard":
            mean, deviation = _mean_and_deviation(inputs)
            self.transform = Pixels(1.0, mean, deviation.where(deviation > 0, 1.0))
        return self

    def apply(self, inputs: np.ndarray | ImageFiles) -> Tensor | ImageFiles:
        """(n, channels, height, width) uint8, unchanged."""
        return inputs if isinstance(inputs, ImageFiles) else torch.from_numpy(np.ascontiguousarray(inputs))

    def inputs_of(self, given: np.ndarray) -> np.ndarray:
        """Images (n, channels, height, width), or grey ones (n, height, width), of bytes on the run's scale.

        Raises:
            Mistake: another shape, or values that are no bytes.
        """
        images = np.asarray(given)
        images = images[:, None] if images.ndim == 3 else images
        if images.ndim != 4 or images.dtype != np.uint8:
            raise Mistake(
                "input: images are arrays (n, channels, height, width) of uint8, "
                f"not {np.shape(given)} of {images.dtype}"
            )
        return images

    def read(self, path: Path, input_shape: tuple[int, ...]) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
        """An image, the images in a folder (and its sub-folders), or an array in a .npy file, some at a time.

        Images are made grey, and of the size, that the run was trained on.

        Raises:
            Mistake: no image there, or one that cannot be read.
        """
        import pandas as pd

        if path.suffix == ".npy":
            images = self.inputs_of(load_array(path))
            for start in range(0, len(images), IMAGES_AT_ONCE):
                chunk = images[start : start + IMAGES_AT_ONCE]
                yield pd.DataFrame({"row": range(start, start + len(chunk))}), chunk
            return
        files = sorted(f for f in path.rglob("*") if f.suffix.lower() in IMAGE_SUFFIXES) if path.is_dir() else [path]
        if not files:
            raise Mistake(f"input: there is no image in {path}")
        size, grey = list(input_shape[1:]), input_shape[0] == 1
        for start in range(0, len(files), IMAGES_AT_ONCE):
            chunk = files[start : start + IMAGES_AT_ONCE]
            decoded = [decode(file, size, grey) for file in chunk]
            if any(image is None for image in decoded):
                broken = next(file for file, image in zip(chunk, decoded, strict=True) if image is None)
                raise Mistake(f"input: {broken} is no image that can be read")
            images = np.stack(decoded)
            if self.largest != 255:
                images = np.rint(images * (self.largest / 255)).astype(np.uint8)
            yield pd.DataFrame({"file": map(str, chunk)}), images

    def describe(self) -> dict:
        """What `preprocessing.json` records."""
        described = {"kind": "images", "largest": self.largest, "scale": self.scale}
        if self.scale == "standard":
            described |= {"mean": self.transform.mean.tolist(), "deviation": self.transform.deviation.tolist()}
        return described

    @classmethod
    def restore(cls, described: dict, _nothing: None) -> ImagePreprocessing:
        """From what `describe` gave."""
        if "largest" not in described:  # as it was written before pixels could be scaled in several ways
            return cls(described["scale"])
        found = cls(described["largest"], described["scale"])
        if found.scale == "standard":
            mean, deviation = (torch.tensor(described[n], dtype=torch.float64) for n in ("mean", "deviation"))
            found.transform = Pixels(1.0, mean, deviation)
        return found

    def fitted(self) -> None:
        """There is nothing beyond `describe`."""


def _mean_and_deviation(images: np.ndarray | ImageFiles) -> tuple[Tensor, Tensor]:
    """Of each pixel over all images of bytes, as float64 (channels, height, width), from sums that are exact."""
    n, at_once = len(images), max(1, VALUES_AT_ONCE // math.prod(images.shape[1:]))
    chunks = torch.arange(n).split(at_once)
    total, squares = np.zeros(images.shape[1:], np.int64), np.zeros(images.shape[1:], np.int64)
    read = images.batches(chunks) if isinstance(images, ImageFiles) else (images[rows.numpy()] for rows in chunks)
    for chunk in read:
        values = np.asarray(chunk).astype(np.int64)
        total += values.sum(axis=0)
        squares += (values * values).sum(axis=0)
    return torch.from_numpy(total / n), torch.from_numpy(np.sqrt((n * squares - total * total) / n**2))


def cifar(
    file: File, class_names: list[str], data_dir: str | None = None, licence: str = "", scale: str = "unit"
) -> Source:
    """CIFAR-10 in its binary version (https://www.cs.toronto.edu/~kriz/cifar.html): five training batches and a test
    batch, each row a label and 3·32·32 pixels; `scale`: see ImagePreprocessing.

    Raises:
        Mistake: the archive cannot be had, or does not hold the batches.
    """
    content = read(file, data_dir)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    batches = [
        np.frombuffer(_member(content, name, file.path), dtype=np.uint8).reshape(-1, CIFAR_ROW) for name in names
    ]
    rows = np.concatenate(batches)
    trained = sum(len(batch) for batch in batches[:-1])
    numbers = np.concatenate([np.arange(trained), np.arange(len(rows) - trained)])
    return Source(
        rows[:, 1:].reshape(-1, 3, 32, 32),
        rows[:, 0].astype(np.int64),
        ImagePreprocessing(255.0, scale),
        given={"test": np.arange(trained, len(rows))},
        class_names=class_names,
        target_names=["label"],
        row_numbers=numbers,
    )


def _member(archive: bytes, name: str, path: str) -> bytes:
    """The content of the member `name`, in whatever folder of the tar file; nothing is written to the disk."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            found = next((m for m in tar if m.isfile() and PurePosixPath(m.name).name == name), None)
            content = tar.extractfile(found).read() if found else b""
    except tarfile.TarError as error:
        raise Mistake(f"{path}: is no tar file ({one_line(error)})") from error
    if not content or len(content) % CIFAR_ROW:
        raise Mistake(f"{path}: {name} is missing or has {len(content)} bytes, not a multiple of {CIFAR_ROW}")
    return content


def folder(
    path: str,
    size: list[int] | None = None,
    grey: bool = False,
    data_dir: str | None = None,
    scale: str = "unit",
    in_memory: bool = True,
    workers: str | int = "auto",
) -> Source:
    """Images in `path/<class>/<file>`: decoded in parallel, resized where their sizes differ, and cached.

    Args:
        path: the folder, relative to the current one or else to `data_dir`.
        size: [height, width] of all images; None: the size that most of them have.
        grey: whether to read them as grey images (one channel) or in colour (three).
        scale: see ImagePreprocessing.
        data_dir: the folder to look in besides the current one.
        in_memory: whether all images are kept there, as bytes; else they are decoded whenever a batch is read, with the
            same results to the last bit.
        workers: threads that decode the next batch while the network trains, where the images are not in memory; auto:
            as many as there are cores.

    Raises:
        Mistake: no such folder, fewer than two classes with images, no image that can be read, too many for the
            memory, or a number of workers that cannot be.
    """
    workers = choose_workers(workers)
    root = next((p for p in _places(path, data_dir) if p.is_dir()), None)
    if root is None:
        raise Mistake(f"data.path: there is no folder '{path}' (the current folder is {Path.cwd()})")
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise Mistake(f"data.size is {size}: it must be [height, width], or null")
    files = sorted(f for f in root.glob("*/*") if f.suffix.lower() in IMAGE_SUFFIXES)
    classes = sorted({f.parent.name for f in files})
    if len(classes) < 2:
        raise Mistake(f"data.path: {root} has images in {len(classes)} sub-folders; each class needs one of its own")
    if in_memory:
        images, broken = load_images(files, size, grey)
    else:
        images, broken = open_images(files, size, grey, workers)
    kept = [i for i, file in enumerate(files) if file not in broken]
    if not kept:
        raise Mistake(f"data.path: none of the {len(files)} files below {root} is an image that can be read")
    labels = np.array([classes.index(files[i].parent.name) for i in kept])
    shown = ", ".join(str(file.relative_to(root)) for file in broken[:5]) + (", …" if len(broken) > 5 else "")
    notes = [f"{len(broken)} of the files cannot be read and were left out: {shown}"] if broken else []
    return Source(
        images, labels, ImagePreprocessing(255.0, scale), class_names=classes, target_names=["class"], notes=notes
    )


def choose_workers(workers: str | int) -> int:
    """Threads that decode images: the number given; auto: as many as there are cores.

    Raises:
        Mistake: neither `auto` nor a number from 1 on.
    """
    if workers == "auto":
        return os.cpu_count() or 1
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise Mistake(f"workers is {workers}: it must be auto, or at least 1")
    return workers


def _places(path: str, data_dir: str | None) -> list[Path]:
    return [Path(path).expanduser()] + ([Path(data_dir).expanduser() / path] if data_dir else [])
