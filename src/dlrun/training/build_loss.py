"""The loss of a run: the task's own, or one that the config names."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from dlrun.config.build import Component
from dlrun.errors import Mistake, blame
from dlrun.tasks.base import Task

OTHER_SCORES = (  # of logarithms of probabilities, of probabilities, of classes -1 and 1, or of other inputs
    nn.NLLLoss, nn.KLDivLoss, nn.BCELoss, nn.SoftMarginLoss, nn.HingeEmbeddingLoss, nn.PoissonNLLLoss, nn.CTCLoss,
    nn.MultiLabelMarginLoss,
)  # fmt: skip


def build_loss(chosen: Component | None, task: Task, class_weights: Tensor | None) -> nn.Module:
    """Return the loss that the config node `loss` names, or the task's own: MSE or cross-entropy on logits, as means.

    Args:
        chosen: what the config names, or None for the task's own.
        task: of the data.
        class_weights: (classes,), or None.

    Raises:
        Mistake: the loss refuses its settings, is for another task, takes no class weights, or is no mean of a batch.
    """
    if chosen is None:
        return task.loss(class_weights)
    if class_weights is not None:
        raise Mistake("class_weight: goes with loss=task only; set one of the two to its default")
    loss = chosen.build()
    if getattr(loss, "reduction", "mean") == "sum":
        raise Mistake("loss.reduction: sum depends on the size of a batch; use mean")
    if reason := task.refusal(loss):
        raise Mistake(f"loss: {type(loss).__name__} {reason}; use loss=task")
    if isinstance(loss, OTHER_SCORES):
        name = type(loss).__name__
        raise Mistake(f"loss: {name} reads no raw scores of classes 0, 1, … or of quantities; use loss=task")
    _try(loss, task)
    return loss


def _try(loss: nn.Module, task: Task) -> None:
    """Compute a copy of the loss once, of two rows of zeros, so that a loss of another kind is seen before training.

    Raises:
        Mistake: it fails, or what it gives is no single number with a gradient.
    """
    name = type(loss).__name__
    scores = torch.zeros(2, task.width, requires_grad=True)
    targets = torch.zeros(2, dtype=torch.int64) if task.has_one_class and task.width > 1 else torch.zeros(2, task.width)
    with (
        torch.random.fork_rng(devices=[]),
        torch.enable_grad(),
        blame(f"loss: {name} does not fit the task {task.name}"),
    ):
        value = deepcopy(loss)(scores, targets)
    if not isinstance(value, Tensor) or value.dim():
        given = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise Mistake(f"loss: {name} gives {given} for a batch; it must give one number, such as the mean of its rows")
    if not value.requires_grad:
        raise Mistake(
            f"loss: {name} gives a number without a gradient, from which nothing can be learned; use loss=task"
        )
