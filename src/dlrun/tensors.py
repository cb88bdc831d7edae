"""The ground floor: what models, data and tasks speak of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Inputs = Tensor | Mapping[str, Tensor]
"""The inputs of some rows: one tensor, or one by the name of each branch; targets and scores likewise, by target."""


@dataclass(frozen=True)
class InputSpec:
    """What the inputs of a row are, after preprocessing.

    Attributes:
        shape: of one row: (features,), (channels, height, width), (time, features), or (time,) for tokens.
        dtype: as the rows are stored.
        vocabulary: the number of token ids, or None where the inputs are not tokens.
        feature_names: one for each input of a table; empty for images.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    vocabulary: int | None = None
    feature_names: tuple[str, ...] = ()


@dataclass(slots=True)
class Batch:
    """Some rows, ready for a network.

    Attributes:
        inputs: (n, *shape), or such a tensor by branch.
        targets: (n,) class indices, or (n, k) labels or quantities; or such a tensor by target.
        weights: (n,) of the rows, or None: all count the same.
        mask: which targets are there, in the shape of the targets, or None: all of them.
    """

    inputs: Inputs
    targets: Inputs
    weights: Tensor | None = None
    mask: Inputs | None = None
