"""Permutation importance: how much worse a run gets when a column of its table is shuffled (Breiman 2001)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dlrun.data.split import Split
from dlrun.errors import Mistake
from dlrun.tasks.several import Several

if TYPE_CHECKING:
    from dlrun.fitted import Fitted


@dataclass
class AlreadyFitted:
    """A run as scikit-learn wants it: something that has been fitted."""

    fitted: Fitted

    def fit(self, *_rows: object) -> AlreadyFitted:
        """Return the run as it is."""
        return self


def permutation_importance(
    fitted: Fitted, rows: Split, shuffles: int, threshold: float = 0.5, seed: int = 0
) -> pd.DataFrame:
    """Return, by column of the table as it was read, how far accuracy (for quantities R²) falls when it is shuffled.

    scikit-learn's permutation_importance, on the raw columns, so that a category counts as one.

    Args:
        rows: to judge by, with their raw columns.
        shuffles: of each column.
        threshold: of two classes.

    Returns:
        `column`, `importance` (mean) and `deviation` over the shuffles, the most important first; its
        `attrs["what"]` says what falls.

    Raises:
        Mistake: the run is of no table, or fewer than one shuffle.
    """
    if shuffles < 1:
        raise Mistake(f"importance is {shuffles}: it must be at least 1")
    schema = fitted.preprocessing.schema()
    table = schema.kind == "table"
    if not table or rows.raw is None:
        raise Mistake(f"importance: shuffles the columns of tables; {'this is too long' if table else 'here are none'}")
    if isinstance(fitted.task.main, Several):
        raise Mistake("importance: is what one figure loses, and this run has several targets; leave it out")
    from sklearn.inspection import permutation_importance as shuffled

    task = fitted.task
    truth = rows.targets.cpu().numpy().reshape(len(rows), -1) if rows.truth is None else rows.truth
    used = [column.name for column in schema.used]

    def score(whole: AlreadyFitted, inputs: pd.DataFrame, targets: np.ndarray) -> float:
        predicted = whole.fitted.predictions(inputs, threshold).prediction.reshape(len(targets), -1)
        if task.has_classes:
            return float((predicted == targets).mean())
        left = ((targets - predicted) ** 2).sum(axis=0) / ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
        return float(1 - left.mean())

    result = shuffled(
        AlreadyFitted(fitted), rows.raw[used], truth, scoring=score, n_repeats=shuffles, random_state=seed
    )  # fmt: skip
    table = pd.DataFrame(
        {"column": used, "importance": result.importances_mean, "deviation": result.importances_std}
    ).sort_values("importance", ascending=False, ignore_index=True)
    table.attrs["what"] = f"fall of {'accuracy' if task.has_classes else 'R²'}"
    return table
