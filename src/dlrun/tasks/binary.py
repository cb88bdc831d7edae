"""Two classes and one score: the logit of the second, which is the positive one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from dlrun.tasks.classes import OneClass
from dlrun.tasks.losses import WeightedBinaryLoss
from dlrun.tasks.predictions import Predictions
from dlrun.tasks.running_figures import AccuracySums, Running


@dataclass(frozen=True)
class Binary(OneClass):
    """One of two classes, by one logit."""

    name: ClassVar[str] = "binary"
    has_threshold: ClassVar[bool] = True

    @property
    def width(self) -> int:
        """One score: the logit of the second class."""
        return 1

    def encode(self, values: np.ndarray, dtype: torch.dtype) -> Tensor:
        """Return class indices (n,) as (n, 1) of 0 and 1."""
        return torch.from_numpy(values.reshape(len(values), -1).astype(np.float64)).to(dtype)

    def loss(self, class_weights: Tensor | None = None) -> nn.Module:
        """Return the binary cross-entropy on logits."""
        return nn.BCEWithLogitsLoss() if class_weights is None else WeightedBinaryLoss(class_weights)

    def refusal(self, loss: nn.Module) -> str:
        """Return why a loss is not for one logit."""
        if isinstance(loss, nn.CrossEntropyLoss):
            return "needs a score per class; data.task=multiclass gives two classes two of them"
        return super().refusal(loss)

    def running(self) -> Running:
        """Return empty running figures: loss and accuracy."""
        return Running(lambda: AccuracySums(signs_agree))

    def predictions(
        self, scores: Tensor, targets: Tensor, truth: np.ndarray | None = None, threshold: float = 0.5
    ) -> Predictions:
        """Return classes and their probabilities; see Task.predictions."""
        logits = scores.detach().cpu().double()[:, 0]
        positive, negative = torch.sigmoid(logits).numpy(), torch.sigmoid(-logits).numpy()
        predicted = (positive > threshold).astype(np.int64)
        return Predictions(targets.cpu().long().numpy().ravel(), predicted, np.column_stack([negative, positive]))

    def log_odds(self, shares: Tensor) -> Tensor:
        """Return the logit of the second class's share."""
        return torch.logit(shares[None, 1:])

    def scores_of(self, probability: np.ndarray) -> Tensor:
        """Return the logit of the second class's probability."""
        return torch.logit(torch.from_numpy(probability)[:, 1:])


def signs_agree(scores: Tensor, targets: Tensor) -> Tensor:
    """Return whether each logit has the sign of its 0/1 target."""
    return (scores > 0) == (targets > 0.5)
