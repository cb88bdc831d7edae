"""The launcher contract: a job, what became of it, and what runs many of them."""

from __future__ import annotations

import inspect
import os
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from weakref import WeakKeyDictionary

import torch
from omegaconf import DictConfig, OmegaConf

from dlrun.config.build import OURS, build
from dlrun.config.compose import Composed
from dlrun.data.source import Source
from dlrun.errors import Mistake
from dlrun.runs.recipe import read_recipe
from dlrun.runs.run import run
from dlrun.store.files import writing
from dlrun.store.folder import RunFolder
from dlrun.store.record import Record
from dlrun.sweeps.composing import composer_for
from dlrun.training.recorder import Pruning

_SOURCES: dict[str, Source] = {}  # what this process has decoded last, for jobs that share their data


def forget_sources() -> None:
    """Let go of what this process has decoded: the next run decodes its data anew."""
    _SOURCES.clear()


@dataclass(frozen=True)
class Job:
    """A run of many, as plain text and paths: it can be sent anywhere that sees its folder, and composes itself there.

    Attributes:
        path: its name within the whole, such as `3/fold_1`.
        folder: where the run is written.
        overrides: the command line of the run.
        config_dir: the user's own groups; None: none.
        allow_targets: the user's own packages, trusted by the person who started the whole.
        resume: whether it goes on from a checkpoint in `folder`.
        cwd: the folder that relative paths start from.
        pruning: what stops a hopeless trial of a search, as a `_target_` and its settings; None: nothing does.
        gpu: the CUDA device it runs on under device=cuda (or auto); None: the current one.
    """

    path: str
    folder: Path
    overrides: tuple[str, ...]
    config_dir: Path | None = None
    allow_targets: tuple[str, ...] = ()
    resume: bool = False
    cwd: Path = field(default_factory=Path.cwd)
    pruning: Mapping[str, object] | None = field(default=None, hash=False)
    gpu: int | None = None

    def run(self) -> Outcome:
        """Run it in its folder.

        Returns:
            What became of it; a mistake or a crash is an outcome too, so that the others go on.
        """
        try:
            os.chdir(self.cwd)
            if self.gpu is not None:
                torch.cuda.set_device(self.gpu)
            self._make_folder()
            ended = run(
                read_recipe(self._composed()),
                RunFolder(self.folder),
                resumes=self.resume,
                alone=False,
                sources=_SOURCES,
                pruning=self._pruning(),
            )
            assert ended is not None  # it is None under dry_run=true only, which starts no jobs
            metrics = {name: value for name, value in ended.metrics.items() if name != "config"}
            return Outcome(self.path, metrics, ended.exit_code)
        except Mistake as mistake:
            _remove_empty(self.folder)
            return Outcome(self.path, failure=str(mistake), exit_code=2)
        except Exception as error:  # a crash of one job must not lose the others; it is reported, the exit code is 1
            reason = f"{type(error).__name__}: {error}"
            return Outcome(self.path, failure=reason, exit_code=1, crash=traceback.format_exc())

    def knowing(self, composed: Composed) -> Job:
        """Return this job, which need not compose itself anew in this process as long as it is not copied."""
        _COMPOSED[self] = composed
        return self

    def _composed(self) -> Composed:
        if self in _COMPOSED:
            return _COMPOSED[self]
        composed = composer_for(self.config_dir).compose(list(self.overrides))
        composed.config.allow_targets = list(self.allow_targets)  # whom to trust was decided where the person sits
        return composed

    def _pruning(self) -> Pruning | None:
        if self.pruning is None:
            return None
        return build(OmegaConf.create(dict(self.pruning)), "sweeper", judges, self.allow_targets)

    def _make_folder(self) -> None:
        """Make the folder.

        Raises:
            Mistake: it cannot be made, or is, or lies in, a link that may lead out of the folder of the whole.
        """
        inner = [self.folder, *list(self.folder.parents)[: self.path.count("/")]]
        if any(folder.is_symlink() for folder in inner):
            raise Mistake(f"{self.folder}: is a link, which may lead out of the folder of the whole")
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)


_COMPOSED: WeakKeyDictionary[Job, Composed] = WeakKeyDictionary()  # of jobs in the process that has made them


@dataclass
class Outcome:
    """What became of a job.

    Attributes:
        path: which job.
        metrics: what its `metrics.json` holds; empty where it failed.
        exit_code: of its run.
        failure: one line on why there is no run.
        crash: the traceback, where that is our fault.
    """

    path: str
    metrics: dict = field(default_factory=dict)
    exit_code: int = 0
    failure: str = ""
    crash: str = ""

    @property
    def status(self) -> str:
        """The status of the run, or `failed` where there is none."""
        return self.metrics.get("status", "failed")

    @property
    def counts(self) -> bool:
        """Whether its figures count: it finished, or was stopped by trainer.max_minutes and evaluated."""
        return self.status == "finished" or (self.status == "interrupted" and self.exit_code == 0)

    @property
    def record(self) -> Record:
        """The record of the run."""
        return Record.read(self.metrics, self.path)

    def value(self, name: str) -> float | None:
        """Return a figure of metrics.json, such as `valid/accuracy` or `fit_seconds`; None where there is none."""
        return figure_of(self.metrics, name)


class Launcher(Protocol):
    """Runs jobs: here, in other processes, or on other machines.

    It is built from the node `launcher` of the config: its settings are the constructor's, and `jobs` (how many at
    once; None: the launcher decides) and `gpus` (the CUDA devices that there are for them) are supplied where the
    constructor names them. The jobs come one by one, each composed when it is asked for.
    """

    def __call__(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Run the jobs and yield what became of each, in any order, as soon as it is known."""
        ...


class Gpus:
    """Hands out CUDA devices: each job gets one that is idle or, where none is, the one with the fewest jobs.

    Args:
        indices: of the devices; none: no job gets one.
    """

    def __init__(self, indices: Iterable[int]):
        self._jobs = dict.fromkeys(indices, 0)

    def take(self) -> int | None:
        """Return the device for one more job, or None where there are none."""
        if not self._jobs:
            return None
        gpu = min(self._jobs, key=self._jobs.__getitem__)
        self._jobs[gpu] += 1
        return gpu

    def give_back(self, gpu: int | None) -> None:
        """Take note that a job on `gpu` has ended."""
        if gpu is not None:
            self._jobs[gpu] -= 1


def gpus_of(device: torch.device) -> tuple[int, ...]:
    """Return the indices of the CUDA devices that jobs may use under `device`: that one, or all; none on others."""
    if device.type != "cuda":
        return ()
    return tuple(range(torch.cuda.device_count())) if device.index is None else (device.index,)


def launcher_of(config: DictConfig, gpus: tuple[int, ...]) -> Launcher:
    """Return the launcher that a config describes.

    Raises:
        Mistake: it is none, or its settings do not fit.
    """
    return build(config.launcher, "launcher", launches, tuple(config.allow_targets), jobs=config.jobs, gpus=gpus)


def figure_of(metrics: Mapping[str, object], name: str) -> float | None:
    """Return the number at `name` (`valid/accuracy`, `parameters`) of a metrics.json; None where there is none."""
    value: object = metrics
    for key in name.split("/"):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def launches(target: object) -> bool:
    """a launcher: a class whose instances take an iterable of jobs and yield outcomes"""
    # Whatever torch and scikit-learn have that can be called with a list would be called with whatever settings a
    # stranger's config gives it; some of it starts processes. Of those packages only our own launchers count.
    if not isinstance(target, type) or not _ours_or_the_users(target, "dlrun.sweeps.launchers."):
        return False
    call = next((vars(base)["__call__"] for base in target.__mro__ if "__call__" in vars(base)), None)
    if call is None:
        return False
    try:
        inspect.signature(call).bind("self", "jobs")
    except TypeError:
        return False
    return True


def judges(target: object) -> bool:
    """a class with `hopeless(epoch, logged)`, which judges a trial"""
    ours = isinstance(target, type) and _ours_or_the_users(target, "dlrun.sweeps.searchers.")
    return ours and callable(getattr(target, "hopeless", None))


def _ours_or_the_users(target: type, room: str) -> bool:
    return target.__module__.startswith(room) or target.__module__.partition(".")[0] not in OURS


def _remove_empty(path: Path) -> None:
    if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
        path.rmdir()
