"""What many runs cost: the overhead of a job in a large grid, and what two jobs at once save.

    python scripts/bench_sweeps.py [--jobs 1000] [--parallel 20]

Prints seconds until the first job has ended, seconds a job beyond the training itself, and the time of parallel jobs as
a share of that of serial ones.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GRID = ["data=iris", "model=logistic", "trainer.epochs=1"]
SMALL = [
    "data=mnist",
    "model.hidden=[32]",
    "trainer.batch_size=128",
    "trainer.epochs=10",
    "trainer.early_stopping=null",
]
CNN = ["data=mnist", "model=cnn", "data.limit=6000", "trainer.batch_size=128", "trainer.epochs=4"]


def seconds(folder: Path, *arguments: str) -> float:
    """Wall time of a dlrun command in `folder`.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    started = time.perf_counter()
    command = [sys.executable, "-m", "dlrun", *arguments, "quiet=true"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def first_job(folder: Path, jobs: int) -> float:
    """Seconds until the first job of a grid of so many has ended; the rest is then stopped."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "dlrun", "-m", *GRID, f"seed=range({jobs})", "quiet=true"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        while not list(folder.glob("outputs/sweeps/*/0/predictions.csv")):
            time.sleep(0.01)
        return time.perf_counter() - started
    finally:
        process.kill()
        process.wait()


def grid(jobs: int) -> None:
    """The cost of a job, as the slope of the wall time between a grid of 10 and one of `jobs`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone = seconds(folder, *GRID)
        print(f"a single run: {alone:.2f} s; the first of {jobs} jobs has ended after {first_job(folder, jobs):.2f} s")
    with tempfile.TemporaryDirectory() as name:
        few = seconds(Path(name), "-m", *GRID, "seed=range(10)")
    with tempfile.TemporaryDirectory() as name:
        many = seconds(Path(name), "-m", *GRID, f"seed=range({jobs})")
        runs = [json.loads(file.read_bytes()) for file in Path(name).glob("outputs/sweeps/*/*/metrics.json")]
    training = sum(run["fit_seconds"] for run in runs) / len(runs)
    cost = (many - few) / (jobs - 10)
    print(
        f"{len(runs)} jobs: {many:.1f} s, {1000 * cost:.0f} ms a job, {1000 * (cost - training):.0f} ms beyond training"
    )


def parallel(jobs: int) -> None:
    """Two jobs at once against one after the other."""
    for name, job in (("small MLP", SMALL), ("CNN", CNN)):
        times = {}
        for launcher in ("serial", "joblib"):
            with tempfile.TemporaryDirectory() as folder:
                settings = [f"launcher={launcher}", "jobs=2", f"seed=range({jobs})"]
                times[launcher] = seconds(Path(folder), "-m", *job, *settings)
        share = times["joblib"] / times["serial"]
        print(f"{name}, {jobs} jobs: serial {times['serial']:.1f} s, two at once {times['joblib']:.1f} s: {share:.2f}")


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--parallel", type=int, default=20)
    options = parser.parse_args()
    grid(options.jobs)
    parallel(options.parallel)


if __name__ == "__main__":
    main()
