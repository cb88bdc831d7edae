"""How many epochs Optuna with pruning needs to find what a random search finds, on two problems.

    python scripts/compare_searches.py [--trials 30] [--seeds 3]

On a line fitted by full-batch gradient descent the best loss is known: that of least squares. On the digits it is not.
Prints for each seed the best validation loss (training loss on the line) of the random search, the epochs that it cost,
and the epochs after which Optuna, and another random search, had found one as good (within one percent).
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

LINE = ["data=line", "data.scale=standard", "data.split={test: null, valid: null}", "model=linear",
        "optimizer=momentum", "trainer.batch_size=50", "trainer.epochs=30", "trainer.early_stopping=null",
        "sweeper.objective=train_eval/loss", "optimizer.lr=tag(log, interval(1e-5, 1))",
        "optimizer.momentum=interval(0, 0.95)"]  # fmt: skip
DIGITS = ["data=digits", "trainer.epochs=15", "trainer.early_stopping.patience=15", "sweeper.objective=valid/loss",
          "optimizer.lr=tag(log, interval(1e-5, 1))", "trainer.batch_size=range(16,257,16)",
          "model.hidden=[16],[64],[256]", "model.dropout=interval(0, 0.6)"]  # fmt: skip


def search(problem: list[str], sweeper: str, trials: int, seed: int) -> list[tuple[float, int]]:
    """(objective, epochs) of every trial, in order; the objective of one that was pruned is infinite."""
    with tempfile.TemporaryDirectory() as place:
        settings = [f"sweeper={sweeper}", f"sweeper.trials={trials}", f"sweeper.seed={seed}", "plots=[]", "quiet=true"]
        command = [sys.executable, "-m", "dlrun", "-m", *problem, *settings]
        ended = subprocess.run(command, cwd=place, stdout=subprocess.DEVNULL)
        assert ended.returncode in (0, 3), ended.returncode  # 3: a trial diverged, as large learning rates do
        file = next(Path(place).glob("outputs/sweeps/*/sweep.csv"))
        rows = list(csv.DictReader(file.read_text().splitlines()))
    name = next(s.partition("=")[2] for s in problem if s.startswith("sweeper.objective"))
    return [(float(row[name]) if row["status"] == "finished" else float("inf"), int(row["epochs"])) for row in rows]


def epochs_until(trials: list[tuple[float, int]], wanted: float) -> int | None:
    """The epochs that were trained until a trial was as good as `wanted`; None: none was."""
    spent = 0
    for value, epochs in trials:
        spent += epochs
        if value <= wanted:
            return spent
    return None


def least_squares() -> float:
    """The smallest mean squared error on the line (its data as in configs/data/line.yaml), by NumPy."""
    draw = np.random.RandomState(42)
    x = 10 * draw.rand(50)
    y = 2 * x - 1 + draw.randn(50)
    return float(np.mean((y - np.polyval(np.polyfit(x, y, 1), x)) ** 2))


def main() -> None:
    """Compare on both problems."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print(f"line: the least loss is {least_squares():.4f}")
    for name, problem in (("line", LINE), ("digits", DIGITS)):
        shares = []
        for seed in range(options.seeds):
            drawn = search(problem, "random", options.trials, seed)
            best, spent = min(value for value, _ in drawn), sum(epochs for _, epochs in drawn)
            again = epochs_until(search(problem, "random", options.trials, seed + options.seeds), best * 1.01)
            found = search(problem, "optuna", options.trials, seed)
            needed = epochs_until(found, best * 1.01)
            shares.append(np.inf if needed is None else needed / spent)
            print(f"{name}, seed {seed}: random {best:.4f} in {spent} epochs, as good again with another seed after "
                  f"{again}; Optuna {min(v for v, _ in found):.4f}, as good after {needed}", flush=True)  # fmt: skip
        print(f"{name}: Optuna needs {statistics.median(shares):.0%} of the epochs (median)", flush=True)


if __name__ == "__main__":
    main()
