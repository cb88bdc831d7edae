"""One run in three acts: assemble, fit, conclude. The file to read first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml
from rich.console import Console

from dlrun.data.source import Source
from dlrun.errors import Mistake
from dlrun.runs.assemble import Assembled, assemble, memory_explained
from dlrun.runs.conclude import conclude, interrupted, memory_of
from dlrun.runs.printing import introduce
from dlrun.runs.recipe import Recipe, Run
from dlrun.runtime import describe
from dlrun.store.finding import new_run
from dlrun.store.folder import RunFolder
from dlrun.store.lock import working_in
from dlrun.training.checkpoints import restore
from dlrun.training.contracts import Training
from dlrun.training.interruption import Interruption
from dlrun.training.progress import choose_display
from dlrun.training.recorder import Pruning, Recorder


def run(
    recipe: Recipe,
    folder: RunFolder | None = None,
    resumes: bool = False,
    alone: bool = True,
    sources: dict[str, Source] | None = None,
    pruning: Pruning | None = None,
) -> Run | None:
    """Train and evaluate what a recipe describes.

    Args:
        recipe: of one run.
        folder: the folder to use; None: a new one below `output_dir`.
        resumes: go on from the checkpoint in `folder`, if it has one; else from the start, in the same folder.
        alone: False for a part of a larger run, which shows nothing of its own.
        sources: what has been decoded before, for parts that share their data.
        pruning: what stops a hopeless trial of a search.

    Returns:
        The run, or None under `dry_run=true`.

    Raises:
        Mistake: anything in the config or the data that cannot be; no folder has been made then. Another process is at
            work in `folder`.
    """
    console = Console(quiet=recipe.output.quiet or not alone, highlight=False, soft_wrap=True)
    with recipe.runtime() as runtime:
        assembled = assemble(recipe, runtime, sources, pruning.objective if pruning else None)
        if not recipe.output.dry_run:
            folder = folder or new_run(recipe.output.output_dir, *recipe.names)
        introduce(console, assembled)
        if folder is None or recipe.output.dry_run:
            return None
        with working_in(folder.path), nothing_left_of_mistakes(folder, assembled.training, resumes):
            begin(assembled, folder, resumes)
            if exit_code := fit(assembled, folder, alone, pruning):
                return interrupted(assembled, folder, console, exit_code)
            return conclude(assembled, folder, console, alone)


def begin(assembled: Assembled, folder: RunFolder, resumes: bool = False) -> None:
    """Write what is known before training into the folder, or take up the training where the run in it stopped.

    Raises:
        Mistake: the data have changed since, or the checkpoint cannot be used.
    """
    surroundings = describe(assembled.runtime) | {"data": assembled.data.checksum()}
    if resumes:
        take_up(assembled, folder, surroundings)
    else:
        folder.begin(list(assembled.recipe.overrides), dict(assembled.recipe.config), surroundings)


def fit(assembled: Assembled, folder: RunFolder, alone: bool = True, pruning: Pruning | None = None) -> int:
    """Train the assembled learner in place, with everything that watches a run: loggers, display, checkpoints, ^C.

    Returns:
        0, or the exit code with which the run has been interrupted: 130 for ^C, 143 for SIGTERM.
    """
    recipe, training, fitter, device = assembled.recipe, assembled.training, assembled.fitter, assembled.runtime.device
    steps = fitter.steps(len(assembled.data.train))
    config_text = yaml.safe_dump(dict(recipe.config), sort_keys=False)
    display = choose_display(recipe.output.quiet or not alone, fitter.epochs, steps, training.progress)
    with (
        Interruption() as interruption,
        Recorder(folder, config_text, fitter, display, training, device, interruption, pruning) as recorder,
    ):
        with memory_explained(*memory_of(training.learner, fitter)):
            fitter.fit(training, assembled.data, assembled.runtime, recorder)
        recorder.save(training)
        return interruption.exit_code


def take_up(assembled: Assembled, folder: RunFolder, surroundings: dict[str, Any]) -> None:
    """Put the training where the run in `folder` stopped, and clear away what was written after that.

    Raises:
        Mistake: the data have changed since, or the checkpoint cannot be used.
    """
    training, fitter = assembled.training, assembled.fitter
    if folder.environment().get("data") != surroundings["data"]:
        raise Mistake(f"{folder}: the data have changed since this run began; it cannot be resumed")
    if (checkpoint := folder.checkpoint()) is not None:
        restore(training, checkpoint, assembled.runtime.device)
    progress = training.progress
    stopped_early = training.stopper is not None and training.stopper.stops
    if progress.status == "interrupted" or (progress.epochs < fitter.epochs and not stopped_early):
        progress.status = "running"
    folder.update(list(assembled.recipe.overrides), dict(assembled.recipe.config))
    folder.tidy()
    folder.keep_epochs(progress.epochs)


@contextmanager
def nothing_left_of_mistakes(folder: RunFolder, training: Training, resumes: bool) -> Iterator[None]:
    """Remove the folder of a run that a mistake ended before its first epoch was over."""
    try:
        yield
    except Mistake:
        if not resumes and not training.progress.epochs and not folder.is_trained:
            folder.remove()
        raise
