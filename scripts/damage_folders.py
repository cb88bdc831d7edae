"""Put random structures into the files of run folders, and open these with every command there is.

    python scripts/damage_folders.py [how many, default 10000] [seed, default 0]

A folder may come from anyone. Whatever is in it, each command does its work or says in one line what is wrong: what
ends otherwise (a traceback, several lines, another exit code) is printed with its seed.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from dlrun.cli import main

STRUCTURED = ("metrics.json", "environment.json", "preprocessing.json", "config.yaml", "overrides.yaml")
BYTES = ("history.csv", "timing.csv", "predictions.csv", "sweep.csv", "model.safetensors", "model.skops",
         "preprocessing.skops", "checkpoints/last.pt", "study.journal")  # fmt: skip
LEAVES = (None, True, False, 0, -1, 1, 3.5, -1e308, 10**30, "", "x", "nan", "inf", "null", "1", "../../x",
          "/etc/hostname", "${oc.env:HOME}", "torch.nn.Linear", "os.system", "é\u0000", "2026-01-01")  # fmt: skip
COMMANDS = (
    ["predict", "run={folder}", "input=new.csv", "output=out.csv"], ["eval", "run={folder}"], ["compare", "{folder}"],
    ["compare", "{folder}", "group_by=model"], ["list", "runs", "{folder}"], ["report", "{folder}", "output=r.html"],
    ["plot", "run={folder}"], ["export", "run={folder}", "format=state_dict"], ["resume={folder}", "quiet=true"],
    ["resume={folder}", "trainer.epochs=3", "quiet=true"], ["run={folder}", "quiet=true", "plots=[]"],
    ["show", "run={folder}"],
)  # fmt: skip
SWEEPER = "optuna" if find_spec("optuna") else "random"  # the first keeps a journal
KEPT = ["trainer.keep_checkpoints=true", "plots=[]", "quiet=true", "trainer.epochs=2"]
RUNS = {
    "network": ["data=iris", "model=logistic", *KEPT],
    "estimator": ["data=iris", "model=sklearn/decision_tree_classifier", "plots=[]", "quiet=true"],
    "folds": ["data=iris", "model=logistic", "cv.folds=2", *KEPT],
    "sweep": ["-m", "data=iris", "model=logistic", "seed=1,2", *KEPT],
    "search": ["-m", "data=iris", "model=logistic", f"sweeper={SWEEPER}", "sweeper.trials=2",
               "optimizer.lr=interval(0.1,1)", *KEPT],
}  # fmt: skip


@contextlib.contextmanager
def inside(place: Path) -> Iterator[None]:
    """Make `place` the current folder meanwhile."""
    before = Path.cwd()
    os.chdir(place)
    try:
        yield
    finally:
        os.chdir(before)


def make_folders(place: Path) -> dict[str, Path]:
    """Train small runs of every kind below `place`, and return the folder of each."""
    with inside(place):
        for kind, arguments in RUNS.items():
            assert main([*arguments, f"output_dir={kind}"]) == 0
    return {kind: _outermost(place / kind) for kind in RUNS}


def _outermost(place: Path) -> Path:
    return min((path.parent for path in place.rglob("environment.json")), key=lambda path: len(path.parts))


def structure(rng: random.Random, depth: int = 0) -> Any:
    """Return a random value: a leaf, a list or a mapping."""
    kind = rng.random()
    if depth > 2 or kind < 0.6:
        return rng.choice(LEAVES)
    if kind < 0.8:
        return [structure(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(("a", "name", "_target_", "1", "")): structure(rng, depth + 1) for _ in range(rng.randrange(4))}


def changed(rng: random.Random, value: Any) -> Any:
    """Return a structure in which one place is something else, or gone, or has something more."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        if rng.random() < 0.15:
            return {name: inner for name, inner in value.items() if name != key}
        return {**value, key: changed(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        return [*value[:at], changed(rng, value[at]), *value[at + 1 :]]
    return structure(rng)


def damage(rng: random.Random, folder: Path) -> str:
    """Change one file of a folder or of one inside it, and return which."""
    files = [path for path in sorted(folder.rglob("*")) if path.name in STRUCTURED or str(path).endswith(BYTES)]
    file = rng.choice(files)
    content = file.read_bytes()
    if file.suffix == ".json":
        content = json.dumps(changed(rng, json.loads(content))).encode()
    elif file.suffix == ".yaml":
        content = yaml.safe_dump(changed(rng, yaml.safe_load(content))).encode()
    else:
        at = rng.randrange(len(content) + 1)
        content = content[:at] + rng.randbytes(rng.randrange(6)) + content[at + rng.randrange(4) :]
    file.write_bytes(content)
    return file.relative_to(folder).as_posix()


def fault(rng: random.Random, folders: dict[str, Path], place: Path) -> str | None:
    """Damage a copy of a folder in `place`, open it with a command, and return what went wrong, if anything."""
    kind = rng.choice(list(folders))
    copy = place / "folder"
    shutil.copytree(folders[kind], copy)
    (place / "new.csv").write_text("sepal length (cm),petal width (cm)\n1,2\n")
    file = damage(rng, copy)
    command = [piece.format(folder="folder") for piece in rng.choice(COMMANDS)]
    out, err = io.StringIO(), io.StringIO()
    with inside(place), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code: object = main(command)
        except (Exception, SystemExit):
            code = traceback.format_exc().strip().splitlines()[-1]
    if code == 130:  # ^C, which a command takes as the end of itself alone
        raise KeyboardInterrupt
    if code in (0, 2, 3) and "Traceback" not in err.getvalue() and (code != 2 or err.getvalue().count("\n") == 1):
        return None
    return f"{kind}: {file}: dlrun {' '.join(command)}: {code} {err.getvalue()[-300:]}"


def run(times: int, seed: int) -> int:
    """Damage so many folders, print what went wrong, and return how many times that was."""
    faults = 0
    with tempfile.TemporaryDirectory() as made:
        folders = make_folders(Path(made))
        for number in range(seed, seed + times):
            with tempfile.TemporaryDirectory() as place:
                if wrong := fault(random.Random(number), folders, Path(place)):
                    faults += 1
                    print(f"seed {number}: {wrong}", flush=True)
    return faults


if __name__ == "__main__":
    os.environ.pop("DLRUN_DATA", None)
    asked = [int(argument) for argument in sys.argv[1:]]
    faults = run(*(asked + [10_000, 0][len(asked) :]))
    print(f"{faults} went wrong")
    sys.exit(bool(faults))
