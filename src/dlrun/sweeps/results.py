"""The results of many runs: a row of sweep.csv, the parts of a setting averaged, the ranked table, the best setting."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

import yaml
from omegaconf import DictConfig
from rich import box
from rich.console import Console
from rich.table import Table

from dlrun.ranking.averages import average
from dlrun.runs.load import task_of
from dlrun.runs.recipe import Job, plain
from dlrun.runs.tables import number
from dlrun.store.files import flatten
from dlrun.store.folder import RunFolder
from dlrun.sweeps.draw import draw_setting
from dlrun.sweeps.launchers.base import Outcome, figure_of
from dlrun.sweeps.plan import Part, short
from dlrun.sweeps.summary import average_history, out_of_fold, test_predictions
from dlrun.tasks.metrics import higher_is_better
from dlrun.training.early_stopping import EarlyStopping

NOT_OF_THE_RUN = ("launcher", "jobs", "sweep_dir", "sweeper")
FIGURES = [f"{split}/{metric}" for split in ("train_eval", "valid", "test") for metric in ("loss", "accuracy", "r2")]


@dataclass
class Setting:
    """The runs that differ in fold, repeat or rows only.

    Attributes:
        path: its folder below that of the whole; empty where that is the same.
        varied: what tells it from other settings.
        whole: the job before it was divided into parts.
        parts: each with its outcome and folder.
    """

    path: str
    varied: dict[str, str]
    whole: Job
    parts: list[tuple[Part, Outcome, RunFolder]] = field(default_factory=list)

    @property
    def has_parts(self) -> bool:
        """Whether it was divided at all."""
        return any(part.within for part, _, _ in self.parts)

    @property
    def status(self) -> str:
        """That of its worst part."""
        found = {outcome.status for _, outcome, _ in self.parts}
        return next((s for s in ("failed", "interrupted", "running", "diverged", "pruned") if s in found), "finished")

    @property
    def ended(self) -> list[dict]:
        """The metrics of its parts that count."""
        return [outcome.metrics for _, outcome, _ in self.parts if outcome.counts]

    def figure(self, name: str) -> tuple[float | None, float | None]:
        """(mean, deviation) of a figure `<split>/<metric>` over the parts on most rows."""
        curve = self.curve()
        found = curve[-1][1] if curve else average(self.ended) if self.ended else {"deviation": {}}
        return _of(found, name), _of(found["deviation"], name)

    def curve(self) -> list[tuple[int, dict]]:
        """(training rows, averaged metrics) of its learning curve, by rows; empty where it has none."""
        by_rows: dict[str, list[dict]] = {}
        for part, outcome, _ in self.parts:
            if "rows" in part.within and outcome.counts:
                by_rows.setdefault(part.within["rows"], []).append(outcome.metrics)
        averaged = [(found[0]["rows"]["train"], average(found)) for found in by_rows.values()]
        return sorted(averaged, key=lambda pair: pair[0])

    def write(self, folder: RunFolder) -> None:
        """Write what the parts give together: metrics.json, history.csv, predictions.csv, and what there is to draw."""
        finished = {part.path: at for part, outcome, at in self.parts if outcome.counts}
        folder.write_text("config.yaml", yaml.safe_dump(plain(self.whole.config), sort_keys=False, allow_unicode=True))
        known = {"choices": self.whole.choices, "config": dict(flatten(plain(self.whole.config)))}
        metrics = {"status": self.status, "whole": True, "several": False, **known}
        if finished:
            metrics |= self.curve()[-1][1] if self.curve() else average(self.ended)
            history = average_history(finished.values())
            if len(history) and not self.curve():
                folder.write_text("history.csv", history.to_csv(index=False, lineterminator="\n"))
            if "test" in metrics:
                inner = len(self.path) + 1 if self.path else 0
                said = test_predictions({path[inner:]: at for path, at in finished.items()})
                folder.write_text("predictions.csv", said.to_csv(index=False, lineterminator="\n"))
                if self.whole.config.cv.folds is not None and not self.curve():
                    metrics["out_of_fold"] = out_of_fold(next(iter(finished.values())), said)
        if self.curve():
            folder.write_table("learning_curve.csv", [_curve_row(rows, found) for rows, found in self.curve()])
        folder.write_json("metrics.json", metrics)
        if self.whole.config.plots and finished:
            draw_setting(folder, metrics, list(task_of(next(iter(finished.values()))).class_names))


def row_of(part: Part, outcome: Outcome) -> dict[str, object]:
    """A row of sweep.csv."""
    figures = {name: outcome.value(name) for name in FIGURES}
    fit = {name: outcome.metrics.get(name) for name in ("best_epoch", "epochs", "parameters", "fit_seconds")}
    return {"job": part.path, "status": outcome.status, **part.varied, **part.within, **figures, **fit}


def candidates(config: DictConfig) -> list[str]:
    """What settings may be ranked by, the best first: the monitored value on validation rows, the validation loss, with
    folds and no validation rows the loss of the folds that were held out, else the training loss."""
    stopping = config.trainer.get("early_stopping")
    monitored = [stopping.monitor] if stopping and stopping.monitor.startswith("valid/") else []
    held_out = ["test/loss"] if config.cv.folds is not None else []
    return [*monitored, "valid/loss", *held_out, "train_eval/loss"]


def ranked_by(config: DictConfig, value: Callable[[str], float | None]) -> tuple[str, bool]:
    """The first of the candidates that a run has, and whether more of it is better."""
    name = next((name for name in candidates(config) if value(name) is not None), "train_eval/loss")
    stopping = config.trainer.get("early_stopping")
    monitored = stopping and name == stopping.monitor
    return name, EarlyStopping(**stopping).maximizes if monitored else higher_is_better(name.partition("/")[2])


def report(console: Console, settings: list[Setting], name: str, maximizes: bool) -> None:
    """The averaged figures of one setting, or all settings, the best first."""
    if len(settings) == 1 and settings[0].has_parts:
        _print_averages(console, settings[0])
        return

    def rank(setting: Setting) -> tuple:
        value = setting.figure(name)[0]
        usable = setting.status in ("finished", "interrupted") and value is not None
        return (not usable, 0 if not usable else -value if maximizes else value)

    ordered = sorted(settings, key=rank)
    keys = list(dict.fromkeys(key for setting in settings for key in setting.varied))
    shown = list(dict.fromkeys([name, "test/loss", *_task_figures(settings)]))
    table = _table(f"ranked by {name}")
    for column in ("job", *keys, "status", *shown):
        table.add_column(column, no_wrap=column in shown)
    for setting in ordered:
        cells = [_with_deviation(*setting.figure(figure)) for figure in shown]
        varied = [short(setting.varied.get(key, "")) for key in keys]
        table.add_row(setting.path or "–", *varied, setting.status, *cells)
    console.print(table)
    if name.startswith("test/"):
        console.print("ranked by test rows: what is chosen by them looks better there than it is")
    if ordered[0].status in ("finished", "interrupted"):
        best = [o for o in ordered[0].whole.overrides if o.partition("=")[0] not in NOT_OF_THE_RUN]
        console.print(f"best: dlrun {shlex.join(best)}", markup=False)


def _task_figures(settings: list[Setting]) -> list[str]:
    """Accuracy or R² of the test rows, whichever the runs have."""
    return [name for name in ("test/accuracy", "test/r2") if any(s.figure(name)[0] is not None for s in settings)]


def _print_averages(console: Console, setting: Setting) -> None:
    """Every figure of the parts, mean ± standard deviation; of a learning curve the main ones, by rows."""
    if not setting.ended:
        return
    if setting.curve():
        _print_curve(console, setting.curve())
        return
    found = average(setting.ended)
    splits = [s for s in ("train_eval", "valid", "test") if s in found]
    lost = len(setting.parts) - found["parts"]
    lacking = f" ({lost} more did not finish)" if lost else ""
    table = _table(f"mean ± standard deviation over {found['parts']} runs{lacking}")
    for column in ("", *splits):
        table.add_column(column, no_wrap=True, justify="right" if column else "left")
    table.add_column("baseline", justify="right", style="dim")
    for name in found[splits[-1]]:
        cells = [_with_deviation(found[s].get(name), found["deviation"][s].get(name)) for s in splits]
        table.add_row(name, *cells, number(found["baseline"][splits[-1]].get(name)))
    console.print(table)


def _print_curve(console: Console, curve: list[tuple[int, dict]]) -> None:
    for metric in ("loss", "accuracy", "r2"):
        splits = [s for s in ("train_eval", "valid", "test") if _of(curve[0][1], f"{s}/{metric}") is not None]
        if not splits:
            continue
        several = curve[0][1]["parts"] > 1
        table = _table(f"learning curve: {metric}" + (", mean ± standard deviation" if several else ""))
        for column in ("training rows", *splits):
            table.add_column(column, no_wrap=True, justify="right")
        for rows, found in curve:
            names = [f"{split}/{metric}" for split in splits]
            table.add_row(f"{rows:,}", *(_with_deviation(_of(found, n), _of(found["deviation"], n)) for n in names))
        console.print(table)


def _of(figures: dict, name: str) -> float | None:
    return figure_of(figures, name)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))


def _curve_row(rows: int, found: dict) -> dict[str, object]:
    row: dict[str, object] = {"rows": rows, "parts": found["parts"]}
    for split in ("train_eval", "valid", "test"):
        for name, value in found.get(split, {}).items():
            row |= {f"{split}/{name}": value, f"{split}/{name}_deviation": found["deviation"][split][name]}
    return row


def _with_deviation(mean: float | None, deviation: float | None) -> str:
    digits = number(deviation) if mean is None or abs(mean) >= 1e4 else f"{deviation or 0:.4f}"
    return number(mean) + (f" ± {digits}" if deviation is not None else "")
