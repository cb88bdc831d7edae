"""Which task the targets ask for, where none is named; and a task from its description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dlrun.errors import Mistake, choose
from dlrun.tasks.auxiliary import WithAuxiliary, with_auxiliary
from dlrun.tasks.base import Task
from dlrun.tasks.binary import Binary
from dlrun.tasks.multiclass import Multiclass
from dlrun.tasks.multilabel import Multilabel
from dlrun.tasks.regression import Regression
from dlrun.tasks.several import Part, Several

TASKS: dict[str, type[Task]] = {task.name: task for task in (Regression, Binary, Multiclass, Multilabel)}
MAX_CLASSES_OF_NUMBERS = 20


def choose_task(
    values: np.ndarray, class_names: list[str] | None, named: str | None
) -> tuple[type[Task], str | None]:  # fmt: skip
    """Return the task and, where it was inferred, a line that says why.

    Numbers with more than 20 different values, or with fractions, are quantities; anything else is classes.

    Args:
        values: (n,) or (n, k) targets as the source has them.
        class_names: by class, where the targets are class indices; None: the labels themselves.
        named: `data.task`, or None.

    Raises:
        Mistake: `named` is no task, or not one for these targets.
    """
    several = values.ndim == 2 and values.shape[1] > 1
    if named is not None:
        task = choose(named, TASKS, "data.task")
        if task.has_one_class and several:
            raise Mistake(f"data.task: {named} has one target, not {values.shape[1]}; name one in data.target")
        if task is Multilabel and not is_labels(values):
            raise Mistake("data.task: multilabel needs targets of 0 and 1 only")
        return task, None
    if several:
        task = Multilabel if is_labels(values) else Regression
        return task, f"task: {task.name} (several targets)"
    if class_names is not None:
        return (Binary if len(class_names) == 2 else Multiclass), None
    is_number = np.issubdtype(values.dtype, np.number)
    distinct = np.unique(values if is_number else values.astype(str))
    fractions = is_number and not np.equal(np.mod(distinct, 1), 0).all()
    if is_number and (fractions or len(distinct) > MAX_CLASSES_OF_NUMBERS):
        return Regression, f"task: regression (the target has {len(distinct)} different numbers)"
    task = Binary if len(distinct) == 2 else Multiclass
    return task, f"task: {task.name} (the target has {len(distinct)} different values)"


def _restore_several(described: Mapping[str, Any]) -> Several:
    parts = described.get("parts")
    if not isinstance(parts, list) or not parts or not all(isinstance(part, Mapping) for part in parts):
        raise Mistake("task: has no parts")
    restored = [Part(restore(p["task"]), float(p["weight"]), bool(p["has_gaps"])) for p in parts]
    return Several(tuple(part.name for part in restored), parts=tuple(restored))


def is_labels(values: np.ndarray) -> bool:
    """Return whether all values are 0 or 1 (or False or True)."""
    return all(value in (0, 1) for value in np.asarray(values).ravel().tolist())


def restore(described: Mapping[str, Any]) -> Task:
    """Return the task that `Task.describe` described.

    Raises:
        Mistake: it describes none.
    """
    if described.get("name") == Several.name:
        return _restore_several(described)
    if described.get("name") == WithAuxiliary.name:
        return with_auxiliary(restore(described["inner"]), float(described["weight"]))
    task: type[Task] = choose(described.get("name"), TASKS, "task")
    settings = {name: tuple(value) for name, value in described.items() if name != "name"}
    for name in {"mean", "scale"}.intersection(settings):
        numbers = all(isinstance(value, int | float) for value in settings[name])
        if not numbers or len(settings[name]) != len(settings.get("target_names", ("target",))):
            raise Mistake(f"task.{name}: {list(settings[name])} is not one number for each target")
    try:
        return task(**settings)
    except TypeError as error:
        raise Mistake(f"task: {error}") from error
