"""The multilayer perceptron."""

from __future__ import annotations

import math

from torch import Tensor, nn

from dlrun.models.layers import check_block, check_dropout, dense_blocks


class MLP(nn.Module):
    """Dense hidden layers and a linear output layer, on the flattened inputs.

    Args:
        input_shape: of one row.
        outputs: scores per row.
        hidden: neurons of each hidden layer; [] is a linear model.
        activation: of the hidden layers.
        dropout: share of each hidden layer's outputs that is dropped while training.
        batch_norm: whether each hidden layer is batch-normalised.
        bias: whether the dense layers have biases.
        block: the order of dense, batch_norm, activation and dropout in a hidden layer.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        outputs: int,
        hidden: list[int],
        activation: str = "relu",
        dropout: float = 0.0,
        batch_norm: bool = False,
        bias: bool = True,
        block: list[str] = ("dense", "batch_norm", "activation", "dropout"),
    ):
        super().__init__()
        order = check_block(
            list(block),
            ("dense", "batch_norm", "activation", "dropout"),
            ["batch_norm"] * batch_norm + ["dropout"] * bool(check_dropout(dropout)),
        )
        layers, width = dense_blocks(math.prod(input_shape), hidden, activation, dropout, batch_norm, bias, order)
        self.layers = nn.Sequential(nn.Flatten(), *layers, nn.Linear(width, outputs, bias=bias))

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, *input_shape) to raw scores (n, outputs)."""
        return self.layers(inputs)
