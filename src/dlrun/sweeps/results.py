"""The results of many runs: a row of sweep.csv, the parts of a setting averaged, the ranked table, the best setting."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from dlrun.config.compose import Composed
from dlrun.config.schema import key_of
from dlrun.ranking.averages import average
from dlrun.ranking.noise import caveats
from dlrun.ranking.ranking import COUNTING, Ranking, front_of, position
from dlrun.runs.load import task_of
from dlrun.runs.printing import number
from dlrun.runs.recipe import plain
from dlrun.store.files import flatten
from dlrun.store.folder import RunFolder
from dlrun.store.record import SPLITS, Record
from dlrun.sweeps.draw import draw_setting
from dlrun.sweeps.launchers.base import Outcome
from dlrun.sweeps.parts_together import average_history, out_of_fold, test_predictions
from dlrun.sweeps.plan import Part, short
from dlrun.tasks.metric import chosen_names

METRICS = ("loss", "accuracy", "r2")  # those that a table has room for
COSTS = ("best_epoch", "epochs", "parameters", "fit_seconds")  # figures of no split


@dataclass
class Setting:
    """The runs that differ in fold, repeat or rows only.

    Attributes:
        path: its folder below that of the whole; empty where that is the same.
        varied: what tells it from other settings.
        whole: what was composed, before it was divided into parts.
        parts: each with its outcome and folder.
    """

    path: str
    varied: dict[str, str]
    whole: Composed
    parts: list[tuple[Part, Outcome, RunFolder]] = field(default_factory=list)

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The config by dotted key, before it was divided into parts."""
        return dict(flatten(plain(self.whole.config)))

    @property
    def has_parts(self) -> bool:
        """Whether it was divided at all."""
        return any(part.within for part, _, _ in self.parts)

    @property
    def status(self) -> str:
        """The status of its worst part."""
        statuses = {outcome.status for _, outcome, _ in self.parts}
        worst_first = ("failed", "interrupted", "running", "diverged", "pruned")
        return next((status for status in worst_first if status in statuses), "finished")

    @property
    def ended(self) -> list[Record]:
        """The records of its parts that count."""
        return [outcome.record for _, outcome, _ in self.parts if outcome.counts]

    def mean(self) -> Record | None:
        """Return the average of the parts on most rows; None where no part counts."""
        curve = self.curve()
        return curve[-1][1] if curve else average(self.ended) if self.ended else None

    def value(self, name: str) -> float | None:
        """Return the mean of a figure (`<split>/<metric>`, `parameters`, …) over the parts on most rows."""
        return self.figure(name)[0]

    def figure(self, name: str) -> tuple[float | None, float | None]:
        """Return mean and deviation of a figure over the parts on most rows; one of no split has no deviation."""
        mean = self.mean()
        if mean is not None and name in COSTS:
            return getattr(mean, name), None
        return (None, None) if mean is None else (mean.figure(name), mean.deviation_of(name))

    def curve(self) -> list[tuple[int, Record]]:
        """Return (training rows, average) of its learning curve, by rows; empty where it has none."""
        by_rows: dict[str, list[Record]] = {}
        for part, outcome, _ in self.parts:
            if "rows" in part.within and outcome.counts:
                by_rows.setdefault(part.within["rows"], []).append(outcome.record)
        averaged = [(records[0].rows["train"], average(records)) for records in by_rows.values()]
        return sorted(averaged, key=lambda pair: pair[0])

    def write(self, folder: RunFolder) -> None:
        """Write what the parts give together: record, history, predictions, learning curve, and pictures."""
        finished = {part.path: at for part, outcome, at in self.parts if outcome.counts}
        folder.write_config(plain(self.whole.config))
        mean = self.mean() or Record(self.status, kind="parts")
        record = replace(mean, status=self.status, choices=self.whole.choices, config=self.config)
        if finished:
            history = average_history(finished.values())
            if len(history) and not self.curve():
                folder.write_history(history)
            if "test" in record.figures:
                inner = len(self.path) + 1 if self.path else 0
                predictions = test_predictions({path[inner:]: at for path, at in finished.items()})
                folder.write_predictions(predictions.to_csv(index=False, lineterminator="\n").encode())
                if self.whole.config.cv.folds is not None and not self.curve():
                    record = replace(record, out_of_fold=out_of_fold(next(iter(finished.values())), predictions))
        if self.curve():
            folder.write_learning_curve([_curve_row(rows, mean) for rows, mean in self.curve()])
        folder.write_record(record)
        if self.whole.config.plots and finished:
            draw_setting(folder, record, list(task_of(next(iter(finished.values()))).class_names))


def row_of(part: Part, outcome: Outcome, chosen: Sequence[str] = ()) -> dict[str, object]:
    """Return a row of sweep.csv.

    Args:
        chosen: names of the metrics of `metrics=[…]`.
    """
    names = [f"{split}/{metric}" for split in SPLITS for metric in (*METRICS, *chosen)]
    figures = {name: outcome.value(name) for name in names}
    fit = {name: outcome.metrics.get(name) for name in COSTS}
    return {"job": part.path, "status": outcome.status, **part.varied, **part.within, **figures, **fit}


def report(
    console: Console, settings: list[Setting], rankings: Sequence[Ranking], config_dir: Path | None = None
) -> None:
    """Print the averaged figures of one setting, or all settings, the best first; by several rankings their front."""
    ranking, *further = rankings
    records = [record for setting in settings for record in setting.ended]
    if len(settings) == 1 and settings[0].has_parts:
        _print_averages(console, settings[0])
        console.print("".join(f"{line}\n" for line in caveats(records)), end="", markup=False)
        return
    ordered = sorted(settings, key=lambda setting: position(setting, ranking))
    keys = list(dict.fromkeys(key for setting in settings for key in setting.varied))
    shown = list(dict.fromkeys([*(r.name for r in rankings), "test/loss", *_task_figures(settings)]))
    table = _table(f"ranked by {ranking.name}")
    for column in ("job", *keys, "status", *shown):
        table.add_column(column, no_wrap=column in shown)
    for setting in ordered:
        cells = [_cell(setting, figure) for figure in shown]
        varied = [short(setting.varied.get(key, "")) for key in keys]
        table.add_row(setting.path or "–", *varied, setting.status, *cells)
    console.print(table)
    if ranking.notes:
        console.print(str(ranking), markup=False)
    console.print("".join(f"{line}\n" for line in caveats(records)), end="", markup=False)
    front = front_of(ordered, rankings) if further else [s for s in ordered[:1] if s.status in COUNTING]
    if further and front:
        names = " and ".join([", ".join(r.name for r in rankings[:-1]), rankings[-1].name])
        console.print(f"Pareto front by {names}: {len(front)} of {len(settings)}, which none beats in one of these "
                      "without losing in another", markup=False)  # fmt: skip
    for setting in front:
        label = setting.path if further else "best"
        console.print(f"{label}: {_command(setting, config_dir)}", markup=False)


def _command(setting: Setting, config_dir: Path | None) -> str:
    """Return the command that runs a setting again."""
    own = [] if config_dir is None else ["--config-dir", os.path.relpath(config_dir)]
    overrides = [o for o in setting.whole.overrides if key_of(o.partition("=")[0]).changes == "bits"]
    return f"dlrun {shlex.join([*own, *overrides])}"


def _task_figures(settings: list[Setting]) -> list[str]:
    """Return accuracy or R² of the test rows, whichever the runs have, and the metrics that they were asked for."""
    chosen = [name for setting in settings for name in chosen_names(setting.config.get("metrics"))]
    names = [f"test/{metric}" for metric in dict.fromkeys(("accuracy", "r2", *chosen))]
    return [name for name in names if any(setting.figure(name)[0] is not None for setting in settings)]


def _print_averages(console: Console, setting: Setting) -> None:
    """Print every figure of the parts, mean ± standard deviation; of a learning curve the main ones, by rows."""
    if not setting.ended:
        return
    if setting.curve():
        _print_curve(console, setting.curve())
        return
    mean = average(setting.ended)
    splits = list(mean.figures)
    count = len(setting.ended)
    lost = len(setting.parts) - count
    lacking = f" ({lost} more did not finish)" if lost else ""
    table = _table(f"mean ± standard deviation over {count} run{'s' * (count != 1)}{lacking}")
    for column in ("", *splits):
        table.add_column(column, no_wrap=True, justify="right" if column else "left")
    table.add_column("baseline", justify="right", style="dim")
    for name in mean.figures[splits[-1]]:
        cells = [_with_deviation(mean.figure(f"{s}/{name}"), mean.deviation_of(f"{s}/{name}")) for s in splits]
        table.add_row(name, *cells, number(mean.figure(f"baseline/{splits[-1]}/{name}")))
    console.print(table)


def _print_curve(console: Console, curve: list[tuple[int, Record]]) -> None:
    for metric in METRICS:
        splits = [s for s in SPLITS if curve[0][1].figure(f"{s}/{metric}") is not None]
        if not splits:
            continue
        several = (curve[0][1].parts or 1) > 1
        table = _table(f"learning curve: {metric}" + (", mean ± standard deviation" if several else ""))
        for column in ("training rows", *splits):
            table.add_column(column, no_wrap=True, justify="right")
        for rows, mean in curve:
            names = [f"{split}/{metric}" for split in splits]
            table.add_row(f"{rows:,}", *(_with_deviation(mean.figure(n), mean.deviation_of(n)) for n in names))
        console.print(table)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))


def _curve_row(rows: int, mean: Record) -> dict[str, object]:
    row: dict[str, object] = {"rows": rows, "parts": mean.parts}
    for name in mean.names:
        row |= {name: mean.figure(name), f"{name}_deviation": mean.deviation_of(name)}
    return row


def _cell(setting: Setting, name: str) -> str:
    """Return a figure of a setting, as the table shows it: a count is a whole number."""
    mean, deviation = setting.figure(name)
    if name in COSTS and mean is not None and float(mean).is_integer():
        return f"{int(mean):,}"
    return _with_deviation(mean, deviation)


def _with_deviation(mean: float | None, deviation: float | None) -> str:
    digits = number(deviation) if mean is None or abs(mean) >= 1e4 else f"{deviation or 0:.4f}"
    return number(mean) + (f" ± {digits}" if deviation is not None else "")
