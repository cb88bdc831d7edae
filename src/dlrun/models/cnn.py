"""The convolutional network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from dlrun.errors import Mistake, choose
from dlrun.models.layers import activation_layer, batch_norm_layer, check_block, check_widths, dense_blocks, per_layer

PIECES = ("conv", "batch_norm", "activation", "pool")
CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d}
Pools = dict[str, dict[int, Callable[..., nn.Module]]]  # by name and dimensions
POOLS: Pools = {"max": {1: nn.MaxPool1d, 2: nn.MaxPool2d}, "avg": {1: nn.AvgPool1d, 2: nn.AvgPool2d}}
GLOBAL_POOLS: Pools = {
    "max": {1: nn.AdaptiveMaxPool1d, 2: nn.AdaptiveMaxPool2d},
    "avg": {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d},
}


class CNN(nn.Module):
    """Convolution blocks, then dense hidden layers and a linear output layer.

    Reads images (channels, height, width) with 2-D and series (time, features) with 1-D convolutions. `kernel_size`,
    `stride`, `padding` and `pool_size` take one value, or one per convolution.

    Args:
        input_shape: of one row.
        outputs: scores per row; None: no head, the network gives its features.
        channels: filters of each convolution.
        kernel_size, stride: of the convolutions.
        padding: `valid` (none), `same`, or a number of pixels on each side.
        pool: max or avg.
        pool_size: width of the pooling; 0 leaves it out.
        pool_stride: steps of the pooling; None: its width.
        global_pool: `max` or `avg` over each whole channel, in place of flattening; None: flatten.
        ceil_mode: whether the incomplete window at an edge is pooled too (PyTorch's term; Keras leaves it out).
        block: the order of conv, batch_norm, activation and pool in a block.
        hidden: neurons of each dense hidden layer.
        activation, dropout, batch_norm, bias: as for the MLP; dropout is for the dense layers.

    Raises:
        Mistake: the data are neither images nor series, or a layer would have no pixels left.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        outputs: int | None,
        channels: list[int],
        kernel_size: int | list[int] = 3,
        stride: int | list[int] = 1,
        padding: str | int | list = "valid",
        pool: str = "max",
        pool_size: int | list[int] = 2,
        pool_stride: int | list[int] | None = None,
        global_pool: str | None = None,
        ceil_mode: bool = False,
        block: Sequence[str] = PIECES,
        hidden: Sequence[int] = (64,),
        activation: str = "relu",
        dropout: float = 0.0,
        batch_norm: bool | dict[str, float] = False,
        bias: bool = True,
    ):
        super().__init__()
        if len(input_shape) not in (2, 3):
            raise Mistake(
                f"model: a CNN needs images or series, and a row of these data is {' × '.join(map(str, input_shape))} "
                "values of a table; use model=mlp"
            )
        self.dimensions = len(input_shape) - 1
        order = check_block(list(block), PIECES, ["batch_norm"] * bool(batch_norm))
        n = len(check_widths(channels, "channels"))
        settings = zip(
            channels,
            per_layer(kernel_size, n, "kernel_size", least=1),
            per_layer(stride, n, "stride", least=1),
            per_layer(padding, n, "padding", words=("valid", "same")),
            per_layer(pool_size, n, "pool_size"),
            [None] * n if pool_stride is None else per_layer(pool_stride, n, "pool_stride", least=1),
            strict=True,
        )
        width = input_shape[0] if self.dimensions == 2 else input_shape[1]
        layers: list[nn.Module] = []
        for filters, kernel, step, pad, pooled, pool_step in settings:
            convolution = CONVOLUTIONS[self.dimensions](width, filters, kernel, step, _padding(pad, step), bias=bias)
            pieces = {"conv": convolution, "activation": activation_layer(activation)}
            if batch_norm:
                before = "batch_norm" in order and order.index("batch_norm") < order.index("conv")
                pieces["batch_norm"] = batch_norm_layer(batch_norm, width if before else filters, self.dimensions)
            if pooled:
                pieces["pool"] = choose(pool, POOLS, "model.pool")[self.dimensions](
                    pooled, pool_step or pooled, ceil_mode=ceil_mode
                )
            layers += [pieces[name] for name in order if name in pieces]
            width = filters
        if global_pool is not None:
            layers.append(choose(global_pool, GLOBAL_POOLS, "model.global_pool")[self.dimensions](1))
        self.convolutions = nn.Sequential(*layers)
        features = _count_features(self.convolutions, self._channels_first(torch.zeros(2, *input_shape)))
        dense, width = dense_blocks(
            features, list(hidden), activation, dropout, batch_norm, bias,
            ["dense", "batch_norm", "activation", "dropout"],
        )  # fmt: skip
        head = [] if outputs is None else [nn.Linear(width, outputs, bias=bias)]
        self.layers = nn.Sequential(nn.Flatten(), *dense, *head)
        self.head_from = len(self.layers) - len(head)

    @property
    def head(self) -> nn.Module | None:
        """The layer that gives the scores."""
        return self.layers[-1] if self.head_from < len(self.layers) else None

    def features(self, inputs: Tensor) -> Tensor:
        """Return what the head reads (n, width): the last dense hidden layer."""
        return self.layers[: self.head_from](self.convolutions(self._channels_first(inputs)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the raw scores (n, outputs) of (n, channels, height, width) or (n, time, features)."""
        return self.layers(self.convolutions(self._channels_first(inputs)))

    def _channels_first(self, inputs: Tensor) -> Tensor:
        return inputs if self.dimensions == 2 else inputs.transpose(1, 2)


def _padding(padding: str | int, stride: int) -> str | int:
    """Return PyTorch's padding argument."""
    if padding == "valid":
        return 0
    if padding == "same" and stride != 1:
        raise Mistake("model.padding: same needs stride 1; give the padding as a number of pixels")
    return padding


def _count_features(convolutions: nn.Module, inputs: Tensor) -> int:
    """Return how many values per row leave the convolutions."""
    try:
        with torch.no_grad():
            return math.prod(convolutions.eval()(inputs).shape[1:])
    except RuntimeError as error:
        shape = "×".join(map(str, inputs.shape[2:]))
        raise Mistake(
            f"model: inputs of {shape} are too small for these convolutions and poolings ({error}); "
            "fewer channels, a smaller kernel_size, or pool_size=0"
        ) from error
    finally:
        convolutions.train()
