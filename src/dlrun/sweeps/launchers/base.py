"""The launcher contract: what is run, and what became of it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dlrun.data.source import Source
from dlrun.errors import Mistake
from dlrun.runs.recipe import Job
from dlrun.runs.run import run
from dlrun.store.files import writing
from dlrun.store.folder import RunFolder
from dlrun.store.record import Record
from dlrun.training.recorder import Pruning

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

    @property
    def record(self) -> Record:
        """What became of the run."""
        return Record.read(self.metrics, self.path)

    def value(self, name: str) -> float | None:
        """A figure by `<split>/<metric>`, or None."""
        return self.record.figure(name) if self.metrics else None


def is_launcher(target: object) -> bool:
    """a launcher of dlrun.sweeps.launchers"""
    return callable(target) and getattr(target, "__module__", "") == "dlrun.sweeps.launchers.local"


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
