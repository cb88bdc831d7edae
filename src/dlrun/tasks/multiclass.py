"""Several classes and a score for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from dlrun.tasks.classes import OneClass
from dlrun.tasks.predictions import Predictions
from dlrun.tasks.running_figures import AccuracySums, Running


@dataclass(frozen=True)
class Multiclass(OneClass):
    """One of several classes, by a logit each."""

    name: ClassVar[str] = "multiclass"

    @property
    def width(self) -> int:
        """A score for each class."""
        return len(self.class_names)

    def encode(self, values: np.ndarray, dtype: torch.dtype) -> Tensor:
        """Return class indices (n,) as int64."""
        return torch.from_numpy(values.astype(np.int64))

    def placeholder(self, rows: int, dtype: torch.dtype) -> Tensor:
        """Return class indices that mean nothing."""
        return torch.zeros(rows, dtype=torch.int64)

    def loss(self, class_weights: Tensor | None = None) -> nn.Module:
        """Return the cross-entropy on logits."""
        return nn.CrossEntropyLoss(class_weights)

    def running(self) -> Running:
        """Return empty running figures: loss and accuracy."""
        return Running(lambda: AccuracySums(largest_is_true))

    def predictions(
        self, scores: Tensor, targets: Tensor, truth: np.ndarray | None = None, threshold: float = 0.5
    ) -> Predictions:
        """Return classes and their probabilities; see Task.predictions."""
        probability = torch.softmax(scores.detach().cpu().double(), dim=1).numpy()
        return Predictions(targets.cpu().numpy(), probability.argmax(axis=1), probability)

    def log_odds(self, shares: Tensor) -> Tensor:
        """Return the logarithms of the shares."""
        return shares.log()[None]

    def scores_of(self, probability: np.ndarray) -> Tensor:
        """Return the logarithms of the probabilities."""
        return torch.from_numpy(probability).log()


def largest_is_true(scores: Tensor, targets: Tensor) -> Tensor:
    """Return whether the largest score of each row is that of its class."""
    return scores.argmax(dim=1) == targets
