"""One run, top to bottom: config → data → model → trainer.fit → evaluate → run folder. The file to read first."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from torch import nn

from dlrun import environment
from dlrun.data.module import Data, Spec
from dlrun.data.prepare import load, prepare, split_settings
from dlrun.errors import blame
from dlrun.evaluation.epoch import EpochMetrics
from dlrun.evaluation.evaluate import Evaluation, evaluate
from dlrun.evaluation.predictions import to_csv
from dlrun.evaluation.table import describe_data, print_model, print_results
from dlrun.folder import RunFolder, flatten
from dlrun.models.initializers import check_initializer, initialize
from dlrun.models.summary import Layer, count_parameters, summarize
from dlrun.targets import build, check_settings, resolve
from dlrun.training.checkpoints import Timetable, to_bytes
from dlrun.training.early_stopping import Stopper
from dlrun.training.interruption import Interruption
from dlrun.training.losses import build_loss
from dlrun.training.progress import choose_display
from dlrun.training.schedules import build_schedule, check_schedule
from dlrun.training.tensorboard import TensorBoard
from dlrun.training.trainer import Learner, Progress, RunningMeans, Trainer, Training


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


def run(job: Job, folder: Path | None = None) -> Run | None:
    """Train and evaluate what `job` describes.

    Args:
        job: composed by `dlrun.config.compose`.
        folder: an empty folder to use; None: a new one below `output_dir`.

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
    data = load_data(config, allowed).to(device, environment.dtype_of_precision(precision))
    model, layers = build_model(config, data, device, allowed)
    torch.set_num_threads(environment.choose_threads(config.threads, sum(n.work for n in layers) * trainer.batch_size))
    training = begin_training(config, trainer, model, data)
    if not config.dry_run:
        run_folder = RunFolder(folder) if folder else RunFolder.create(config.output_dir, *names_of(job))
    introduce(console, job, data, model, layers, training, trainer)
    if config.dry_run:
        return None

    run_folder.begin(job.overrides, plain(config), environment.describe(config, device) | {"data": checksum(data)})
    with Interruption() as interruption, Recorder(run_folder, config, trainer, data, interruption) as recorder:
        progress = trainer.fit(
            training, data, seed=config.seed, precision=precision, on_step=recorder.on_step, on_epoch=recorder.on_epoch
        )
        run_folder.write_bytes("checkpoints/last.pt", to_bytes(training))
        if progress.status == "interrupted":
            return interrupted(run_folder, progress, config, console, interruption.exit_code)
        scores = {name: trainer.scores(model, rows, precision) for name, rows in data.splits().items()}
        evaluation = evaluate(data, training.learner.loss, scores)
        metrics = summary(progress, evaluation, count_parameters(model), config)
        save_results(run_folder, model, data, evaluation, metrics)
        recorder.board.write_final(metrics["config"], dict(evaluation.numbers()))
    report(console, run_folder, metrics)
    return Run(run_folder.path, metrics, 3 if progress.status == "diverged" else 0)


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
    model = resolve(config.model, "model", nn.Module, allowed)
    check_settings(model, config.model, "model", Spec.SUPPLIED)
    optimizer = resolve(config.optimizer, "optimizer", torch.optim.Optimizer, allowed)
    check_settings(optimizer, config.optimizer, "optimizer", ("params",))
    check_initializer(config.initializer)
    check_schedule(config.scheduler, allowed)
    return build(config.trainer, "trainer", Trainer, allowed)


def load_data(config: DictConfig, allowed: tuple[str, ...]) -> Data:
    """Decode, split and preprocess what `config.data` names."""
    own, settings = split_settings(config.data)
    return prepare(load(own, allowed), settings)


def build_model(
    config: DictConfig, data: Data, device: torch.device, allowed: tuple[str, ...]
) -> tuple[nn.Module, list[Layer]]:
    """The network for these data, initialised, on the device; and its layers, seen by passing two rows through it."""
    dtype = environment.dtype_of_precision(config.precision.name)
    torch.manual_seed(config.seed)
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
    monitored = [("trainer.early_stopping.monitor", stopping.monitor)] if stopping else []
    if config.scheduler.get("monitor"):
        monitored.append(("scheduler.monitor", config.scheduler.monitor))
    epoch_metrics = EpochMetrics(data.spec, monitored, data.valid is not None)
    allowed = tuple(config.allow_targets)
    factory = build(config.optimizer, "optimizer", torch.optim.Optimizer, allowed, params=None)
    with blame("optimizer"):
        optimizer = factory(model.parameters())
    total_steps = trainer.epochs * trainer.steps(len(data.train))
    schedule = build_schedule(config.scheduler, optimizer, total_steps, allowed)
    loss = build_loss(config.loss, data.spec.task, allowed)
    learner = Learner(model, loss.to(next(model.parameters()).device), optimizer, schedule)
    return Training(learner, Progress(), Stopper(stopping) if stopping else None, {}, RunningMeans(epoch_metrics))


class Recorder:
    """What happens beside the loop: display, history, TensorBoard, checkpoints, and stopping when asked to."""

    def __init__(self, folder: RunFolder, config: DictConfig, trainer: Trainer, data: Data, interruption: Interruption):
        self.folder = folder
        self.interruption = interruption
        self.timetable = Timetable(trainer.checkpoint_every)
        self.board = TensorBoard(folder.path, OmegaConf.to_yaml(plain(config)))
        self.display = choose_display(config.quiet, trainer.epochs, trainer.steps(len(data.train)))
        self.seconds_before = 0.0

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_error) -> None:
        self.display.close()
        self.board.close()

    def on_step(self, training: Training) -> str | None:
        """After every step: the status to stop with, if any."""
        self.display.on_step(training.progress)
        if self.timetable.due(training.progress):
            self.save(training)
        return "interrupted" if self.interruption.signal else None

    def on_epoch(self, training: Training, logged: dict[str, float]) -> None:
        """After every epoch: write its values."""
        progress = training.progress
        self.folder.append_row("history.csv", logged)
        seconds, self.seconds_before = progress.seconds - self.seconds_before, progress.seconds
        self.folder.append_row("timing.csv", {"epoch": progress.epoch, "seconds": round(seconds, 6)})
        self.board.on_epoch(logged)
        self.display.on_epoch(progress, logged)
        if self.timetable.due(progress):
            self.save(training)

    def save(self, training: Training) -> None:
        """Save all that a resume needs, the events before it."""
        self.board.flush()
        self.folder.write_bytes("checkpoints/last.pt", to_bytes(training))
        self.timetable.saved()


def summary(progress: Progress, evaluation: Evaluation, parameters: int, config: DictConfig) -> dict:
    """What `metrics.json` holds."""
    return {
        "status": progress.status,
        **evaluation.as_json(),
        "best_epoch": progress.best_epoch,
        "epochs": progress.epochs,
        "fit_seconds": round(progress.seconds, 3),
        "parameters": parameters,
        "config": dict(flatten(plain(config))),
    }


def save_results(folder: RunFolder, model: nn.Module, data: Data, evaluation: Evaluation, metrics: dict) -> None:
    """Write weights, predictions and preprocessing, and the figures last."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    folder.write_bytes("model.safetensors", safetensors.torch.save(weights))
    numbers = {name: rows.row_numbers for name, rows in data.splits().items()}
    folder.write_text("predictions.csv", to_csv(data.spec, evaluation.predictions, numbers))
    folder.write_json("preprocessing.json", {"spec": vars(data.spec), "inputs": data.preprocessing.describe()})
    if fitted := data.preprocessing.fitted():
        folder.write_bytes("preprocessing.skops", fitted)
    folder.write_json("metrics.json", metrics)


def interrupted(folder: RunFolder, progress: Progress, config: DictConfig, console: Console, exit_code: int) -> Run:
    """Leave the folder of an interrupted run so that a person finds out what became of it."""
    metrics = {
        "status": "interrupted",
        "epochs": progress.epochs,
        "best_epoch": progress.best_epoch,
        "fit_seconds": round(progress.seconds, 3),
        "config": dict(flatten(plain(config))),
    }
    folder.write_json("metrics.json", metrics)
    console.print(f"interrupted in epoch {progress.epoch}; saved in {folder}", markup=False)
    return Run(folder.path, metrics, exit_code)


def introduce(
    console: Console, job: Job, data: Data, model: nn.Module, layers: list[Layer], training: Training, trainer: Trainer
) -> None:
    """Print what will be trained on what."""
    console.print("\n".join(describe_data(job.choices["data"], data)), markup=False)
    print_model(console, job.choices["model"], layers, count_parameters(model))
    if trainer.early_stopping and training.stopper is None:
        console.print("no validation rows: training runs for all epochs and keeps the last weights")
    if data.test is None:
        console.print("no test rows: every figure is of rows that were trained or validated on")
    if job.config.dry_run:
        console.print("dry run: nothing was trained")


def report(console: Console, folder: RunFolder, metrics: dict) -> None:
    """Print the table of results and where everything is."""
    if metrics["status"] == "diverged":
        console.print(
            f"diverged in epoch {metrics['epochs']}: the loss became NaN or infinite; the best weights "
            "before that are evaluated (a lower learning rate may help)"
        )
    print_results(console, metrics)
    console.print(
        f"parameters {metrics['parameters']:,}   best epoch {metrics['best_epoch']} of {metrics['epochs']}   "
        f"{metrics['fit_seconds']:.1f} s"
    )
    console.print(str(folder), markup=False)


def names_of(job: Job) -> tuple[str, str]:
    """The names that the run folder is called by: of data and model."""
    return job.choices["data"], job.choices["model"]


def plain(config: DictConfig) -> dict:
    """The config as nested dicts, lists and plain values."""
    return OmegaConf.to_container(config, resolve=True, enum_to_str=True)


def checksum(data: Data) -> str:
    """sha256 of all inputs and targets, as split and preprocessed: whether two runs saw the same data."""
    digest = hashlib.sha256()
    for rows in data.splits().values():
        for tensor in (rows.inputs, rows.targets):
            digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()
