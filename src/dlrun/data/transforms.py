"""From stored inputs to what a network reads, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dlrun.tensors import Inputs

Transform = Callable[[Any, torch.dtype], Inputs]
"""From a batch as it is stored, one tensor or one by branch, to what the network reads."""


def as_float(inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """Return inputs that are features already, in the network's arithmetic."""
    return inputs.to(dtype)


@dataclass(frozen=True)
class Pixels:
    """Bytes to floats, batch by batch: pixel / scale, or (pixel − mean) / deviation, pixel by pixel.

    Attributes:
        scale: the largest value of a pixel, for floats in [0, 1]; 1 leaves the values as they are.
        mean, deviation: (channels, height, width), in place of the scale; None: not standardised.
    """

    scale: float
    mean: Tensor | None = None
    deviation: Tensor | None = None

    def __call__(self, inputs: Tensor, dtype: torch.dtype) -> Tensor:
        """Return (n, channels, height, width) bytes as floats of type `dtype`."""
        if self.mean is None or self.deviation is None:
            return inputs.to(dtype).div_(self.scale)
        mean, deviation = (t.to(inputs.device, dtype, non_blocking=True) for t in (self.mean, self.deviation))
        return inputs.to(dtype).sub_(mean).div_(deviation)


def as_tokens(inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """Return token ids as they are: they are no quantities, and stay whole numbers in any arithmetic."""
    return inputs


@dataclass(frozen=True)
class ByBranch:
    """Turns each branch of the inputs into what the network reads, by its own transform.

    Attributes:
        transforms: by branch.
    """

    transforms: Mapping[str, Transform]

    def __call__(self, inputs: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Any]:
        """Return the inputs of some rows, by branch, ready for the network."""
        return {name: self.transforms[name](tensor, dtype) for name, tensor in inputs.items()}
