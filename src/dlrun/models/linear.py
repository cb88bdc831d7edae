"""Linear and logistic regression: one linear layer."""

from __future__ import annotations

import math

from torch import Tensor, nn

from dlrun.errors import Mistake
from dlrun.tasks.base import Task


class Linear(nn.Module):
    """scores = W·x + b on the flattened inputs.

    Args:
        input_shape: of one row.
        outputs: scores per row.
        bias: whether there is a b.
    """

    def __init__(self, input_shape: tuple[int, ...], outputs: int, bias: bool = True):
        super().__init__()
        self.output = nn.Linear(math.prod(input_shape), outputs, bias=bias)

    @property
    def head(self) -> nn.Linear:
        """The layer that gives the scores."""
        return self.output

    def features(self, inputs: Tensor) -> Tensor:
        """Return what the head reads: (n, *input_shape) flattened."""
        return inputs.flatten(1)  # a module for it would take a fiftieth of a small step

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the raw scores (n, outputs) of inputs (n, *input_shape)."""
        return self.output(self.features(inputs))


class Logistic(Linear):
    """Logistic regression (softmax regression for several classes): a Linear whose scores are logits.

    Raises:
        Mistake: the data have no classes.
    """

    def __init__(self, input_shape: tuple[int, ...], outputs: int, task: Task, bias: bool = True):
        if not task.has_classes:
            raise Mistake("model=logistic predicts classes, and the target is a quantity; use model=linear")
        super().__init__(input_shape, outputs, bias)
