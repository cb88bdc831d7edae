"""Recurrent networks: vanilla RNN, LSTM and GRU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from dlrun.errors import Mistake, choose
from dlrun.models.layers import check_dropout, check_widths


class Recurrent(nn.Module):
    """Recurrent layers over a series, and a linear output layer on the last state or on pooled states.

    Tokens (time,) are embedded first. A series (time, features) is read step by step; an image (channels, height,
    width) row by row: `height` steps of `channels · width` features. PyTorch has two biases per gate where Keras has
    one, and both are counted.

    Args:
        input_shape: of one row.
        outputs: scores per row; None: no head, the network gives its features.
        hidden: units of each recurrent layer.
        layers: how often each of them is stacked.
        bidirectional: whether each layer also reads backwards.
        pool: what the output layer sees: the `last` state, or the `max` or `avg` of the states of all steps.
        dropout: share of the recurrent layers' outputs that is dropped while training.
        input_dropout: share of the features that is dropped from all steps of a row (Keras's `dropout`).
        recurrent_dropout: share of the units that is hidden from the next step, the same ones at all steps of a row
            (Keras's `recurrent_dropout`; Gal and Ghahramani 2016).
        activation: of a vanilla network: tanh or relu; None: tanh. The others have their own.
        bias: whether the recurrent layers have biases.
        vocabulary: number of token ids, where the inputs are tokens.
        embedding: width of the embedding of tokens.
        mask: whether steps of padding (token 0) are skipped.

    Raises:
        Mistake: the data are neither series nor images, or a setting that these layers do not have.
    """

    cell: Callable[..., nn.RNNBase]
    activations: tuple[str, ...] = ()
    drops_units = True

    def __init__(
        self,
        input_shape: tuple[int, ...],
        outputs: int | None,
        hidden: list[int],
        layers: int = 1,
        bidirectional: bool = False,
        pool: str = "last",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        activation: str | None = None,
        bias: bool = True,
        vocabulary: int | None = None,
        embedding: int = 32,
        mask: bool = False,
    ):
        super().__init__()
        name = type(self).__name__.lower()
        choose(pool, dict.fromkeys(("last", "max", "avg")), "model.pool")
        self.pool, self.mask = pool, mask
        self.input_dropout = check_dropout(input_dropout, "input_dropout")
        self.recurrent_dropout = check_dropout(recurrent_dropout, "recurrent_dropout")
        if recurrent_dropout and (bidirectional or layers > 1 or not self.drops_units):
            raise Mistake(
                "model.recurrent_dropout: goes with model=rnn and model=lstm that read forwards, without model.layers "
                "(several layers: model.hidden=[32,32])"
            )
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
        cell = self.cell
        if activation is not None:
            if not self.activations:
                raise Mistake(f"model.activation: the gates of model={name} have their own; leave it out")
            cell = partial(cell, nonlinearity=choose(activation, {n: n for n in self.activations}, "model.activation"))
        width = input_shape[1] if len(input_shape) == 2 else input_shape[0] * input_shape[2]
        directions = 2 if bidirectional else 1
        self.recurrent = nn.ModuleList()
        for units in check_widths(hidden, "hidden"):
            self.recurrent.append(
                cell(width, units, layers, bias=bias, batch_first=True, bidirectional=bidirectional,
                     dropout=dropout if layers > 1 else 0.0)
            )  # fmt: skip
            width = units * directions
        self.dropout = nn.Dropout(dropout) if check_dropout(dropout) else None  # one of 0 would still draw its mask
        self.output = None if outputs is None else nn.Linear(width, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the raw scores (n, outputs) of (n, time, features) or (n, channels, height, width)."""
        return self.with_state(inputs, None)[0]

    @property
    def head(self) -> nn.Linear | None:
        """The layer that gives the scores."""
        return self.output

    def features(self, inputs: Tensor) -> Tensor:
        """Return what the head reads (n, width): the last state, or pooled states."""
        return self._read(inputs, None)[0]

    def with_state(self, inputs: Tensor, state: list | None) -> tuple[Tensor, list]:
        """Return scores, and the state of each recurrent layer to go on from; `state` None begins at zero."""
        features, states = self._read(inputs, state)
        return features if self.output is None else self.output(features), states

    def _read(self, inputs: Tensor, state: list | None) -> tuple[Tensor, list]:
        lengths = None
        if self.mask:
            inputs, lengths = padding_behind(inputs)
        sequence = rows_as_steps(inputs) if inputs.dim() == 4 else inputs
        sequence = self.embedding(inputs) if inputs.dim() == 2 else sequence
        if self.training and self.input_dropout:
            sequence = functional.dropout1d(sequence.transpose(1, 2), self.input_dropout).transpose(1, 2)
        states = []
        layers = cast("list[nn.RNNBase]", self.recurrent)  # ModuleList has no type for what it holds
        for layer, before in zip(layers, state or [None] * len(layers), strict=True):
            if self.training and self.recurrent_dropout:
                sequence, after = _read_with_units_dropped(layer, sequence, before, self.recurrent_dropout)
            else:
                sequence, after = _read(layer, sequence, before, lengths)
            states.append(after)
            sequence = self.dropout(sequence) if self.dropout else sequence
        if self.pool == "last":
            return _last_output(sequence, layer.bidirectional, lengths), states
        return _pooled_output(sequence, self.pool, lengths), states


def rows_as_steps(images: Tensor) -> Tensor:
    """Turn images (n, channels, height, width) into (n, height, channels · width), to be read row by row."""
    return images.transpose(1, 2).flatten(2)


def padding_behind(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return tokens (n, time) with their padding (0) moved behind, and how many of each row are none (1 at least)."""
    order = torch.argsort((tokens == 0).to(torch.int8), dim=1, stable=True)
    return tokens.gather(1, order), (tokens != 0).sum(dim=1).clamp(min=1)


def _read(layer: nn.RNNBase, sequence: Tensor, state, lengths: Tensor | None):
    """Return outputs (n, time, units) and last state of a layer that reads the first `lengths` steps of each row."""
    if lengths is None:
        return layer(sequence, state)
    packed = pack_padded_sequence(sequence, lengths.cpu(), batch_first=True, enforce_sorted=False)
    outputs, state = layer(packed, state)
    return pad_packed_sequence(outputs, batch_first=True, total_length=sequence.shape[1])[0], state


def _read_with_units_dropped(layer: nn.RNNBase, sequence: Tensor, state, share: float):
    """Read as `_read`, step by step: what each step hears of the one before lacks the same `share` of the units."""
    kept = functional.dropout(sequence.new_ones(1, len(sequence), layer.hidden_size), share)
    outputs = []
    for step in sequence.split(1, dim=1):
        if state is not None:
            state = (state[0] * kept, state[1]) if isinstance(state, tuple) else state * kept
        output, state = layer(step, state)
        outputs.append(output)
    return torch.cat(outputs, dim=1), state


def _last_output(sequence: Tensor, bidirectional: bool, lengths: Tensor | None) -> Tensor:
    """Return the output after the whole series: forwards at the last step, backwards at the first."""
    last = sequence[:, -1] if lengths is None else sequence[torch.arange(len(sequence)), lengths - 1]
    if not bidirectional:
        return last
    units = sequence.shape[2] // 2
    return torch.cat([last[:, :units], sequence[:, 0, units:]], dim=1)


def _pooled_output(sequence: Tensor, pool: str, lengths: Tensor | None) -> Tensor:
    """Return the largest or the mean output (n, units) over the first `lengths` steps of each row."""
    if lengths is None:
        return sequence.amax(dim=1) if pool == "max" else sequence.mean(dim=1)
    read = (torch.arange(sequence.shape[1], device=sequence.device) < lengths[:, None])[..., None]
    if pool == "max":
        return sequence.masked_fill(~read, -torch.inf).amax(dim=1)
    return (sequence * read).sum(dim=1) / lengths[:, None]


class RNN(Recurrent):
    """Vanilla (Elman) recurrent network; `activation` is tanh or relu."""

    cell = nn.RNN
    activations = ("tanh", "relu")


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997)."""

    cell = nn.LSTM


class GRU(Recurrent):
    """Gated recurrent units (Cho and others 2014)."""

    cell = nn.GRU
    drops_units = False  # PyTorch's GRU carries the state that the next step hears, so units cannot be hidden from it
