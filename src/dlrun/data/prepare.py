"""From a source to data ready to train on: limit, task, split, preprocessing fitted on the training rows."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, get_type_hints

import numpy as np
import torch

from dlrun.config.build import Component, check_types, component
from dlrun.config.grammar import hint
from dlrun.config.schema import CrossValidation, Splits
from dlrun.data.augment import Augment
from dlrun.data.labels import check_quantities, encode_classes, of_classes
from dlrun.data.preprocessing.base import Preprocessing
from dlrun.data.preprocessing.branches import into_branches
from dlrun.data.rows import only_spec, rows_of
from dlrun.data.source import Source, take
from dlrun.data.split import Data, Split
from dlrun.data.split_rows import fewer_rows, limit_rows, refuse_lone_rows, split_rows
from dlrun.errors import Mistake, choose, did_you_mean
from dlrun.tasks.base import Task
from dlrun.tasks.binary import Binary
from dlrun.tasks.choose import choose_task
from dlrun.tasks.several import Part, Several

if TYPE_CHECKING:
    import pandas as pd

    from dlrun.data.reading.image_files import ImageFiles

TABLE_KEYS = {  # ours, of every table that a function of scikit-learn returns
    "drop": list[str] | None,
    "scale": str | dict[str, float],
    "polynomial": int | None,
}
PARTS = ("regression", "binary", "multiclass")  # the tasks that a target among several can have
RAW_ROWS = 100_000  # of a split with more, the rows before preprocessing are not kept
SKLEARN_LOADERS = ("load_iris", "load_wine", "load_breast_cancer", "load_diabetes", "load_linnerud")


@dataclass
class DataSettings:
    """The keys that every data set has, beside the settings of its own function (see configs/config.yaml)."""

    task: str | None
    split: Splits
    split_seed: int
    classes: list[str] | None
    positive: str | int | float | None
    permute: int | None
    limit: int | None
    train_rows: int | float | None
    scale_target: bool
    augment: Augment | None
    branches: dict[str, Any] | None


def is_source(target: Any) -> bool:
    """a function of dlrun or of allow_targets that returns a Source, or a data set or generator of scikit-learn"""
    if not callable(target) or isinstance(target, type):
        return False
    module, name = target.__module__ or "", target.__name__
    if module.startswith("sklearn."):
        return module.startswith("sklearn.datasets.") and (name.startswith("make_") or name in SKLEARN_LOADERS)
    if module.startswith("dlrun."):
        return target.__annotations__.get("return") in (Source, "Source") and module != __name__
    return not module.startswith("torch")


@dataclass(frozen=True)
class SourceSettings:
    """Where data come from.

    Attributes:
        source: a function that returns a Source, a pair (inputs, targets), or what scikit-learn's loaders return.
        table: what is done with the columns that a function of scikit-learn returns: drop, scale, polynomial.
    """

    source: Component
    table: Mapping[str, Any]

    @property
    def identity(self) -> str:
        """A text that two settings share if they give the same source."""
        target = self.source.target
        return repr((target.__module__, target.__qualname__, sorted(self.source.settings.items()), self.table))


def read_data(
    node: Mapping[str, Any], allowed: tuple[str, ...]
) -> tuple[SourceSettings, DataSettings]:  # fmt: skip
    """Return what the config node `data` says: of its own function, and of what every data set has.

    Raises:
        Mistake: an unknown or wrong setting.
    """
    common = {f.name: node.get(f.name) for f in fields(DataSettings)}
    settings = DataSettings(**check_types(get_type_hints(DataSettings), common, "data"))
    own = {name: value for name, value in node.items() if name not in common}
    table = {}
    if str(own.get("_target_", "")).startswith("sklearn."):
        table = {name: own.pop(name) for name in TABLE_KEYS if name in own}
        table = check_types({name: TABLE_KEYS[name] for name in table}, table, "data")
    return SourceSettings(component(own, "data", is_source, allowed), table), settings


def load(settings: SourceSettings) -> Source:
    """Decode a source.

    Raises:
        Mistake: the data cannot be had or read.
    """
    decoded = settings.source.build()
    if isinstance(decoded, Source):
        check_preprocessing(decoded.preprocessing)
        return decoded
    from dlrun.data.sources.tabular import from_arrays, from_bunch

    if isinstance(decoded, tuple) and len(decoded) == 2:
        return from_arrays(*decoded, **settings.table)
    if hasattr(decoded, "data") and hasattr(decoded, "target"):
        return from_bunch(decoded, **settings.table)
    name = settings.source.target.__name__
    raise Mistake(f"data._target_: {name} must return a Source or a pair (inputs, targets)")


def check_preprocessing(preprocessing: object) -> None:
    """Refuse a preprocessing that could not be found again when the run is loaded.

    Raises:
        Mistake: it is no Preprocessing, or its class stands in no module.
    """
    kind = type(preprocessing)
    if not isinstance(preprocessing, Preprocessing):
        raise Mistake(
            f"data._target_: the preprocessing of its Source is a {kind.__name__}, which is no subclass of "
            "dlrun.data.preprocessing.base.Preprocessing"
        )
    if "<" in kind.__qualname__ or kind.__module__ == "__main__":
        raise Mistake(
            f"data._target_: {kind.__name__} stands inside a function or a script; in a module of its own it is found "
            "again when the run is loaded"
        )


def prepare(source: Source, settings: DataSettings, dtype: torch.dtype, cv: CrossValidation | None = None) -> Data:
    """Split `source`, fit the preprocessing on its training rows, and turn all into tensors (floats as `dtype`).

    Raises:
        Mistake: the split or the target does not fit the data.
    """
    source = of_classes(source, settings.task, settings.classes, settings.positive)
    task, values, notes = task_of(source, settings.task)
    strata = task.strata(values)
    rows, on_test = _divided(source, settings, strata, task.class_names, cv, notes)
    if strata is not None:
        notes += _absent_classes(strata, task.class_names, rows)
    if settings.branches:
        source = replace(source, preprocessing=into_branches(source.preprocessing, settings.branches))
    fitted_rows = rows["train"]
    if source.preprocessing.fits_all_rows:
        fitted_rows = np.concatenate(list(rows.values()))
        notes.append("warning: the scaler was fitted on all rows, test rows included (data.scale=standard_all_rows)")
    preprocessing = deepcopy(source.preprocessing).fit(take(source.inputs, fitted_rows))
    notes += getattr(preprocessing, "notes", [])
    preprocessing.describe()  # what could not be kept with the run is refused before the training, not after it
    task = task.fit(values[rows["train"]], settings.scale_target)
    splits = {
        name: _split(source, indices, preprocessing, task, values, dtype) for name, indices in rows.items()
    }  # fmt: skip
    if on_test:
        splits["valid"] = splits["test"]
    train = splits["train"]
    specs = preprocessing.specs_of(train.rows.specs)
    if settings.augment is not None:
        if len(only_spec(specs).shape) != 3:
            raise Mistake("data.augment: distorts images, and these data are none; set it to null")
        train.augment = settings.augment
    return Data(task, specs, train, splits.get("valid"), splits.get("test"), preprocessing, notes)


def task_of(source: Source, named: str | None) -> tuple[Task, np.ndarray, list[str]]:
    """Return the task of a source, its targets as class indices or numbers, and the notes so far.

    Args:
        named: `data.task`; None: inferred from the targets.

    Raises:
        Mistake: the targets are none for the task.
    """
    if source.tasks is not None:
        return _several_tasks(source, source.tasks, named)
    kind, note = choose_task(source.targets, source.class_names, named)
    notes = source.notes + ([note] if note else [])
    targets = tuple(source.target_names or ["target"])
    if kind.has_one_class:
        values, names = encode_classes(source)
        if kind is Binary and len(names) != 2:
            raise Mistake(f"data.task: binary needs two classes, the target has {len(names)}; use multiclass")
        return kind(targets, tuple(names)), values, notes
    values = check_quantities(source)
    notes += _flags_among_quantities(kind, values, targets)
    return kind(targets, targets if kind.has_classes else ()), values, notes


def _flags_among_quantities(kind: type[Task], values: np.ndarray, targets: tuple[str, ...]) -> list[str]:
    """Return a line where targets of 0 and 1 are learned as quantities beside others."""
    flags = [name for name, column in zip(targets, values.T, strict=True) if np.isin(column, (0, 1)).all()]
    if kind.has_classes or not flags or len(flags) == len(targets):
        return []
    tasks: dict[str, object] = {name: "binary" if name in flags else "regression" for name in targets}
    return [f"targets of 0 and 1 only ({', '.join(flags)}) are learned as quantities beside the others; to learn each "
            f"by its own task: {hint('data.target', tasks)}"]  # fmt: skip


def _several_tasks(
    source: Source, tasks: Mapping[str, str], named: str | None
) -> tuple[Several, np.ndarray, list[str]]:  # fmt: skip
    """Return the tasks of several targets, and their targets (n, targets) as class indices or numbers: NaN where a row
    lacks one; see `task_of`.
    """
    if named is not None:
        raise Mistake("data.task: each target in data.target has a task of its own; leave it null")
    notes, parts, columns = list(source.notes), [], []
    for name, asked in tasks.items():
        choose(asked, dict.fromkeys(PARTS), f"data.target.{name}")
        own = source.of_target(name)
        if not len(own):
            raise Mistake(f"data.target: no row has a value of '{name}'")
        task, values, _ = task_of(replace(own, notes=[]), asked)
        columns.append(source.whole_column(name, values))
        lacking = len(source) - len(own)
        if lacking:
            notes.append(f"target '{name}': missing in {lacking:,} of {len(source):,} rows, which count for the others")
        parts.append(Part(task, has_gaps=lacking > 0))
    return Several(tuple(tasks), parts=tuple(parts)), np.stack(columns, axis=1), notes


def _divided(
    source: Source,
    settings: DataSettings,
    strata: np.ndarray | None,
    class_names: tuple[str, ...],
    cv: CrossValidation | None,
    notes: list[str],
) -> tuple[dict[str, np.ndarray], bool]:
    """Return the rows of each split, and whether the validation rows are the test rows; notes are added to."""
    chosen, given = np.arange(len(source)), source.given
    if settings.limit is not None:
        chosen = limit_rows(len(source), given, settings.limit, settings.split_seed)
        given = {name: np.flatnonzero(np.isin(chosen, rows)) for name, rows in given.items()}
    labels = None if strata is None else strata[chosen]
    folded = cv is not None and cv.fold is not None
    if labels is not None and not folded:
        divided = np.setdiff1d(np.arange(len(chosen)), np.concatenate([*given.values(), [-1]]))
        numbers = source.class_names is None and np.issubdtype(source.targets.dtype, np.number)
        refuse_lone_rows(labels[divided], list(class_names), settings.split, numbers)
    if folded and "test" in given:
        notes.append("test rows of the source's own are left out: each fold plays the test rows once")
    notes += [f"{name} rows: the source's own" for name in given if name != "test" or not folded]
    column_of = partial(_column, source.inputs, chosen)
    ordered = source.first_steps is not None
    parts = split_rows(
        len(chosen), given, settings.split, settings.split_seed, labels, column_of, cv, ordered, settings.permute
    )
    on_test = settings.split.valid is not None and settings.split.valid.by == "test"
    if on_test:
        if "valid" in given or "test" not in parts:
            why = "the source has validation rows of its own" if "valid" in given else "there are no test rows"
            raise Mistake(f"data.split.valid.by=test: {why}; leave it out")
        notes.append(
            "warning: the test rows are the validation rows too (data.split.valid.by=test): they are not untouched"
        )
    rows = {name: chosen[indices] for name, indices in parts.items()}
    available = len(rows["train"])
    rows["train"] = fewer_rows(rows["train"], settings.train_rows, settings.split, settings.split_seed, ordered)
    if settings.train_rows is not None:
        taken = f"{len(rows['train']):,} of {available:,} training rows (data.train_rows={settings.train_rows})"
        notes.append(taken + ("; all of them: data.train_rows=1.0" if taken.startswith("1 of") else ""))
    if ordered:
        rows = keep_apart(source, rows, [] if folded else list(given), notes)
    return rows, on_test


def _absent_classes(labels: np.ndarray, class_names: tuple[str, ...], rows: dict[str, np.ndarray]) -> list[str]:
    """Return a warning of the classes that no training row has, and how many rows of the other splits are theirs."""
    there = np.unique(labels[rows["train"]])
    shown = ", ".join(f"'{name}'" for i, name in enumerate(class_names) if i not in there)
    lost = {name: int((~np.isin(labels[indices], there)).sum()) for name, indices in rows.items()}
    where = ", ".join(f"{count} of {len(rows[name])} {name} rows" for name, count in lost.items() if count)
    return [f"warning: no training row is of the class {shown}" + (f" ({where} are)" if where else "")] if shown else []


def _split(
    source: Source, rows: np.ndarray, preprocessing: Preprocessing, task: Task, values: np.ndarray, dtype: torch.dtype
) -> Split:
    """Return some rows of a source as a split."""
    raw = take(source.inputs, rows)
    inputs = rows_of(preprocessing.apply(raw)).to(torch.device("cpu"), dtype)
    if len(inputs) != len(rows):
        raise Mistake(f"data: the preprocessing's apply gave {len(inputs)} rows for {len(rows)}")
    numbers = source.row_numbers if source.row_numbers is not None else np.arange(len(source))
    naive = None if source.naive is None or task.has_classes else task.encode(source.naive[rows, None], dtype)
    return Split(
        inputs,
        task.encode(values[rows], dtype),
        numbers[rows],
        task.truth(values[rows]),
        preprocessing.transform,
        naive=naive,
        raw=_shown(raw) if len(rows) <= RAW_ROWS else None,
        times=None if source.times is None else source.times[rows],
    )


def _shown(raw: pd.DataFrame | np.ndarray | ImageFiles) -> pd.DataFrame | np.ndarray | None:
    """Return rows of a table, or texts, for pictures; None for images and other arrays of numbers."""
    from dlrun.data.reading.image_files import ImageFiles

    if isinstance(raw, ImageFiles) or (isinstance(raw, np.ndarray) and raw.ndim != 1):
        return None
    return raw


def keep_apart(
    source: Source, rows: dict[str, np.ndarray], given: list[str], notes: list[str]
) -> dict[str, np.ndarray]:
    """Leave out the validation and test windows that reach back into the steps that were forecast before them, but for
    the splits that are `given` by the source.
    """
    assert source.first_steps is not None and source.row_numbers is not None  # a series has both
    seen, kept = -1, {}
    for name, indices in rows.items():
        apart = indices[source.first_steps[indices] > seen] if name not in given else indices
        if len(apart) < len(indices):
            notes.append(f"{len(indices) - len(apart)} {name} windows reach across the border and were left out")
        if len(apart) == 0:
            raise Mistake(
                f"data.split.{name}: every window reaches across the border; a series is split "
                f"by its end (data.split.{name}.by=last), with more rows than lags"
            )
        kept[name] = apart
        seen = max(seen, source.row_numbers[indices].max())
    return kept


def _column(inputs: pd.DataFrame | np.ndarray | ImageFiles, rows: np.ndarray, name: str, ordered: bool) -> np.ndarray:
    """Return the values, in `rows`, of a column that a split goes by: its groups, or (`ordered`) its times.

    Raises:
        Mistake: the inputs are no table, have no such column, or it holds no times.
    """
    import pandas as pd

    if not isinstance(inputs, pd.DataFrame) or name not in inputs.columns:
        columns = list(inputs.columns) if isinstance(inputs, pd.DataFrame) else []
        raise Mistake(
            f"data.split: there is no column '{name}' among the inputs{did_you_mean(name, columns)} (to split by a "
            f"column and not to learn from it: data.columns={{{name}: ignore}})"
        )
    from dlrun.data.reading.columns import times_of

    column = inputs[name].iloc[rows]
    return times_of(column) if ordered else column.astype(str).to_numpy()
