"""The targets of a source: labels to class indices, rows of some classes, and quantities that can be learned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dlrun.config.grammar import hint
from dlrun.data.source import Source
from dlrun.errors import Mistake, choose
from dlrun.tasks.choose import choose_task


def encode_classes(source: Source) -> tuple[np.ndarray, list[str]]:
    """Return (n,) class indices and the class names: the source's own, or the sorted labels.

    Raises:
        Mistake: fewer than two classes.
    """
    if source.class_names is not None:
        return source.targets.astype(np.int64).ravel(), source.class_names
    values = source.targets.ravel()
    if not np.issubdtype(values.dtype, np.number):
        values = values.astype(str)
    labels, indices = np.unique(values, return_inverse=True)
    names = [class_name(label) for label in labels]
    if len(names) < 2:
        raise Mistake(f"data.target: there is one class only ('{names[0]}'); nothing can be learned from that")
    return indices.astype(np.int64), names


def of_classes(source: Source, task: str | None, classes: list[str] | None, positive: object) -> Source:
    """Return `source` with the rows of some classes only (`data.classes`), or with one class against the rest
    (`data.positive`).

    Raises:
        Mistake: the target is a quantity, there is no such class, or fewer than two of them.
    """
    if classes is None and positive is None:
        return source
    key = "data.classes" if positive is None else "data.positive"
    if not choose_task(source.targets, source.class_names, task)[0].has_one_class:
        raise Mistake(f"{key}: the target is no class; leave it null")
    values, names = encode_classes(source)
    if classes is not None:
        indices = [choose(class_name(name), {n: i for i, n in enumerate(names)}, "data.classes") for name in classes]
        if len(set(indices)) < 2:
            raise Mistake(f"data.classes: {classes}: at least two classes are needed")
        kept = np.flatnonzero(np.isin(values, indices))
        indices = sorted(indices)
        fewer = source.only(kept)
        for name, rows in fewer.given.items():
            if not len(rows):
                raise Mistake(f"data.classes: none of the {name} rows is of these classes")
        values, names = np.searchsorted(indices, values[kept]), [names[i] for i in indices]
        source = replace(
            fewer,
            targets=values,
            class_names=names,
            notes=[*source.notes, f"{len(kept):,} of {len(source):,} rows are of the classes asked for"],
        )
    if positive is not None:
        index = choose(class_name(positive), {n: i for i, n in enumerate(names)}, "data.positive")
        targets = (values == index).astype(np.int64)
        source = replace(source, targets=targets, class_names=[f"not {names[index]}", names[index]])
    return source


def class_name(value: object) -> str:
    """Return the name of the class that a target value stands for: 3.0 is "3"."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def check_quantities(source: Source, learned: bool = True) -> np.ndarray:
    """Return (n, k) float64 targets.

    Args:
        learned: whether they are to be learned, and so must differ; a judgement may be of one row.

    Raises:
        Mistake: text, infinities, or one value only.
    """
    names = source.target_names or ["target"]
    try:
        values = source.targets.astype(np.float64).reshape(len(source), -1)
    except (ValueError, TypeError) as error:
        raise Mistake(f"data.target: {_not_numbers(source.targets.reshape(len(source), -1), names)}") from error
    if not np.isfinite(values).all():
        raise Mistake(f"data.target: '{names[0]}' has infinite or missing values")
    for name, column in zip(names, values.T, strict=False):
        if learned and np.ptp(column) == 0:
            raise Mistake(f"data.target: '{name}' has one value only ({column[0]:g}); nothing can be learned from that")
    return values


def _not_numbers(values: np.ndarray, names: list[str]) -> str:
    """Return which target holds text, how much of it, and what can be done about it."""
    for name, column in zip(names, values.T, strict=False):
        others = [str(value) for value in column if not _is_number(value)]
        if not others:
            continue
        kinds = list(dict.fromkeys(others))
        shown = ", ".join(f"'{text}'" for text in kinds[:3]) + (", …" if len(kinds) > 3 else "")
        what = f"'{name}': {len(others):,} of {len(column):,} values are no numbers ({shown})"
        if len(names) > 1:
            return f"{what}; several targets must be numbers, or labels of 0 and 1"
        if len(others) == len(column):
            return f"{what}; they are classes: data.task=multiclass"
        return f"{what}; where they mean no value: {hint('data.missing_values', kinds[:3])}"
    return f"{', '.join(names)}: no numbers"


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]  # whether it can is the question
    except (TypeError, ValueError):
        return False
    return True


def class_names_of(source: Source) -> list[str]:
    """Return the class of each row, by name."""
    if source.class_names is not None:
        return [source.class_names[i] for i in source.targets.astype(int).ravel()]
    return [class_name(value) for value in source.targets.ravel()]
