"""The last act: scores, evaluation, files, the table of results, pictures."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console

from dlrun.config.schema import identifying
from dlrun.fitted import Fitted
from dlrun.plots.draw import draw
from dlrun.plots.finished_run import FinishedRun
from dlrun.runs.assemble import Assembled, memory_explained
from dlrun.runs.evaluation import Evaluation, evaluate
from dlrun.runs.printing import report
from dlrun.runs.recipe import Recipe, Run
from dlrun.store import skops_objects
from dlrun.store.files import flatten
from dlrun.store.folder import RunFolder
from dlrun.store.record import SPLITS, Record
from dlrun.tasks.predictions_csv import to_csv
from dlrun.tensors import InputSpec
from dlrun.training.contracts import Fitter, Learner, Progress
from dlrun.training.interruption import Interruption
from dlrun.training.loggers.tensorboard import add_hyperparameters


def conclude(assembled: Assembled, folder: RunFolder, console: Console, alone: bool = True) -> Run:
    """Judge what a training has learned, write the run folder's results, and show them.

    Args:
        assembled: a run that has been fitted.
        folder: of the run.
        console: where the results are shown.
        alone: False for a part of a larger run, of whose training rows only loss and accuracy (R²) are computed, and
            which draws only the pictures that are asked for by name.

    Returns:
        The run that has ended.
    """
    training, data, recipe = assembled.training, assembled.data, assembled.recipe
    with Interruption():  # what has been learned is written, whatever signal comes; a second one is obeyed
        evaluation = judge(assembled, brief=() if alone else ("train",))
        record = summary(assembled, evaluation)
        save_results(assembled, folder, evaluation, record)
        if record.status != "interrupted" and not assembled.fitter.keep_checkpoints:
            folder.remove_checkpoint()
        metrics = record.to_json()
        add_hyperparameters(folder.path, hyperparameters(metrics), dict(evaluation.numbers()))
    report(console, folder, metrics)
    stopper = training.stopper
    trained = training.progress.epochs and metrics["status"] != "diverged"
    if trained and stopper is not None and math.isnan(stopper.best):
        what = f"{stopper.settings.monitor} was undefined in every epoch"
        console.print(f"{what}: it has stopped nothing, and the last weights are kept", markup=False)
    wanted = [picture for picture in recipe.output.plots if alone or picture.is_named]
    if wanted and metrics["status"] != "diverged":
        fitted = Fitted(folder, data.task, data.specs, data.preprocessing, training.learner, assembled.runtime)
        draw(console, FinishedRun(fitted, data, evaluation.predictions, metrics, folder.history()), wanted)
    return Run(folder.path, metrics, 3 if metrics["status"] == "diverged" else 0)


def judge(assembled: Assembled, brief: tuple[str, ...]) -> Evaluation:
    """Return the evaluation of what has been learned, by the best weights; where scores are infinite, it has diverged.

    Args:
        brief: the splits of which only loss and accuracy (R²) are computed.
    """
    training, data = assembled.training, assembled.data
    training.restore_best()
    with memory_explained(*memory_of(training.learner, assembled.fitter)):
        scores = training.learner.scores(data.splits())
    if not all(own.isfinite().all() for own in scores.values()):
        training.progress.status = "diverged"
    return evaluate(data.task, data.splits(), training.learner, scores, data.train.targets, brief=brief)


def interrupted(assembled: Assembled, folder: RunFolder, console: Console, exit_code: int) -> Run:
    """Leave the folder of an interrupted run so that a person finds out what became of it."""
    progress = assembled.training.progress
    record = Record(status="interrupted", **course(progress, assembled.recipe))
    folder.write_record(record)
    console.print(f"interrupted in epoch {progress.epoch}; to go on: dlrun resume={folder}", markup=False)
    return Run(folder.path, record.to_json(), exit_code)


def summary(assembled: Assembled, evaluation: Evaluation) -> Record:
    """Return the record of a training that has come to its end."""
    data, training, judged = assembled.data, assembled.training, evaluation.as_json()
    return Record(
        status=training.progress.status,
        figures={split: judged[split] for split in SPLITS if split in judged},
        baseline=judged["baseline"],
        undefined=judged["undefined"],
        rows={name: len(rows) for name, rows in data.splits().items()},
        parameters=training.learner.parameters,
        notes=list(data.notes),
        **course(training.progress, assembled.recipe),
    )


def course(progress: Progress, recipe: Recipe) -> dict[str, Any]:
    """Return what a record holds of any training, whether it came to its end or not."""
    return {
        "best_epoch": progress.best_epoch,
        "epochs": progress.epochs,
        "fit_seconds": round(progress.seconds, 3),
        "choices": dict(recipe.choices),
        "config": dict(flatten(dict(recipe.config))),
    }


def hyperparameters(metrics: dict[str, Any]) -> dict[str, object]:
    """Return what tells runs apart in TensorBoard: the choices, and every setting that changes results."""
    settings = {
        name: value for name, value in identifying(metrics["config"]).items()
        if "_target_" not in name and value not in (None, [], {})  # which would be columns of nothing
    }  # fmt: skip
    choices = {n: c for n, c in metrics["choices"].items() if c != "None" and n not in ("launcher", "sweeper")}
    return choices | settings


def save_results(assembled: Assembled, folder: RunFolder, evaluation: Evaluation, record: Record) -> None:
    """Write weights, predictions and preprocessing, and the record last."""
    data, learner = assembled.data, assembled.training.learner
    folder.write_weights("safetensors" if assembled.fitter.trains_networks else "skops", learner.weights_file())
    numbers = {name: rows.row_numbers for name, rows in data.splits().items()}
    folder.write_predictions(to_csv(data.task, evaluation.predictions, numbers))
    specs = {name: _described(spec) for name, spec in data.specs.items()}
    described = {
        "task": data.task.describe(),
        "rows": {"branches": specs} if len(specs) > 1 else next(iter(specs.values())),
        "inputs": data.preprocessing.described(),
    }
    fitted = data.preprocessing.fitted()
    folder.write_preprocessing(described, None if fitted is None else skops_objects.dumps(fitted))
    folder.write_record(record)


def _described(spec: InputSpec) -> dict[str, Any]:
    """Return what preprocessing.json records of the inputs of a row, of one branch."""
    return {
        "shape": list(spec.shape),
        "dtype": str(spec.dtype).removeprefix("torch."),
        "vocabulary": spec.vocabulary,
        "feature_names": list(spec.feature_names),
    }


def memory_of(learner: Learner, fitter: Fitter) -> tuple[str, str]:
    """Return what takes the memory of a training, and what to lower."""
    size = learner.parameters
    network = "an estimator" if size is None else f"a model of {size:,} parameters"
    return (
        f"with trainer.batch_size={getattr(fitter, 'batch_size', 'all rows')} and {network}",
        "lower trainer.batch_size (trainer.accumulate makes up for it), or take a smaller model",
    )
