"""`dlrun predict run=<run folder> input=<file or folder>`: what a trained model says of new rows."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from dlrun.errors import Mistake
from dlrun.fitted import Fitted
from dlrun.runs.load import load
from dlrun.store.files import replacing


def predict(
    input: str,  # noqa: A002 (the name on the command line)
    run: str = "latest",
    output: str = "-",
    threshold: float = 0.5,
    device: str = "auto",
    allow_targets: list[str] | None = None,
    config_dir: str | None = None,
) -> int:
    """Predict for the rows of a file, with the run's own preprocessing, some thousands at a time.

    Args:
        input: a table (.csv, .tsv, .parquet, packed or not), an array (.npy), an image, a folder of images, lines of
            text (.txt), or `-`: a table from standard input. Columns that the run does not know are passed through.
        run: a run folder, or `latest`.
        output: the CSV file to write, whole or not at all; `-`: standard output.
        threshold: of two classes: the probability above which the second is predicted.
        device: `auto`, `cpu`, `cuda`, …
        allow_targets: your own packages, if the run's model or preprocessing is from one of them.
        config_dir: your own groups (`--config-dir`); the packages that they name are trusted like allow_targets.

    Raises:
        Mistake: input or run that cannot be used.
    """
    fitted = load(run, device, tuple(allow_targets or ()), config_dir)
    fitted.task.check_threshold(threshold)
    odd: Counter[str] = Counter()
    with _source(input) as path, _sink(output) as target:
        rows = 0
        for shown, inputs in fitted.read(path):
            if not len(shown):
                continue
            table = predictions_beside(fitted, shown, inputs, threshold)
            table.to_csv(target, index=False, header=rows == 0, lineterminator="\n")
            rows += len(table)
            odd.update(fitted.preprocessing.surprises(inputs))
        if rows == 0:
            raise Mistake(f"input: {input} has no row")
    for column, count in odd.items():
        print(f"dlrun: column '{column}': {count} values that the run cannot use, taken as missing or rare",
              file=sys.stderr)  # fmt: skip
    if output != "-":
        print(f"{rows:,} predictions of {fitted.folder} written to {output}")
    return 0


def predictions_beside(fitted: Fitted, shown: pd.DataFrame, inputs, threshold: float) -> pd.DataFrame:
    """Return the rows with the predictions for them.

    Raises:
        Mistake: they have a column that is called like one of the predictions'.
    """
    predictions = fitted.table(fitted.predictions(inputs, threshold), shown.index)
    twice = sorted(set(shown.columns) & set(predictions.columns))
    if twice:
        raise Mistake(f"input: has a column '{twice[0]}' already; rename it, or leave it out")
    return pd.concat([shown, predictions], axis=1)


@contextmanager
def _source(name: str):
    """Yield the path of the input; standard input is kept in a temporary file, so that it need not fit in memory."""
    if name != "-":
        path = Path(name).expanduser()
        if not path.exists():
            raise Mistake(f"input: there is no file '{name}' (the current folder is {Path.cwd()})")
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "input.csv"
        with open(path, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield path


@contextmanager
def _sink(name: str):
    """Yield the output, open for writing: a file appears under its own name only when it is whole."""
    if name == "-":
        yield sys.stdout
        return
    path = Path(name).expanduser()
    try:
        with replacing(path) as part, open(part, "w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise Mistake(f"output: {name} cannot be written ({error.strerror})") from error
