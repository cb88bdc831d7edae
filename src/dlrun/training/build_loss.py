"""The loss of a run: the task's own, or one that the config names."""

from __future__ import annotations

from torch import Tensor, nn

from dlrun.config.build import Component
from dlrun.errors import Mistake
from dlrun.tasks.base import Task


def build_loss(chosen: Component | None, task: Task, class_weights: Tensor | None) -> nn.Module:
    """Return the loss that the config node `loss` names, or the task's own: MSE or cross-entropy on logits, as means.

    Args:
        chosen: what the config names, or None for the task's own.
        task: of the data.
        class_weights: (classes,), or None.

    Raises:
        Mistake: the loss refuses its settings, is for another task, or takes no class weights.
    """
    if chosen is None:
        return task.loss(class_weights)
    if class_weights is not None:
        raise Mistake("class_weight: goes with loss=task only; set one of the two to its default")
    loss = chosen.build()
    if reason := task.refusal(loss):
        raise Mistake(f"loss: {type(loss).__name__} {reason}; use loss=task")
    return loss
