"""`dlrun eval run=<run folder>`: the saved model on its own rows, to the digit of its figures, or on other data."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig
from rich.console import Console
from torch import Tensor

from dlrun.config.compose import compose
from dlrun.data.labels import check_quantities, class_name, to_tensor
from dlrun.data.prepare import load as load_source
from dlrun.data.prepare import split_settings
from dlrun.data.source import Source
from dlrun.data.split import Data, Split
from dlrun.errors import Mistake, blame, did_you_mean
from dlrun.fitted import Trained, check_threshold
from dlrun.plots.draw import as_png
from dlrun.runs.assemble import load_data
from dlrun.runs.evaluation import evaluate as judge
from dlrun.runs.importance import permutation_importance
from dlrun.runs.load import load
from dlrun.runs.tables import print_results
from dlrun.store.command_line import trusted_overrides
from dlrun.store.files import writing
from dlrun.tasks.predictions import read_csv
from dlrun.tensors import Spec
from dlrun.training.losses import build_loss, class_weights

FILES_BESIDE = ("path_valid", "path_test")
OF_THE_SPLIT = (
    "data.split", "data.limit", "data.train_rows", "data.scale_target", "data.augment", "data.task", "data.classes",
    "data.positive", "data.permute",
)  # fmt: skip
OF_PROBABILITIES = (  # functions of sklearn.metrics that are wrong on predicted classes
    "roc_auc_score", "average_precision_score", "log_loss", "brier_score_loss", "hinge_loss", "dcg_score", "ndcg_score",
    "d2_log_loss_score", "d2_brier_score", "top_k_accuracy_score", "coverage_error", "label_ranking_loss",
    "label_ranking_average_precision_score",
)  # fmt: skip


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
        metrics: functions of sklearn.metrics besides the usual ones, such as balanced_accuracy_score.
        importance: tables: so many times each column is shuffled, to see how much the run needs it (permutation
            importance); 0: not at all.
        output: a JSON file for the figures, besides the printed table.
        device: `auto`, `cpu`, `cuda`, …
        allow_targets: your own packages, if the run's model is from one of them.
        config_dir: your own groups, if the run used any (`--config-dir`).

    Raises:
        Mistake: the run, its data or the other data cannot be used.
    """
    functions = {name: _metric(name) for name in metrics or []}
    for override in overrides:
        key = override.partition("=")[0].lstrip("+")
        if not key.startswith("data") or key.startswith(OF_THE_SPLIT):
            raise Mistake(
                f"{key}: eval takes run, threshold, metrics, importance, output, device, allow_targets, and "
                "data.path=… (or other settings of the data, but of no split) to judge it by all rows of other data"
            )
    trained = load(run, device, tuple(allow_targets or ()))
    check_threshold(threshold, trained.spec)
    others = [override for override in overrides if not override.startswith("data_dir=")]
    single = [f"data.{name}=null" for name in FILES_BESIDE if name in trained.config.data] if others else []
    config, choices = compose([*trusted_overrides(trained.folder), *single, *overrides], config_dir)
    allowed = tuple(config.allow_targets) + tuple(allow_targets or ())
    weights = None
    if others:
        splits, notes = other_rows(trained, config, allowed)
        trained_on = training_targets(trained)
    else:
        splits, notes = own_data(trained, config, allowed).splits(), []
        trained_on = splits["train"].targets
        weights = class_weights(config.class_weight, trained.spec, trained_on)
    loss = build_loss(config.loss, trained.spec, weights, allowed).to(trained.device)
    evaluation = judge(trained.spec, splits, loss, trained.scores(splits), trained_on, threshold)
    for name, function in functions.items():
        for split, found in evaluation.predictions.items():
            with blame(f"metrics: {name}"):
                evaluation.figures[split].add(name, partial(function, found.truth, found.prediction))
    console = Console(highlight=False, soft_wrap=True)
    rows = ", ".join(f"{len(split):,} {name}" for name, split in splits.items())
    what = f"{choices['data']} ({' '.join(overrides)})" if others else f"its own rows of {choices['data']}"
    console.print(f"{trained.folder} on {what}: {rows}", *(f"  {note}" for note in notes), sep="\n", markup=False)
    print_results(console, evaluation.as_json())
    figures = evaluation.as_json()
    if importance:
        split = list(splits)[-1]
        table = permutation_importance(trained, splits[split], importance, threshold)
        print_importance(console, table, split, importance)
        figures["importance"] = table.to_dict(orient="records")
        if not others:
            draw_importance(trained, table)
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


def draw_importance(trained: Trained, table: pd.DataFrame) -> None:
    """Put the picture of it beside the run's other ones."""
    from dlrun.plots.weights import importance

    figure = importance(
        list(table["column"]), table["importance"].to_numpy(), table["deviation"].to_numpy(), table.attrs["what"]
    )
    trained.folder.write_picture("importance", as_png(figure))


def own_data(trained: Trained, config: DictConfig, allowed: tuple[str, ...]) -> Data:
    """The data that the run was trained, validated and tested on, on the model's device.

    Raises:
        Mistake: they have changed since.
    """
    data = load_data(config, allowed)
    if data.checksum() != trained.folder.environment().get("data"):
        raise Mistake(
            f"{trained.folder}: the data have changed since this run was trained; name the ones to judge it by "
            "(data.path=…)"
        )
    return data.to(trained.device)


def other_rows(trained: Trained, config: DictConfig, allowed: tuple[str, ...]) -> tuple[dict[str, Split], list[str]]:
    """All rows of other data as test rows, preprocessed as the run's were, and notes on them.

    Raises:
        Mistake: they lack a column, have a class that the run does not know, or another shape.
    """
    own, settings = split_settings(config.data)
    source, spec = load_source(own, allowed), trained.spec
    if settings.classes is not None:
        kept = np.flatnonzero(np.isin(class_names_of(source), [class_name(name) for name in settings.classes]))
        source = source.only(kept)
    values = targets_of(trained, source, settings.positive)
    rows = trained.rows(source.inputs, _scaled(spec, values))
    rows.raw = source.inputs
    if spec.task == "regression":
        rows.truth = values
        if source.naive is not None:
            rows.naive = torch.from_numpy(_scaled(spec, source.naive[:, None])).to(rows.targets.dtype)
    return {"test": rows}, source.notes


def training_targets(trained: Trained) -> Tensor:
    """The targets that the run was trained on, from its predictions.csv: what its baseline goes by."""
    spec = trained.spec
    _, found = read_csv(trained.folder, spec, "train")
    return to_tensor(spec.task, _scaled(spec, found.truth), torch.float64)


def _scaled(spec: Spec, values: np.ndarray) -> np.ndarray:
    """Quantities as the network was trained on them; classes as they are."""
    if spec.task != "regression":
        return values
    return (values - np.asarray(spec.target_mean)) / np.asarray(spec.target_scale)


def class_names_of(source: Source) -> list[str]:
    """The class of each row, by name."""
    if source.class_names is not None:
        return [source.class_names[i] for i in source.targets.astype(int).ravel()]
    return [class_name(value) for value in source.targets.ravel()]


def targets_of(trained: Trained, source: Source, positive: object = None) -> np.ndarray:
    """The targets of other data: indices of the run's own classes, or quantities.

    Args:
        positive: `data.positive` of the run: this class against the rest.

    Raises:
        Mistake: a class that the run does not know.
    """
    spec = trained.spec
    if spec.task in ("regression", "multilabel"):
        return check_quantities(source)
    names = class_names_of(source)
    if positive is not None:
        names = [name if name == class_name(positive) else f"not {class_name(positive)}" for name in names]
    unknown = sorted(set(names) - set(spec.class_names))
    if unknown:
        raise Mistake(f"data.target: the run knows no class '{unknown[0]}'{did_you_mean(unknown[0], spec.class_names)}")
    return np.array([spec.class_names.index(name) for name in names])


def _metric(name: str) -> Callable:
    from sklearn import metrics

    names = [n for n in metrics.__all__ if n.endswith(("_score", "_error", "_loss", "_coef", "_coefficient"))]
    if name in OF_PROBABILITIES:
        raise Mistake(f"metrics: {name} judges probabilities; what dlrun has of that kind is in the table already")
    if name not in names:
        raise Mistake(f"metrics: there is no '{name}' in sklearn.metrics{did_you_mean(name, names)}")
    return getattr(metrics, name)
