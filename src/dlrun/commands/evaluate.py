"""`dlrun eval run=<run folder>`: the saved model on its own rows, to the digit of its figures, or on other data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from torch import Tensor

from dlrun.config.compose import compose
from dlrun.config.groups import with_choices
from dlrun.config.schema import key_of
from dlrun.data.labels import check_quantities, class_name, class_names_of
from dlrun.data.prepare import SourceSettings
from dlrun.data.prepare import load as load_source
from dlrun.data.reading.image_files import ImageFiles
from dlrun.data.source import Source
from dlrun.data.split import Data, Split
from dlrun.errors import Mistake
from dlrun.fitted import Fitted
from dlrun.plots import weights
from dlrun.plots.draw import as_png
from dlrun.runs.assemble import load_data
from dlrun.runs.evaluation import evaluate as judge
from dlrun.runs.importance import permutation_importance
from dlrun.runs.load import load, read_predictions, stored_config
from dlrun.runs.printing import print_results
from dlrun.runs.recipe import Recipe, read_recipe
from dlrun.store.command_line import trusted_overrides
from dlrun.store.files import writing
from dlrun.tasks.base import Task
from dlrun.tasks.chosen_metrics import read_metrics
from dlrun.tasks.classes import OneClass
from dlrun.tasks.several import Several
from dlrun.training.build_loss import build_loss

FILES_BESIDE = ("path_valid", "path_test")


def evaluate(
    overrides: list[str],
    run: str = "latest",
    threshold: float = 0.5,
    metrics: list[str] | None = None,
    importance: int = 0,
    output: str | None = None,
    device: str = "auto",
    allow_targets: list[str] | None = None,
    config_dir: str | None = None,
) -> int:
    """Evaluate a run's model anew.

    Args:
        overrides: `data.path=…` and the like: judge it by these data instead, all their rows, through the run's own
            preprocessing; none: by the run's own rows.
        run: a run folder, or `latest`.
        threshold: of two classes: the probability above which the second is predicted.
        metrics: besides the usual ones: functions of sklearn.metrics, such as balanced_accuracy_score, or choices of
            the group `metric`.
        importance: tables: so many times each column is shuffled, to see how much the run needs it (permutation
            importance); 0: not at all.
        output: a JSON file for the figures, besides the printed table.
        device: `auto`, `cpu`, `cuda`, …
        allow_targets: your own packages, if the run's model is from one of them.
        config_dir: your own groups, if the run used any (`--config-dir`).

    Raises:
        Mistake: the run, its data or the other data cannot be used.
    """
    for override in overrides:
        key = override.partition("=")[0].lstrip("+")
        if not key.startswith("data") or key_of(key).of_split:
            raise Mistake(
                f"{key}: eval takes run, threshold, metrics, importance, output, device, allow_targets, and "
                "data.path=… (or other settings of the data, but of no split) to judge it by all rows of other data"
            )
    fitted = load(run, device, tuple(allow_targets or ()), config_dir)
    fitted.task.check_threshold(threshold)
    others = [override for override in overrides if not override.startswith("data_dir=")]
    had = stored_config(fitted.folder)["data"]
    single = [f"data.{name}=null" for name in FILES_BESIDE if name in had] if others else []
    recipe = recipe_of(fitted, [*single, *overrides], config_dir, allow_targets)
    named = with_choices(metrics or [], "metric", Path(config_dir) if config_dir else None)
    chosen = read_metrics(named, tuple(recipe.config["allow_targets"]))
    class_weights = None
    if others:
        splits, notes = other_rows(fitted, recipe)
        trained_on = training_targets(fitted)
    else:
        splits, notes = own_data(fitted, recipe).splits(), []
        trained_on = splits["train"].targets
        class_weights = fitted.task.class_weights(recipe.class_weight, trained_on)
    loss = build_loss(recipe.loss, fitted.task, class_weights).to(fitted.runtime.device, fitted.runtime.dtype)
    learner = fitted.learner.judged_by(loss)
    task = fitted.task.with_metrics((*recipe.metrics, *chosen))
    evaluation = judge(task, splits, learner, fitted.scores(splits), trained_on, threshold)
    console = Console(highlight=False, soft_wrap=True)
    rows = ", ".join(f"{len(split):,} {name}" for name, split in splits.items())
    what = f"{recipe.names[0]} ({' '.join(overrides)})" if others else f"its own rows of {recipe.names[0]}"
    console.print(f"{fitted.folder} on {what}: {rows}", *(f"  {note}" for note in notes), sep="\n", markup=False)
    print_results(console, evaluation.as_json())
    figures = evaluation.as_json()
    if importance:
        split = list(splits)[-1]
        table = permutation_importance(fitted, splits[split], importance, threshold)
        print_importance(console, table, split, importance)
        figures["importance"] = table.to_dict(orient="records")
        if not others:
            draw_importance(fitted, table)
    if output is not None:
        with writing(Path(output)):
            Path(output).expanduser().write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def print_importance(console: Console, table: pd.DataFrame, split: str, shuffles: int) -> None:
    """Print how much the run needs each column."""
    console.print(f"permutation importance, {split} rows, each column shuffled {shuffles} times:")
    width = max(map(len, table["column"]))
    for column, mean, deviation in table[["column", "importance", "deviation"]].itertuples(index=False):
        console.print(f"  {column:<{width}}  {mean:+.4f} ± {deviation:.4f}", markup=False)
    console.print(f"({table.attrs['what']}; columns that say the same share what they are worth)")


def draw_importance(fitted: Fitted, table: pd.DataFrame) -> None:
    """Put the picture of it beside the run's other ones."""
    fitted.folder.write_picture("importance", as_png(weights.draw_importance(table)))


def recipe_of(
    fitted: Fitted, changes: list[str], config_dir: str | None, allow_targets: list[str] | None
) -> Recipe:  # fmt: skip
    """Return the recipe of a finished run, with changes.

    Raises:
        Mistake: what is stored of its command line cannot be composed, or may not be.
    """
    allowed = [f"allow_targets=[{','.join(allow_targets)}]"] if allow_targets else []
    overrides = [*trusted_overrides(fitted.folder), "plots=[]", *changes, *allowed]  # pictures only on request
    return read_recipe(compose(overrides, config_dir))


def own_data(fitted: Fitted, recipe: Recipe) -> Data:
    """Return the data that the run was trained, validated and tested on, on its device.

    Raises:
        Mistake: they have changed since.
    """
    data = load_data(recipe)
    if data.checksum() != fitted.folder.environment().get("data"):
        raise Mistake(
            f"{fitted.folder}: the data have changed since this run was trained; name the ones to judge it by "
            "(data.path=…)"
        )
    return data.to(fitted.runtime.device)


def other_rows(fitted: Fitted, recipe: Recipe) -> tuple[dict[str, Split], list[str]]:
    """Return all rows of other data as test rows, preprocessed as the run's were, and notes on them.

    Raises:
        Mistake: they lack a column, have a class that the run does not know, another shape, or are of another kind
            than the run was trained on (see `Preprocessing.differs_from`).
    """
    settings, task = recipe.data_settings, fitted.task
    source = load_source(_with_known_kinds(recipe.data, fitted))
    if difference := fitted.preprocessing.differs_from(source.preprocessing):
        raise Mistake(f"data: {difference}")
    if settings.classes is not None:
        wanted = [class_name(name) for name in settings.classes]
        source = source.only(np.flatnonzero(np.isin(class_names_of(source), wanted)))
    values = targets_of(task.main, source, settings.positive)
    rows = fitted.rows(source.inputs, task.encode(values, fitted.runtime.dtype))
    rows.raw = None if isinstance(source.inputs, ImageFiles) else source.inputs
    rows.truth = task.truth(values)
    if source.naive is not None and not task.has_classes:
        rows.naive = task.encode(source.naive[:, None], fitted.runtime.dtype)
    return {"test": rows}, source.notes


def _with_known_kinds(data: SourceSettings, fitted: Fitted) -> SourceSettings:
    """Return where other data come from, with the kinds of columns that the run knows: a few rows tell too little."""
    schema = fitted.preprocessing.schema()
    if schema.kind != "table" or not data.source.takes("columns"):
        return data
    known = {column.name: column.kind for column in schema.used if column.kind in ("numeric", "category")}
    told = {**known, **(data.source.settings.get("columns") or {})}
    return replace(data, source=replace(data.source, settings={**data.source.settings, "columns": told}))


def training_targets(fitted: Fitted) -> Tensor:
    """Return the targets that the run was trained on, from its predictions.csv: what its baseline goes by."""
    _, predictions = read_predictions(fitted.folder, fitted.task, "train")
    return fitted.task.encode(predictions.truth, torch.float64)


def targets_of(task: Task, source: Source, positive: object = None) -> np.ndarray:
    """Return the targets of other data: indices of the run's own classes, or numbers; of several tasks (n, targets),
    NaN where a row lacks one.

    Args:
        positive: `data.positive` of the run: this class against the rest.

    Raises:
        Mistake: a class that the run does not know.
    """
    if isinstance(task, Several):
        own = {part.name: targets_of(part.task, source.of_target(part.name)) for part in task.parts}
        return np.stack([source.whole_column(name, values) for name, values in own.items()], axis=1)
    if not isinstance(task, OneClass):
        return check_quantities(source, learned=False)
    names = class_names_of(source)
    if positive is not None:
        names = [name if name == class_name(positive) else f"not {class_name(positive)}" for name in names]
    return task.indices_of(names)
