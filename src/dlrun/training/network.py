"""A network as a learner: its loss, optimizers, schedule and penalty, a step of training, and scoring rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dlrun.data.rows import cut
from dlrun.data.split import Split
from dlrun.models.summary import count_parameters, largest_values
from dlrun.runtime import Runtime
from dlrun.tensors import Batch
from dlrun.training.contracts import Step, Weights
from dlrun.training.penalties import Regularizer
from dlrun.training.schedules import Schedule

EVALUATED_ROWS = 1024  # the most rows that are evaluated at once,
EVALUATED_VALUES = 2**22  # fewer where they become more values than these on their way, but a batch at least
FEW_VALUES = 2**16  # inputs that no layer makes 64 times as large


@dataclass
class Network:
    """A network that learns by gradient descent.

    Attributes:
        model: an nn.Module from inputs to raw scores (n, width), on the runtime's device and in its arithmetic.
        loss: of (scores, targets), the mean of a batch.
        runtime: where it computes.
        optimizers: each moves its own parameters; empty for a network that is not trained.
        schedule: of the learning rate, or None.
        regularizer: the penalty on the weights, or None.
        grad_clip: largest norm of the gradient of all parameters together; None: no limit.
        stateful: whether a recurrent network carries its state on from row to row.
        batch_size: of training; as many rows are evaluated at once at least.
    """

    model: Any
    loss: nn.Module
    runtime: Runtime
    optimizers: list[Optimizer] = field(default_factory=list)
    schedule: Schedule | None = None
    regularizer: Regularizer | None = None
    grad_clip: float | None = None
    stateful: bool = False
    batch_size: int = 32
    carried: Any = None

    def __post_init__(self) -> None:
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.autocast = self.runtime.autocast()
        self.one: Tensor | None = None

    @property
    def parameters(self) -> int:
        """The number of trainable parameters."""
        return count_parameters(self.model)

    def learns_from_a_lone_row(self, split: Split) -> bool:
        """Return whether a batch may be a single row; batch norm needs two values of a channel, of rows or of pixels.

        It is tried on a copy, since what is left of an image where it is normalised depends on the layers before.
        """
        if not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in self.model.modules()):
            return True
        device = self.runtime.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
            try:
                deepcopy(self.model).train()(self._first_row(split))
            except ValueError:
                return False
        return True

    def begin_epoch(self, resumed: bool) -> None:
        """Put the network into training mode; where a state is carried, begin at zero, but not in a `resumed` epoch."""
        self.model.train()
        if not resumed:
            self.carried = None

    def step(self, batch: Batch, group: int, last: bool) -> Step:
        """Add the gradient of a batch, and at the `last` of its `group` move the weights; see GradientLearner."""
        targets: Any = batch.targets  # of one target
        with self.autocast:
            scores = self._forward(batch.inputs)
            loss = self.loss(scores, targets)
        cost = loss + self.regularizer.term() if self.regularizer else loss  # the penalty is not what is logged
        self._backward(cost / group if group > 1 else cost)
        lr = self.optimizers[0].param_groups[0]["lr"]
        if last:
            self._move_weights()
        return Step(loss.detach(), scores.detach(), targets, lr)

    def end_epoch(self, logged: Mapping[str, float]) -> None:
        """Let the schedule move by epoch."""
        if self.schedule:
            self.schedule.after_epoch(logged)

    def judged_by(self, loss: nn.Module) -> Network:
        """Return the same network with another loss."""
        return replace(self, loss=loss)

    def loss_of(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss () of scores (n, width) and targets, wherever these are."""
        if scores.device == self.runtime.device:
            return self.loss(scores, targets)
        loss = self.loss.to(scores.device)
        value = loss(scores, targets.to(scores.device))
        self.loss.to(self.runtime.device)
        return value

    def scores(self, splits: Mapping[str, Split]) -> dict[str, Tensor]:
        """Return the raw scores of every split; a stateful network carries its state from each into the next."""
        if not self.stateful:
            return {name: self._scores(split) for name, split in splits.items()}
        self.carried, scores = None, {}
        for name, split in splits.items():
            scores[name], self.carried = self._scores_in_order(split, self.carried)
        return scores

    def validation_scores(self, split: Split) -> Tensor:
        """Return the raw scores of validation rows; a stateful network reads on from the last training row."""
        return self._scores_in_order(split, self.carried)[0] if self.stateful else self._scores(split)

    def snapshot(self) -> Weights:
        """Return a copy of parameters and buffers."""
        return {name: value.clone() for name, value in self.model.state_dict().items()}

    def load(self, weights: Weights) -> None:
        """Take weights that `snapshot` gave."""
        self.model.load_state_dict(weights)

    def weights_file(self) -> bytes:
        """Return parameters and buffers as a safetensors file."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.model.state_dict().items()}
        return safetensors.torch.save(tensors)

    def state(self) -> dict[str, Any]:
        """Return weights, optimizers, schedule and carried state, as tensors and plain numbers."""
        return {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedule": self.schedule.state() if self.schedule else None,
            "carried": self.carried,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take the state of a checkpoint.

        Raises:
            RuntimeError, ValueError, KeyError, TypeError: it is that of another network or optimizer.
        """
        self.model.load_state_dict(state["model"])
        for optimizer, own in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(own)
        if self.schedule:
            self.schedule.restore(state["schedule"])
        self.carried = state["carried"]

    def _forward(self, inputs: Any) -> Tensor:
        """Return raw scores; a stateful network reads on from the batch before, which no gradient reaches."""
        if not self.stateful:
            return self.model(inputs)
        scores, state = self.model.with_state(inputs, self.carried)
        self.carried = detached(state)
        return scores

    def _backward(self, cost: Tensor) -> None:
        """Add the gradient of `cost` (); PyTorch would make its derivative by itself, 1, anew in every step."""
        one = self.one
        if one is None or one.dtype != cost.dtype:
            one = self.one = torch.ones_like(cost)
        cost.backward(one)

    def _move_weights(self) -> None:
        if self.grad_clip is not None:
            nn.utils.clip_grad_norm_(self.trained, self.grad_clip)
        for optimizer in self.optimizers:
            optimizer.step()
        for parameter in self.trained:  # optimizer.zero_grad() does the same, and takes a tenth of a small step
            parameter.grad = None
        if self.regularizer:
            self.regularizer.after_step(self.optimizers)
        if self.schedule:
            self.schedule.after_step()

    def _scores(self, split: Split) -> Tensor:
        """Return the raw scores (n, width) of all rows of a split, in evaluation mode."""
        self.model.eval()
        dtype = self.runtime.dtype
        with torch.inference_mode(), self.autocast:
            at_once = self._evaluated_at_once(split)
            pieces = (self.model(split.transform(inputs, dtype)) for inputs in split.chunks(at_once))
            return collected(pieces, len(split)).to(dtype)

    def _evaluated_at_once(self, split: Split) -> int:
        """Return how many rows of a split are evaluated together.

        What a layer gives for so many is at most 16 MB (float32). Memory for 32 MB and more is given back to the system
        after each use, which clears it before the next: twice the time for a CNN.
        """
        if len(split) * split.values_in_row <= FEW_VALUES:
            return len(split)
        largest = largest_values(self.model, self._first_row(split))
        return max(self.batch_size, min(EVALUATED_ROWS, EVALUATED_VALUES // largest))

    def _first_row(self, split: Split) -> Any:
        first = torch.zeros(1, dtype=torch.int64, device=split.targets.device)
        return split.transform(next(split.read([first])), self.runtime.dtype)

    def _scores_in_order(self, split: Split, state: Any) -> tuple[Tensor, Any]:
        """Return the raw scores of all rows, read one after the other from `state` on, and the state after the last."""
        self.model.eval()
        dtype = self.runtime.dtype
        scores = []
        with torch.inference_mode(), self.autocast:
            for row in cut(split.transform(split.stored(), dtype), 1):
                score, state = self.model.with_state(row, state)
                scores.append(score)
        return torch.cat(scores).to(dtype), state


def collected(pieces: Iterator[Tensor], rows: int) -> Tensor:
    """Return one tensor (rows, width) of pieces of it.

    Each is copied to its place at once: kept, they would lie between the large blocks that a network uses and gives
    back, and these could not be used again for the next piece.
    """
    whole, start = torch.empty(0), 0
    for piece in pieces:
        whole = piece.new_empty(rows, *piece.shape[1:]) if start == 0 else whole
        whole[start : start + len(piece)] = piece
        start += len(piece)
    return whole


def detached(state: Any) -> Any:
    """Return a state of tensors, in whatever lists and tuples, cut off from the gradients of what led to it."""
    return state.detach() if isinstance(state, Tensor) else type(state)(map(detached, state))
