"""`dlrun compare <folders>`: one table over any runs and sweeps, the best first, and whether its lead is noise."""

from __future__ import annotations

import json
import math
import operator
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from dlrun.errors import Mistake, choose, did_you_mean
from dlrun.evaluation.averages import average
from dlrun.evaluation.metrics import higher_is_better
from dlrun.evaluation.table import number
from dlrun.folder import writing

WIDTH_OF_FILES = 200
ROWS_SHOWN = 100
OPERATORS = {
    ">=": operator.ge, "<=": operator.le, "!=": operator.ne, ">": operator.gt, "<": operator.lt, "=": operator.eq,
}  # fmt: skip
NOT_COMPARED = ("output_dir", "sweep_dir", "quiet", "debug", "plots", "name", "note", "jobs", "data_dir")
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
        split, _, metric = name.replace(".", "/", 1).partition("/")
        if metric and metric in self.metrics.get(split, {}):
            return self.metrics[split][metric]
        if split == "baseline" and metric:
            inner, _, metric = metric.replace(".", "/", 1).partition("/")
            return self.metrics.get("baseline", {}).get(inner, {}).get(metric)
        if name in self.metrics.get("choices", {}):
            return self.metrics["choices"][name]
        if name in self.config:
            return self.config[name]
        known = {"folder": self.folder, "runs": self.count, "seconds": self.metrics.get("fit_seconds")}
        return known.get(name, self.metrics.get(name))


def compare(
    folders: list[str],
    sort: str | None = None,
    filter: str | None = None,  # noqa: A002 (the name on the command line)
    group_by: list[str] | str | None = None,
    format: str = "table",  # noqa: A002
    output: str | None = None,
) -> int:
    """Print one table of runs, ranked.

    Args:
        folders: run folders, sweeps, or folders that hold them; none: outputs/.
        sort: what to rank by, such as `test.accuracy`, `parameters` or `seconds`; None: the validation value of what
            early stopping monitors, else the validation loss, else the training loss.
        filter: only runs for which this holds, such as `test.accuracy>0.9`; several with `and` between them.
        group_by: choices or config keys, such as `[model, optimizer.lr]`: runs that agree in them are averaged.
        format: table, csv, markdown or json.
        output: a file to write to instead.

    Raises:
        Mistake: no run there, or an argument that makes no sense.
    """
    choose(format, dict.fromkeys(("table", "csv", "markdown", "json")), "format")
    places = [Path(folder).expanduser() for folder in folders or ["outputs"]]
    entries = [entry for place in places for entry in read_entries(place, averaged=not group_by)]
    entries = [entry for entry in entries if entry.metrics.get("status") != "running"]
    if not entries:
        raise Mistake(f"compare: there is no run that has ended below {', '.join(folders or ['outputs'])}")
    for condition in re.split(r"\s+and\s+", filter) if filter else []:
        entries = [entry for entry in entries if _holds(condition, entry, entries)]
    if not entries:
        raise Mistake(f"filter: no run has {filter}")
    keys = [group_by] if isinstance(group_by, str) else group_by
    if keys and len({entry.config.get("data.train_rows") for entry in entries}) > 1 and "data.train_rows" not in keys:
        keys = [*keys, "data.train_rows"]  # runs on fewer rows are no repeats of those on all
    if keys:
        for key in keys:
            _require(key, entries, "group_by")
        entries = grouped(entries, keys)
    ranked = (sort or ranking_of(entries)).replace(".", "/", 1) if not sort or _is_figure(sort) else sort
    _require(ranked, entries, "sort")
    ordered = sorted(entries, key=lambda entry: _rank(entry, ranked))
    columns = columns_of(ordered, keys, ranked)
    text = FORMATS[format](ordered, columns, ranked)
    if output:
        with writing(Path(output)):
            Path(output).expanduser().write_text(text, encoding="utf-8")
        print(f"{len(ordered):,} rows written to {output}")
    else:
        print(text, end="")
    if format == "table" and not output:
        print("\n".join(judgement(ordered, ranked)))
    return 0


def read_entries(root: Path, averaged: bool) -> list[Entry]:
    """The runs at and below a folder; of a run in parts, the parts, or (`averaged`) their averages in their place.

    Raises:
        Mistake: there is no such folder.
    """
    if not root.is_dir():
        raise Mistake(f"compare: there is no folder '{root}'")
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
    differing = keys or _differing(entries)
    main = [f"{split}/{metric}" for split in ("test", "train_eval") for metric in FIGURES]
    there = [name for name in main if any(entry.value(name) is not None for entry in entries)]
    figures = [name for name in there if name.partition("/")[0] == there[0].partition("/")[0]]
    shown = list(dict.fromkeys([ranked, *figures, f"baseline/{figures[-1]}" if figures else ranked]))
    counts = ["runs"] if any(entry.count > 1 for entry in entries) else []
    statuses = ["status"] if any(entry.metrics.get("status") != "finished" for entry in entries) else []
    return [*differing, *counts, *statuses, *shown, "parameters", "seconds", *([] if keys else ["folder"])]


def _differing(entries: list[Entry]) -> list[str]:
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
    if len(ordered) < 2 or not _is_figure(ranked):
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


def _holds(condition: str, entry: Entry, entries: list[Entry]) -> bool:
    found = re.fullmatch(r"\s*([\w./-]+?)\s*(>=|<=|!=|>|<|==?)\s*(.+?)\s*", condition)
    if not found:
        raise Mistake(f"filter: '{condition}' is not of the form test.accuracy>0.9")
    name, sign, wanted = found.groups()
    _require(name, entries, "filter")
    value = entry.value(name)
    if value is None:
        return False
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return OPERATORS[sign.replace("==", "=")](float(value), float(wanted))
        except ValueError as error:
            raise Mistake(f"filter: {name} is a number, and '{wanted}' is none") from error
    if sign not in ("=", "==", "!="):
        raise Mistake(f"filter: {name} is no number; compare it by = or !=")
    return (str(value) == wanted) == (sign != "!=")


def _require(name: str, entries: list[Entry], key: str) -> None:
    """Refuse, by a Mistake, what no run has."""
    if any(entry.value(name) is not None for entry in entries):
        return
    figures = [f"{s}.{m}" for s in ("train_eval", "valid", "test") for m in entries[0].metrics.get(s, {})]
    known = [*figures, *entries[0].metrics.get("choices", {}), *entries[0].config, "seconds", "parameters", "epochs"]
    raise Mistake(f"{key}: no run has '{name}'{did_you_mean(name, known)}")


def _is_figure(name: str) -> bool:
    return re.split(r"[./]", name)[0] in ("train_eval", "valid", "test", "baseline")


def _rank(entry: Entry, ranked: str) -> tuple:
    value = entry.value(ranked)
    usable = value is not None and entry.metrics.get("status") == "finished"
    if isinstance(value, int | float) and not isinstance(value, bool):
        best_first = _is_figure(ranked) and higher_is_better(ranked.rpartition("/")[2])
        return (not usable, -value if best_first else value, "")
    return (not usable, 0, str(value))


def _cell(entry: Entry, column: str) -> str:
    value = entry.value(column)
    if column in entry.deviation:
        return f"{number(value)} ± {entry.deviation[column]:.4f}"
    if isinstance(value, float):
        return f"{value:.1f}" if column == "seconds" else number(value) if "/" in column else f"{value:.4g}"
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) and column == "parameters" else str(value)


def _as_table(entries: list[Entry], columns: list[str], ranked: str) -> str:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    common = os.path.commonpath([os.path.abspath(entry.folder) for entry in entries])
    for column in columns:
        table.add_column(column, justify="left" if column in ("folder", "status") else "right", overflow="fold",
                         no_wrap=column == "folder")  # fmt: skip
    for entry in entries[:ROWS_SHOWN]:
        cells = [
            os.path.relpath(os.path.abspath(entry.folder), common) if c == "folder" else _cell(entry, c)
            for c in columns
        ]
        table.add_row(*cells)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_FILES)
    with console.capture() as captured:
        console.print(table)
    under = f"folders are below {os.path.relpath(common)}\n" if "folder" in columns else ""
    left = len(entries) - ROWS_SHOWN
    more = f"and {left:,} more (format=csv has them all)\n" if left > 0 else ""
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n" + more + under


def _as_csv(entries: list[Entry], columns: list[str], ranked: str) -> str:
    import pandas as pd

    return pd.DataFrame(_records(entries, columns)).to_csv(index=False, lineterminator="\n")


def _as_json(entries: list[Entry], columns: list[str], ranked: str) -> str:
    return json.dumps({"ranked_by": ranked, "runs": _records(entries, columns)}, indent=1) + "\n"


def _as_markdown(entries: list[Entry], columns: list[str], ranked: str) -> str:
    lines = [columns, ["---"] * len(columns)] + [[_cell(entry, column) for column in columns] for entry in entries]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _records(entries: list[Entry], columns: list[str]) -> list[dict]:
    records = []
    for entry in entries:
        record = {}
        for column in columns:
            record[column] = entry.value(column)
            if column in entry.deviation:
                record[f"{column}_deviation"] = entry.deviation[column]
        records.append(record)
    return records


FORMATS: dict[str, Callable[[list[Entry], list[str], str], str]] = {
    "table": _as_table, "csv": _as_csv, "markdown": _as_markdown, "json": _as_json,
}  # fmt: skip
