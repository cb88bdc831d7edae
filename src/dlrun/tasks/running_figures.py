"""Running figures of an epoch: loss, and accuracy or R², as sums on the device that are looked at once, at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

BATCHES_SUMMED = 512  # at once: a small batch is cheaper to keep for a while than to sum up by itself;
VALUES_SUMMED = 2**20  # fewer where fewer have so many scores


class Sums(Protocol):
    """Figures that can be computed from sums over the rows."""

    def add(self, scores: Tensor, targets: Tensor) -> None:
        """Take rows: their scores (n, outputs) and targets."""

    def figures(self) -> dict[str, float]:
        """Return the figures of all rows so far, by name."""

    def state(self) -> dict[str, Any]:
        """Return the sums."""

    def restore(self, state: dict[str, Any]) -> None:
        """Take sums from `state`."""


class AccuracySums:
    """The share of correct predictions.

    Args:
        correct: from scores and targets to whether each prediction is correct, a tensor of truth values.
    """

    def __init__(self, correct: Callable[[Tensor, Tensor], Tensor]):
        self.correct = correct
        self.right: Tensor | int = 0
        self.count = 0

    def add(self, scores: Tensor, targets: Tensor) -> None:
        """Take rows: their scores (n, outputs) and targets."""
        correct = self.correct(scores, targets)
        self.right = self.right + correct.sum()
        self.count += correct.numel()

    def figures(self) -> dict[str, float]:
        """Return the accuracy of all rows so far."""
        return {"accuracy": int(self.right) / self.count}

    def state(self) -> dict[str, Any]:
        """Return the sums."""
        return {"right": int(self.right), "count": self.count}

    def restore(self, state: dict[str, Any]) -> None:
        """Take sums from `state`."""
        self.right, self.count = state["right"], state["count"]


class R2Sums:
    """The mean R² over the targets, from sums of squares that are merged piece by piece (Chan and others 1979)."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: dict[str, Tensor] = {}

    def add(self, scores: Tensor, targets: Tensor) -> None:
        """Take rows: their scores (n, targets) and targets, in whatever unit both are."""
        scores, targets = in_double(scores), in_double(targets)
        mean, rows = targets.mean(dim=0), len(targets)
        new = {
            "mean": mean,
            "squares": (targets - mean).square().sum(dim=0),
            "residual": (targets - scores).square().sum(dim=0),
        }
        if self.count:
            old, both = self.sums, self.count + rows
            apart = mean - old["mean"]
            new["mean"] = old["mean"] + apart * (rows / both)
            new["squares"] = old["squares"] + new["squares"] + apart.square() * (self.count * rows / both)
            new["residual"] = old["residual"] + new["residual"]
        self.sums, self.count = new, self.count + rows

    def figures(self) -> dict[str, float]:
        """Return the R² of all rows so far; NaN or -inf where the targets are constant."""
        return {"r2": (1 - self.sums["residual"] / self.sums["squares"]).mean().item()}

    def state(self) -> dict[str, Any]:
        """Return the sums."""
        return {"count": self.count, "sums": self.sums}

    def restore(self, state: dict[str, Any]) -> None:
        """Take sums from `state`."""
        self.count, self.sums = state["count"], dict(state["sums"])


class Running:
    """Loss and a task's figures over the batches of an epoch, as they were when each batch was seen (Keras's way).

    Batches are kept until there are BATCHES_SUMMED of them, or VALUES_SUMMED scores, and summed together then; so what
    is kept, on the device and in a checkpoint, does not grow with the epoch, and the sums do not depend on when a
    checkpoint was written.

    Args:
        sums: makes empty ones, of which the task's figures are computed.
    """

    def __init__(self, sums: Callable[[], Sums]):
        self.make_sums = sums
        self.clear()

    def clear(self) -> None:
        """Begin an epoch."""
        self.rows = 0
        self.loss_sum: Tensor | None = None
        self.sums = self.make_sums()
        self.waiting: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, loss: Tensor, scores: Tensor, targets: Tensor) -> None:
        """Take a batch: its mean loss (), scores (n, outputs) and targets."""
        self.waiting.append((loss, scores, targets))
        if len(self.waiting) == BATCHES_SUMMED or len(self.waiting) * scores.numel() > VALUES_SUMMED:
            self._sum_up()

    def figures(self) -> dict[str, float]:
        """Return the loss, weighted by the rows of each batch, and the task's figures, by name; the epoch is over."""
        self._sum_up()
        loss = float("nan") if self.loss_sum is None else (self.loss_sum / self.rows).item()
        return {"loss": loss, **self.sums.figures()}

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the sums, and the few batches that are not in them yet."""
        return {
            "rows": self.rows,
            "loss_sum": self.loss_sum,
            "sums": self.sums.state(),
            "waiting": _joined(self.waiting),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take the state of a checkpoint."""
        self.rows, self.loss_sum = state["rows"], state["loss_sum"]
        self.sums.restore(state["sums"])
        self.waiting = _parted(state["waiting"])

    def _sum_up(self) -> None:
        if not self.waiting:
            return
        losses, scores, targets = zip(*self.waiting, strict=True)
        sizes = [len(batch) for batch in targets]
        weighted = in_double(torch.stack(losses))
        if len(set(sizes)) == 1:
            total = weighted.sum() * sizes[0]
        else:
            total = (weighted * torch.tensor(sizes, dtype=weighted.dtype, device=weighted.device)).sum()
        self.loss_sum = total if self.loss_sum is None else self.loss_sum + total
        self.rows += sum(sizes)
        self.sums.add(torch.cat(scores), torch.cat(targets))
        self.waiting = []


def _joined(waiting: list[tuple[Tensor, Tensor, Tensor]]) -> dict[str, Any]:
    """Return batches as three tensors, since a file has an entry for each."""
    if not waiting:
        return {}
    losses, scores, targets = zip(*waiting, strict=True)
    sizes = [len(batch) for batch in targets]
    return {"sizes": sizes, "loss": torch.stack(losses), "scores": torch.cat(scores), "targets": torch.cat(targets)}


def _parted(joined: dict[str, Any]) -> list[tuple[Tensor, Tensor, Tensor]]:
    if not joined:
        return []
    scores, targets = (joined[name].split(joined["sizes"]) for name in ("scores", "targets"))
    return list(zip(joined["loss"].unbind(), scores, targets, strict=True))


def in_double(tensor: Tensor) -> Tensor:
    """Return a tensor as float64, on the CPU where the device has none (Apple's MPS)."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()
