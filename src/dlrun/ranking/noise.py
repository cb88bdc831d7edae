"""Whether the first of two averages leads the second by more than the noise of their seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dlrun.ranking.ranking import Ranking
from dlrun.ranking.runs_table import Result
from dlrun.runs.printing import number
from dlrun.store.record import Record


def judgement(ordered: Sequence[Result], ranking: Ranking) -> list[str]:
    """Return lines on what the ranking is by, what to know of the data, and whether the lead of the first is noise."""
    return [*_lead(ordered, ranking), *caveats([result.record for result in ordered])]


def caveats(records: Sequence[Record]) -> list[str]:
    """Return what whoever reads the figures of some runs must know: the warnings of their data, and unfinished ones."""
    lines = list(dict.fromkeys(warning for record in records for warning in record.warnings))
    improving = sum(record.still_improving for record in records)
    if improving:
        of = f"{improving} of {len(records)} runs were" if len(records) > 1 else "the run was"
        lines.append(f"{of} still improving at the last epoch: more of them (trainer.epochs=…) may help")
    return lines


def _lead(ordered: Sequence[Result], ranking: Ranking) -> list[str]:
    lines = [str(ranking)]
    if len(ordered) < 2 or not ranking.is_figure:
        return lines
    first, second = ordered[:2]
    if first.value("data") != second.value("data"):
        return [*lines, "these are runs on different data: their figures cannot be compared with each other"]
    values = [first.value(ranking.name), second.value(ranking.name)]
    if None in values:
        return lines
    difference = abs(values[0] - values[1])
    deviations = [result.deviation(ranking.name) for result in (first, second)]
    counts = [first.count, second.count]
    if None in deviations or min(counts) < 2:
        lines.append("one run each: how much of a difference is noise, repeats=5 tells (or group_by= over seeds)")
        return lines
    noise = noise_of([d or 0.0 for d in deviations], counts)
    verdict = "less than the noise of the seeds" if difference <= noise else "more than the noise of the seeds"
    lines.append(f"the first two differ by {number(difference)}, {verdict} ({number(noise)}, by Welch's t-test at 5 %)")
    if difference <= noise:
        lines.append("so neither is known to be better")
    return lines


def noise_of(deviations: Sequence[float], counts: Sequence[int]) -> float:
    """Return the largest difference of two means that Welch's t-test at 5 % takes for noise.

    Args:
        deviations: the sample standard deviations of the two.
        counts: how many runs each is the mean of, 2 or more.
    """
    from scipy.stats import t

    errors = [deviation**2 / count for deviation, count in zip(deviations, counts, strict=True)]
    if not sum(errors):
        return 0.0
    freedom = sum(errors) ** 2 / sum(error**2 / (n - 1) for error, n in zip(errors, counts, strict=True))
    return float(t.ppf(0.975, freedom)) * math.sqrt(sum(errors))
