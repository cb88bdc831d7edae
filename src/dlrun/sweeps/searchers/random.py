"""Settings drawn at random."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlrun.errors import Mistake
from dlrun.sweeps.searchers.base import Domain, Searcher, as_text


@dataclass
class Random(Searcher):
    """Settings drawn at random.

    Args:
        trials: how many.
        objective: what they are ranked by: a figure of metrics.json such as `valid/accuracy`, `parameters` or
            `fit_seconds`, or a list of several; None: what early stopping monitors.
        space: by override key, in the grammar of the command line: `tag(log, interval(1e-4, 1e-1))`, `choice(a, b)`; or
            a list of such spaces, one of which is drawn for each trial, evenly.
        seed: of what is drawn.

    Raises:
        Mistake: trials below 1.
    """

    trials: int = 20
    objective: str | list[str] | None = None
    space: Any = None
    seed: int = 0

    def __post_init__(self):
        if self.trials < 1:
            raise Mistake(f"sweeper.trials is {self.trials}: it must be at least 1")

    def proposals(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield all trials: each is a function of seed and number, so there is nothing to go on with."""
        for number in range(self.trials):
            generator = np.random.default_rng([self.seed, number])
            several = len(self.alternatives)
            space = self.alternatives[int(generator.integers(several)) if several > 1 else 0]
            yield number, {key: _draw(domain, generator) for key, domain in space.items()}


def _draw(domain: Domain, generator: np.random.Generator) -> str:
    if domain.choices is not None:
        return domain.choices[int(generator.integers(len(domain.choices)))]
    if domain.step is not None:
        steps = round((domain.high - domain.low) / domain.step)
        return as_text(domain.low + domain.step * int(generator.integers(steps + 1)))
    low, high = (domain.low, domain.high + 1) if domain.whole else (domain.low, domain.high)
    drawn = math.exp(generator.uniform(math.log(low), math.log(high))) if domain.log else generator.uniform(low, high)
    rounded = math.floor(drawn) if domain.whole else float(f"{drawn:.4g}")
    return as_text(min(max(rounded, domain.low), domain.high))
