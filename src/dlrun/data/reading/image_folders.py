"""Where images lie and what they show: folders by class, by part and class, or a table of labels beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from dlrun.data.reading.tables import read_table, require
from dlrun.errors import Mistake

IMAGE_SUFFIXES = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".bmp", ".dib", ".gif", ".webp", ".avif", ".tif",
    ".tiff", ".pgm", ".ppm", ".pbm", ".pnm", ".pcx", ".tga",
)  # fmt: skip
TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
LARGEST_TABLE = 50_000_000  # bytes of a table that is looked into without being asked to
PARTS = {
    "train": "train", "training": "train", "val": "valid", "valid": "valid", "validation": "valid", "dev": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip


@dataclass
class Passed:
    """Files that were passed over: those that are no `images`, by their suffix, and `hidden` ones, by what hides them.

    Hidden files and folders (`.ipynb_checkpoints`, `__MACOSX`) are what programs leave behind, and show no class.
    """

    others: Counter[str] = field(default_factory=Counter)
    hidden: Counter[str] = field(default_factory=Counter)

    def __iadd__(self, more: Passed) -> Passed:
        self.others += more.others
        self.hidden += more.hidden
        return self

    def lines(self) -> list[str]:
        """Return how many they are, in a line for each kind."""
        lines = []
        if self.others:
            shown = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in self.others.most_common(8))
            lines.append(f"files that are no images by their suffix: {self.others.total()} passed over ({shown})")
        if self.hidden:
            shown = ", ".join(list(self.hidden)[:5])
            lines.append(f"hidden files: {self.hidden.total()} passed over ({shown})")
        return lines


@dataclass
class Labelled:
    """Image files with what they show.

    Attributes:
        files: of the images.
        labels: of each, a class or a value.
        parts: of each, `train`, `valid` or `test` where its folder says so, else "".
        passed: what else lies there.
        notes: lines for the person.
    """

    files: list[Path]
    labels: list[str | float]
    parts: list[str]
    passed: Passed
    notes: list[str] = field(default_factory=list)


def find_images(place: Path) -> tuple[list[Path], Passed]:
    """Return the image files in a folder and below it, by suffix and sorted, and what was passed over; or a file."""
    if place.is_file():
        return [place], Passed()
    images, passed = [], Passed()
    for file in sorted(place.rglob("*")):
        if hidden := _hidden_part(file.relative_to(place)):
            passed.hidden[hidden] += file.is_file()
        elif file.is_file() and file.suffix.lower() in IMAGE_SUFFIXES:
            images.append(file)
        elif file.is_file():
            passed.others[file.suffix.lower()] += 1
    passed.hidden = +passed.hidden
    return images, passed


def by_folder(root: Path) -> Labelled:
    """Return images in `<class>/<file>`, or in `train/<class>/<file>` and `test/` or `val/` beside it.

    Raises:
        Mistake: fewer than two folders of classes; says what there is instead.
    """
    folders = _visible_folders(root)
    parts = {folder: PARTS.get(folder.name.lower(), "") for folder in folders}
    if "train" in parts.values() and len(set(parts.values()) - {""}) > 1:
        return _by_part(root, parts)
    labelled = Labelled([], [], [], Passed())
    for folder in folders:
        _add_class(labelled, root, folder, "")
    _note_strays(labelled, root, [root])
    if len(set(labelled.labels)) < 2:
        raise Mistake(f"data.path: {root} has images in {len(set(labelled.labels))} sub-folders; each class needs one "
                      f"of its own{_instead(root, labelled)}")  # fmt: skip
    return labelled


def by_table(root: Path, table: Path, target: str | None) -> Labelled:
    """Return images below `root` with the labels that a table gives them: it has a column with the files, by name (with
    or without suffix) or by path, and one with the labels.

    Args:
        target: the column of labels; None: the only one beside that of the files.

    Raises:
        Mistake: no column names files that are there, or no column or several could be the labels.
    """
    frame = read_table(table, table.name)
    images, passed = find_images(root)
    if table.is_relative_to(root):
        passed.others[table.suffix.lower()] -= 1
        passed.others = +passed.others
    column, there = _file_column(_as_written(table, frame), images, root)
    if column is None:
        raise Mistake(f"data.labels: no column of {table.name} names images below {root}")
    if target is not None:
        require([target], frame, "data.target")
    rest = [name for name in frame.columns if name != column]
    if target is None and len(rest) != 1:
        raise Mistake(f"data.target: which column of {table.name} holds the labels? (has {', '.join(rest) or 'none'})")
    target = target or rest[0]
    rows = [(file, label) for file, label in zip(there, frame[target], strict=True) if file and not pd.isna(label)]
    if len(rows) < 2:
        raise Mistake(f"data.labels: {len(rows)} rows of {table.name} have a file and a label ('{target}')")
    labelled = Labelled([file for file, _ in rows], [label for _, label in rows], [""] * len(rows), passed)
    lost, unlabelled = sum(file is None for file in there), len(set(images) - set(labelled.files))
    unknown = len(frame) - lost - len(rows)
    counts = {
        f"labels: column '{target}' of {table.name}, by the files in its column '{column}'": 1,
        f"rows of {table.name} whose file is not there: {lost}, left out": lost,
        f"rows of {table.name} without a label: {unknown}, left out": unknown,
        f"images that {table.name} has no label for: {unlabelled}, left out": unlabelled,
    }
    labelled.notes += [line for line, count in counts.items() if count]
    return labelled


def find_table(name: str, root: Path, places: list[Path]) -> Path:
    """Return the table `name`: in the folder of the images or the one around it, or else in one of `places`.

    Raises:
        Mistake: it is in none of them.
    """
    candidates = [root / name, root.parent / name, *places]
    table = next((candidate for candidate in candidates if candidate.is_file()), None)
    if table is None:
        raise Mistake(f"data.labels: there is no file '{name}' in {root}, beside it, or in the current folder")
    return table


def _by_part(root: Path, parts: dict[Path, str]) -> Labelled:
    labelled = Labelled([], [], [], Passed())
    unread = [folder.name for folder, part in parts.items() if not part]
    for folder in sorted((f for f, part in parts.items() if part), key=lambda f: parts[f] != "train"):
        for sub_folder in _visible_folders(folder):
            _add_class(labelled, folder, sub_folder, parts[folder])
    trained = {label for label, part in zip(labelled.labels, labelled.parts, strict=True) if part == "train"}
    if len(trained) < 2:
        raise Mistake(
            f"data.path: {root} is divided into {', '.join(f.name for f, part in parts.items() if part)}, and its "
            f"training part has images in {len(trained)} sub-folders; each class needs one of its own, or a table of "
            "labels beside the images (data.labels=labels.csv data.path=<folder of the images>)"
        )
    strange = Counter(str(label) for label in labelled.labels if label not in trained)
    kept = [i for i, label in enumerate(labelled.labels) if label in trained]
    notes = [f"parts: {', '.join(f.name for f, part in parts.items() if part)}, as the folders say"]
    if strange:
        notes.append(f"images of classes that the training part lacks: {strange.total()}, left out "
                     f"({', '.join(strange)})")  # fmt: skip
    if unread:
        notes.append(f"folders beside them that are not read: {', '.join(unread)}")
    kept_of = lambda values: [values[i] for i in kept]  # noqa: E731
    labelled.files, labelled.labels, labelled.parts = map(kept_of, (labelled.files, labelled.labels, labelled.parts))
    labelled.notes = notes + labelled.notes
    _note_strays(labelled, root, [root, *(folder for folder, part in parts.items() if part)])
    return labelled


def _add_class(labelled: Labelled, root: Path, folder: Path, part: str) -> None:
    """Add the images of the class that a folder below `root` holds, those in its sub-folders too."""
    files, passed = find_images(folder)
    deeper = sorted({str(file.parent.relative_to(root)) for file in files if file.parent != folder})
    if deeper:
        count = sum(file.parent != folder for file in files)
        labelled.notes.append(f"class '{folder.name}': {count} of its {len(files)} images lie in sub-folders "
                           f"({', '.join(deeper[:3])}{', …' if len(deeper) > 3 else ''})")  # fmt: skip
    if not files:
        labelled.notes.append(f"folder '{folder.relative_to(root)}' has no image and is no class")
    labelled.passed += passed
    labelled.files += files
    labelled.labels += [folder.name] * len(files)
    labelled.parts += [part] * len(files)


def _note_strays(labelled: Labelled, root: Path, folders: list[Path]) -> None:
    """Count what lies in `folders` themselves, and so in no class, and what is hidden in them."""
    strays: Counter[str] = Counter()
    for folder in folders:
        for entry in sorted(folder.iterdir()):
            if _hidden_part(Path(entry.name)):
                files = [entry] if entry.is_file() else [file for file in entry.rglob("*") if file.is_file()]
                labelled.passed.hidden[entry.name] += len(files)
            elif entry.is_file() and entry.suffix.lower() in IMAGE_SUFFIXES:
                strays[folder.name] += 1
            elif entry.is_file():
                labelled.passed.others[entry.suffix.lower()] += 1
    if strays:
        labelled.notes.append(f"images in no class folder: {strays.total()}, left out (in {', '.join(strays)})")
    if tables := _tables_of(root, labelled.files):
        labelled.notes.append(f"{tables[0].name} names images of this folder; data.labels={tables[0].name} takes the "
                           "labels from there")  # fmt: skip


def _instead(root: Path, labelled: Labelled) -> str:
    """Return what a folder without classes may be instead, and how to have it read."""
    images, _ = find_images(root)
    for place in (root, root.parent):
        if tables := _tables_of(place, images):
            return f"; or, with the labels in {tables[0].name}: data.labels={tables[0].name}"
    nested = [folder for folder in _visible_folders(root) if len(_visible_folders(folder)) > 1]
    if len(nested) == 1:
        return f"; or is it data.path={nested[0]}?"
    return "".join(f"; {line}" for line in labelled.passed.lines())


def _tables_of(folder: Path, images: list[Path]) -> list[Path]:
    """Return the tables in a folder that name most of the images in one of their columns."""
    tables = []
    for file in sorted(folder.iterdir()):
        looked_at = file.suffix.lower() in TABLE_SUFFIXES and file.is_file() and not _hidden_part(Path(file.name))
        if looked_at and file.stat().st_size <= LARGEST_TABLE:
            try:
                frame = read_table(file, file.name)
            except Mistake:  # some other file; what is wrong with it does not matter here
                continue
            if _file_column(_as_written(file, frame), images, folder)[0] is not None:
                tables.append(file)
    return tables


def _as_written(table: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with the texts that stand in it: the file `0.png` is no number with a unit."""
    return read_table(table, table.name, as_text=list(frame.columns))


def _file_column(frame: pd.DataFrame, images: list[Path], root: Path) -> tuple[str | None, list[Path | None]]:
    """Return the column whose values name the images, and the image of each row; None where none names half of its rows
    or of the images.
    """
    ways: list[Callable[[Path], str]] = [
        lambda file: file.name,
        lambda file: file.stem,
        lambda file: file.relative_to(root).as_posix() if file.is_relative_to(root) else "",
        lambda file: file.relative_to(root.parent).as_posix() if file.is_relative_to(root.parent) else "",
    ]
    best: tuple[int, str | None, list[Path | None]] = (0, None, [])
    for way in ways:
        named = {}
        for file in images:  # of two files of one name neither is meant
            named[way(file)] = None if way(file) in named else file
        for column in frame.columns:
            texts = frame[column].astype(str).str.strip().str.replace("\\", "/").str.removeprefix("./")
            there = [named.get(text) for text in texts]
            count = sum(file is not None for file in there)
            if count > best[0] and 2 * count >= min(len(frame), len(images)):
                best = (count, column, there)
    return best[1], best[2]


def _visible_folders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not _hidden_part(Path(entry.name)))


def _hidden_part(path: Path) -> str | None:
    """Return the part of a path that is hidden, if any."""
    return next((part for part in path.parts if part.startswith(".") or part == "__MACOSX"), None)
