"""From a source to data ready to train on: limit, task, split, preprocessing fitted on the training rows."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, fields
from functools import partial
from typing import get_type_hints

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from dlrun.config.build import build, check_types
from dlrun.config.schema import CrossValidation, Splits
from dlrun.data.augment import Augment
from dlrun.data.labels import check_quantities, encode_classes, infer_task, of_classes, to_tensor
from dlrun.data.source import Source, take
from dlrun.data.split import Data, Split
from dlrun.data.splits import fewer_rows, limit_rows, refuse_lone_rows, split_rows
from dlrun.errors import Mistake, did_you_mean
from dlrun.tensors import Spec

TABLE_KEYS = ("drop", "scale", "polynomial")  # ours, of every table that a function of scikit-learn returns
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


def is_source(target: object) -> bool:
    """a function of dlrun or of allow_targets that returns a Source, or a data set or generator of scikit-learn"""
    if not callable(target) or isinstance(target, type):
        return False
    module, name = target.__module__ or "", target.__name__
    if module.startswith("sklearn."):
        return module.startswith("sklearn.datasets.") and (name.startswith("make_") or name in SKLEARN_LOADERS)
    if module.startswith("dlrun."):
        return target.__annotations__.get("return") in (Source, "Source") and module != __name__
    return not module.startswith("torch")


def split_settings(node: DictConfig) -> tuple[DictConfig, DataSettings]:
    """The config node `data` divided: the settings of its own function, and those that every data set has.

    Raises:
        Mistake: a wrong type, or an unknown key in `data.split`.
    """
    common = [f.name for f in fields(DataSettings)]
    own = OmegaConf.create({key: value for key, value in node.items() if key not in common})
    given = {key: OmegaConf.to_container(node)[key] for key in common}
    return own, DataSettings(**check_types(get_type_hints(DataSettings), given, "data"))


def load(node: DictConfig, allowed: tuple[str, ...]) -> Source:
    """Decode the source that `node` names: the settings of its own function, from `split_settings`.

    Raises:
        Mistake: the settings do not fit, or the data cannot be had or read.
    """
    table = {}
    if str(node.get("_target_", "")).startswith("sklearn."):
        given = OmegaConf.to_container(node)
        table = {key: given.pop(key) for key in TABLE_KEYS if key in given}
        node = OmegaConf.create(given)
    found = build(node, "data", is_source, allowed)
    if isinstance(found, Source):
        return found
    from dlrun.data.sources.tabular import from_arrays, from_bunch

    if isinstance(found, tuple) and len(found) == 2:
        return from_arrays(*found, **table)
    if hasattr(found, "data") and hasattr(found, "target"):
        return from_bunch(found, **table)
    raise Mistake(f"data._target_: {node['_target_']} must return a Source or a pair (inputs, targets)")


def prepare(source: Source, settings: DataSettings, dtype: torch.dtype, cv: CrossValidation | None = None) -> Data:
    """Split `source`, fit the preprocessing on its training rows, and turn all into tensors (floats as `dtype`).

    Raises:
        Mistake: the split or the target does not fit the data.
    """
    source = of_classes(source, settings.task, settings.classes, settings.positive)
    task, note = infer_task(source, settings.task)
    notes = source.notes + ([note] if note else [])
    if task in ("binary", "multiclass"):
        values, class_names = encode_classes(source)
    else:
        values, class_names = check_quantities(source), (source.target_names or []) if task == "multilabel" else []
    if task == "binary" and len(class_names) != 2:
        raise Mistake(f"data.task: binary needs two classes, the target has {len(class_names)}; use multiclass")
    chosen = np.arange(len(source))
    given = source.given
    if settings.limit is not None:
        chosen = limit_rows(len(source), given, settings.limit, settings.split_seed)
        given = {name: np.flatnonzero(np.isin(chosen, rows)) for name, rows in given.items()}
    labels = values[chosen] if task in ("binary", "multiclass") else None
    folded = cv is not None and cv.fold is not None
    if labels is not None and not folded:
        divided = np.setdiff1d(np.arange(len(chosen)), np.concatenate([*given.values(), [-1]]))
        numbers = source.class_names is None and np.issubdtype(source.targets.dtype, np.number)
        refuse_lone_rows(labels[divided], class_names, settings.split, numbers)
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
        notes.append("the test rows are the validation rows too (data.split.valid.by=test): they are not untouched")
    rows = {name: chosen[indices] for name, indices in parts.items()}
    rows["train"] = fewer_rows(rows["train"], settings.train_rows, settings.split, settings.split_seed, ordered)
    if ordered:
        rows = keep_apart(source, rows, [] if folded else list(given), notes)

    fitted_rows = rows["train"]
    if source.preprocessing.fits_all_rows:
        fitted_rows = np.concatenate(list(rows.values()))
        notes.append("the scaler was fitted on all rows, test rows included (data.scale=standard_all_rows)")
    preprocessing = deepcopy(source.preprocessing).fit(take(source.inputs, fitted_rows))
    notes += getattr(preprocessing, "notes", [])
    if labels is not None:
        there = np.unique(values[rows["train"]])
        lost = {n: int((~np.isin(values[i], there)).sum()) for n, i in rows.items()}
        shown = ", ".join(f"'{name}'" for i, name in enumerate(class_names) if i not in there)
        where = ", ".join(f"{count} of {len(rows[n])} {n} rows" for n, count in lost.items() if count)
        if shown:
            notes.append(f"warning: no training row is of the class {shown}" + (f" ({where} are)" if where else ""))
    mean, scale, raw = np.zeros(0), np.ones(0), values
    if task == "regression":
        mean, scale = _target_scaling(values[rows["train"]], settings.scale_target)
        values = (values - mean) / scale
    numbers = source.row_numbers if source.row_numbers is not None else np.arange(len(source))
    splits = {}
    for name, indices in rows.items():
        raw_inputs = take(source.inputs, indices)
        inputs = preprocessing.apply(raw_inputs)
        inputs = inputs.to(dtype) if inputs.dtype.is_floating_point else inputs
        truth = raw[indices] if task == "regression" else None
        targets = to_tensor(task, values[indices], dtype)
        splits[name] = Split(inputs, targets, numbers[indices], truth, preprocessing.transform)
        if (hasattr(raw_inputs, "iloc") or raw_inputs.ndim == 1) and len(indices) <= RAW_ROWS:
            splits[name].raw = raw_inputs
        if source.times is not None:
            splits[name].times = source.times[indices]
        if source.naive is not None and task == "regression":
            splits[name].naive = to_tensor(task, (source.naive[indices, None] - mean) / scale, dtype)
    if on_test:
        splits["valid"] = splits["test"]
    if settings.augment is not None:
        if splits["train"].inputs.ndim != 4:
            raise Mistake("data.augment: distorts images, and these data are none; set it to null")
        splits["train"].augment = settings.augment
    spec = Spec(
        task=task,
        input_shape=tuple(splits["train"].inputs.shape[1:]),
        outputs={"binary": 1, "multiclass": len(class_names)}.get(task) or values.shape[1],
        class_names=class_names,
        feature_names=preprocessing.feature_names,
        target_names=source.target_names or ["target"],
        target_mean=mean.tolist(),
        target_scale=scale.tolist(),
        vocabulary=preprocessing.vocabulary,
    )
    return Data(spec, splits["train"], splits.get("valid"), splits.get("test"), preprocessing, notes)


def keep_apart(
    source: Source, rows: dict[str, np.ndarray], given: list[str], notes: list[str]
) -> dict[str, np.ndarray]:
    """Leave out the validation and test windows that reach back into the steps that were forecast before them, but for
    the splits that are `given` by the source."""
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


def _column(inputs, rows: np.ndarray, name: str, ordered: bool) -> np.ndarray:
    """The values, in `rows`, of a column that a split goes by: its groups, or (`ordered`) its times.

    Raises:
        Mistake: the inputs are no table, have no such column, or it holds no times.
    """
    if not hasattr(inputs, "columns") or name not in inputs.columns:
        columns = list(getattr(inputs, "columns", []))
        raise Mistake(
            f"data.split: there is no column '{name}' among the inputs{did_you_mean(name, columns)} (to split by a "
            f"column and not to learn from it: data.columns={{{name}: ignore}})"
        )
    from dlrun.data.reading.columns import times_of

    column = inputs[name].iloc[rows]
    return times_of(column) if ordered else column.astype(str).to_numpy()


def _target_scaling(values: np.ndarray, scaled: bool) -> tuple[np.ndarray, np.ndarray]:
    if not scaled:
        return np.zeros(values.shape[1]), np.ones(values.shape[1])
    deviation = values.std(axis=0)
    return values.mean(axis=0), np.where(deviation > 0, deviation, 1.0)
