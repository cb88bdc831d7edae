"""By which figure runs are ranked, and whether more of it is better: one rule for sweeps, searches and all tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from dlrun.errors import Mistake
from dlrun.tasks.metric import higher_is_better

SPLITS_OF_FIGURES = ("train_eval", "valid", "test", "baseline")
COUNTING = ("finished", "interrupted")  # the statuses whose figures count


@dataclass(frozen=True)
class Ranking:
    """What runs are ranked by.

    Attributes:
        name: a figure (`valid/loss`), or a column of the table such as `seconds`.
        maximizes: whether more of it is better.
        reason: why it is no validation value; empty where it is one, or was asked for.
    """

    name: str
    maximizes: bool = False
    reason: str = field(default="", compare=False)

    @property
    def is_figure(self) -> bool:
        """Whether it is a figure of a split, such as test/loss."""
        return is_figure(self.name)

    @property
    def notes(self) -> list[str]:
        """What is to be kept in mind about it."""
        by_test = ["what is chosen by test rows looks better there than it is"] if self.name.startswith("test/") else []
        return [*filter(None, [self.reason]), *by_test]

    def __str__(self) -> str:
        """Return `ranked by …`, and what is to be kept in mind about it."""
        return f"ranked by {self.name}" + (f": {'; '.join(self.notes)}" if self.notes else "")


class Ranked(Protocol):
    """What can be ranked: a run, an average, a setting of a sweep."""

    @property
    def status(self) -> str:
        """The status of its record, such as finished or diverged."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Its config by dotted key."""

    def value(self, name: str) -> Any:
        """Return a figure or another column; None where it has none."""


AnyRanked = TypeVar("AnyRanked", bound=Ranked)


def candidates(config: Mapping[str, Any]) -> list[Ranking]:
    """Return what a run may be ranked by, the best first.

    That is the validation value of what early stopping monitors; the validation loss; with folds, the same figures of
    the rows that were held out; else the training loss. Never test rows of a run without folds.
    """
    monitor = str(config.get("trainer.early_stopping.monitor") or "")
    split, _, metric = monitor.partition("/")
    wanted = [metric, "loss"] if split == "valid" and metric != "loss" else ["loss"]
    rankings = [_of_monitor(f"valid/{name}", config) for name in wanted]
    if config.get("cv.folds") is not None:
        reason = "there are no validation rows, so this is the mean over the held-out folds"
        rankings += [Ranking(f"test/{name}", _of_monitor(f"valid/{name}", config).maximizes, reason) for name in wanted]
    return [*rankings, Ranking("train_eval/loss", False, "there are no validation rows that all have")]


def choose_ranking(runs: Sequence[Ranked]) -> Ranking:
    """Return the first of the candidates of all `runs` that all of those that ended well have.

    Runs of several kinds may have none in common but the training loss.
    """
    counting = [run for run in runs if run.status in COUNTING and _has_figures(run)]
    counting = counting or [run for run in runs if _has_figures(run)] or list(runs)
    each = [candidates(run.config) for run in counting]
    common = [ranking for ranking in each[0] if all(ranking in others for others in each)] if each else []
    for ranking in common:
        if all(_number(run.value(ranking.name)) is not None for run in counting):
            return ranking
    return Ranking("train_eval/loss", False, "there are no validation rows that all have")


def searched_rankings(objective: object, config: Mapping[str, Any]) -> list[Ranking]:
    """Return what the trials of a search are judged by, before any of them has run.

    Args:
        objective: the figure that a person names, or a list of them: of a split, or a cost such as `fit_seconds`, of
            which less is better; None: the first of the candidates that such runs will have.
        config: of the trials.

    Raises:
        Mistake: it is no name and no list of names, or one twice.
    """
    names: list[Any] = objective if isinstance(objective, list) else [objective]
    if names == [None]:
        return [_searched_by_default(config)]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise Mistake(f"sweeper.objective is {objective}: a figure such as valid/loss, or a list of them, belongs here")
    chosen = [figure_name(name) if is_figure(name) else name for name in names]
    if len(set(chosen)) < len(chosen):
        raise Mistake(f"sweeper.objective is {objective}: one of them stands there twice")
    return [_of_monitor(name, config) if is_figure(name) else Ranking(name) for name in chosen]


def front_of(runs: Sequence[AnyRanked], rankings: Sequence[Ranking]) -> list[AnyRanked]:
    """Return the Pareto front: the runs that ended well of which no other is better in one of the figures and as good
    in all.
    """
    usable = [run for run in runs if run.status in COUNTING]
    usable = [run for run in usable if all(_number(run.value(ranking.name)) is not None for ranking in rankings)]
    costs = [[(-1 if r.maximizes else 1) * run.value(r.name) for r in rankings] for run in usable]
    return [run for run, own in zip(usable, costs, strict=True) if not any(_beats(other, own) for other in costs)]


def _beats(costs: Sequence[float], others: Sequence[float]) -> bool:
    return costs != others and all(own <= other for own, other in zip(costs, others, strict=True))


def _searched_by_default(config: Mapping[str, Any]) -> Ranking:
    several = candidates(config)
    held_out = [ranking for ranking in several if ranking.name.startswith("test/")]
    return held_out[0] if held_out and config.get("data.split.valid") is None else several[0]


def requested_ranking(name: str, runs: Sequence[Ranked]) -> Ranking:
    """Return the ranking by a figure or column that a person names, such as `test.accuracy` or `seconds`.

    More is better where the early stopping of the runs says so of this figure, or else where the metric is such.
    """
    if not is_figure(name):
        return Ranking(name)
    name = figure_name(name)
    return _of_monitor(name, runs[0].config) if runs else Ranking(name, higher_is_better(name.rpartition("/")[2]))


def position(run: Ranked, ranking: Ranking) -> tuple[bool, float, str]:
    """Return what runs are sorted by: those that ended well first, the best first."""
    value = run.value(ranking.name)
    number = _number(value)
    usable = value is not None and run.status in COUNTING
    if number is None:
        return (not usable, 0.0, "" if value is None else str(value))
    return (not usable, -number if ranking.maximizes else number, "")


def is_figure(name: str) -> bool:
    """Return whether a column is a figure of a split, such as `test/loss` or `test.loss`."""
    return name.replace("/", ".").partition(".")[0] in SPLITS_OF_FIGURES


def figure_name(name: str) -> str:
    """Return `test/loss` of `test.loss`, and `baseline/test/loss` of `baseline.test.loss`."""
    return name if "/" in name else name.replace(".", "/", 2 if name.startswith("baseline.") else 1)


def _of_monitor(name: str, config: Mapping[str, Any]) -> Ranking:
    """Return the ranking by a figure; of what early stopping monitors, `early_stopping.mode` counts."""
    mode = config.get("trainer.early_stopping.mode")
    if name == config.get("trainer.early_stopping.monitor") and mode in ("min", "max"):
        return Ranking(name, mode == "max")
    return Ranking(name, higher_is_better(name.rpartition("/")[2], config.get("metrics")))


def _has_figures(run: Ranked) -> bool:
    return any(_number(run.value(ranking.name)) is not None for ranking in candidates(run.config))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
