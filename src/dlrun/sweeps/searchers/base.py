"""The searcher contract, and the space that is searched."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, QuotedString, RangeSweep
from omegaconf import DictConfig

from dlrun.config.build import OURS, build
from dlrun.config.grammar import written
from dlrun.errors import Mistake
from dlrun.ranking.ranking import Ranking

METHODS = ("begin", "proposals", "tell", "pruning", "lines")


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

    def holds(self, text: object) -> bool:
        """Return whether `text`, as it would be written in an override, is a value of this domain."""
        if not isinstance(text, str):
            return False
        if self.choices is not None:
            return text in self.choices
        try:
            value = int(text) if self.whole else float(text)
        except ValueError:
            return False
        if self.step is None:
            return self.low <= value <= self.high
        steps, last = (value - self.low) / self.step, round((self.high - self.low) / self.step)
        return math.isfinite(steps) and abs(steps - round(steps)) < 1e-6 and 0 <= round(steps) <= last


class Searcher(Protocol):
    """Proposes settings, and may learn from what became of them.

    It is built from the node `sweeper` of the config. A class of one's own inherits from this one and overrides what
    it needs: `proposals` at least.

    Attributes:
        trials: how many trials there are to be.
        objective: the figure of metrics.json that trials are ranked by, or a list of several; None: what early stopping
            monitors.
        space: what is searched besides the command line, by override key, in its grammar; or a list of such spaces, of
            which each trial has one.
        alternatives: all that is searched, by override key; each trial sets the keys of one of them. There are several
            where `space` is a list. Known from `begin` on, as are `objectives`.
        is_shared: whether several processes may run trials of one search in one folder at once.
    """

    trials: int = 20
    objective: str | list[str] | None = None
    space: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    alternatives: Sequence[Mapping[str, Domain]] = ()
    objectives: Sequence[Ranking] = ()
    is_shared: ClassVar[bool] = False

    @property
    def domains(self) -> Mapping[str, Domain]:
        """All that is searched, by override key.

        Raises:
            Mistake: there are several such spaces, and the searcher asks for the one.
        """
        if len(self.alternatives) != 1:
            raise Mistake(f"sweeper.space: {type(self).__name__} searches one space; leave out the list")
        return self.alternatives[0]

    def begin(self, folder: Path, alternatives: Sequence[Mapping[str, Domain]], objectives: Sequence[Ranking]) -> None:
        """Make ready to search, or to go on with a search in `folder`.

        Raises:
            Mistake: what is to be searched is not for this searcher.
        """
        self.alternatives, self.objectives = alternatives, objectives

    def proposals(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield (number, {override key: value as text}) of all trials, those that have ended before too.

        Each is asked for when the results of those before it have been told, as far as they are known: with jobs=1, of
        all of them. A key that is left out keeps its default.
        """
        ...

    def tell(self, number: int, values: Sequence[float] | None, hopeless: bool) -> None:
        """Take the objectives of trial `number`: None where it failed, or (`hopeless`) was pruned or diverged."""

    def pruning(self, folder: Path, number: int, objective: str) -> Mapping[str, object] | None:
        """Return what stops trial `number` early, as a `_target_` and its settings; None: nothing does."""
        return None

    def lines(self) -> list[str]:
        """Return what there is to say at the end."""
        return []


def searcher_of(config: DictConfig) -> Searcher:
    """Return the searcher that a config describes.

    Raises:
        Mistake: it is none, or its settings do not fit.
    """
    return build(config.sweeper, "sweeper", searches, tuple(config.allow_targets))


def searches(target: object) -> bool:
    """a searcher: a class with the methods of dlrun.sweeps.searchers.base.Searcher"""
    if not isinstance(target, type):
        return False
    ours = target.__module__.startswith("dlrun.sweeps.searchers.")  # of our packages no other class is meant
    ours |= target.__module__.partition(".")[0] not in OURS
    return ours and all(callable(getattr(target, method, None)) for method in METHODS)


def check_trial(number: int, values: Mapping[str, str], alternatives: Sequence[Mapping[str, Domain]]) -> None:
    """Refuse a trial that sets anything but what is searched: a study may come from someone else.

    Raises:
        Mistake: a key outside the space, or a value outside its domain, in each of the alternatives.
    """
    wrong = [_wrong_in(values, space) for space in alternatives]
    if all(wrong):
        raise Mistake(f"sweeper: trial {number} sets {wrong[0]}")


def _wrong_in(values: Mapping[str, str], space: Mapping[str, Domain]) -> str:
    """Return which setting a space has no place for; empty: none."""
    for key, text in values.items():
        if key not in space:
            return f"{key}, which is not searched here (only {', '.join(space)})"
        if not space[key].holds(text):
            return f"{key}={text}, which is outside of what is searched"
    return ""


def alternatives_of(overrides: list[Override], more: object) -> list[dict[str, Domain]]:
    """Return what is searched, on the command line and in `sweeper.space`: one space, or one for each of its list.

    What the command line searches is in each of them. In a list a key may have a value that is fixed, which tells one
    alternative from another: [{model: mlp, model.hidden: "choice([16], [64])"}, {model: logistic}].

    Raises:
        Mistake: nothing is searched, or a domain that cannot be.
    """
    typed = {o.get_key_element(): _domain(o.get_key_element(), o) for o in overrides if o.is_sweep_override()}
    listed = isinstance(more, list)
    described: list[Any] = more if isinstance(more, list) else [more or {}]
    if not described or not all(isinstance(space, dict) and (space or not listed) for space in described):
        raise Mistake("sweeper.space: keys and what they may be belong here, or a list of such spaces")
    alternatives = [typed | _own_domains(space, typed, listed) for space in described]
    if not any(alternatives):
        raise Mistake(
            "sweeper: there is nothing to search; give a setting an interval: 'optimizer.lr=interval(0.01,1)'"
        )
    return alternatives


def _own_domains(space: Mapping[str, object], typed: Mapping[str, Domain], fixed: bool) -> dict[str, Domain]:
    """Return the domains of a space, but those of the command line, which come before them.

    Args:
        fixed: whether a key may have one value.
    """
    parser, domains = OverridesParser.create(), {}
    for key, value in space.items():
        if key in typed:
            continue
        text = value if isinstance(value, str) else written(value)
        override = parser.parse_overrides([f"{key}={text}"])[0]
        one = fixed and not override.is_sweep_override()
        domains[str(key)] = Domain(choices=[text]) if one else _domain(str(key), override)
    return domains


def example_of(space: Mapping[str, Domain]) -> dict[str, str]:
    """Return one setting of a space, to see whether it can be composed; of an interval it is no whole number."""
    return {key: _example(domain) for key, domain in space.items()}


def whole_intervals(space: Mapping[str, Domain]) -> dict[str, Domain]:
    """Return the intervals of any numbers whose bounds are whole, as intervals of whole numbers."""
    return {
        key: Domain(low=int(domain.low), high=int(domain.high), log=domain.log, whole=True)
        for key, domain in space.items()
        if domain.choices is None and domain.step is None and not domain.whole
        and float(domain.low).is_integer() and float(domain.high).is_integer()
    }  # fmt: skip


def _example(domain: Domain) -> str:
    if domain.choices is not None:
        return domain.choices[0]
    inexact = domain.step is None and not domain.whole
    return as_text(domain.low + 0.37 * (domain.high - domain.low) if inexact else domain.low)


def _domain(key: str, override: Override) -> Domain:
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return Domain(choices=list(override.sweep_string_iterator()))
    if isinstance(value, RangeSweep):
        low, stop, step = _filled_in(value.start), _filled_in(value.stop), value.step
        count = math.ceil((stop - low) / step)
        if count < 1 or step <= 0:
            raise Mistake(f"{key}: {override.input_line} must rise to more than its start")
        whole = all(isinstance(number, int) for number in (low, step))
        return Domain(low=low, high=low + (count - 1) * step, step=step, whole=whole)
    if isinstance(value, IntervalSweep):
        low, high = _filled_in(value.start), _filled_in(value.end)
        log, whole = "log" in value.tags, isinstance(low, int) and isinstance(high, int)
        if high < low or (log and low <= 0):
            raise Mistake(f"{key}: {override.input_line} must rise, and begin above 0 under tag(log, …)")
        return Domain(low=low, high=high, log=log, whole=whole)
    text = value.text if isinstance(value, QuotedString) else value
    raise Mistake(f"{key}: '{text}' is no domain; write interval(0.1, 1), range(1, 9) or choice(a, b)")


def _filled_in(bound: float | None) -> float:
    """Return a bound of a range or interval, which Hydra's grammar always fills in, though its type allows None."""
    assert bound is not None
    return bound


def as_text(value: object) -> str:
    """Return a value of a domain as it is written in an override."""
    return value if isinstance(value, str) else repr(value)
