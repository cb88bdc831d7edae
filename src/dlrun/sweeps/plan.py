"""What a larger run consists of: an experiment's sweep > learning curve > folds > repeats, as lists of overrides."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from dlrun.config.compose import Composed, Composer
from dlrun.config.grammar import quote_literal, settings_of
from dlrun.errors import Mistake
from dlrun.store.files import flatten
from dlrun.sweeps.searchers import grid


@dataclass
class Part:
    """A run that is part of a larger one.

    Attributes:
        path: its folder, below that of the larger run: `3/fold_1/repeat_2`; empty: the whole is this run alone.
        setting: the folder of the setting that it belongs to (`3`), whose folds and repeats are averaged.
        varied: what tells its setting from others: {override key: value}.
        within: its place among the parts of its setting: {"rows": …, "fold": …, "repeat": …}.
        composed: the config of what is to be run.
        whole: that of its setting, before it was divided into parts.
    """

    path: str
    setting: str
    varied: dict[str, str]
    within: dict[str, str]
    composed: Composed
    whole: Composed

    @property
    def label(self) -> str:
        """What tells it from the others, for a person."""
        varied = [f"{key}={short(value)}" for key, value in self.varied.items()]
        return " ".join([*varied, *(f"{level} {value}" for level, value in self.within.items())])


def check_plan(config: DictConfig) -> None:
    """Refuse wrong numbers of parts.

    Raises:
        Mistake: repeats below 1, fewer than two folds, a fold that is none, an empty learning curve, or no jobs.
    """
    if config.repeats < 1:
        raise Mistake(f"repeats is {config.repeats}: it must be at least 1")
    folds, fold = config.cv.folds, config.cv.fold
    if folds is not None and folds < 2:
        raise Mistake(f"cv.folds is {folds}: it must be at least 2, or null for none")
    if fold is not None and (folds is None or not 1 <= fold <= folds):
        raise Mistake(f"cv.fold is {fold}: it must be one of the folds, from 1 to cv.folds ({folds})")
    curve = config.learning_curve
    if curve is not None and (not curve or any(isinstance(n, bool) or not isinstance(n, int | float) for n in curve)):
        raise Mistake(f"learning_curve: {curve} must be a list of shares (0.5) or numbers (500) of training rows")
    if config.jobs is not None and config.jobs < 1:
        raise Mistake(f"jobs is {config.jobs}: it must be at least 1, or null for as many as there are GPUs or cores")
    settings_of(config.sweep)


def check_alone(config: DictConfig) -> None:
    """Refuse a searcher where nothing is searched.

    Raises:
        Mistake: `sweeper` is chosen, and `-m` is not.
    """
    if config.sweeper.get("_target_") != grid.TARGET:
        raise Mistake("sweeper: searches need -m: dlrun -m …")


def short(text: str) -> str:
    """Return a value for a table: a long number with four digits."""
    try:
        return f"{float(text):.4g}" if len(text) > 8 else text
    except ValueError:
        return text


def has_parts(config: DictConfig) -> bool:
    """Return whether a config describes several runs."""
    folds = config.cv.folds is not None and config.cv.fold is None
    return bool(config.sweep) or config.learning_curve is not None or folds or config.repeats > 1


def parts_of(
    composer: Composer, composed: Composed, path: str = "", varied: dict[str, str] | None = None
) -> Iterator[Part]:
    """Yield the parts of what is composed, in order; that itself where it has none.

    What is set on the command line is not varied by the sweep of an experiment.

    Raises:
        Mistake: a setting of its sweep cannot be composed, or is both set and varied on the command line.
    """
    check_plan(composed.config)
    composed, settings, _ = obeyed(composer, composed)
    if not settings:
        yield from _within(composer, composed, path, varied or {})
    for number, chosen in enumerate(settings):
        overrides = [*composed.overrides, *(f"{key}={value}" for key, value in chosen.items()), "sweep=null"]
        inner = composer.compose(overrides)
        check_plan(inner.config)
        yield from _within(composer, inner, _join(path, str(number)), {**(varied or {}), **chosen})


def obeyed(composer: Composer, composed: Composed) -> tuple[Composed, list[dict[str, str]], list[str]]:
    """Return what is composed, the settings of its sweep without the keys that the command line sets, and these keys.

    Where nothing is left to vary, it is without a sweep.

    Raises:
        Mistake: the command line both sets a key and varies it.
    """
    settings = settings_of(composed.config.sweep)
    if not settings:
        return composed, [], []
    parsed = OverridesParser.create().parse_overrides([quote_literal(override) for override in composed.overrides])
    typed = {key for override in parsed for key in _keys_of(override)}
    dropped = [key for key in dict.fromkeys(key for chosen in settings for key in chosen) if key in typed]
    if not dropped:
        return composed, settings, []
    if any(override.key_or_group.partition(".")[0] == "sweep" for override in parsed):
        raise Mistake(f"sweep: {dropped[0]} is set on the command line and varied there too; leave out one of the two")
    left = [{key: value for key, value in chosen.items() if key not in typed} for chosen in settings]
    left = [chosen for number, chosen in enumerate(left) if chosen not in left[:number]]
    if left == [{}]:
        overrides = [*composed.overrides, "sweep=null"]
        return composer.compose(overrides), [], dropped
    return composed, left, dropped


def notes_on(composer: Composer, composed: Composed) -> list[str]:
    """Return a line for everything in a config that is taken otherwise than it is written."""
    _, _, dropped = obeyed(composer, composed)
    lines = [f"{key} is given on the command line: the experiment's sweep does not vary it" for key in dropped]
    curve = composed.config.learning_curve or []
    if any(isinstance(n, float) for n in curve) and any(isinstance(n, int) and n == 1 for n in curve):
        lines.append("learning_curve: 1 is the share of all training rows, as the other values are shares")
    return lines


def _keys_of(override: Override) -> list[str]:
    """Return the keys that an override sets: `trainer={epochs: 3}` sets trainer.epochs."""
    key, value = override.get_key_element().lstrip("+~"), override.value()
    if isinstance(value, dict) and value:
        return [f"{key}.{inner}" for inner, _ in flatten({str(name): each for name, each in value.items()})]
    return [key]


def _shares(curve: Iterable[int | float]) -> list[int | float]:
    """Return the values of a learning curve: where any is a share, 1 is one too, and not a single row."""
    values = list(curve)
    shares = any(isinstance(value, float) for value in values)
    return [1.0 if shares and value == 1 else value for value in values]


def _within(composer: Composer, composed: Composed, path: str, varied: dict[str, str]) -> Iterator[Part]:
    """Yield the parts of one setting: of its learning curve, within that of its folds, within these of its repeats."""
    config = composed.config
    curve = _shares(config.learning_curve) if config.learning_curve is not None else [None]
    folds = range(1, config.cv.folds + 1) if config.cv.folds is not None and config.cv.fold is None else [None]
    repeats = range(1, config.repeats + 1) if config.repeats > 1 else [None]
    for rows, fold, repeat in itertools.product(curve, folds, repeats):
        added, within = [], {}
        if rows is not None:
            added += [f"data.train_rows={rows}", "learning_curve=null"]
            within["rows"] = str(rows)
        if fold is not None:
            added += [f"cv.fold={fold}"]
            within["fold"] = str(fold)
        if repeat is not None:
            added += [f"seed={config.seed + repeat - 1}", f"data.split_seed={config.data.split_seed}", "repeats=1"]
            within["repeat"] = str(repeat)
        inner = composed
        if added:
            inner = composer.compose([*composed.overrides, *added])
        place = _join(path, *(f"{level}_{value}" for level, value in within.items()))
        yield Part(place, path, varied, within, inner, composed)


def _join(*pieces: str) -> str:
    return "/".join(piece for piece in pieces if piece)
