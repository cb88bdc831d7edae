"""Launchers: where the parts of a larger run are run, one after the other or several at once."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Iterable, Iterator

from dlrun.errors import Mistake
from dlrun.sweeps.launchers.base import Outcome, Task, run_task


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
