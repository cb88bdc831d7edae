"""Images in files: decoded all at once, or batch by batch where they do not fit in memory."""

from __future__ import annotations

import math
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from PIL.Image import Image

UNREADABLE = (OSError, ValueError, SyntaxError, Warning)  # Pillow raises all of these for broken images
ORIENTATION = 0x0112  # the Exif tag that says how a camera was held
ON_THEIR_SIDE = (5, 6, 7, 8)  # its values that exchange height and width
DEEP_RANGES = (255, 1023, 4095, 16383, 65535)  # of cameras and scanners with 8, 10, 12, 14 and 16 bits


@dataclass(frozen=True)
class Rules:
    """How files become images of one kind.

    Attributes:
        size: [height, width] of all; None: the size that most of them have.
        grey: whether they have one channel, or three.
        background: the colour, as Pillow names it, that shows through transparent pixels.
        value_range: the (lowest, highest) value of images with more than 8 bits or with fractions, which become 0 and
            255; None: that of the images.
    """

    size: tuple[int, int] | None
    grey: bool
    background: str = "white"
    value_range: tuple[float, float] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image, where the size is known."""
        height, width = self.size or (0, 0)
        return 1 if self.grey else 3, height, width


@dataclass(frozen=True)
class Seen:
    """What was done to make images out of files: how many were `turned` upright, `transparent`, `deep` (16 bits or
    fractions) and in part outside the range of their values (`clipped`), `resized`, or had further frames (`animated`).
    """

    turned: int = 0
    transparent: int = 0
    deep: int = 0
    clipped: int = 0
    resized: int = 0
    animated: int = 0

    def lines(self, rules: Rules) -> list[str]:
        """Return what was done, in a line each."""
        low, high = rules.value_range or (0, 255)
        size = "×".join(map(str, rules.size or ()))
        counts = {
            f"turned upright, as their Exif orientation says: {self.turned} images": self.turned,
            f"transparent images: {self.transparent}, drawn on {rules.background} (data.background)": self.transparent,
            f"images of 16 bits or of fractions: {self.deep}; their values {low:g} to {high:g} become 0 to 255 "
            "(data.range=[lowest, highest])": self.deep,
            f"images with values outside of {low:g} to {high:g}: {self.clipped}, clipped to it": self.clipped,
            f"images of another size than {size}: {self.resized}, resized to it (data.size)": self.resized,
            f"images with several frames or pages: {self.animated}; the first is read": self.animated,
        }
        return [line for line, count in counts.items() if count]


class ImageFiles(Dataset[Tensor]):
    """Images that stay in their files until a batch of them is read.

    Args:
        files: of the images.
        rules: how they are decoded; their size is known.
        checksums: (n,) CRC-32 of the pixels of each.
        workers: threads that decode.

    Attributes:
        shape: (n, channels, height, width).
    """

    dtype, ndim = torch.uint8, 4

    def __init__(self, files: np.ndarray, rules: Rules, checksums: np.ndarray, workers: int):
        self.files, self.rules = files, rules
        self.checksums, self.workers = checksums, workers
        self.shape = (len(files), *rules.shape)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> Tensor:
        """Return an image, (channels, height, width) bytes.

        Raises:
            Mistake: its file can no longer be read.
        """
        image = decode(self.files[row], self.rules)
        if image is None:
            raise Mistake(f"data.path: {self.files[row]} can no longer be read")
        return torch.from_numpy(np.ascontiguousarray(image))

    def __getitems__(self, rows: list[int]) -> list[Tensor]:
        """Return several images, as a DataLoader asks for a batch; Pillow lets threads decode side by side."""
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(self.__getitem__, rows))

    def take(self, rows: np.ndarray) -> ImageFiles:
        """Return these rows alone, still in their files."""
        return ImageFiles(self.files[rows], self.rules, self.checksums[rows], self.workers)

    def batches(self, groups: Sequence[Tensor]) -> Iterator[Tensor]:
        """Return the images (n, channels, height, width) of each group of row indices, one group ahead of its use.

        Raises:
            Mistake: a file can no longer be read.
        """
        loader = DataLoader(
            self,
            batch_sampler=[group.tolist() for group in groups],
            generator=torch.Generator(),  # else it would draw from the generator that dropout draws from
        )
        return ahead(iter(loader))


@dataclass
class Decoded:
    """The images in files.

    Attributes:
        images: (n, channels, height, width) bytes of those that can be read, or these in their files.
        broken: the files that cannot be read.
        rules: with the size and the range of values that were found.
        seen: what was done to them.
    """

    images: np.ndarray | ImageFiles
    broken: list[Path]
    rules: Rules
    seen: Seen


def load_images(files: list[Path], rules: Rules) -> Decoded:
    """Return the images in `files`, in memory.

    The result is cached, so that it is decoded once.

    Raises:
        Mistake: the images do not fit in memory.
    """
    arrays = cached("images", files, rules, lambda: _looked_at(files, rules, _decode_all))
    return Decoded(arrays["images"], *_facts_of(files, rules, arrays))


def open_images(files: list[Path], rules: Rules, workers: int) -> Decoded:
    """Return the images in `files`, which stay there.

    All are decoded once, to see whether they can be; what was seen is cached.
    """
    arrays = cached("image_files", files, rules, lambda: _looked_at(files, rules, _checksums_of_all))
    broken, rules, seen = _facts_of(files, rules, arrays)
    readable = np.setdiff1d(np.arange(len(files)), arrays["broken"])
    kept = np.array([str(files[i]) for i in readable], dtype=object)
    return Decoded(ImageFiles(kept, rules, arrays["checksums"], workers), broken, rules, seen)


def examine(files: Sequence[Path], rules: Rules) -> tuple[Rules, Seen]:
    """Return the rules with the size and the range of values of these files, where they are open, and what decoding
    will do.

    Raises:
        Mistake: the background is no colour.
    """
    from PIL import ImageColor

    try:
        ImageColor.getrgb(rules.background)
    except ValueError as error:
        raise Mistake(
            f"data.background: '{rules.background}' is no colour, as white, black or '#808080' are"
        ) from error
    with ThreadPoolExecutor(cpu_count()) as pool:
        heads = [head for head in pool.map(_head_of, files) if head is not None]
        extremes = list(pool.map(_extremes_of, [head.file for head in heads if head.deep]))
    sizes = Counter(head.size for head in heads)
    rules = replace(rules, size=rules.size or (sizes.most_common(1)[0][0] if sizes else (1, 1)))
    known = [pair for pair in extremes if pair is not None]
    if known and rules.value_range is None:
        lowest, highest = min(low for low, _ in known), max(high for _, high in known)
        rules = replace(rules, value_range=_range_of(lowest, highest))
    low, high = rules.value_range or (0, 255)
    seen = Seen(
        turned=sum(head.turned for head in heads),
        transparent=sum(head.transparent for head in heads),
        deep=sum(head.deep for head in heads),
        clipped=sum(lowest < low or highest > high for lowest, highest in known),
        resized=sum(head.size != rules.size for head in heads),
        animated=sum(head.animated for head in heads),
    )
    return rules, seen


def decode(file: Path | str, rules: Rules) -> np.ndarray | None:
    """Return (channels, height, width) bytes, or None for a file that cannot be read; `rules` know their size."""
    from PIL import ImageOps

    Image = _pillow()
    try:
        with Image.open(file) as image:
            image = ImageOps.exif_transpose(image)
            if _is_deep(image):
                image = _as_bytes(image, rules.value_range)
            elif _is_transparent(image):
                behind = Image.new("RGBA", image.size, rules.background)
                image = Image.alpha_composite(behind, image.convert("RGBA"))
            image = image.convert("L" if rules.grey else "RGB")
            _, height, width = rules.shape
            if (image.height, image.width) != (height, width):
                image = image.resize((width, height), Image.Resampling.BILINEAR)
            pixels = np.array(image)
    except (*UNREADABLE, Image.DecompressionBombError):
        return None
    return pixels[None] if rules.grey else pixels.transpose(2, 0, 1)


def why_unreadable(file: Path) -> str:
    """Return what a person may want to know of a file that could not be decoded, in brackets; empty where nothing is
    known.
    """
    Image = _pillow()
    try:
        with Image.open(file):
            return ""
    except Image.DecompressionBombError:
        return f" (more than {2 * Image.MAX_IMAGE_PIXELS / 1e6:.0f} million pixels; make it smaller)"
    except UNREADABLE:
        return " (an empty file)" if not file.stat().st_size else ""


@cache
def _pillow() -> ModuleType:
    """Return Pillow's module of images, quiet on large ones: those that are too large are left out by name."""
    from PIL import Image

    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    return Image


@dataclass(frozen=True)
class _Head:
    """What an image file says before it is decoded; its size (height, width) is that of the image held upright."""

    file: Path
    size: tuple[int, int]
    turned: bool
    transparent: bool
    deep: bool
    animated: bool


def _head_of(file: Path) -> _Head | None:
    Image = _pillow()
    try:
        with Image.open(file) as image:
            orientation = image.getexif().get(ORIENTATION, 1)
            turned = orientation in range(2, 9)
            size = (image.width, image.height) if orientation in ON_THEIR_SIDE else (image.height, image.width)
            animated = bool(getattr(image, "is_animated", False))
            return _Head(file, size, turned, _is_transparent(image), _is_deep(image), animated)
    except (*UNREADABLE, Image.DecompressionBombError):
        return None


def _is_deep(image: Image) -> bool:
    """Return whether a Pillow image has more than 8 bits a channel, or fractions."""
    return image.mode.startswith("I") or image.mode == "F"


def _is_transparent(image: Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def _extremes_of(file: Path) -> tuple[float, float] | None:
    """Return the lowest and the highest value in a deep image; None where it cannot be read, or has none that is
    finite.
    """
    Image = _pillow()
    try:
        with Image.open(file) as image:
            values = np.asarray(image)
    except UNREADABLE:
        return None
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if len(finite) else None


def _range_of(lowest: float, highest: float) -> tuple[float, float]:
    """Return what becomes 0 and 255: the range of the bits that are in use, or 0 to 1, or else the values' own."""
    if lowest >= 0 and highest <= 1:
        return 0.0, 1.0
    fitting = [float(most) for most in DEEP_RANGES if highest <= most]
    return (0.0, fitting[0]) if lowest >= 0 and fitting else (lowest, highest)


def _as_bytes(image: Image, value_range: tuple[float, float] | None) -> Image:
    """Return a deep Pillow image as one of bytes; what is no number is 0."""
    from PIL.Image import fromarray

    low, high = value_range or (0.0, 65535.0)
    values = np.asarray(image, dtype=np.float64)
    scaled = np.clip((values - low) / ((high - low) or 1.0), 0, 1) * 255
    return fromarray(np.rint(np.nan_to_num(scaled)).astype(np.uint8))


def _looked_at(
    files: list[Path], rules: Rules, decode_all: Callable[[list[Path], Rules], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Return what `decode_all` makes of the files, and what was seen of them."""
    rules, seen = examine(files, rules)
    return decode_all(files, rules) | {
        "size": np.array(rules.size),
        "range": np.array(rules.value_range or (), dtype=np.float64),
        "seen": np.array([seen.turned, seen.transparent, seen.deep, seen.clipped, seen.resized, seen.animated]),
    }


def _facts_of(files: list[Path], rules: Rules, arrays: dict[str, np.ndarray]) -> tuple[list[Path], Rules, Seen]:
    known = replace(rules, size=tuple(arrays["size"].tolist()), value_range=tuple(arrays["range"].tolist()) or None)
    return [files[i] for i in arrays["broken"]], known, Seen(*arrays["seen"].tolist())


def _decode_all(files: list[Path], rules: Rules) -> dict[str, np.ndarray]:
    shape = (len(files), *rules.shape)
    _refuse_too_many(shape)
    images, readable = np.empty(shape, dtype=np.uint8), np.ones(len(files), dtype=bool)
    for i, image in enumerate(_decoded(files, rules)):
        if image is None:
            readable[i] = False
        else:
            images[i] = image
    return {"images": images if readable.all() else images[readable], "broken": np.flatnonzero(~readable)}


def _checksums_of_all(files: list[Path], rules: Rules) -> dict[str, np.ndarray]:
    checksums = [None if image is None else zlib.crc32(image.tobytes()) for image in _decoded(files, rules)]
    return {
        "checksums": np.array([checksum for checksum in checksums if checksum is not None], dtype=np.uint32),
        "broken": np.array([i for i, checksum in enumerate(checksums) if checksum is None], dtype=np.int64),
    }


def _decoded(files: list[Path], rules: Rules) -> Iterator[np.ndarray | None]:
    """Yield every image, decoded by threads a few ahead, so that they are not all in memory at once."""
    with ThreadPoolExecutor(cpu_count()) as pool:
        at_once = 100 * cpu_count()
        groups = (files[start : start + at_once] for start in range(0, len(files), at_once))
        images = (image for group in groups for image in pool.map(partial(decode, rules=rules), group))
        yield from progress(images, len(files), "decoding images")


def _refuse_too_many(shape: tuple[int, ...]) -> None:
    """Refuse, by a Mistake, images that this machine's free memory cannot hold."""
    needed, free = 2 * math.prod(shape), free_memory()  # twice: as decoded, and divided into the splits
    if free is not None and needed > free:
        size = "×".join(map(str, shape[1:]))
        raise Mistake(
            f"data.path: {shape[0]:,} images of {size} need {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} are "
            "free; set data.in_memory=false, which reads them batch by batch, or a smaller data.size"
        )
