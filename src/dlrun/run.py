"""One run, top to bottom: config → data → model → trainer.fit → evaluate → run folder. The file to read first."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from torch import nn

from dlrun import environment
from dlrun.data.module import Data, Spec
from dlrun.data.prepare import load, prepare, split_settings
from dlrun.errors import Mistake, blame
from dlrun.evaluation.epoch import EpochMetrics
from dlrun.evaluation.evaluate import Evaluation, evaluate
from dlrun.evaluation.predictions import to_csv
from dlrun.evaluation.table import describe_data, print_model, print_results
from dlrun.folder import RunFolder, flatten
from dlrun.models.initializers import check_initializer, initialize
from dlrun.models.summary import Layer, summarize
from dlrun.targets import build, check_settings, check_types, resolve
from dlrun.training.checkpoints import restore
from dlrun.training.early_stopping import Stopper
from dlrun.training.interruption import Interruption
from dlrun.training.losses import build_loss, class_weights
from dlrun.training.penalties import Penalty, build_regularizer
from dlrun.training.recorder import Recorder
from dlrun.training.schedules import build_schedule, check_schedule
from dlrun.training.trainer import Learner, Progress, RunningMeans, Trainer, Training

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

LEARNING_PARTS = ("model", "optimizer", "scheduler", "trainer", "seed", "precision")


@dataclass
class Job:
    """What is to be run: the composed config, the choice made in each group, and the command line behind them."""

    config: DictConfig
    choices: dict[str, str]
    overrides: list[str]


@dataclass
class Run:
    """A run that has ended: its folder, what `metrics.json` holds, and the exit code of the command."""

    folder: Path
    metrics: dict
    exit_code: int


def run(job: Job, folder: RunFolder | None = None, resumes: bool = False) -> Run | None:
    """Train and evaluate what `job` describes.

    Args:
        job: composed by `dlrun.config.compose`.
        folder: the folder to use; None: a new one below `output_dir`.
        resumes: go on from the checkpoint in `folder`, if it has one; else from the start, in the same folder.

    Returns:
        The run, or None under `dry_run=true`.

    Raises:
        Mistake: anything in the config or the data that cannot be; no folder has been made then.
    """
    config = job.config
    allowed, precision = tuple(config.allow_targets), config.precision.name
    console = Console(quiet=config.quiet, highlight=False, soft_wrap=True)
    device = set_up(config)
    trainer = check_parts(config, allowed)
    data = load_data(config, allowed).to(device)
    model, layers = build_model(config, trainer, data, device, allowed)
    torch.set_num_threads(environment.choose_threads(config.threads, sum(n.work for n in layers) * trainer.batch_size))
    training = begin_training(config, trainer, model, data)
    trainer.check(training)
    if not config.dry_run:
        folder = folder or RunFolder.create(config.output_dir, *names_of(job))
    introduce(console, job, data, model, layers, training, trainer)
    if config.dry_run:
        return None

    record = environment.describe(config, device) | {"data": checksum(data)}
    if resumes:
        take_up(folder, training, trainer, record, device)
    else:
        folder.begin(job.overrides, plain(config), record)
    steps = trainer.steps(len(data.train))
    with Interruption() as interruption, Recorder(folder, config, trainer, steps, training, interruption) as recorder:
        with memory_explained(model, trainer):
            progress = trainer.fit(
                training,
                data,
                seed=config.seed,
                precision=precision,
                on_step=recorder.on_step,
                on_epoch=recorder.on_epoch,
            )
        recorder.save(training)
        exit_code = interruption.exit_code
        if not exit_code:
            training.restore_best()
            with memory_explained(model, trainer):
                scores = {name: trainer.scores(model, rows, precision) for name, rows in data.splits().items()}
            if not all(found.isfinite().all() for found in scores.values()):
                progress.status = "diverged"
            evaluation = evaluate(data, training.learner.loss, scores)
            metrics = summary(progress, evaluation, trainer.parameters(model), job)
            save_results(folder, trainer.weights(model), data, evaluation, metrics)
            recorder.write_final(hyperparameters(metrics), dict(evaluation.numbers()))
    if exit_code:
        return interrupted(folder, progress, job, console, exit_code)
    report(console, folder, metrics)
    return Run(folder.path, metrics, 3 if progress.status == "diverged" else 0)


def set_up(config: DictConfig) -> torch.device:
    """Choose the device and seed everything; one thread until the work is known, so that it alone decides the bits."""
    device = environment.choose_device(config.device)
    environment.make_deterministic(config.deterministic)
    environment.seed_everything(config.seed)
    torch.set_num_threads(1)
    return device


def check_parts(config: DictConfig, allowed: tuple[str, ...]) -> Trainer:
    """Refuse what can be seen to be wrong in the parts' settings before any data are read.

    Returns:
        The trainer, which depends on nothing else.
    """
    environment.choose_threads(config.threads, 0)
    penalty_of(config)
    trainer = build(config.trainer, "trainer", Trainer, allowed)
    model = resolve(config.model, "model", trainer.model_class, allowed)
    check_settings(model, config.model, "model", (*Spec.SUPPLIED, "random_state"))
    optimizer = resolve(config.optimizer, "optimizer", torch.optim.Optimizer, allowed)
    check_settings(optimizer, config.optimizer, "optimizer", ("params",))
    check_initializer(config.initializer)
    check_schedule(config.scheduler, allowed)
    return trainer


def load_data(config: DictConfig, allowed: tuple[str, ...]) -> Data:
    """Decode, split and preprocess what `config.data` names."""
    own, settings = split_settings(config.data)
    return prepare(load(own, allowed), settings, environment.dtype_of_precision(config.precision.name))


def build_model(
    config: DictConfig, trainer: Trainer, data: Data, device: torch.device, allowed: tuple[str, ...]
) -> tuple[nn.Module | BaseEstimator, list[Layer]]:
    """The network for these data, initialised, on the device, and its layers, seen by passing two rows through it; or
    the scikit-learn estimator, which has no layers."""
    if trainer.model_class is not nn.Module:
        return build(config.model, "model", trainer.model_class, allowed, random_state=config.seed), []
    dtype = environment.dtype_of_precision(config.precision.name)
    torch.manual_seed(config.seed)
    target = resolve(config.model, "model", nn.Module, allowed)
    if data.spec.vocabulary is not None and "vocabulary" not in inspect.signature(target).parameters:
        raise Mistake(
            f"model: {target.__name__} reads no tokens; use model=lstm, or data.represent=tfidf where there is one"
        )
    model = build(config.model, "model", nn.Module, allowed, **data.spec.supplied())
    initialize(model, config.initializer)
    model.to(device=device, dtype=dtype)
    rows = data.train.inputs[:1].expand(2, *data.spec.input_shape).to(device)
    return model, summarize(model, data.train.transform(rows, dtype), data.spec.outputs)


def begin_training(config: DictConfig, trainer: Trainer, model: nn.Module, data: Data) -> Training:
    """Loss, optimizer, schedule and early stopping, checked against what will be logged.

    Early stopping on valid/loss, which is the default, is off where there are no validation rows.
    """
    stopping = trainer.early_stopping
    if stopping and stopping.monitor == "valid/loss" and data.valid is None:
        stopping = None
    if trainer.batches(len(data.train)) < 1:
        raise Mistake(
            f"trainer.batch_size is {trainer.batch_size}: the {len(data.train)} training rows make no full batch, and "
            "trainer.drop_last=true leaves the rest out; lower it"
        )
    lone = trainer.batch_size == 1 or (len(data.train) % trainer.batch_size == 1 and not trainer.drop_last)
    if lone and not trainer.steps_per_epoch and any(isinstance(m, nn.BatchNorm1d) for m in network_modules(model)):
        raise Mistake(
            f"trainer.batch_size is {trainer.batch_size}: the last batch of {len(data.train)} rows would be a single "
            "one, which batch norm cannot normalise; use another size, or trainer.drop_last=true"
        )
    monitored = [("trainer.early_stopping.monitor", stopping.monitor)] if stopping else []
    if config.scheduler.get("monitor"):
        monitored.append(("scheduler.monitor", config.scheduler.monitor))
    epoch_metrics = EpochMetrics(data.spec, monitored, data.valid is not None)
    allowed, loss_of = tuple(config.allow_targets), partial(build_loss, config.loss, data.spec)
    if trainer.model_class is not nn.Module:
        learner = Learner(model, loss_of(None, allowed), None, None, None)
        return Training(learner, Progress(), None, {}, RunningMeans(epoch_metrics))
    factory = build(config.optimizer, "optimizer", torch.optim.Optimizer, allowed, params=None)
    with blame("optimizer"):
        optimizer = factory(model.parameters())
    total_steps = trainer.epochs * trainer.steps(len(data.train))
    schedule = build_schedule(config.scheduler, optimizer, total_steps, allowed)
    weights = class_weights(config.class_weight, data.spec, data.train.targets)
    loss = loss_of(weights, allowed).to(data.train.targets.device)
    learner = Learner(model, loss, optimizer, schedule, build_regularizer(penalty_of(config), model))
    return Training(learner, Progress(), Stopper(stopping) if stopping else None, {}, RunningMeans(epoch_metrics))


def take_up(folder: RunFolder, training: Training, trainer: Trainer, record: dict, device: torch.device) -> None:
    """Put `training` where the run in `folder` stopped, and cut back what was logged after that.

    Raises:
        Mistake: the data have changed since, or the checkpoint cannot be used.
    """
    if folder.read_json("environment.json").get("data") != record["data"]:
        raise Mistake(f"{folder}: the data have changed since this run began; it cannot be resumed")
    if folder.has("checkpoints/last.pt"):
        restore(training, folder.read_bytes("checkpoints/last.pt"), device)
    progress = training.progress
    stopped_early = training.stopper is not None and training.stopper.stops
    if progress.status == "interrupted" or (progress.epochs < trainer.epochs and not stopped_early):
        progress.status = "running"
    for name in ("history.csv", "timing.csv"):
        folder.keep_rows(name, progress.epochs)


def network_modules(model: nn.Module | BaseEstimator) -> Iterator[nn.Module]:
    """The modules of a network; none for an estimator."""
    return model.modules() if isinstance(model, nn.Module) else iter(())


def penalty_of(config: DictConfig) -> Penalty:
    """The settings under `penalty`, checked."""
    return check_types({"penalty": Penalty}, {"penalty": OmegaConf.to_container(config.penalty)}, "")["penalty"]


def summary(progress: Progress, evaluation: Evaluation, parameters: int | None, job: Job) -> dict:
    """What `metrics.json` holds."""
    return {
        "status": progress.status,
        **evaluation.as_json(),
        "best_epoch": progress.best_epoch,
        "epochs": progress.epochs,
        "fit_seconds": round(progress.seconds, 3),
        "parameters": parameters,
        "choices": job.choices,
        "config": dict(flatten(plain(job.config))),
    }


def hyperparameters(metrics: dict) -> dict[str, object]:
    """What tells runs apart in TensorBoard: the choices, and the settings of the parts that learn."""
    settings = {k: v for k, v in metrics["config"].items() if k.split(".")[0] in LEARNING_PARTS and "_target_" not in k}
    return {name: choice for name, choice in metrics["choices"].items() if choice != "None"} | settings


def save_results(
    folder: RunFolder, weights: tuple[str, bytes], data: Data, evaluation: Evaluation, metrics: dict
) -> None:
    """Write weights (file name and content), predictions and preprocessing, and the figures last."""
    folder.write_bytes(*weights)
    numbers = {name: rows.row_numbers for name, rows in data.splits().items()}
    folder.write_text("predictions.csv", to_csv(data.spec, evaluation.predictions, numbers))
    folder.write_json("preprocessing.json", {"spec": vars(data.spec), "inputs": data.preprocessing.describe()})
    if fitted := data.preprocessing.fitted():
        folder.write_bytes("preprocessing.skops", fitted)
    folder.write_json("metrics.json", metrics)


def interrupted(folder: RunFolder, progress: Progress, job: Job, console: Console, exit_code: int) -> Run:
    """Leave the folder of an interrupted run so that a person finds out what became of it."""
    metrics = {
        "status": "interrupted",
        "epochs": progress.epochs,
        "best_epoch": progress.best_epoch,
        "fit_seconds": round(progress.seconds, 3),
        "choices": job.choices,
        "config": dict(flatten(plain(job.config))),
    }
    folder.write_json("metrics.json", metrics)
    console.print(f"interrupted in epoch {progress.epoch}; to go on: dlrun resume={folder}", markup=False)
    return Run(folder.path, metrics, exit_code)


def introduce(
    console: Console, job: Job, data: Data, model: nn.Module, layers: list[Layer], training: Training, trainer: Trainer
) -> None:
    """Print what will be trained on what."""
    console.print("\n".join(describe_data(job.choices["data"], data)), markup=False)
    if layers:
        print_model(console, job.choices["model"], layers, trainer.parameters(model))
    if trainer.early_stopping and training.stopper is None:
        console.print("no validation rows: training runs for all epochs and keeps the last weights")
    if data.test is None:
        console.print("no test rows: every figure is of rows that were trained or validated on")
    if job.config.dry_run:
        console.print("dry run: nothing was trained")


def report(console: Console, folder: RunFolder, metrics: dict) -> None:
    """Print the table of results and where everything is."""
    if metrics["status"] == "interrupted":
        console.print(f"stopped by trainer.max_minutes; to go on: dlrun resume={folder}", markup=False)
    if metrics["status"] == "diverged":
        console.print(
            f"diverged in epoch {metrics['epochs']}: the loss became NaN or infinite; the best weights "
            "before that, if any, are evaluated (a lower learning rate may help)"
        )
    print_results(console, metrics)
    parameters = "–" if metrics["parameters"] is None else f"{metrics['parameters']:,}"
    console.print(
        f"parameters {parameters}   best epoch {metrics['best_epoch']} of {metrics['epochs']}   "
        f"{metrics['fit_seconds']:.1f} s"
    )
    console.print(str(folder), markup=False)


def names_of(job: Job) -> tuple[str, str]:
    """The names that the run folder is called by: of data and model."""
    return job.choices["data"], job.choices["model"]


def plain(config: DictConfig) -> dict:
    """The config as nested dicts, lists and plain values."""
    return OmegaConf.to_container(config, resolve=True, enum_to_str=True)


@contextmanager
def memory_explained(model: nn.Module, trainer: Trainer) -> Iterator[None]:
    """Turn running out of memory, on the CPU or on CUDA, into one line that says what to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise Mistake(
            f"out of memory with trainer.batch_size={trainer.batch_size} and a model of {trainer.parameters(model):,} "
            "parameters; lower trainer.batch_size (trainer.accumulate makes up for it), or take a smaller model"
        ) from error


def checksum(data: Data) -> str:
    """sha256 of all inputs and targets, as split and preprocessed: whether two runs saw the same data."""
    digest = hashlib.sha256()
    for rows in data.splits().values():
        for tensor in (rows.inputs, rows.targets):
            digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()
