"""From a run folder to a fitted run: its network or estimator with its own preprocessing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from dlrun.config.build import component, is_own_function, resolve, resolve_path
from dlrun.config.compose import trusted_packages
from dlrun.config.schema import Precision
from dlrun.data.preprocessing.base import Preprocessing
from dlrun.data.preprocessing.branches import BranchPreprocessing
from dlrun.data.reading.tables import Format
from dlrun.data.rows import BRANCH
from dlrun.errors import Mistake, choose
from dlrun.fitted import Fitted
from dlrun.models.arguments import SUPPLIED, arguments
from dlrun.runs.recipe import read_fitter
from dlrun.runtime import Runtime, choose_device
from dlrun.store.finding import open_run
from dlrun.store.folder import CONFIG, RunFolder
from dlrun.store.lock import is_worked_in
from dlrun.tasks.base import Task
from dlrun.tasks.choose import restore as restore_task
from dlrun.tasks.predictions import Predictions
from dlrun.tasks.predictions_csv import header
from dlrun.tensors import InputSpec
from dlrun.training.contracts import Learner
from dlrun.training.estimator import Estimator
from dlrun.training.network import Network

if TYPE_CHECKING:
    import pandas as pd

UNREADABLE = (Mistake, TypeError, ValueError, KeyError, AttributeError, IndexError)


def load(run: str, device: str = "auto", allow_targets: tuple[str, ...] = (), config_dir: str | None = None) -> Fitted:
    """Return the finished run in a folder. Nothing in the folder can run code by being loaded.

    Args:
        run: a run folder, or `latest`: the newest below outputs/.
        device: `auto`, `cpu`, `cuda`, …
        allow_targets: your own packages, if the run's model, preprocessing or loss is from one of them.
        config_dir: a folder with groups of your own; the packages that its YAML files name are trusted too.

    Raises:
        Mistake: no run folder, one without results, or one that is damaged or not to be trusted.
    """
    folder = open_run(run)
    if not folder.is_trained:
        raise Mistake(_why_not_finished(folder))
    config = stored_config(folder)
    allow_targets = (*allow_targets, *trusted_packages(config_dir))
    fitter = read_fitter(config["trainer"], allow_targets)
    chosen = choose_device(device if fitter.trains_networks else "cpu")
    runtime = Runtime(chosen, Precision[config["precision"]], _threads_of(folder))
    task, specs = task_of(folder), specs_of(folder)
    learner: Learner
    with runtime:
        if fitter.trains_networks:
            learner = _network(folder, config, task, specs, runtime, allow_targets)
        else:
            learner = _estimator(folder, task)
    return Fitted(folder, task, specs, _preprocessing(folder, allow_targets), learner, runtime)


def stored_config(folder: RunFolder) -> dict[str, Any]:
    """Return config.yaml of a run folder: plain values, in which nothing is interpolated.

    Raises:
        Mistake: it is damaged, or refers to what lies outside itself.
    """
    where = folder.path / CONFIG
    stored = folder.config()
    groups = ("data", "model", "trainer")
    if not all(isinstance(stored.get(key), dict) for key in groups):
        raise Mistake(f"{where}: is damaged (no config of a run)")
    if "${" in json.dumps(stored, default=str):
        raise Mistake(f"{where}: is no config of a run, which refers to nothing outside (it has ${{…}})")
    precision = stored.get("precision")
    choose(precision if isinstance(precision, str) else str(precision), Precision.__members__, f"{where}: precision")
    return stored


def task_of(folder: RunFolder) -> Task:
    """Return what the run in a folder has learned.

    Raises:
        Mistake: preprocessing.json is damaged.
    """
    try:
        return restore_task(folder.preprocessing()["task"])
    except UNREADABLE as error:
        raise folder.damaged_preprocessing(error) from error


def specs_of(folder: RunFolder) -> dict[str, InputSpec]:
    """Return what the inputs of a row are in the run in a folder, by branch.

    Raises:
        Mistake: preprocessing.json is damaged.
    """
    try:
        described = folder.preprocessing()["rows"]
        branches = described.get("branches") or {BRANCH: described}
        return {str(name): _spec(own) for name, own in branches.items()}
    except UNREADABLE as error:
        raise folder.damaged_preprocessing(error) from error


def _spec(described: Mapping[str, Any]) -> InputSpec:
    shape, vocabulary = tuple(int(size) for size in described["shape"]), described["vocabulary"]
    if not all(1 <= size < 2**31 for size in shape):
        raise ValueError(f"rows of shape {shape}")
    names = tuple(str(name) for name in described["feature_names"])
    dtype = getattr(torch, str(described.get("dtype", "float32")))
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"{dtype} is no type of a tensor")
    return InputSpec(shape, dtype, None if vocabulary is None else int(vocabulary), names)


def read_predictions(folder: RunFolder, task: Task, split: str) -> tuple[pd.DataFrame, Predictions]:
    """Return the rows of `split` in predictions.csv, as text, and what they hold.

    Raises:
        Mistake: it is not what a run of this task writes.
    """
    frame = folder.predictions()
    if lacking := [name for name in header(task) if name not in frame]:
        raise folder.damaged_predictions(f"it has no column {lacking[0]}")
    rows = frame[frame["split"] == split]
    try:
        return rows, task.read_csv(rows)
    except ValueError as error:
        raise folder.damaged_predictions(error) from error


def _why_not_finished(folder: RunFolder) -> str:
    record = folder.record()
    if record.kind != "run":
        inner = ", ".join(map(str, folder.trained_below()[:3]))
        return f"{folder}: holds several runs; name one of them: {inner}, …"
    if is_worked_in(folder.path):
        return f"{folder}: this run has no results yet; it is being trained, so wait until it has ended"
    return f"{folder}: this run has no results yet (status {record.status}); dlrun resume={folder} goes on with it"


def _threads_of(folder: RunFolder) -> int:
    """Return the threads that the run used: with as many, the figures are the same to the last bit."""
    threads = folder.environment().get("threads")
    return threads if isinstance(threads, int) and 1 <= threads <= 1024 else 1


def _shown(specs: Mapping[str, InputSpec]) -> str:
    return " and ".join("×".join(map(str, spec.shape)) for spec in specs.values())


def _preprocessing(folder: RunFolder, allowed: tuple[str, ...]) -> Preprocessing:
    return _restored(folder, folder.preprocessing().get("inputs"), folder.fitted_preprocessing(), allowed)


def _restored(folder: RunFolder, described: object, fitted: Any, allowed: tuple[str, ...]) -> Preprocessing:
    """Return a preprocessing as it was fitted; of several branches each by itself."""
    where = f"{folder}: preprocessing"
    target = resolve(described, where, Preprocessing, allowed)
    assert isinstance(described, dict)  # or it would name no target
    named = described.get("functions")
    functions = {str(name): str(described.get(name)) for name in named} if isinstance(named, list) else {}
    own = {name: resolve_path(path, f"{where}.{name}", is_own_function, allowed) for name, path in functions.items()}
    if target is BranchPreprocessing:
        branches = described.get("branches")
        if not isinstance(branches, dict) or not isinstance(fitted, dict | None):
            raise folder.damaged_preprocessing("it has no branches")
        parts = {str(n): _restored(folder, own, (fitted or {}).get(n), allowed) for n, own in branches.items()}
        return BranchPreprocessing(parts, Format(**described["format"]))
    try:
        return target.restore({**described, **own}, fitted)
    except UNREADABLE as error:
        raise folder.damaged_preprocessing(f"{type(error).__name__}: {error}") from error


def _estimator(folder: RunFolder, task: Task) -> Estimator:
    from sklearn.base import BaseEstimator

    return Estimator(folder.estimator(BaseEstimator), task, task.loss())


def _network(
    folder: RunFolder,
    config: dict[str, Any],
    task: Task,
    specs: Mapping[str, InputSpec],
    runtime: Runtime,
    allowed: tuple[str, ...],
) -> Network:
    chosen = component(config["model"], "model", nn.Module, allowed, SUPPLIED)
    try:
        model = chosen.build(**arguments(specs, task)).to(device=runtime.device, dtype=runtime.dtype)
    except (MemoryError, RuntimeError) as error:
        raise folder.damaged_preprocessing(f"no network for rows of shape {_shown(specs)} can be built here") from error
    try:
        model.load_state_dict(folder.tensors())
    except RuntimeError as error:
        raise folder.foreign_weights(error) from error
    trainer = config["trainer"]
    batch_size = trainer.get("batch_size", 32)
    return Network(
        model.eval(), task.loss().to(runtime.device), runtime,
        stateful=bool(trainer.get("stateful", False)), batch_size=batch_size if isinstance(batch_size, int) else 32,
    )  # fmt: skip
