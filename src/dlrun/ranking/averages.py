"""The figures of several runs together: mean and deviation of each."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from dlrun.store.record import SPLITS, Record


def average(records: Sequence[Record]) -> Record:
    """Return mean and sample standard deviation (n − 1) of every figure that all of these records have.

    The record is of kind `parts` and status finished, without choices and config. Deviations of a single run are None;
    `fit_seconds` is the sum.
    """
    figures = {split: _statistics([record.figures.get(split, {}) for record in records]) for split in SPLITS}
    figures = {split: each for split, each in figures.items() if each}
    baseline = {split: _statistics([record.baseline.get(split, {}) for record in records]) for split in figures}
    return Record(
        status="finished",
        kind="parts",
        figures={split: {name: mean for name, (mean, _) in each.items()} for split, each in figures.items()},
        deviation={split: {name: spread for name, (_, spread) in each.items()} for split, each in figures.items()},
        baseline={split: {name: mean for name, (mean, _) in each.items()} for split, each in baseline.items()},
        parts=len(records),
        parameters=records[0].parameters,
        best_epoch=statistics.mean(record.best_epoch or 0 for record in records),
        epochs=statistics.mean(record.epochs or 0 for record in records),
        notes=list(dict.fromkeys(note for record in records for note in record.notes)),
        fit_seconds=round(sum(record.fit_seconds or 0 for record in records), 3),
    )


def _statistics(each: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, float | None]]:
    """Return {metric: (mean, deviation)} of the numbers that all have."""
    names = [name for name in each[0] if all(isinstance(figures.get(name), int | float) for figures in each)]
    values = {name: [float(figures[name]) for figures in each] for name in names}
    return {n: (statistics.fmean(v), statistics.stdev(v) if len(v) > 1 else None) for n, v in values.items()}
