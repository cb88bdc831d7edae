"""The multilayer perceptron."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from dlrun.models.layers import batch_norm_layer, check_block, check_dropout, dense_blocks


class MLP(nn.Module):
    """Dense hidden layers and a linear output layer, on the flattened inputs.

    Args:
        input_shape: of one row.
        outputs: scores per row; None: no head, the network gives its features.
        hidden: neurons of each hidden layer; [] is a linear model.
        activation: of the hidden layers; one, or a list with one for each.
        dropout: share of each hidden layer's outputs that is dropped while training.
        input_dropout: share of the inputs that is dropped while training.
        batch_norm: whether each hidden layer is batch-normalised; true, or settings: {momentum: 0.01, eps: 0.001}.
        input_batch_norm: whether the inputs are.
        output_batch_norm: whether the raw scores are.
        bias: whether the dense layers have biases.
        block: the order of dense, batch_norm, activation and dropout in a hidden layer.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        outputs: int | None,
        hidden: list[int],
        activation: str | list[str] = "relu",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        batch_norm: bool | dict[str, float] = False,
        input_batch_norm: bool | dict[str, float] = False,
        output_batch_norm: bool | dict[str, float] = False,
        bias: bool = True,
        block: Sequence[str] = ("dense", "batch_norm", "activation", "dropout"),
    ):
        super().__init__()
        order = check_block(
            list(block),
            ("dense", "batch_norm", "activation", "dropout"),
            ["batch_norm"] * bool(batch_norm) + ["dropout"] * bool(check_dropout(dropout)),
        )
        inputs = math.prod(input_shape)
        first: list[nn.Module] = [batch_norm_layer(input_batch_norm, inputs)] if input_batch_norm else []
        if check_dropout(input_dropout, "input_dropout"):
            first.append(nn.Dropout(input_dropout))
        layers, width = dense_blocks(inputs, hidden, activation, dropout, batch_norm, bias, order)
        head: list[nn.Module] = [] if outputs is None else [nn.Linear(width, outputs, bias=bias)]
        if output_batch_norm and outputs is not None:
            head.append(batch_norm_layer(output_batch_norm, outputs))
        self.layers = nn.Sequential(nn.Flatten(), *first, *layers, *head)
        self.head_from = len(self.layers) - len(head)

    @property
    def head(self) -> nn.Module:
        """The layers that give the scores: the last linear one, and its batch norm."""
        return self.layers[self.head_from :]

    def features(self, inputs: Tensor) -> Tensor:
        """Return what the head reads (n, width): the last hidden layer."""
        return self.layers[: self.head_from](inputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the raw scores (n, outputs) of inputs (n, *input_shape)."""
        return self.layers(inputs)
