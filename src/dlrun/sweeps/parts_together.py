"""The parts of one setting together: mean and deviation of every epoch, out-of-fold predictions and their figures."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from dlrun.runs.load import read_predictions, task_of
from dlrun.store.folder import RunFolder


def average_history(folders: Iterable[RunFolder]) -> pd.DataFrame:
    """Return, by epoch, how many of the runs trained it, and mean and deviation of everything that they logged."""
    frames = [history for history in (folder.history() for folder in folders) if len(history)]
    if not frames:
        return pd.DataFrame()
    grouped = pd.concat(frames).groupby("epoch")
    means, deviations = grouped.mean(), grouped.std().add_suffix("_deviation")
    columns = [name for pair in zip(means.columns, deviations.columns, strict=True) for name in pair]
    table = pd.concat([means, deviations], axis=1)[columns]
    table.insert(0, "parts", grouped.size())
    return table.reset_index()


def test_predictions(folders: dict[str, RunFolder]) -> pd.DataFrame:
    """Return the test rows of all parts, with the name of each part; text as it stands in the files."""
    frames = [
        read_predictions(folder, task_of(folder), "test")[0].assign(part=part) for part, folder in folders.items()
    ]
    return pd.concat(frames, ignore_index=True)


def out_of_fold(folder: RunFolder, predictions: pd.DataFrame) -> dict[str, object]:
    """Return the figures of the test rows of all folds taken together.

    Args:
        folder: of any of the folds.
        predictions: from `test_predictions`.
    """
    task = task_of(folder)
    return task.figures(task.read_csv(predictions)).values
