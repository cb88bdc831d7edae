"""Several inputs: an encoder for each branch, joined, a body of dense layers, and a linear head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlrun.config.build import Component
from dlrun.errors import Mistake, choose, did_you_mean
from dlrun.models.arguments import of_branch
from dlrun.models.cnn import CNN
from dlrun.models.layers import check_dropout, dense_blocks
from dlrun.models.recurrent import LSTM
from dlrun.tensors import InputSpec

COMBINERS = ("concat", "sum")


@dataclass
class Auxiliary:
    """A head on the encoder of a branch.

    Attributes:
        branch: whose.
        weight: of its loss; that of the other head is 1 − weight.

    Raises:
        Mistake: a weight that does not lie between 0 and 1.
    """

    branch: str
    weight: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.weight < 1:
            raise Mistake(f"model.auxiliary.weight is {self.weight}: it must lie between 0 and 1")


class Branches(nn.Module):
    """An encoder for each branch of the inputs; what they give is joined, and read by dense layers and a linear head.

    An encoder is any of our models without its head, or a module of one's own that gives (n, width); one whose
    constructor names `outputs` is built with `outputs=None`: without a head. Wide and deep learning (Cheng and others
    2016) is a branch `wide` that is taken as it is, and a branch `deep` of dense layers.

    Args:
        branches: what the inputs of a row are, by branch.
        outputs: scores per row; None: no head, the network gives its features.
        encoders: by branch; a branch without one: numbers are taken as they are, images read by a CNN, series and
            tokens by an LSTM.
        combiner: how what they give is joined, in the order of the branches: `concat`, or `sum` where all are as wide.
        hidden: neurons of each dense layer behind it.
        activation, dropout, bias: of these layers, and the head; as for the MLP.
        auxiliary: a second head, on the encoder of a branch, with the weight of its loss: {branch: deep, weight: 0.1};
            it learns the same targets, and is no part of the predictions. None: no such head.

    Raises:
        Mistake: an encoder for no branch, or one that cannot read it, or widths that cannot be added up.
    """

    def __init__(
        self,
        branches: Mapping[str, InputSpec],
        outputs: int | None,
        encoders: Mapping[str, Component] | None = None,
        combiner: str = "concat",
        hidden: Sequence[int] = (),
        activation: str | list[str] = "relu",
        dropout: float = 0.0,
        bias: bool = True,
        auxiliary: Auxiliary | None = None,
    ):
        super().__init__()
        encoders = encoders or {}
        choose(combiner, dict.fromkeys(COMBINERS), "model.combiner")
        for name in encoders:
            if name not in branches:
                near = did_you_mean(name, branches)
                raise Mistake(
                    f"model.encoders.{name}: the data have no such branch{near} (they have {', '.join(branches)})"
                )
        self.combiner = combiner
        built = {
            name: encoders[name].build(**of_branch(spec)) if name in encoders else _usual_encoder(spec)
            for name, spec in branches.items()
        }
        self.encoders = nn.ModuleDict(built)
        widths = {name: _width(encoder, name, branches[name]) for name, encoder in built.items()}
        if combiner == "sum" and len(set(widths.values())) > 1:
            raise Mistake(f"model.combiner: sum needs encoders of one width, and these give {widths}")
        width = sum(widths.values()) if combiner == "concat" else next(iter(widths.values()))
        self.dropped = check_dropout(dropout)
        layers, width = dense_blocks(
            width, list(hidden), activation, dropout, False, bias, ["dense", "activation", "dropout"]
        )
        self.layers = nn.Sequential(*layers)
        self.auxiliary, self.helped = None, ""
        if auxiliary is not None and outputs is not None:
            self.helped, outputs = auxiliary.branch, outputs // 2  # the task asks for the scores of both heads
            choose(self.helped, widths, "model.auxiliary.branch")
            self.auxiliary = nn.Linear(widths[self.helped], outputs, bias=bias)
        self.output = None if outputs is None else nn.Linear(width, outputs, bias=bias)

    @property
    def head(self) -> nn.Module | None:
        """The layer that gives the scores."""
        return self.output

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return what the head reads (n, width)."""
        return self._joined(self._encoded(inputs))

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the raw scores (n, outputs) of inputs (n, …) by branch; those of an auxiliary head come last."""
        encoded = self._encoded(inputs)
        features = self._joined(encoded)
        if self.output is None:
            return features
        if self.auxiliary is None:
            return self.output(features)
        return torch.cat([self.output(features), self.auxiliary(encoded[self.helped])], dim=1)

    def _encoded(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: encoder(inputs[name]) for name, encoder in self.encoders.items()}

    def _joined(self, encoded: Mapping[str, Tensor]) -> Tensor:
        each = list(encoded.values())
        return self.layers(torch.cat(each, dim=1) if self.combiner == "concat" else torch.stack(each).sum(dim=0))


def _usual_encoder(spec: InputSpec) -> nn.Module:
    """Return the encoder of a branch for which none is named."""
    if len(spec.shape) == 3:
        return CNN(spec.shape, None, [16, 32], padding="same")
    if len(spec.shape) == 2 or spec.vocabulary is not None:
        return LSTM(spec.shape, None, [32], vocabulary=spec.vocabulary)
    return nn.Flatten()


def _width(encoder: nn.Module, name: str, spec: InputSpec) -> int:
    """Return how many values an encoder gives for a row, seen by passing two rows of zeros.

    Raises:
        Mistake: it cannot read them, or gives something else than (n, width).
    """
    dtype = spec.dtype if spec.vocabulary is not None else torch.get_default_dtype()
    training = encoder.training
    try:
        with torch.no_grad():
            encoded = encoder.eval()(torch.zeros(2, *spec.shape, dtype=dtype))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise Mistake(f"model.encoders.{name}: cannot read rows of shape {spec.shape}: {error}") from error
    finally:
        encoder.train(training)
    if not isinstance(encoded, Tensor) or encoded.dim() != 2:
        given = tuple(encoded.shape) if isinstance(encoded, Tensor) else type(encoded).__name__
        raise Mistake(f"model.encoders.{name}: must give (rows, width), and gave {given} for 2 rows")
    return encoded.shape[1]
