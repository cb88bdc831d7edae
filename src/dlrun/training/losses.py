"""The loss of each task, class weights, and the losses that PyTorch lacks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from dlrun.config.build import build
from dlrun.errors import Mistake, choose
from dlrun.tensors import Spec

TASK_LOSSES = {
    "regression": nn.MSELoss,
    "binary": nn.BCEWithLogitsLoss,
    "multiclass": nn.CrossEntropyLoss,
    "multilabel": nn.BCEWithLogitsLoss,
}


class WeightedBinaryLoss(nn.Module):
    """Binary cross-entropy on logits, each row weighted by its class: Σ w·loss / Σ w, as CrossEntropyLoss does.

    Args:
        weights: (2,) of class 0 and class 1.
    """

    def __init__(self, weights: Tensor):
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        """(n, 1) logits and 0/1 targets to the mean loss ()."""
        weight = torch.where(targets > 0.5, self.weights[1], self.weights[0]).to(scores.dtype)
        losses = nn.functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        return (weight * losses).sum() / weight.sum()


class Hinge(nn.Module):
    """Mean of max(0, 1 − score) over the signed scores: of the class for binary, one against the rest for several."""

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        """(n, 1) scores and 0/1 targets, or (n, classes) and (n,) class indices, to the mean loss ()."""
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
        """(n, 1) logits and 0/1 targets, or (n, classes) and (n,) class indices, to the mean loss ()."""
        if targets.dim() == 1:
            losses = nn.functional.cross_entropy(scores, targets, reduction="none")
        else:
            losses = nn.functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        return ((1 - torch.exp(-losses)) ** self.gamma * losses).mean()


def class_weights(setting: str | dict | None, spec: Spec, targets: Tensor) -> Tensor | None:
    """The weight of each class, (classes,), or None.

    Args:
        setting: `class_weight`: None, `balanced` (rows / (classes · rows of the class), as scikit-learn's), or a
            weight by class name; the classes that it leaves out have 1.
        spec: of the data.
        targets: of the training rows.

    Raises:
        Mistake: there are no classes, no such class, or a weight that is no number above 0.
    """
    if setting is None:
        return None
    if spec.task not in ("binary", "multiclass"):
        raise Mistake("class_weight: these data have no classes; set it to null")
    names = spec.class_names
    if setting == "balanced":
        counts = torch.bincount(targets.long().ravel().cpu(), minlength=len(names))
        return (len(targets) / (len(names) * counts.clamp(min=1))).float()
    if not isinstance(setting, Mapping):
        raise Mistake(f"class_weight is {setting}: it must be null, balanced, or weights by class: {{{names[0]}: 2}}")
    weights = dict.fromkeys(names, 1.0)
    for name, weight in setting.items():
        choose(str(name), weights, "class_weight")
        if isinstance(weight, str | bool) or not weight > 0:
            raise Mistake(f"class_weight.{name} is {weight}: it must be a number above 0")
        weights[str(name)] = float(weight)
    return torch.tensor([weights[name] for name in names])


QUANTITY_LOSSES = (nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.SmoothL1Loss)
CLASS_LOSSES = (nn.CrossEntropyLoss, nn.BCEWithLogitsLoss, Hinge, Focal)


def build_loss(config: DictConfig, spec: Spec, weights: Tensor | None, allowed: tuple[str, ...]) -> nn.Module:
    """The loss that the config node `loss` names, or the task's own: MSE or cross-entropy on logits, batch means.

    Args:
        config: the node `loss`.
        spec: of the data.
        weights: (classes,) from `class_weights`, or None.

    Raises:
        Mistake: the target is no nn.Module, refuses its settings, is for another task, or takes no class weights.
    """
    task = spec.task
    if config.get("_target_") is None:
        if weights is None:
            return TASK_LOSSES[task]()
        return nn.CrossEntropyLoss(weights) if task == "multiclass" else WeightedBinaryLoss(weights)
    if weights is not None:
        raise Mistake("class_weight: goes with loss=task only; set one of the two to its default")
    loss = build(config, "loss", nn.Module, allowed)
    name = type(loss).__name__
    if isinstance(loss, QUANTITY_LOSSES) and task != "regression":
        raise Mistake(f"loss: {name} is for quantities, and these data have classes; use loss=task")
    if isinstance(loss, CLASS_LOSSES) and task == "regression":
        raise Mistake(f"loss: {name} is for classes, and these data have a quantity; use loss=task")
    if isinstance(loss, nn.CrossEntropyLoss) and task != "multiclass":
        raise Mistake(f"loss: {name} needs a score per class; data.task=multiclass gives two classes two of them")
    return loss
