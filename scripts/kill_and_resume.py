"""Kill training processes at random moments (SIGKILL), resume them, and compare with the run that was never killed.

    python scripts/kill_and_resume.py [kills per job, default 20]

Prints a line per job: how many of the kills ended, after `dlrun resume=…`, with the same sha256 of weights, history and
predictions, and for a sweep also with the same table but for seconds. Exits 1 unless all did.
"""

from __future__ import annotations

import csv
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

JOBS = {
    "MLP with dropout and Adam": ["model.dropout=0.3", "trainer.epochs=8", "trainer.batch_size=8"],
    "CNN with augmentation, batch norm and accumulated gradients": [
        "data.augment={shift: 0.1, rotation: 10, contrast: 0.2}",
        "model=cnn", "model.channels=[16,16]", "model.batch_norm=true", "trainer.accumulate=3", "trainer.epochs=40",
    ],
    "LSTM with a schedule": ["model=lstm", "scheduler=one_cycle", "optimizer.lr=0.01", "trainer.epochs=30"],
    "sweep of six jobs, one after the other": ["-m", "seed=range(6)", "trainer.epochs=5"],
    "sweep of six jobs, two at once": [
        "-m", "seed=range(6)", "trainer.epochs=20", "launcher=joblib", "jobs=2",
    ],
}  # fmt: skip
EVERY = ["trainer.checkpoint_every.steps=9", "trainer.early_stopping.patience=50", "plots=[]"]
FILES = ("model.safetensors", "history.csv", "predictions.csv")


def dlrun(*arguments: str, cwd: Path) -> subprocess.Popen:
    """Start a dlrun process, its output thrown away."""
    command = [sys.executable, "-m", "dlrun", *arguments]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL)


def digests(folder: Path) -> list[str]:
    """sha256 of the files that must be equal; of a sweep those of all its jobs, and of its table but for seconds."""
    if not (folder / "sweep.csv").exists():
        return [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES]
    rows = csv.DictReader((folder / "sweep.csv").read_text().splitlines())
    table = str([{name: value for name, value in row.items() if name != "fit_seconds"} for row in rows])
    jobs = sorted(file.parent for file in folder.glob("*/metrics.json"))
    return [hashlib.sha256(table.encode()).hexdigest(), *(digest for job in jobs for digest in digests(job))]


def run_folder(parent: Path, process: subprocess.Popen) -> Path:
    """The run folder below `parent`, as soon as its run has begun to train."""
    while process.poll() is None:
        for found in parent.glob("outputs/*/*/metrics.json"):
            return found.parent
        time.sleep(0.01)
    return next(parent.glob("outputs/*/*/metrics.json")).parent


def train_whole(job: list[str], place: Path) -> tuple[list[str], float]:
    """The digests of the run that is never killed, and its seconds from the making of the folder on."""
    process = dlrun(*job, *EVERY, cwd=place)
    folder = run_folder(place, process)
    started = time.monotonic()
    assert process.wait() == 0
    return digests(folder), time.monotonic() - started


def kill_and_resume(job: list[str], place: Path, after: float) -> list[str]:
    """The digests of a run that was killed `after` seconds of training and then resumed."""
    process = dlrun(*job, *EVERY, cwd=place)
    folder = run_folder(place, process)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert dlrun(f"resume={folder}", cwd=place).wait() == 0
    return digests(folder)


def main(kills: int) -> int:
    """Kill every job `kills` times; 0 if all come out equal, else 1."""
    moments = random.Random(0)
    failures = 0
    for name, job in JOBS.items():
        with tempfile.TemporaryDirectory() as place:
            expected, seconds = train_whole(job, Path(place))
        equal = 0
        for _ in range(kills):
            with tempfile.TemporaryDirectory() as place:
                equal += kill_and_resume(job, Path(place), moments.uniform(0, seconds)) == expected
        failures += kills - equal
        print(f"{name}: {equal} of {kills} equal (a run takes {seconds:.1f} s)", flush=True)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
