"""Images: scikit-learn's digits and the IDX files of MNIST; stored as bytes, (n, channels, height, width)."""

from __future__ import annotations

import math
import struct

import numpy as np
import torch
from torch import Tensor

from dlrun.data.download import File, read
from dlrun.data.module import Pixels, Source
from dlrun.errors import Mistake


def digits() -> Source:
    """The 1,797 digits that ship with scikit-learn: 8×8 pixels of 0 to 16."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = bunch.images.astype(np.uint8)[:, None]
    names = [str(name) for name in bunch.target_names]
    return Source(images, bunch.target, ImagePreprocessing(16.0), class_names=names, target_names=["digit"])


def idx(files: dict[str, File], class_names: list[str], data_dir: str | None = None, licence: str = "") -> Source:
    """Images and labels in the IDX format of MNIST (http://yann.lecun.com/exdb/mnist/).

    Args:
        files: `train_images`, `train_labels`, `test_images` and `test_labels`.
        class_names: by label.
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
        ImagePreprocessing(255.0),
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
    """Images stay bytes; each batch is divided by `scale` on its way into the network."""

    fits_all_rows = False

    def __init__(self, scale: float):
        self.scale = scale
        self.transform = Pixels(scale)
        self.feature_names: list[str] = []

    def fit(self, inputs: np.ndarray) -> ImagePreprocessing:
        """Nothing is learned from the rows."""
        return self

    def apply(self, inputs: np.ndarray) -> Tensor:
        """(n, channels, height, width) uint8, unchanged."""
        return torch.from_numpy(np.ascontiguousarray(inputs))

    def describe(self) -> dict:
        """What `preprocessing.json` records."""
        return {"kind": "images", "scale": self.scale}

    def fitted(self) -> None:
        """Nothing was learned from the rows."""
