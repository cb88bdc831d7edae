"""The searcher contract, and the space that is searched."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, QuotedString, RangeSweep

from dlrun.errors import Mistake
from dlrun.training.recorder import Pruning


@dataclass
class Domain:
    """What a searched setting may be: one of `choices`, or a number from `low` to `high` (whole ones where `whole`).

    Attributes:
        step: between the numbers; None: any.
        log: whether their logarithms are drawn evenly.
    """

    choices: list[str] | None = None
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    whole: bool = False


class Searcher(Protocol):
    """Proposes settings, and may learn from what became of them."""

    def begin(self, folder: Path, space: dict[str, Domain], objective: str, maximizes: bool) -> None:
        """Make ready to search, or to go on with a search in `folder`."""

    def proposals(self) -> Iterator[tuple[int, dict[str, str]]]:
        """(number, {override key: value}) of the trials that are still to be run."""

    def tell(self, number: int, value: float | None, hopeless: bool) -> None:
        """What the objective of trial `number` was; None where it failed, or (`hopeless`) was pruned or diverged."""

    def pruning(self, folder: Path, number: int, objective: str) -> Pruning | None:
        """What stops trial `number` early, or None."""

    def lines(self) -> list[str]:
        """What there is to say at the end."""


def is_searcher(target: object) -> bool:
    """a searcher of dlrun.sweeps.searchers"""
    return isinstance(target, type) and target.__module__.startswith("dlrun.sweeps.searchers.")


def space_of(overrides: list[Override], more: dict[str, Any]) -> dict[str, Domain]:
    """What is searched, on the command line and in `sweeper.space`.

    Raises:
        Mistake: nothing is searched, or a domain that cannot be.
    """
    parser = OverridesParser.create()
    searched = {o.get_key_element(): o for o in overrides if o.is_sweep_override()}
    for key, text in more.items():
        searched.setdefault(str(key), parser.parse_overrides([f"{key}={text}"])[0])
    space = {key: _domain(key, override) for key, override in searched.items()}
    if not space:
        raise Mistake(
            "sweeper: there is nothing to search; give a setting an interval: 'optimizer.lr=interval(0.01,1)'"
        )
    return space


def example_of(space: dict[str, Domain]) -> dict[str, str]:
    """One setting of a space, to see whether it can be composed."""
    return {k: d.choices[0] if d.choices is not None else _text(d.low) for k, d in space.items()}


def _domain(key: str, override: Override) -> Domain:
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return Domain(choices=list(override.sweep_string_iterator()))
    if isinstance(value, RangeSweep):
        low, step = value.start, value.step
        count = math.ceil((value.stop - low) / step)
        if count < 1 or step <= 0:
            raise Mistake(f"{key}: {override.input_line} must rise to more than its start")
        whole = all(isinstance(number, int) for number in (low, step))
        return Domain(low=low, high=low + (count - 1) * step, step=step, whole=whole)
    if isinstance(value, IntervalSweep):
        log, whole = "log" in value.tags, isinstance(value.start, int) and isinstance(value.end, int)
        if value.end < value.start or (log and value.start <= 0):
            raise Mistake(f"{key}: {override.input_line} must rise, and begin above 0 under tag(log, …)")
        return Domain(low=value.start, high=value.end, log=log, whole=whole)
    text = value.text if isinstance(value, QuotedString) else value
    raise Mistake(f"{key}: '{text}' is no domain; write interval(0.1, 1), range(1, 9) or choice(a, b)")


def _text(value: object) -> str:
    return value if isinstance(value, str) else repr(value)
