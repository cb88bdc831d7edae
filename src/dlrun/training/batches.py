"""The batches of an epoch: the order of the rows, which seed and epoch alone decide, and reading them ahead of use."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlrun.data.reading.read_ahead import ahead
from dlrun.data.rows import cut
from dlrun.data.split import Split
from dlrun.runtime import Runtime, cores
from dlrun.tensors import Batch, Inputs

GATHERED_VALUES = 2**20  # inputs that are put into order and turned into floats at once


@dataclass(frozen=True)
class Batching:
    """How the rows of an epoch are cut into batches.

    Attributes:
        batch_size: rows in a batch; the last, smaller batch of an epoch is kept unless `drop_last`.
        shuffle: whether each epoch has its own order of rows, or (`once`) all epochs have the same random one.
        drop_last: whether a last batch of fewer rows is left out.
        steps_per_epoch: optimizer steps in an epoch, going on with newly shuffled rows if need be; None: one pass.
        accumulate: batches whose gradients are averaged before a step.
    """

    batch_size: int
    shuffle: bool | str = True
    drop_last: bool = False
    steps_per_epoch: int | None = None
    accumulate: int = 1

    def count(self, rows: int) -> int:
        """Return the batches of an epoch over so many rows."""
        if self.steps_per_epoch:
            return self.steps_per_epoch * self.accumulate
        return rows // self.batch_size if self.drop_last else math.ceil(rows / self.batch_size)

    def steps(self, rows: int) -> int:
        """Return the optimizer steps of an epoch over so many rows."""
        return math.ceil(self.count(rows) / self.accumulate)

    def group(self, batch: int, count: int) -> int:
        """Return how many batches' gradients are averaged with those of batch number `batch` (from 0) of `count`.

        The last group of an epoch has what is left.
        """
        return min(self.accumulate, count - batch // self.accumulate * self.accumulate)

    def order(self, rows: int, seed: int, epoch: int) -> Tensor:
        """Return the row indices of an epoch, one after the other; batches are cut from it."""
        whole = self.steps_per_epoch is not None or self.drop_last
        wanted = self.count(rows) * self.batch_size if whole else rows
        if not self.shuffle:
            return torch.arange(wanted) % rows
        generator = torch.Generator().manual_seed(mixed_seed(seed, 1 if self.shuffle == "once" else epoch))
        passes = [torch.randperm(rows, generator=generator) for _ in range(math.ceil(wanted / rows))]
        return torch.cat(passes)[:wanted]

    def batches(self, split: Split, seed: int, epoch: int, seen: int, runtime: Runtime) -> Iterator[Batch]:
        """Yield the batches of an epoch after the first `seen` ones, augmented and ready for the network."""
        order = self.order(len(split), seed, epoch).to(split.targets.device)[seen * self.batch_size :]
        if not len(order):  # a resume after the last batch
            return
        gathered = max(1, GATHERED_VALUES // (split.values_in_row * self.batch_size)) * self.batch_size
        groups = order.split(gathered)
        # Targets are kept until the epoch ends: gathered piece by piece, they would lie between the blocks of memory
        # that inputs were in, and these could not be used again.
        targets = split.targets.index_select(0, order).split(gathered)
        stored = split.read(groups)
        pieces: Iterator[tuple[Inputs, Tensor]] = (
            (split.transform(s, runtime.dtype), t) for s, t in zip(stored, targets, strict=True)
        )
        if len(groups) > 1 and split.in_memory and split.targets.is_cpu and runtime.threads == 1 and cores() > 1:
            pieces = ahead(pieces)  # by another core than the one that trains
        augment: Any = split.augment or (lambda inputs: inputs)  # only images are augmented: one branch
        for inputs, answers in pieces:
            batches = zip(cut(inputs, self.batch_size), answers.split(self.batch_size), strict=True)
            for batch, answer in batches:  # one at a time, so that a resume finds the generators where they stood
                yield Batch(augment(batch), answer)


def mixed_seed(seed: int, epoch: int) -> int:
    """Return a seed for an epoch, far from those of other seeds and epochs."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)
