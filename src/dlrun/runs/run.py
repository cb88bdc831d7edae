"""One run, top to bottom: config → data → model → trainer.fit → evaluate → run folder. The file to read first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from torch import nn

from dlrun import runtime as environment
from dlrun.data.source import Source
from dlrun.errors import Mistake
from dlrun.plots.draw import check_plots, draw
from dlrun.runs.assemble import begin_training, build_model, check_parts, load_data
from dlrun.runs.conclude import hyperparameters, interrupted, plain, save_results, summary
from dlrun.runs.evaluation import evaluate
from dlrun.runs.recipe import Job, Run, names_of
from dlrun.runs.tables import introduce, report
from dlrun.store.finding import new_run
from dlrun.store.folder import RunFolder
from dlrun.training.checkpoints import restore
from dlrun.training.interruption import Interruption
from dlrun.training.progress import choose_display
from dlrun.training.recorder import Pruning, Recorder
from dlrun.training.trainer import Trainer, Training


@environment.subnormals_flushed()
def run(
    job: Job,
    folder: RunFolder | None = None,
    resumes: bool = False,
    alone: bool = True,
    sources: dict[str, Source] | None = None,
    pruning: Pruning | None = None,
) -> Run | None:
    """Train and evaluate what `job` describes.

    Args:
        job: composed by `dlrun.config.compose.compose`.
        folder: the folder to use; None: a new one below `output_dir`.
        resumes: go on from the checkpoint in `folder`, if it has one; else from the start, in the same folder.
        alone: False for a part of a larger run, which shows nothing of its own, and of whose training rows only loss
            and accuracy (R²) are computed.
        sources: what has been decoded before, for parts that share their data.
        pruning: what stops a hopeless trial of a search.

    Returns:
        The run, or None under `dry_run=true`.

    Raises:
        Mistake: anything in the config or the data that cannot be; no folder has been made then.
    """
    config = job.config
    allowed, precision = tuple(config.allow_targets), config.precision.name
    console = Console(quiet=config.quiet or not alone, highlight=False, soft_wrap=True)
    device = set_up(config)
    check_plots(config.plots)
    trainer = check_parts(config, allowed)
    device = trainer.device_for(device)
    with memory_explained("while loading the data", "take fewer rows, columns or words of them"):
        data = load_data(config, allowed, sources).to(device)
    with memory_explained("while building the model", "take a smaller one (model.…)"):
        model, layers = build_model(config, trainer, data, device, allowed)
    torch.set_num_threads(environment.choose_threads(config.threads, sum(n.work for n in layers) * trainer.batch_size))
    training = begin_training(config, trainer, model, data)
    trainer.check(training, data)
    if not config.dry_run:
        folder = folder or new_run(config.output_dir, *names_of(job))
    introduce(console, job, data, model, layers, training, trainer)
    if config.dry_run:
        return None

    surroundings = environment.describe(config, device) | {"data": data.checksum()}
    if resumes:
        take_up(folder, training, trainer, surroundings, device)
    else:
        folder.begin(job.overrides, plain(config), surroundings)
    steps = trainer.steps(len(data.train))
    display = choose_display(config.quiet or not alone, trainer.epochs, steps, training.progress)
    with (
        nothing_left_of_mistakes(folder, training, resumes),
        Interruption() as interruption,
        Recorder(folder, config, trainer, display, training, interruption, pruning) as recorder,
    ):
        with memory_explained(*of_training(model, trainer)):
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
            with memory_explained(*of_training(model, trainer)):
                scores = trainer.all_scores(model, data.splits(), precision)
            if not all(found.isfinite().all() for found in scores.values()):
                progress.status = "diverged"
            brief = () if alone else ("train",)
            evaluation = evaluate(
                data.spec, data.splits(), training.learner.loss, scores, data.train.targets, brief=brief
            )
            record = summary(progress, evaluation, data, trainer.parameters(model), job)
            save_results(folder, trainer.weights(model), data, evaluation, record)
            metrics = record.to_json()
            recorder.write_final(hyperparameters(metrics), dict(evaluation.numbers()))
    if exit_code:
        return interrupted(folder, progress, job, console, exit_code)
    report(console, folder, metrics)
    if wanted := [name for name in config.plots if alone or name != "all"]:
        from dlrun.fitted import Trained

        stored = OmegaConf.create(plain(config))
        trained = Trained(folder, stored, data.spec, data.preprocessing, trainer, model, device)
        if metrics["status"] != "diverged":
            draw(console, trained, data, evaluation.predictions, metrics, wanted)
    return Run(folder.path, metrics, 3 if progress.status == "diverged" else 0)


def set_up(config: DictConfig) -> torch.device:
    """Choose the device, seed everything; one thread until the work is known, so that it alone decides the bits."""
    device = environment.choose_device(config.device)
    environment.keep_freed_memory()
    environment.make_deterministic(config.deterministic)
    environment.seed_everything(config.seed)
    torch.set_num_threads(1)
    return device


def take_up(folder: RunFolder, training: Training, trainer: Trainer, surroundings: dict, device: torch.device) -> None:
    """Put `training` where the run in `folder` stopped, and clear away what was written after that.

    Raises:
        Mistake: the data have changed since, or the checkpoint cannot be used.
    """
    if folder.environment().get("data") != surroundings["data"]:
        raise Mistake(f"{folder}: the data have changed since this run began; it cannot be resumed")
    if (checkpoint := folder.checkpoint()) is not None:
        restore(training, checkpoint, device)
    progress = training.progress
    stopped_early = training.stopper is not None and training.stopper.stops
    if progress.status == "interrupted" or (progress.epochs < trainer.epochs and not stopped_early):
        progress.status = "running"
    folder.tidy()
    folder.keep_epochs(progress.epochs)


@contextmanager
def nothing_left_of_mistakes(folder: RunFolder, training: Training, resumes: bool) -> Iterator[None]:
    """Remove the folder of a run that a mistake ended before its first epoch was over."""
    try:
        yield
    except Mistake:
        if not resumes and not training.progress.epochs:
            folder.remove()
        raise


@contextmanager
def memory_explained(what: str, remedy: str) -> Iterator[None]:
    """Turn running out of memory, on the CPU or on CUDA, into one line: for what, and what to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise Mistake(f"out of memory {what}; {remedy}") from error


def of_training(model: nn.Module, trainer: Trainer) -> tuple[str, str]:
    """What takes the memory of a training, and what to lower."""
    size = trainer.parameters(model)
    network = "an estimator" if size is None else f"a model of {size:,} parameters"
    return (
        f"with trainer.batch_size={trainer.batch_size} and {network}",
        "lower trainer.batch_size (trainer.accumulate makes up for it), or take a smaller model",
    )
