"""The loss of each task."""

from __future__ import annotations

from omegaconf import DictConfig
from torch import nn

from dlrun.errors import Mistake
from dlrun.targets import build

TASK_LOSSES = {
    "regression": nn.MSELoss,
    "binary": nn.BCEWithLogitsLoss,
    "multiclass": nn.CrossEntropyLoss,
    "multilabel": nn.BCEWithLogitsLoss,
}
QUANTITY_LOSSES = (nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.SmoothL1Loss)


def build_loss(config: DictConfig, task: str, allowed: tuple[str, ...]) -> nn.Module:
    """The loss that the config node `loss` names, or the task's own: MSE or cross-entropy on logits, batch means.

    Raises:
        Mistake: the target is no nn.Module, refuses its settings, or is for another task.
    """
    if config.get("_target_") is None:
        return TASK_LOSSES[task]()
    loss = build(config, "loss", nn.Module, allowed)
    if isinstance(loss, QUANTITY_LOSSES) and task != "regression":
        raise Mistake(f"loss: {type(loss).__name__} is for quantities, and these data have classes; use loss=task")
    return loss
