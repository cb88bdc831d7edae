"""The end of a run: figures, files, and what is told about it."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from dlrun.data.split import Data
from dlrun.runs.evaluation import Evaluation
from dlrun.runs.recipe import Job, Run
from dlrun.store.files import flatten
from dlrun.store.folder import RunFolder
from dlrun.store.record import SPLITS, Record
from dlrun.tasks.predictions import to_csv
from dlrun.training.state import Progress

LEARNING_PARTS = ("model", "optimizer", "scheduler", "trainer", "seed", "precision")


def summary(progress: Progress, evaluation: Evaluation, data: Data, parameters: int | None, job: Job) -> Record:
    """Returns the record of a training that has come to its end."""
    judged = evaluation.as_json()
    return Record(
        status=progress.status,
        figures={split: judged[split] for split in SPLITS if split in judged},
        baseline=judged["baseline"],
        undefined=judged["undefined"],
        rows={name: len(rows) for name, rows in data.splits().items()},
        parameters=parameters,
        **course(progress, job),
    )


def course(progress: Progress, job: Job) -> dict:
    """Returns what a record holds of any training, whether it came to its end or not."""
    return {
        "best_epoch": progress.best_epoch,
        "epochs": progress.epochs,
        "fit_seconds": round(progress.seconds, 3),
        "choices": job.choices,
        "config": dict(flatten(plain(job.config))),
    }


def hyperparameters(metrics: dict) -> dict[str, object]:
    """What tells runs apart in TensorBoard: the choices, and the settings of the parts that learn."""
    settings = {k: v for k, v in metrics["config"].items() if k.split(".")[0] in LEARNING_PARTS and "_target_" not in k}
    choices = {n: c for n, c in metrics["choices"].items() if c != "None" and n not in ("launcher", "sweeper")}
    return choices | settings


def save_results(
    folder: RunFolder, weights: tuple[str, bytes], data: Data, evaluation: Evaluation, record: Record
) -> None:
    """Write weights (format and content), predictions and preprocessing, and the record last."""
    folder.write_weights(*weights)
    numbers = {name: rows.row_numbers for name, rows in data.splits().items()}
    folder.write_predictions(to_csv(data.spec, evaluation.predictions, numbers))
    described = {"spec": vars(data.spec), "inputs": data.preprocessing.describe()}
    folder.write_preprocessing(described, data.preprocessing.fitted())
    folder.write_record(record)


def interrupted(folder: RunFolder, progress: Progress, job: Job, console: Console, exit_code: int) -> Run:
    """Leave the folder of an interrupted run so that a person finds out what became of it."""
    record = Record(status="interrupted", **course(progress, job))
    folder.write_record(record)
    console.print(f"interrupted in epoch {progress.epoch}; to go on: dlrun resume={folder}", markup=False)
    return Run(folder.path, record.to_json(), exit_code)


def plain(config: DictConfig) -> dict:
    """The config as nested dicts, lists and plain values."""
    return OmegaConf.to_container(config, resolve=True, enum_to_str=True)
