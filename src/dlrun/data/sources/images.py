"""Images: scikit-learn's digits, IDX files (MNIST), CIFAR-10, and folders of images; stored as bytes."""

from __future__ import annotations

import io
import math
import struct
import tarfile
from pathlib import Path, PurePosixPath

import numpy as np
from joblib import cpu_count

from dlrun.data.preprocessing.images import ImagePreprocessing
from dlrun.data.reading.download import File, read
from dlrun.data.reading.image_files import Rules, load_images, open_images, why_unreadable
from dlrun.data.reading.image_folders import by_folder, by_table, find_table
from dlrun.data.source import Source
from dlrun.errors import Mistake, one_line

CIFAR_ROW = 1 + 3 * 32 * 32
CLASSES_SHOWN = 50


def digits(scale: str = "unit") -> Source:
    """Return the 1,797 digits that ship with scikit-learn: 8×8 pixels of 0 to 16; `scale`: see ImagePreprocessing."""
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
    """Return images and labels in the IDX format of MNIST (http://yann.lecun.com/exdb/mnist/).

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
    """Return the array in the unpacked IDX file `content`: magic number 0x08 (bytes), the sizes, the values.

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


def cifar(
    file: File, class_names: list[str], data_dir: str | None = None, licence: str = "", scale: str = "unit"
) -> Source:
    """Return CIFAR-10 in its binary version (https://www.cs.toronto.edu/~kriz/cifar.html): five training batches and a
    test batch, each row a label and 3·32·32 pixels; `scale`: see ImagePreprocessing.

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
    """Return the content of the member `name`, in whatever folder of the tar file; nothing is written to the disk."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            member = next((m for m in tar if m.isfile() and PurePosixPath(m.name).name == name), None)
            packed = None if member is None else tar.extractfile(member)
            content = b"" if packed is None else packed.read()
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
    background: str = "white",
    range: list[float] | None = None,  # noqa: A002 (the name of its key)
    labels: str | None = None,
    target: str | None = None,
) -> Source:
    """Return images in `path/<class>/<file>`, in `path/train/<class>/<file>` with `test/` or `val/` beside it, or with
    a table of labels: decoded in parallel, held upright, resized where their sizes differ, and cached.

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
        background: the colour behind transparent pixels: a name or `#rrggbb`.
        range: [lowest, highest] value of images of 16 bits or of fractions, which become 0 and 255; None: the range of
            the bits that the images use, [0, 1], or else their own.
        labels: a table with a column of files and one of labels, in the folder or beside it.
        target: the column of labels; None: the only one beside that of the files.

    Raises:
        Mistake: no such folder, fewer than two classes with images, no image that can be read, too many for the
            memory, or a setting that cannot be.
    """
    workers = choose_workers(workers)
    root = next((p for p in _places(path, data_dir) if p.is_dir()), None)
    if root is None:
        raise Mistake(f"data.path: there is no folder '{path}' (the current folder is {Path.cwd()})")
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise Mistake(f"data.size is {size}: it must be [height, width], or null")
    if range is not None and (len(range) != 2 or range[0] >= range[1]):
        raise Mistake(f"data.range is {range}: it must be [lowest, highest], or null")
    if target is not None and labels is None:
        raise Mistake("data.target: names a column of data.labels, and there is no such table; leave it null")
    labelled = (
        by_folder(root)
        if labels is None
        else by_table(root, find_table(labels, root, _places(labels, data_dir)), target)
    )
    rules = Rules((size[0], size[1]) if size else None, grey, background, (range[0], range[1]) if range else None)
    decoded = load_images(labelled.files, rules) if in_memory else open_images(labelled.files, rules, workers)
    kept = [i for i, file in enumerate(labelled.files) if file not in set(decoded.broken)]
    if not kept:
        raise Mistake(f"data.path: none of the {len(labelled.files)} files below {root} is an image that can be read")
    preprocessing = ImagePreprocessing(255.0, scale, background, decoded.rules.value_range)
    targets, class_names = _targets([labelled.labels[i] for i in kept], root)
    notes = [*labelled.notes, *labelled.passed.lines(), *decoded.seen.lines(decoded.rules)]
    if decoded.broken:
        shown = ", ".join(f"{file.relative_to(root)}{why_unreadable(file)}" for file in decoded.broken[:5])
        more = ", …" if len(decoded.broken) > 5 else ""
        notes.append(f"{len(decoded.broken)} of the files cannot be read and were left out: {shown}{more}")
    if class_names is not None:
        gone = sorted({str(label) for label in labelled.labels} - set(class_names))
        notes += [f"class '{name}' has no image that can be read: it is left out" for name in gone]
        notes.append(_classes_line(targets, class_names))
    parts = np.array([labelled.parts[i] for i in kept])
    given = {part: rows for part in ("valid", "test") if len(rows := np.flatnonzero(parts == part))}
    return Source(
        decoded.images,
        targets,
        preprocessing,
        given=given,
        class_names=class_names,
        target_names=[target or "class"],
        notes=notes,
    )


def _targets(labels: list[str | float], root: Path) -> tuple[np.ndarray, list[str] | None]:
    """Return class indices and the class names; or numbers as they are, and None.

    Raises:
        Mistake: one class only.
    """
    values = np.array(labels)
    if np.issubdtype(values.dtype, np.number):
        return values, None
    class_names, indices = np.unique(values.astype(str), return_inverse=True)
    if len(class_names) < 2:
        raise Mistake(f"data.path: {root} has images that can be read of one class only ('{class_names[0]}')")
    return indices, [str(name) for name in class_names]


def _classes_line(targets: np.ndarray, class_names: list[str]) -> str:
    counts = np.bincount(targets, minlength=len(class_names))
    shown = [f"{name} ({count:,})" for name, count in zip(class_names, counts, strict=True)]
    more = f", and {len(shown) - CLASSES_SHOWN} more" if len(shown) > CLASSES_SHOWN else ""
    return f"{len(shown)} classes: {', '.join(shown[:CLASSES_SHOWN])}{more}"


def choose_workers(workers: str | int) -> int:
    """Return how many threads decode images: the number given; auto: as many as there are cores for this process.

    Raises:
        Mistake: neither `auto` nor a number from 1 on.
    """
    if workers == "auto":
        return cpu_count()
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise Mistake(f"workers is {workers}: it must be auto, or at least 1")
    return workers


def _places(path: str, data_dir: str | None) -> list[Path]:
    return [Path(path).expanduser()] + ([Path(data_dir).expanduser() / path] if data_dir else [])
