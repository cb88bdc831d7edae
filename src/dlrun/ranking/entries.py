"""Finished runs as entries of a table: read from their folders, averaged, ranked, and judged beside each other."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from dlrun.errors import Mistake
from dlrun.ranking.averages import average
from dlrun.runs.tables import number
from dlrun.tasks.metrics import higher_is_better

NOT_COMPARED = (
    "output_dir", "sweep_dir", "quiet", "debug", "plots", "name", "note", "jobs", "data_dir", "workers", "data.workers",
)  # fmt: skip
FIGURES = ("loss", "accuracy", "r2")


@dataclass
class Entry:
    """A run, or several that are averaged, in the table.

    Attributes:
        folder: where it is, or the first of several.
        metrics: what its metrics.json holds, without the config.
        config: the flat config.
        count: how many runs it stands for.
        deviation: by figure (`test/loss`), over these runs.
    """

    folder: str
    metrics: dict
    config: dict
    count: int = 1
    deviation: dict[str, float] = field(default_factory=dict)

    def value(self, name: str) -> object:
        """A figure (`test/loss`), a choice (`model`), a config key, or `seconds`, `parameters`, `folder`, …"""
        split, _, metric = (name if "/" in name else name.replace(".", "/", 1)).partition("/")
        if metric and metric in self.metrics.get(split, {}):
            return self.metrics[split][metric]
        if split == "baseline" and metric:
            inner, _, metric = (metric if "/" in metric else metric.replace(".", "/", 1)).partition("/")
            return self.metrics.get("baseline", {}).get(inner, {}).get(metric)
        if name in self.metrics.get("choices", {}):
            return self.metrics["choices"][name]
        if name in self.config:
            return self.config[name]
        known = {"folder": self.folder, "runs": self.count, "seconds": self.metrics.get("fit_seconds")}
        return known.get(name, self.metrics.get(name))


def read_entries(root: Path, averaged: bool) -> list[Entry]:
    """The runs at and below a folder; of a run in parts, the parts, or (`averaged`) their averages in their place.

    Raises:
        Mistake: there is no such folder.
    """
    if not root.is_dir():
        raise Mistake(f"there is no folder '{root}'")
    found: dict[Path, Entry] = {}
    for file in root.rglob("metrics.json"):
        try:
            metrics = json.loads(file.read_bytes())
        except (OSError, ValueError) as error:
            raise Mistake(f"{file}: is damaged ({error})") from error
        if not isinstance(metrics, dict) or not isinstance(metrics.get("config"), dict):
            continue
        config = metrics.pop("config")
        if "whole" in metrics and not (averaged and "parts" in metrics):
            continue  # of a sweep, whose jobs count, or of parts that count themselves
        found[file.parent] = Entry(str(file.parent), metrics, config, metrics.get("parts", 1), _deviations(metrics))
    wholes = {folder for folder, entry in found.items() if "parts" in entry.metrics}
    return [found[folder] for folder in sorted(found) if not wholes.intersection(folder.parents)]


def _deviations(metrics: dict) -> dict[str, float]:
    """By figure (`test/loss`), where there are any."""
    each = ((s, m, v) for s, figures in metrics.get("deviation", {}).items() for m, v in figures.items())
    return {f"{split}/{metric}": value for split, metric, value in each if value is not None}


def grouped(entries: list[Entry], keys: list[str]) -> list[Entry]:
    """Entries that agree in `keys`, averaged: mean and sample standard deviation of every figure, and the count."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(json.dumps([entry.value(key) for key in keys]), []).append(entry)
    return [_average(group) for group in groups.values()]


def _average(every: list[Entry]) -> Entry:
    """One entry for several; those that did not finish are left out, and the status tells of them."""
    group = [entry for entry in every if entry.metrics.get("status") == "finished"] or every
    lost = sum(entry.metrics.get("status") != "finished" for entry in every)
    status = f"{lost} of {len(every)} did not finish" if lost else "finished"
    metrics = {"status": status, "choices": group[0].metrics.get("choices", {})}
    metrics |= average([entry.metrics for entry in group])
    config = {k: v for k, v in group[0].config.items() if all(entry.config.get(k) == v for entry in group)}
    return Entry(group[0].folder, metrics, config, sum(entry.count for entry in group), _deviations(metrics))


def ranking_of(entries: list[Entry]) -> str:
    """What runs are ranked by where nothing is asked for: never test rows, unless there is nothing else."""
    monitor = str(entries[0].config.get("trainer.early_stopping.monitor", ""))
    for name in (monitor, "valid/loss", "train_eval/loss"):
        if name and not name.startswith("train/") and any(entry.value(name) is not None for entry in entries):
            return name
    return "test/loss"


def columns_of(entries: list[Entry], keys: list[str] | None, ranked: str) -> list[str]:
    """What differs between the runs, what they are ranked by, their main figures with the baseline, their cost."""
    telling = keys or differing(entries)
    main = [f"{split}/{metric}" for split in ("test", "train_eval") for metric in FIGURES]
    there = [name for name in main if any(entry.value(name) is not None for entry in entries)]
    figures = [name for name in there if name.partition("/")[0] == there[0].partition("/")[0]]
    shown = list(dict.fromkeys([ranked, *figures, f"baseline/{figures[-1]}" if figures else ranked]))
    counts = ["runs"] if any(entry.count > 1 for entry in entries) else []
    statuses = ["status"] if any(entry.metrics.get("status") != "finished" for entry in entries) else []
    return [*telling, *counts, *statuses, *shown, "parameters", "seconds", *([] if keys else ["folder"])]


def differing(entries: list[Entry]) -> list[str]:
    """Choices that differ, and keys that differ between runs of the same choice."""
    names = list(dict.fromkeys(name for entry in entries for name in entry.metrics.get("choices", {})))
    chosen = [n for n in names if len({entry.metrics.get("choices", {}).get(n) for entry in entries}) > 1]
    result = [name for name in chosen if name != "launcher" and name != "sweeper"]
    for key in dict.fromkeys(key for entry in entries for key in entry.config):
        group = key.partition(".")[0]
        if key in NOT_COMPARED or group in ("launcher", "sweeper", "sweep") or key.endswith("_target_"):
            continue
        by_choice: dict[object, set[str]] = {}
        for entry in entries:
            if key in entry.config:
                choice = entry.metrics.get("choices", {}).get(group)
                by_choice.setdefault(choice, set()).add(json.dumps(entry.config[key]))
        if any(len(values) > 1 for values in by_choice.values()):
            result.append(key)
    if "seed" in result and "data.split_seed" in result:
        same = all(entry.config.get("seed") == entry.config.get("data.split_seed") for entry in entries)
        result = [key for key in result if key != "data.split_seed" or not same]
    return result


def judgement(ordered: list[Entry], ranked: str) -> list[str]:
    """What the ranking is by, and whether the first is better than the second by more than the noise of the seeds."""
    lines = [f"ranked by {ranked}"]
    if ranked.startswith("test/"):
        lines[0] += ": what is chosen by test rows looks better there than it is"
    if len(ordered) < 2 or not is_figure(ranked):
        return lines
    first, second = ordered[:2]
    if first.value("data") != second.value("data"):
        return [*lines, "these are runs on different data: their figures cannot be compared with each other"]
    values = first.value(ranked), second.value(ranked)
    if not all(isinstance(value, int | float) for value in values):
        return lines
    difference = abs(values[0] - values[1])
    spread = [entry.deviation.get(ranked) for entry in (first, second)]
    if None in spread:
        lines.append("one run each: how much of a difference is noise, repeats=5 tells (or group_by= over seeds)")
        return lines
    errors = [s**2 / entry.count for s, entry in zip(spread, (first, second), strict=True)]
    noise = _quantile(errors, [entry.count for entry in (first, second)]) * math.sqrt(sum(errors))
    verdict = "less than the noise of the seeds" if difference <= noise else "more than the noise of the seeds"
    lines.append(f"the first two differ by {number(difference)}, {verdict} ({number(noise)}, by Welch's t-test at 5 %)")
    if difference <= noise:
        lines.append("so neither is known to be better")
    return lines


def _quantile(errors: list[float], counts: list[int]) -> float:
    """Student's t at 97.5 % with Welch's degrees of freedom, for squared standard errors of means of so many runs."""
    from scipy.stats import t

    if not sum(errors):
        return 2.0
    freedom = sum(errors) ** 2 / sum(e**2 / (n - 1) for e, n in zip(errors, counts, strict=True))
    return float(t.ppf(0.975, freedom))


def is_figure(name: str) -> bool:
    """Whether a column is a figure of a split, such as test/loss."""
    return re.split(r"[./]", name)[0] in ("train_eval", "valid", "test", "baseline")


def rank(entry: Entry, ranked: str) -> tuple:
    """What entries are sorted by: those that finished first, the best first."""
    value = entry.value(ranked)
    usable = value is not None and entry.metrics.get("status") == "finished"
    if isinstance(value, int | float) and not isinstance(value, bool):
        best_first = is_figure(ranked) and higher_is_better(ranked.rpartition("/")[2])
        return (not usable, -value if best_first else value, "")
    return (not usable, 0, str(value))


def cell(entry: Entry, column: str) -> str:
    """A value for a table."""
    value = entry.value(column)
    if column in entry.deviation:
        return f"{number(value)} ± {entry.deviation[column]:.4f}"
    if isinstance(value, float):
        return f"{value:.1f}" if column == "seconds" else number(value) if "/" in column else f"{value:.4g}"
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) and column == "parameters" else str(value)
