"""Images: stored as bytes, scaled batch by batch."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dlrun.data.preprocessing.base import Preprocessing
from dlrun.data.reading.arrays import load_array
from dlrun.data.reading.image_files import ImageFiles, Rules, decode, examine, why_unreadable
from dlrun.data.reading.image_folders import find_images
from dlrun.data.rows import FileRows
from dlrun.data.schema import ImageSchema, InputSchema
from dlrun.data.transforms import Pixels
from dlrun.errors import Mistake, choose

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Self

IMAGES_AT_ONCE = 1000
VALUES_AT_ONCE = 2**22  # pixels that are summed at once


class ImagePreprocessing(Preprocessing):
    """Images stay bytes; each batch is turned into floats on its way into the network.

    Args:
        largest: the largest value that a pixel can have.
        scale: `unit` divides by it, `standard` standardises each pixel over the training rows, `none` leaves all as is.
        background, value_range: how the run's files were decoded, and new ones are; see Rules.

    Raises:
        Mistake: an unknown scale.
    """

    transform: Pixels
    size: tuple[int, int, int] | None = None  # channels, height and width of the training rows

    def __init__(
        self,
        largest: float,
        scale: str = "unit",
        background: str = "white",
        value_range: tuple[float, float] | None = None,
    ):
        choose(scale, dict.fromkeys(("unit", "standard", "none")), "data.scale")
        self.largest, self.scale = largest, scale
        self.transform = Pixels(largest if scale == "unit" else 1.0)
        self.feature_names: list[str] = []
        self.background, self.value_range = background, value_range

    def fit(self, inputs: np.ndarray | ImageFiles) -> Self:
        """Learn the mean and deviation of each pixel, under `standard`; else nothing but the size is learned."""
        self.size = tuple(inputs.shape[1:])
        if self.scale == "standard":
            mean, deviation = _mean_and_deviation(inputs)
            self.transform = Pixels(1.0, mean, deviation.where(deviation > 0, 1.0))
        return self

    def schema(self) -> InputSchema:
        """Return the size of the images, and the largest value of a pixel."""
        return InputSchema("images", image=None if self.size is None else ImageSchema(*self.size, self.largest))

    def apply(self, inputs: np.ndarray | ImageFiles) -> Tensor | FileRows:
        """Return (n, channels, height, width) uint8, unchanged."""
        return FileRows(inputs) if isinstance(inputs, ImageFiles) else torch.from_numpy(np.ascontiguousarray(inputs))

    def inputs_of(self, given: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Return images (n, channels, height, width) of bytes on the run's scale; grey ones may lack their channel.

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
        """Yield an image, the images in a folder (and its sub-folders), or an array in a .npy file, some at a time.

        Images are made grey, and of the size, that the run was trained on. Those that cannot be read are left out and
        named on standard error, as are the number of files that are no images.

        Raises:
            Mistake: no image there, or none that can be read.
        """
        import pandas as pd

        if path.suffix == ".npy":
            images = self.inputs_of(load_array(path))
            for start in range(0, len(images), IMAGES_AT_ONCE):
                chunk = images[start : start + IMAGES_AT_ONCE]
                yield pd.DataFrame({"row": range(start, start + len(chunk))}), chunk
            return
        files, passed = find_images(path)
        notes = passed.lines()
        if not files:
            raise Mistake(f"input: there is no image in {path}{'; ' if notes else ''}{'; '.join(notes)}")
        size = (input_shape[1], input_shape[2])
        rules, seen = examine(files, Rules(size, input_shape[0] == 1, self.background, self.value_range))
        for note in [*notes, *seen.lines(rules)]:
            print(f"dlrun: {note}", file=sys.stderr)
        readable = 0
        for start in range(0, len(files), IMAGES_AT_ONCE):
            decoded = {file: decode(file, rules) for file in files[start : start + IMAGES_AT_ONCE]}
            broken = [file for file, image in decoded.items() if image is None]
            for file in broken if path.is_dir() else []:
                print(f"dlrun: {file} cannot be read and was left out{why_unreadable(file)}", file=sys.stderr)
            if len(broken) == len(decoded):
                continue
            images = np.stack([image for image in decoded.values() if image is not None])
            readable += len(images)
            if self.largest != 255:
                images = np.rint(images * (self.largest / 255)).astype(np.uint8)
            yield pd.DataFrame({"file": [str(file) for file in decoded if file not in broken]}), images
        if not readable:
            what = f"{path} is no image" if path.is_file() else f"none of the {len(files)} files in {path} is an image"
            why = why_unreadable(path) if path.is_file() else ""
            raise Mistake(f"input: {what} that can be read{why}")

    def differs_from(self, other: Preprocessing) -> str:
        """Return which values of other images have become 0 and 255, where they are not those of the run."""
        own, found = self.value_range, other.value_range if isinstance(other, ImagePreprocessing) else None
        if own is None or found is None or tuple(own) == tuple(found):
            return ""
        (low, high), (other_low, other_high) = own, found
        return (f"their values from {other_low:g} to {other_high:g} are read as dark to bright, the run was trained "
                f"on {low:g} to {high:g}; data.range=[{low:g},{high:g}] reads them alike")  # fmt: skip

    def describe(self) -> dict[str, Any]:
        """Return what `preprocessing.json` records."""
        mean, deviation = self.transform.mean, self.transform.deviation
        pixels = {} if mean is None or deviation is None else {"mean": mean.tolist(), "deviation": deviation.tolist()}
        return {
            "kind": "images",
            "largest": self.largest,
            "scale": self.scale,
            "background": self.background,
            "range": None if self.value_range is None else list(self.value_range),
            **pixels,
            "size": self.size,
        }

    @classmethod
    def restore(cls, described: Mapping[str, Any], fitted: object | None) -> Self:
        """Return the preprocessing as it was fitted, from what `describe` gave."""
        if "largest" not in described:  # as it was written before pixels could be scaled in several ways
            return cls(described["scale"])
        value_range = tuple(described["range"]) if described.get("range") else None
        restored = cls(described["largest"], described["scale"], described.get("background", "white"), value_range)
        if restored.scale == "standard":
            mean, deviation = (torch.tensor(described[n], dtype=torch.float64) for n in ("mean", "deviation"))
            restored.transform = Pixels(1.0, mean, deviation)
        restored.size = tuple(described["size"]) if described.get("size") else None
        return restored


def _mean_and_deviation(images: np.ndarray | ImageFiles) -> tuple[Tensor, Tensor]:
    """Return those of each pixel over all images, as float64 (channels, height, width), from sums that are exact."""
    n, at_once = len(images), max(1, VALUES_AT_ONCE // math.prod(images.shape[1:]))
    chunks = torch.arange(n).split(at_once)
    total, squares = np.zeros(images.shape[1:], np.int64), np.zeros(images.shape[1:], np.int64)
    read = images.batches(chunks) if isinstance(images, ImageFiles) else (images[rows.numpy()] for rows in chunks)
    for chunk in read:
        values = np.asarray(chunk).astype(np.int64)
        total += values.sum(axis=0)
        squares += (values * values).sum(axis=0)
    return torch.from_numpy(total / n), torch.from_numpy(np.sqrt((n * squares - total * total) / n**2))
