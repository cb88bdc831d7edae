"""Recurrent networks: vanilla RNN, LSTM and GRU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from dlrun.errors import Mistake, choose
from dlrun.models.layers import check_dropout, check_widths


class Recurrent(nn.Module):
    """Recurrent layers over a series, and a linear output layer on the last state.

    Tokens (time,) are embedded first. A series (time, features) is read step by step; an image (channels, height,
    width) row by row: `height` steps of `channels · width` features. PyTorch has two biases per gate where Keras has
    one, and both are counted.

    Args:
        input_shape: of one row.
        outputs: scores per row.
        hidden: units of each recurrent layer.
        layers: how often each of them is stacked.
        bidirectional: whether each layer also reads backwards.
        dropout: share of the recurrent layers' outputs that is dropped while training.
        bias: whether the recurrent layers have biases.
        vocabulary: number of token ids, where the inputs are tokens.
        embedding: width of the embedding of tokens.
        mask: whether steps of padding (token 0) are skipped.

    Raises:
        Mistake: the data are neither series nor images.
    """

    cell: Callable[..., nn.RNNBase]

    def __init__(
        self,
        input_shape: tuple[int, ...],
        outputs: int,
        hidden: list[int],
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        bias: bool = True,
        vocabulary: int | None = None,
        embedding: int = 32,
        mask: bool = False,
    ):
        super().__init__()
        name = type(self).__name__.lower()
        self.mask = mask
        if vocabulary is not None:
            if embedding < 1:
                raise Mistake(f"model.embedding is {embedding}: it must be at least 1")
            self.embedding = nn.Embedding(vocabulary, embedding)
            input_shape = (*input_shape, embedding)
        elif mask:
            raise Mistake("model.mask: skips the padding of tokens, and these data have none")
        if len(input_shape) not in (2, 3):
            raise Mistake(
                f"model={name} needs series or images, and a row of these data is "
                f"{' × '.join(map(str, input_shape))} values of a table; use model=mlp"
            )
        if not hidden:
            raise Mistake("model.hidden: a recurrent network needs at least one layer, as in [64]")
        if layers < 1:
            raise Mistake(f"model.layers is {layers}: it must be at least 1")
        width = input_shape[1] if len(input_shape) == 2 else input_shape[0] * input_shape[2]
        directions = 2 if bidirectional else 1
        self.recurrent = nn.ModuleList()
        for units in check_widths(hidden, "hidden"):
            self.recurrent.append(
                self.cell(width, units, layers, bias=bias, batch_first=True, bidirectional=bidirectional,
                          dropout=dropout if layers > 1 else 0.0)
            )  # fmt: skip
            width = units * directions
        self.dropout = nn.Dropout(dropout) if check_dropout(dropout) else None  # one of 0 would still draw its mask
        self.output = nn.Linear(width, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, time, features) or (n, channels, height, width) to raw scores (n, outputs)."""
        return self.with_state(inputs, None)[0]

    def with_state(self, inputs: Tensor, state: list | None) -> tuple[Tensor, list]:
        """Scores, and the state of each recurrent layer to go on from; `state` None begins at zero."""
        lengths = None
        if self.mask:
            inputs, lengths = padding_behind(inputs)
        sequence = rows_as_steps(inputs) if inputs.dim() == 4 else inputs
        sequence = self.embedding(inputs) if inputs.dim() == 2 else sequence
        states = []
        for layer, before in zip(self.recurrent, state or [None] * len(self.recurrent), strict=True):
            sequence, after = _read(layer, sequence, before, lengths)
            states.append(after)
            sequence = self.dropout(sequence) if self.dropout else sequence
        return self.output(_last_output(sequence, layer.bidirectional, lengths)), states


def rows_as_steps(images: Tensor) -> Tensor:
    """(n, channels, height, width) to (n, height, channels · width): an image read row by row."""
    return images.transpose(1, 2).flatten(2)


def padding_behind(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens (n, time) with their padding (0) moved behind, and the tokens of each row that are none (1 at least)."""
    order = torch.argsort((tokens == 0).to(torch.int8), dim=1, stable=True)
    return tokens.gather(1, order), (tokens != 0).sum(dim=1).clamp(min=1)


def _read(layer: nn.RNNBase, sequence: Tensor, state, lengths: Tensor | None):
    """The outputs (n, time, units) and the last state of a layer that reads the first `lengths` steps of each row."""
    if lengths is None:
        return layer(sequence, state)
    packed = pack_padded_sequence(sequence, lengths.cpu(), batch_first=True, enforce_sorted=False)
    outputs, state = layer(packed, state)
    return pad_packed_sequence(outputs, batch_first=True, total_length=sequence.shape[1])[0], state


def _last_output(sequence: Tensor, bidirectional: bool, lengths: Tensor | None) -> Tensor:
    """The output after the whole series: forwards at the last step, backwards at the first."""
    last = sequence[:, -1] if lengths is None else sequence[torch.arange(len(sequence)), lengths - 1]
    if not bidirectional:
        return last
    units = sequence.shape[2] // 2
    return torch.cat([last[:, :units], sequence[:, 0, units:]], dim=1)


class RNN(Recurrent):
    """Vanilla (Elman) recurrent network; `activation` is tanh or relu."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        outputs: int,
        hidden: list[int],
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        activation: str = "tanh",
        bias: bool = True,
        vocabulary: int | None = None,
        embedding: int = 32,
        mask: bool = False,
    ):
        choose(activation, {"tanh": None, "relu": None}, "model.activation")
        self.cell = partial(nn.RNN, nonlinearity=activation)
        super().__init__(
            input_shape, outputs, hidden, layers, bidirectional, dropout, bias, vocabulary, embedding, mask
        )


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997)."""

    cell = nn.LSTM


class GRU(Recurrent):
    """Gated recurrent units (Cho and others 2014)."""

    cell = nn.GRU
