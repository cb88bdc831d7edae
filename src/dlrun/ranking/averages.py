"""The figures of several runs together: mean and deviation of each."""

from __future__ import annotations

import statistics

SPLITS = ("train_eval", "valid", "test")


def average(found: list[dict]) -> dict:
    """Mean and sample standard deviation (n − 1) of every figure that all of these `metrics.json` have.

    Returns:
        The shape of metrics.json, with the means, and beside it `deviation.<split>.<metric>` and `parts`, their number.
    """
    result: dict = {"deviation": {}, "baseline": {}, "parts": len(found)}
    for split in SPLITS:
        means = _means(found, lambda metrics, split=split: metrics.get(split, {}))
        if means:
            result[split] = {name: mean for name, (mean, _) in means.items()}
            result["deviation"][split] = {name: deviation for name, (_, deviation) in means.items()}
            baseline = _means(found, lambda metrics, split=split: metrics.get("baseline", {}).get(split, {}))
            result["baseline"][split] = {name: mean for name, (mean, _) in baseline.items()}
    result["parameters"] = found[0].get("parameters")
    result["fit_seconds"] = round(sum(metrics.get("fit_seconds", 0) for metrics in found), 3)
    for name in ("best_epoch", "epochs"):
        result[name] = statistics.mean(metrics.get(name, 0) for metrics in found)
    return result


def _means(found: list[dict], figures_of) -> dict[str, tuple[float, float | None]]:
    """{metric: (mean, deviation)}; the deviation of a single value is None."""
    each = [figures_of(metrics) for metrics in found]
    names = [n for n in each[0] if all(isinstance(e.get(n), int | float) for e in each)] if each else []
    values = {name: [float(e[name]) for e in each] for name in names}
    return {n: (statistics.fmean(v), statistics.stdev(v) if len(v) > 1 else None) for n, v in values.items()}
