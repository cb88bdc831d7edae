"""Launchers on this machine: one job after the other, or several at once."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace

from dlrun.errors import Mistake
from dlrun.sweeps.launchers.base import Gpus, Job, Outcome

IDLE_SECONDS = 300  # that a process waits for another job before it ends
# A library's own threads share the cores with the other jobs, as under joblib.Parallel; a network's are set by the run.
THREADS_OF_LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS",
                        "VECLIB_MAXIMUM_THREADS")  # fmt: skip


class Serial:
    """Runs the jobs one after the other, in this process."""

    def __call__(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Run the jobs in order."""
        for job in jobs:
            yield job.run()


@dataclass
class Joblib:
    """Runs several jobs at once, each in a process of joblib's (loky's); outcomes come as they are ready.

    How many threads a network uses stays what it is alone, and so do its bits.

    Args:
        jobs: how many at once; None: as many as there are GPUs or, on the CPU, cores that this process may use.
        gpus: the CUDA devices that the jobs are spread over.
    """

    jobs: int | None = None
    gpus: tuple[int, ...] = ()

    def __call__(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Run the jobs; the next is asked for when one has ended and its outcome has been taken.

        Raises:
            Mistake: the system has killed a job's process.
        """
        from joblib import cpu_count
        from joblib.externals.loky import get_reusable_executor
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        at_once = self.jobs or len(self.gpus) or cpu_count()
        workers = get_reusable_executor(at_once, timeout=IDLE_SECONDS, env=_environment(max(1, cpu_count() // at_once)))
        gpus, jobs = Gpus(self.gpus), iter(jobs)
        running: dict[Future, int | None] = {}
        try:
            while True:
                while len(running) < at_once and (job := next(jobs, None)) is not None:
                    gpu = gpus.take()
                    running[workers.submit(run_elsewhere, os.getpid(), replace(job, gpu=gpu))] = gpu
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    gpus.give_back(running.pop(future))
                    yield future.result()
        except TerminatedWorkerError as error:
            raise Mistake(
                "jobs: the system killed a job's process, most likely for lack of memory; lower jobs"
            ) from error
        finally:
            if running:
                workers.shutdown(kill_workers=True)


def run_elsewhere(parent: int, job: Job) -> Outcome:
    """Run a job in a process that `parent` has launched."""
    _end_with(parent)
    return job.run()


def _environment(threads: int) -> dict[str, str]:
    """Return what is set in the environment of a job's process, unless the person has set it."""
    wanted = dict.fromkeys(THREADS_OF_LIBRARIES, str(threads))
    wanted["OMP_WAIT_POLICY"] = "PASSIVE"  # a thread that waits must not hold the core of another job
    return {name: value for name, value in wanted.items() if name not in os.environ}


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
