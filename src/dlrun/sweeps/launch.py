"""Launchers: where the parts of a larger run are run, one after the other or several at once."""

from __future__ import annotations

import functools
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dlrun.data.module import Source
from dlrun.errors import Mistake
from dlrun.folder import RunFolder, writing
from dlrun.one_run import Job, run
from dlrun.sweeps.search import Pruning

_SOURCES: dict[str, Source] = {}  # what this process has decoded last, for parts that share their data


@dataclass
class Task:
    """A part to be run: which, in which folder, whether it goes on from a checkpoint there, and from where."""

    path: str
    folder: Path
    job: Job
    resumes: bool = False
    cwd: Path = field(default_factory=Path.cwd)
    pruning: Pruning | None = None


@dataclass
class Outcome:
    """What became of a part.

    Attributes:
        path: which part.
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
        """failed, or the status of the run."""
        return self.metrics.get("status", "failed")

    @property
    def counts(self) -> bool:
        """Whether its figures count: it finished, or was stopped by trainer.max_minutes and evaluated."""
        return self.status == "finished" or (self.status == "interrupted" and self.exit_code == 0)

    def value(self, name: str) -> float | None:
        """A figure by `<split>/<metric>`, or None."""
        split, _, metric = name.partition("/")
        return self.metrics.get(split, {}).get(metric)


def is_launcher(target: object) -> bool:
    """a launcher of dlrun.sweeps.launch"""
    return target in (serial, joblib)


def serial(tasks: Iterable[Task], jobs: int | None) -> Iterator[Outcome]:
    """One after the other, in this process."""
    for task in tasks:
        yield run_task(task)


def joblib(tasks: Iterable[Task], jobs: int | None) -> Iterator[Outcome]:
    """`jobs` at once (None: as many as there are CPU cores), each in a process of its own; outcomes as they come.

    How many threads a job uses stays what it is alone, and so do its bits.
    """
    import joblib as library
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a thread that waits must not hold the core of another job
    jobs = jobs or os.cpu_count()
    workers = library.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs")
    parent = os.getpid()
    try:
        yield from workers(library.delayed(run_elsewhere)(number, parent, task) for number, task in enumerate(tasks))
    except TerminatedWorkerError as error:
        raise Mistake("jobs: the system killed a job's process, most likely for lack of memory; lower jobs") from error


def run_elsewhere(number: int, parent: int, task: Task) -> Outcome:
    """Run a task in a process that `parent` has launched; with several GPUs each task has one."""
    import torch

    _end_with(parent)
    os.chdir(task.cwd)
    if torch.cuda.device_count() > 1:
        torch.cuda.set_device(number % torch.cuda.device_count())
    return run_task(task)


@functools.cache
def _end_with(parent: int) -> None:
    """Let this process end when the one that launched it has been killed, so that no two write into one folder."""

    def orphaned() -> bool:
        return os.name != "nt" and os.getppid() != parent  # Windows never tells

    def watch() -> None:
        while not orphaned():
            time.sleep(0.1)
        os._exit(1)

    if orphaned():  # it was killed while this process was still starting
        os._exit(1)
    threading.Thread(target=watch, daemon=True).start()


def run_task(task: Task) -> Outcome:
    """Run a part in its folder; a mistake or a crash is an outcome too, so that the others go on."""
    folder = RunFolder(task.folder)
    try:
        if task.folder.is_symlink() or any(p.is_symlink() for p in list(task.folder.parents)[: task.path.count("/")]):
            raise Mistake(f"{task.folder}: is a link, which may lead out of the folder of the whole")
        with writing(task.folder):
            task.folder.mkdir(parents=True, exist_ok=True)
        ended = run(task.job, folder, resumes=task.resumes, alone=False, sources=_SOURCES, pruning=task.pruning)
        metrics = {name: value for name, value in ended.metrics.items() if name != "config"}
        return Outcome(task.path, metrics, ended.exit_code)
    except Mistake as mistake:
        _remove_empty(task.folder)
        return Outcome(task.path, failure=str(mistake), exit_code=2)
    except Exception as error:  # a crash of one part must not lose the others; it is reported, and the exit code is 1
        return Outcome(task.path, failure=f"{type(error).__name__}: {error}", exit_code=1, crash=traceback.format_exc())


def _remove_empty(path: Path) -> None:
    if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
        path.rmdir()


Launcher = Callable[[Iterable[Task], "int | None"], Iterator[Outcome]]
