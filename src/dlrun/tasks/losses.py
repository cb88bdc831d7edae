"""Losses of classes that PyTorch lacks, and which losses are for quantities or for classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WeightedBinaryLoss(nn.Module):
    """Binary cross-entropy on logits, each row weighted by its class: Σ w·loss / Σ w, as CrossEntropyLoss does.

    Args:
        weights: (2,) of class 0 and class 1.
    """

    weights: Tensor

    def __init__(self, weights: Tensor):
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss () of (n, 1) logits and 0/1 targets."""
        weight = torch.where(targets > 0.5, self.weights[1], self.weights[0]).to(scores.dtype)
        losses = nn.functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        return (weight * losses).sum() / weight.sum()


class Hinge(nn.Module):
    """Mean of max(0, 1 − score) over the signed scores: of the class for binary, one against the rest for several."""

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss () of (n, 1) scores and 0/1 targets, or of (n, classes) and (n,) class indices."""
        if targets.dim() == 1:
            targets = nn.functional.one_hot(targets, scores.shape[1])
        return torch.relu(1 - scores * (2 * targets.to(scores.dtype) - 1)).mean()


class Focal(nn.Module):
    """Focal loss (Lin and others 2017): the cross-entropy of each row times (1 − p)^gamma, p its true class's share.

    Args:
        gamma: 0 is the cross-entropy.
    """

    def __init__(self, gamma: float = 2.0):
        super().__init__()
        self.gamma = gamma

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss () of (n, 1) logits and 0/1 targets, or of (n, classes) and (n,) class indices."""
        if targets.dim() == 1:
            losses = nn.functional.cross_entropy(scores, targets, reduction="none")
        else:
            losses = nn.functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        return ((1 - torch.exp(-losses)) ** self.gamma * losses).mean()


QUANTITY_LOSSES = (
    nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.SmoothL1Loss, nn.PoissonNLLLoss, nn.GaussianNLLLoss,
)  # fmt: skip
CLASS_LOSSES = (
    nn.CrossEntropyLoss, nn.NLLLoss, nn.BCELoss, nn.BCEWithLogitsLoss, nn.MultiLabelSoftMarginLoss,
    nn.MultiMarginLoss, nn.SoftMarginLoss, WeightedBinaryLoss, Hinge, Focal,
)  # fmt: skip
FOR_QUANTITIES = "is for quantities, and these data have classes"
