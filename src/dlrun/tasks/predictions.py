"""What a model predicts for each row: classes and probabilities, or quantities in their own units."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Predictions:
    """Truth and prediction of some rows; metrics are computed from exactly these, and predictions.csv holds them.

    Attributes:
        truth, prediction: (n,) class indices; (n, labels) 0/1 for several labels; (n, targets) quantities, in the
            target's own units.
        probability: (n, classes) or (n, labels); None for quantities.
    """

    truth: np.ndarray
    prediction: np.ndarray
    probability: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.truth)

    @cached_property
    def finite(self) -> bool:
        """Whether every probability, or else every predicted quantity, is a finite number."""
        return bool(np.isfinite(self.prediction if self.probability is None else self.probability).all())

    @cached_property
    def scores_by_class(self) -> dict[str, np.ndarray]:
        """Precision, recall and F1 of each class that occurs, and its `support` (rows), by scikit-learn.

        A class that is never predicted has a precision of 0, which is scikit-learn's own default.
        """
        from sklearn.metrics import precision_recall_fscore_support

        names = ("precision", "recall", "f1", "support")
        values = precision_recall_fscore_support(self.truth, self.prediction, zero_division=0)
        return dict(zip(names, values, strict=True))

    def of_column(self, column: int) -> Predictions:
        """Return one of several labels as a question of two classes, or one of several quantities as the only one."""
        if self.probability is None:
            return Predictions(self.truth[:, [column]], self.prediction[:, [column]])
        positive = self.probability[:, column]
        return Predictions(self.truth[:, column], self.prediction[:, column], np.column_stack([1 - positive, positive]))
