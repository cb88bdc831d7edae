"""The loss of each task."""

from __future__ import annotations

from omegaconf import DictConfig
from torch import nn

from dlrun.targets import build

TASK_LOSSES = {
    "regression": nn.MSELoss,
    "binary": nn.BCEWithLogitsLoss,
    "multiclass": nn.CrossEntropyLoss,
    "multilabel": nn.BCEWithLogitsLoss,
}


def build_loss(config: DictConfig, task: str, allowed: tuple[str, ...]) -> nn.Module:
    """The loss that the config node `loss` names, or the task's own: MSE or cross-entropy on logits, batch means.

    Raises:
        Mistake: the target is no nn.Module, or refuses its settings.
    """
    if config.get("_target_") is None:
        return TASK_LOSSES[task]()
    return build(config, "loss", nn.Module, allowed)
