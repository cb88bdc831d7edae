"""The multilayer perceptron."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlrun.errors import Mistake
from dlrun.models.layers import batch_norm_layer, check_block, check_dropout, dense_blocks


class MLP(nn.Module):
    """Dense hidden layers and a linear output layer, on the flattened inputs.

    Args:
        input_shape: of one row.
        outputs: scores per row.
        hidden: neurons of each hidden layer; [] is a linear model.
        activation: of the hidden layers; one, or a list with one for each.
        dropout: share of each hidden layer's outputs that is dropped while training.
        input_dropout: share of the inputs that is dropped while training.
        batch_norm: whether each hidden layer is batch-normalised; true, or settings: {momentum: 0.01, eps: 0.001}.
        input_batch_norm: whether the inputs are.
        output_batch_norm: whether the raw scores are.
        bias: whether the dense layers have biases.
        block: the order of dense, batch_norm, activation and dropout in a hidden layer.
        wide: whether the inputs are joined to the last hidden layer (Cheng and others 2016, wide and deep).
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        outputs: int,
        hidden: list[int],
        activation: str | list[str] = "relu",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        batch_norm: bool | dict[str, float] = False,
        input_batch_norm: bool | dict[str, float] = False,
        output_batch_norm: bool | dict[str, float] = False,
        bias: bool = True,
        block: Sequence[str] = ("dense", "batch_norm", "activation", "dropout"),
        wide: bool = False,
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
        output = nn.Linear(width + inputs * wide, outputs, bias=bias)
        last: list[nn.Module] = [batch_norm_layer(output_batch_norm, outputs)] if output_batch_norm else []
        if wide and last:
            raise Mistake("model.output_batch_norm: does not go with model.wide")
        self.layers = nn.Sequential(nn.Flatten(), *first, *layers, *([] if wide else [output, *last]))
        self.output = output if wide else None
        self.head_from = len(self.layers) - 1 - len(last)

    @property
    def head(self) -> nn.Module:
        """The layers that give the scores: the last linear one, and its batch norm."""
        return self.layers[self.head_from :] if self.output is None else self.output

    def features(self, inputs: Tensor) -> Tensor:
        """Return what the head reads (n, width): the last hidden layer, for a wide network beside the inputs."""
        if self.output is None:
            return self.layers[: self.head_from](inputs)
        return torch.cat([self.layers(inputs), inputs.flatten(1)], dim=1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the raw scores (n, outputs) of inputs (n, *input_shape)."""
        return self.layers(inputs) if self.output is None else self.output(self.features(inputs))
