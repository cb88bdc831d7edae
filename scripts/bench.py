"""How fast dlrun is, beside what a user would otherwise run (scripts/bench_peers.py).

    DLRUN_DATA=… python scripts/bench.py [--pairs 15] [--only small cnn] [--peers expert lightning]

The cost of an epoch is the slope of a process's wall time between N and 3N epochs, with all that the process does;
dlrun runs as a user runs it: early stopping, checkpoints, TensorBoard, metrics and progress on. dlrun and the expert's
loop take turns; reported is the median of dlrun's seconds over the mean of those just before and just after, beside
that of the expert's loop over itself. The other peers, which are slower, are run once for every 15 pairs, with a tenth
of the epochs. Then: start-up, peak memory, the final evaluation, and growth with rows, features and epochs.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

PEERS_FILE = Path(__file__).with_name("bench_peers.py")
COMMON = ["trainer.early_stopping.patience=100000", "plots=[]"]
MNIST = ["data=mnist", "data.split.valid={fraction: 0.1, by: last}", "trainer.batch_size=128"]
ROWS, FEATURES = 1_000_000, 20  # of the table
IMPORT_SKLEARN = """
import time, torch
started = time.perf_counter()
import sklearn.metrics
print(time.perf_counter() - started)
"""
BARE = """
import numpy as np, torch
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_score, recall_score, roc_auc_score
from sklearn.model_selection import train_test_split
x, y = load_digits(return_X_y=True)
x, y = (x / 16).astype(np.float32), y.astype(np.int64)
a, tx, b, ty = train_test_split(x, y, test_size=0.2, stratify=y, random_state=0)
x, vx, y, vy = train_test_split(a, b, test_size=0.2, stratify=b, random_state=0)
splits = [tuple(map(torch.from_numpy, pair)) for pair in ((x, y), (vx, vy), (tx, ty))]
(x, y), (vx, vy), _ = splits
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(64, 300), torch.nn.ReLU(), torch.nn.Linear(300, 100), torch.nn.ReLU(),
                            torch.nn.Linear(100, 10))
optimizer = torch.optim.Adam(model.parameters(), fused=True)
loss = torch.nn.functional.cross_entropy
best, wait = float("inf"), 0
for epoch in range({epochs}):
    for rows in torch.randperm(len(x)).split(32):
        optimizer.zero_grad()
        loss(model(x[rows]), y[rows]).backward()
        optimizer.step()
    with torch.inference_mode():
        valid = loss(model(vx), vy).item()
for inputs, truth in splits:
    with torch.inference_mode():
        probability = torch.softmax(model(inputs), 1).double().numpy()
    said, truth = probability.argmax(1), truth.numpy()
    print(accuracy_score(truth, said), precision_score(truth, said, average="macro"),
          recall_score(truth, said, average="macro"), f1_score(truth, said, average="macro"),
          roc_auc_score(truth, probability, multi_class="ovr"), log_loss(truth, probability))
"""


@dataclass
class Workload:
    """What is trained: the command line, and the N of the slope between N and 3N epochs."""

    overrides: list[str]
    epochs: int


WORKLOADS = {
    "tiny": Workload(["data=digits", "model=logistic", "data.split.test={rows: 270, by: last}",
                      "data.split.valid={rows: 270, by: last}"], 300),
    "small": Workload([*MNIST, "model=mlp", "model.hidden=[32]"], 6),
    "mlp": Workload([*MNIST, "model=mlp", "model.hidden=[512,256,128,32]"], 2),
    "cnn": Workload([*MNIST, "model=cnn", "model.channels=[32]", "model.hidden=[128]",
                     "model.block=[conv,pool,activation]", "model.ceil_mode=false"], 1),
    "lstm": Workload([*MNIST, "model=lstm"], 1),
    "table": Workload(["data=csv", "data.target=y", "model=mlp", "model.hidden=[64]", "data.task=multiclass",
                       "trainer.batch_size=1024"], 8),
}  # fmt: skip


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15, help="alternating pairs of each workload; default: 15")
    parser.add_argument("--only", nargs="*", help="these workloads and nothing else; default: everything")
    parser.add_argument("--peers", nargs="*", default=None, help="besides the expert's loop; default: those installed")
    parser.add_argument("--others", action="store_true", help="no workloads: start-up, memory, evaluation and growth")
    asked = parser.parse_args()
    os.environ["PYTHONUNBUFFERED"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.environ["DLRUN_BENCH_TABLE"] = str(place / "table.csv")
        for name in [] if asked.others else asked.only or WORKLOADS:
            if name == "table":
                make_table(place / "table.csv", ROWS, FEATURES)
            print_workload(name, asked.pairs, installed() if asked.peers is None else asked.peers, place)
        if asked.others or not asked.only:
            print_start_up(place)
            print_memory(place)
            print_evaluation(place)
            print_growth(place)


def installed() -> list[str]:
    """The peers that can be run here."""
    return ["dataloader", *(peer for peer in ("lightning", "skorch", "sklearn", "keras") if find_spec(peer))]


def make_table(path: Path, rows: int, features: int) -> None:
    """A table of numbers with two classes that depend on some of them."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal((rows, features)).round(4)
    y = (x[:, :5].sum(axis=1) + draw.standard_normal(rows) > 0).astype(int)
    pd.DataFrame(x, columns=[f"x{i}" for i in range(features)]).assign(y=y).to_csv(path, index=False)


def seconds(command: list[str], place: Path) -> float:
    """Wall time of a process."""
    started = time.perf_counter()
    subprocess.run(command, cwd=place, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def dlrun(name: str, epochs: int) -> list[str]:
    """The command line of dlrun for a workload."""
    work = WORKLOADS[name]
    table = [f"data.path={os.environ['DLRUN_BENCH_TABLE']}"] if name == "table" else []
    return [sys.executable, "-m", "dlrun", *work.overrides, *table, *COMMON, f"trainer.epochs={epochs}"]


def peer(who: str, name: str, epochs: int) -> list[str]:
    """The command line of a peer for a workload."""
    return [sys.executable, str(PEERS_FILE), who, name, str(epochs)]


def slope(command, name: str, place: Path, slower: int = 1) -> float:
    """Seconds an epoch, between N and 3N epochs; with an N so many times smaller for what is `slower`."""
    n = max(1, WORKLOADS[name].epochs // slower)
    return (seconds(command(name, 3 * n), place) - seconds(command(name, n), place)) / (2 * n)


def print_workload(name: str, pairs: int, peers: list[str], place: Path) -> None:
    """Print seconds an epoch of everybody, and the ratios to the expert's loop."""
    expert = functools.partial(peer, "expert")
    ours, theirs = [], [slope(expert, name, place)]
    for _ in range(pairs):
        ours.append(slope(dlrun, name, place))
        theirs.append(slope(expert, name, place))
    around = list(itertools.pairwise(theirs))  # the expert's loop before and after each of dlrun's
    ratios = [mine / ((a + b) / 2) for mine, (a, b) in zip(ours, around, strict=True)]
    itself = [a / b for a, b in around]
    base = statistics.median(theirs)
    print(f"{name}: expert {base:.4f} s an epoch; dlrun {statistics.median(ours):.4f}, ratio {quartiles(ratios)}; "
          f"the expert's loop against itself {quartiles(itself)}", flush=True)  # fmt: skip
    for who in peers:
        if who == "sklearn" and name in ("tiny", "cnn", "lstm"):  # MLPClassifier has a hidden layer, and is dense
            continue
        found = [slope(functools.partial(peer, who), name, place, 3) for _ in range(max(1, pairs // 15))]
        value = statistics.median(found)
        mine = statistics.median(ours)
        print(f"  {who} {value:.4f} s an epoch, {value / mine:.2f} times dlrun's", flush=True)


def quartiles(values: list[float]) -> str:
    """The median, and between which values the middle half lies."""
    if len(values) < 4:
        return f"{statistics.median(values):.3f}"
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.3f} ({low:.3f}–{high:.3f})"


def print_start_up(place: Path) -> None:
    """Print how long a person waits: for the help, and for the result table of the digits."""
    python = [sys.executable]
    helped = statistics.median(seconds([*python, "-m", "dlrun", "--help"], place) for _ in range(9))
    imported = statistics.median(seconds([*python, "-c", "import hydra"], place) for _ in range(9))
    print(f"--help {helped:.3f} s, {helped / imported:.2f} times 'import hydra' ({imported:.3f} s)", flush=True)
    shown, bare = [], []
    for _ in range(7):
        moment, epochs = until_the_table(place)
        shown.append(moment)
        bare.append(seconds([*python, "-c", BARE.replace("{epochs}", str(epochs))], place))
    ratio = statistics.median(a / b for a, b in zip(shown, bare, strict=True))
    print(f"digits until the result table {statistics.median(shown):.2f} s, {ratio:.2f} times a bare script with the "
          f"same epochs and metrics ({statistics.median(bare):.2f} s)", flush=True)  # fmt: skip


def until_the_table(place: Path) -> tuple[float, int]:
    """Seconds until `dlrun` has printed the last line of its result table on a terminal, and the epochs it trained."""
    ours, theirs = pty.openpty()
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "dlrun"], cwd=place, stdout=theirs, stderr=theirs)
    os.close(theirs)
    text, moment = "", 0.0
    while True:
        try:
            read = os.read(ours, 4096).decode(errors="replace")
        except OSError:  # the other end is closed
            break
        text += read
        if not moment and "best epoch" in text:
            moment = time.perf_counter() - started
    process.wait()
    os.close(ours)
    return moment, last_metrics(place)["epochs"]


def peak(command: list[str], place: Path) -> float:
    """The largest resident memory of a process, in MB."""
    script = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
              "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")  # fmt: skip
    found = subprocess.run([sys.executable, "-c", script, *command], cwd=place, check=True, capture_output=True)
    return int(found.stdout) / (1024**2 if sys.platform == "darwin" else 1024)


def print_memory(place: Path) -> None:
    """Print peak memory on MNIST; scikit-learn imports pandas, and this PyArrow where that is installed."""
    print("PyArrow is " + ("installed" if find_spec("pyarrow") else "not installed"))
    for name, epochs in (("small", 2), ("cnn", 1)):
        pairs = [(peak(dlrun(name, epochs), place), peak(peer("expert", name, epochs), place)) for _ in range(3)]
        mine, theirs = (statistics.median(values) for values in zip(*pairs, strict=True))
        print(f"peak memory of {name} {mine:.0f} MB, {mine / theirs:.2f} times the expert's loop ({theirs:.0f} MB)",
              flush=True)  # fmt: skip


def print_evaluation(place: Path) -> None:
    """Print how long a person waits after the fifth epoch of MNIST: for scores, metrics, and their files."""
    for name in ("mlp", "cnn"):
        parts = [evaluation_seconds(name, place) for _ in range(5)]
        after, imported, fit = (statistics.median(values) for values in zip(*parts, strict=True))
        print(f"MNIST, 5 epochs of {name}: {fit:.1f} s; from the last epoch until the result table {after:.2f} s, "
              f"{after / fit:.0%} of that, and {imported:.2f} s of importing scikit-learn", flush=True)  # fmt: skip


def evaluation_seconds(name: str, place: Path) -> tuple[float, float, float]:
    """Seconds from the fifth epoch until the result table but for importing scikit-learn, of this, and of the fit."""
    trained, shown = after_the_last_epoch(dlrun(name, 5), place)
    importing = [sys.executable, "-c", IMPORT_SKLEARN]
    imported = float(subprocess.run(importing, check=True, capture_output=True, text=True).stdout)
    return shown - trained - imported, imported, last_metrics(place)["fit_seconds"]


def after_the_last_epoch(command: list[str], place: Path) -> tuple[float, float]:
    """When the last epoch's line was printed, and when the result table's last line was."""
    process = subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, text=True)
    trained = shown = 0.0
    for line in process.stdout:
        if line.startswith("epoch "):
            trained = time.perf_counter()
        elif "best epoch" in line:
            shown = time.perf_counter()
    process.wait()
    return trained, shown


def last_metrics(place: Path) -> dict:
    """metrics.json of the run that ended last."""
    return json.loads(max((place / "outputs").glob("*/*/metrics.json"), key=lambda f: f.stat().st_mtime).read_text())


def print_growth(place: Path) -> None:
    """Print how the seconds of training grow with rows, features and epochs."""

    def fit(rows: int, features: int, epochs: int) -> float:
        path = place / f"grow_{rows}_{features}.csv"
        if not path.exists():
            make_table(path, rows, features)
        command = [sys.executable, "-m", "dlrun", "data=csv", f"data.path={path}", "data.target=y", "model=mlp",
                   "model.hidden=[64]", "trainer.batch_size=256", *COMMON, f"trainer.epochs={epochs}",
                   f"output_dir=growth_{rows}_{features}_{epochs}"]  # fmt: skip
        seconds(command, place)
        found = next((place / f"growth_{rows}_{features}_{epochs}").glob("*/*/metrics.json"))
        return json.loads(found.read_text())["fit_seconds"]

    for what, sizes in (
        ("rows", [(50_000, 20, 4), (100_000, 20, 4), (200_000, 20, 4)]),
        ("features", [(50_000, 20, 4), (50_000, 40, 4), (50_000, 80, 4)]),
        ("epochs", [(50_000, 20, 4), (50_000, 20, 8), (50_000, 20, 16)]),
    ):
        found = [fit(*size) for size in sizes]
        print(f"1, 2 and 4 times the {what}: {', '.join(f'{s / found[0]:.2f}' for s in found)} times the seconds",
              flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
