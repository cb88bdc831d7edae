"""What a model that ignores its inputs would score: the yardstick beside every figure.

For series it is the last value, which the data bring along."""

from __future__ import annotations

import torch
from torch import Tensor

from dlrun.tensors import Spec


def baseline_scores(spec: Spec, targets: Tensor) -> Tensor:
    """The constant scores (1, outputs) that fit the training `targets` best without looking at any input.

    Classes: the log odds of their shares, so that the majority class is predicted. Quantities: the mean.
    """
    targets = targets.cpu().double() if targets.is_floating_point() else targets.cpu()
    if spec.task == "regression":
        return targets.mean(dim=0, keepdim=True)
    if spec.task == "multiclass":
        return torch.bincount(targets, minlength=spec.outputs).double().div(len(targets)).log()[None]
    return torch.logit(targets.mean(dim=0, keepdim=True))
