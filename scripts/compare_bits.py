"""Whether a change of the program changes a run: weights, history and predictions of a dozen runs, before and after.

    python scripts/compare_bits.py record before.json      # with the old program installed
    python scripts/compare_bits.py record after.json       # with the new one
    python scripts/compare_bits.py compare before.json after.json

Both must be recorded on the same machine with the same versions. Weights and predictions are compared by their sha256,
history value by value, since the last digit of a running mean is no promise between versions.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import re
import subprocess
import sys
import tempfile
from pathlib import Path

FILES = ("model.safetensors", "predictions.csv")
DATED = re.compile(r"\d{4}-\d\d-\d\d_")  # the folder of a run, which has another name each time
EPOCHS = "trainer.epochs=4"
RUNS: dict[str, list[list[str]]] = {  # by name, the command lines that lead to it, one after the other
    "table": [["data=iris", "model=mlp", EPOCHS]],
    "csv": [["data=csv", "data.path=table.csv", "data.target=price", "model=mlp", "model.dropout=0.1", EPOCHS]],
    "image": [["data=digits", "model=cnn", "model.batch_norm=true", "data.augment={shift: 0.1}", EPOCHS]],
    "tfidf": [["data=text", "data.path=texts.csv", "data.text=text", "data.target=kind", "model=logistic", EPOCHS]],
    "tokens": [["data=text", "data.path=texts.csv", "data.text=text", "data.target=kind", "data.represent=tokens",
                "model=lstm", EPOCHS]],
    "series": [["data=series", "data.path=series.csv", "data.target=y", "data.time=t", "model=gru", EPOCHS]],
    "stateful": [["data=series", "data.path=series.csv", "data.target=y", "data.lags=1", "model=rnn",
                  "trainer.stateful=true", "trainer.shuffle=false", "trainer.batch_size=1",
                  "data.split.test.by=last", "data.split.valid.by=last", "trainer.epochs=2"]],
    "multilabel": [["data=csv", "data.path=labels.csv", "data.target=[a,b]", "model=mlp", EPOCHS]],
    "one_cycle": [["data=diabetes", "model=mlp", "scheduler=one_cycle", "penalty.l1=0.001", "trainer.grad_clip=1.0",
                   "precision=bf16", EPOCHS]],
    "steps": [["data=breast_cancer", "model=logistic", "trainer.steps_per_epoch=7", "trainer.accumulate=2",
               "class_weight=balanced", "optimizer=nesterov", EPOCHS]],
    "monitor": [["data=wine", "model=mlp", "trainer.early_stopping.monitor=valid/f1", "initializer=he_normal", EPOCHS]],
    "estimator": [["data=breast_cancer", "model=sklearn/random_forest_classifier"]],
    "closed_form": [["data=diabetes", "model=linear", "solver=closed_form", "penalty.l2=0.01"]],
    "lbfgs": [["data=iris", "model=logistic", "solver=lbfgs"]],
    "folds": [["data=iris", "model=mlp", "cv.folds=3", EPOCHS]],
    "curve": [["data=iris", "model=mlp", "learning_curve=[0.5,1.0]", "repeats=2", EPOCHS]],
    "sweep": [["-m", "data=moons", "optimizer.lr=0.1,0.01", "model.activation=relu,tanh", EPOCHS]],
    "resume": [["data=digits", "model=mlp", "model.dropout=0.2", "trainer.epochs=2",
                "++trainer.keep_checkpoints=true"],
               ["resume={folder}", "trainer.epochs=4"]],
}  # fmt: skip


def record(output: Path) -> None:
    """Run everything and write the digests to `output`."""
    digests = {}
    with tempfile.TemporaryDirectory() as place:
        write_data(Path(place))
        for name, commands in RUNS.items():
            root = Path(place) / "runs" / name
            for command in commands:
                run(Path(place), root, command)
            digests[name] = digests_below(root)
            print(f"{name}: {len(digests[name])} files", flush=True)
    output.write_text(json.dumps(digests, indent=1) + "\n")


def run(place: Path, root: Path, command: list[str]) -> None:
    """Run one command line of `dlrun` with its output below `root`."""
    if command[0].startswith("resume="):
        folder = next(root.rglob("metrics.json")).parent
        arguments = [part.format(folder=folder) for part in command]
    else:
        arguments = [*command, f"output_dir={root}", "plots=[]", "quiet=true", "device=cpu"]
    program = Path(sys.executable).with_name("dlrun")
    subprocess.run([program, *arguments], cwd=place, check=True, stdout=subprocess.DEVNULL)


def digests_below(root: Path) -> dict[str, object]:
    """Of every run below `root`, by its place among them: digests of the files, and the history."""
    found: dict[str, object] = {}
    for folder in sorted({file.parent for file in root.rglob("predictions.csv")}):
        place = "/".join(part for part in folder.relative_to(root).parts if not DATED.match(part))
        for name in FILES:
            if (folder / name).is_file():
                found[f"{place}/{name}"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if (folder / "history.csv").is_file():
            with open(folder / "history.csv", newline="") as file:
                found[f"{place}/history.csv"] = list(csv.DictReader(file))
    return found


def write_data(place: Path) -> None:
    """Small tables of every kind, the same ones each time."""
    import numpy as np
    import pandas as pd

    draw = np.random.default_rng(0)
    area, kind = draw.normal(100, 20, 200), draw.choice(["flat", "house", "villa"], 200)
    price = 3 * area + 50 * (kind == "villa") + draw.normal(0, 10, 200)
    area[::17] = np.nan
    pd.DataFrame({"area": area, "kind": kind, "price": price}).to_csv(place / "table.csv", index=False)
    x = draw.normal(size=(150, 3))
    labels = {"a": (x[:, 0] > 0).astype(int), "b": (x[:, 1] + x[:, 2] > 0).astype(int)}
    pd.DataFrame({"x": x[:, 0], "y": x[:, 1], "z": x[:, 2], **labels}).to_csv(place / "labels.csv", index=False)
    words = {"spam": ["win", "money", "now", "free"], "mail": ["meet", "lunch", "report", "see"]}
    rows = [(k, " ".join(draw.choice([*words[k], "the", "a", "of"], 6))) for k in words for _ in range(60)]
    pd.DataFrame(rows, columns=["kind", "text"]).to_csv(place / "texts.csv", index=False)
    times = pd.date_range("2024-01-01", periods=200, freq="h")
    y = np.sin(np.arange(200) / 5) + draw.normal(0, 0.05, 200)
    pd.DataFrame({"t": times, "y": y}).to_csv(place / "series.csv", index=False)


def compare(before: Path, after: Path) -> int:
    """Print what differs; 1 if weights or predictions do, or any history value by more than rounding."""
    old, new = json.loads(before.read_text()), json.loads(after.read_text())
    worst = 0
    for name in old:
        first, second = old[name], new.get(name, {})
        differing = sorted(file for file in {*first, *second} if first.get(file) != second.get(file))
        rounding = [file for file in differing if file.endswith("history.csv") and close(first, second, file)]
        broken = [file for file in differing if file not in rounding]
        worst |= bool(broken)
        said = f"DIFFERENT: {', '.join(broken)}" if broken else "equal"
        print(f"{name:12} {said}" + (f" (last digits of {len(rounding)} histories)" if rounding else ""))
    return int(worst)


def close(old: dict, new: dict, file: str) -> bool:
    """Whether two histories agree but for rounding (1e-6 of the value)."""
    first, second = old.get(file), new.get(file)
    if not first or not second or [list(row) for row in first] != [list(row) for row in second]:
        return False
    return all(
        math.isclose(float(a[key] or "nan"), float(b[key] or "nan"), rel_tol=1e-6, abs_tol=1e-9)
        for a, b in zip(first, second, strict=True) for key in a if a[key] or b[key]
    )  # fmt: skip


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("record", "compare"))
    parser.add_argument("files", type=Path, nargs="+")
    options = parser.parse_args()
    if options.what == "record":
        record(options.files[0])
        return 0
    return compare(*options.files)


if __name__ == "__main__":
    sys.exit(main())
