"""Many runs in one table: read from their folders, filtered, averaged, and put in order."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlrun.config.schema import key_of
from dlrun.errors import Mistake, did_you_mean
from dlrun.ranking.averages import average
from dlrun.ranking.ranking import Ranking, choose_ranking, figure_name, position, requested_ranking
from dlrun.runs.printing import number
from dlrun.store.folder import RunFolder
from dlrun.store.record import Record
from dlrun.tasks.metric import chosen_names

if TYPE_CHECKING:
    import pandas as pd

METRICS_SHOWN = ("loss", "accuracy", "r2")
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge, "<=": operator.le, "!=": operator.ne, ">": operator.gt, "<": operator.lt, "=": operator.eq,
}  # fmt: skip


@dataclass(frozen=True)
class Result:
    """A run, or several that are averaged: a line of the table.

    Attributes:
        folder: of the run, or of the first of several.
        record: what became of it.
        status: that of the record, or how many of several did not finish.
        count: how many runs it is the mean of.
    """

    folder: RunFolder
    record: Record
    status: str
    count: int = 1

    @property
    def config(self) -> Mapping[str, Any]:
        """Its config by dotted key."""
        return self.record.config

    def value(self, name: str) -> Any:
        """Return a figure (`test/loss` or `test.loss`), a choice (`model`), a config key, or `seconds`, `folder`, …;
        None where it has none.
        """
        if (figure := self.record.figure(figure_name(name))) is not None:
            return figure
        if name in self.record.choices:
            return self.record.choices[name]
        if name in self.config:
            return self.config[name]
        own = {
            "folder": str(self.folder), "runs": self.count, "status": self.status, "seconds": self.record.fit_seconds,
            "parameters": self.record.parameters, "epochs": self.record.epochs, "best_epoch": self.record.best_epoch,
        }  # fmt: skip
        return own.get(name)

    def deviation(self, name: str) -> float | None:
        """Return the standard deviation of a figure over the runs that it is the mean of."""
        return self.record.deviation_of(name)


@dataclass(frozen=True)
class RunsTable:
    """Results in order, the best first.

    Attributes:
        results: the lines.
        columns: what is shown of each.
        ranking: what they are ordered by.
        unreadable: a line on each run folder that could not be read.
    """

    results: list[Result]
    columns: list[str]
    ranking: Ranking
    unreadable: list[str]

    def records(self) -> list[dict[str, Any]]:
        """Return the values of the columns, a dict a line; the deviations of averages in columns of their own."""
        return [self._values(result) for result in self.results]

    def frame(self) -> pd.DataFrame:
        """Return the table as a DataFrame; its `attrs["ranked_by"]` names what it is ordered by."""
        import pandas as pd

        frame = pd.DataFrame(self.records())
        frame.attrs["ranked_by"] = self.ranking.name
        return frame

    def _values(self, result: Result) -> dict[str, Any]:
        values = {}
        for column in self.columns:
            values[column] = result.value(column)
            if (deviation := result.deviation(column)) is not None:
                values[f"{column}_deviation"] = deviation
        return values


def runs_table(
    folders: Sequence[str | Path] = (),
    sort: str | None = None,
    filter: str | None = None,  # noqa: A002 (the name on the command line)
    group_by: Sequence[str] | str | None = None,
) -> RunsTable:
    """Return one table of runs, ranked; the arguments are those of `dlrun compare`.

    Raises:
        Mistake: no such folder, no run there that has ended, or an argument that makes no sense.
    """
    results, unreadable = read_results(folders, averaged=not group_by)
    results = [result for result in results if result.status != "running"]
    if not results:
        raise nothing_there("compare", folders, unreadable)
    if filter:
        results = filtered(results, filter)
    if not isinstance(group_by, str | list | tuple | None):
        raise Mistake(f"group_by is {group_by}: choices or config keys belong here, as in [model, optimizer.lr]")
    keys = [group_by] if isinstance(group_by, str) else list(map(str, group_by or []))
    if keys and len({result.config.get("data.train_rows") for result in results}) > 1 and "data.train_rows" not in keys:
        keys = [*keys, "data.train_rows"]  # runs on fewer rows are no repeats of those on all
    for key in keys:
        require(key, results, "group_by")
    if keys:
        results = grouped(results, keys)
    ranking = requested_ranking(sort, results) if sort else choose_ranking(results)
    require(ranking.name, results, "sort")
    ordered = sorted(results, key=lambda result: position(result, ranking))
    return RunsTable(ordered, columns_of(ordered, keys, ranking), ranking, unreadable)


def nothing_there(command: str, folders: Sequence[str | Path], unreadable: Sequence[str]) -> Mistake:
    """Return the mistake of a table without lines."""
    where = ", ".join(map(str, folders or ["outputs"]))
    cannot = f"; {len(unreadable)} cannot be read, the first: {unreadable[0]}" if unreadable else ""
    return Mistake(f"{command}: there is no run that has ended below {where}{cannot}")


def read_results(folders: Sequence[str | Path], averaged: bool) -> tuple[list[Result], list[str]]:
    """Return the runs at and below folders, and a line on each folder that cannot be read.

    Args:
        folders: run folders, sweeps, or folders that hold them; none: outputs/.
        averaged: whether the averages of a run in parts stand for its parts, or the parts for themselves.

    Raises:
        Mistake: there is no such folder.
    """
    results: dict[Path, Result] = {}
    unreadable = []
    for place in [Path(folder).expanduser() for folder in folders or ["outputs"]]:
        if not place.is_dir():
            raise Mistake(f"there is no folder '{place}'")
        for folder in RunFolder(place).runs_below():
            try:
                record = folder.record()
            except Mistake as mistake:
                unreadable.append(str(mistake))
                continue
            if record.kind == "run" or (averaged and record.parts is not None):
                results[folder.path] = Result(folder, record, record.status, record.parts or 1)
    averages = {path for path, result in results.items() if result.record.kind == "parts"}
    return [result for path, result in results.items() if not averages.intersection(path.parents)], unreadable


def grouped(results: Sequence[Result], keys: Sequence[str]) -> list[Result]:
    """Return results that agree in `keys`, averaged: mean and sample standard deviation of every figure."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(json.dumps([result.value(key) for key in keys]), []).append(result)
    return [_average(group) for group in groups.values()]


def _average(results: Sequence[Result]) -> Result:
    """Return one result for several; those that did not finish are left out, and the status tells of them."""
    finished = [result for result in results if result.status == "finished"] or list(results)
    lost = sum(result.status != "finished" for result in results)
    status = f"{lost} of {len(results)} did not finish" if lost else "finished"
    first = finished[0]
    mean = average([result.record for result in finished])
    same = {k: v for k, v in first.config.items() if all(result.config.get(k) == v for result in finished)}
    record = Record(**{**vars(mean), "config": same, "choices": first.record.choices})
    return Result(first.folder, record, status, sum(result.count for result in finished))


def filtered(results: Sequence[Result], conditions: str) -> list[Result]:
    """Return the results for which conditions such as `test.accuracy>0.9 and model=mlp` hold.

    Raises:
        Mistake: none is left, or a condition makes no sense.
    """
    left = list(results)
    for condition in re.split(r"\s+and\s+", conditions):
        left = [result for result in left if _holds(condition, result, left)]
    if not left:
        raise Mistake(f"filter: no run has {conditions}")
    return left


def _holds(condition: str, result: Result, results: Sequence[Result]) -> bool:
    match = re.fullmatch(r"\s*([\w./-]+?)\s*(>=|<=|!=|>|<|==?)\s*(.+?)\s*", condition)
    if not match:
        raise Mistake(f"filter: '{condition}' is not of the form test.accuracy>0.9")
    name, sign, wanted = match.groups()
    require(name, results, "filter")
    value = result.value(name)
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


def require(name: str, results: Sequence[Result], argument: str) -> None:
    """Refuse, by a Mistake at `argument`, a column that no run has."""
    if any(result.value(name) is not None for result in results):
        return
    first = results[0]
    figures = [figure.replace("/", ".") for figure in first.record.names]
    known = [*figures, *first.record.choices, *first.config, "seconds", "parameters", "epochs"]
    raise Mistake(f"{argument}: no run has '{name}'{did_you_mean(name, known)}")


def columns_of(results: Sequence[Result], keys: Sequence[str], ranking: Ranking) -> list[str]:
    """Return what differs between runs, what they are ranked by, their main figures with the baseline, their cost."""
    telling = list(keys) or differing(results)
    split = next((s for s in ("test", "train_eval") if _any_has(results, [f"{s}/{m}" for m in METRICS_SHOWN])), "test")
    figures = _any_has(results, [f"{split}/{metric}" for metric in METRICS_SHOWN])
    chosen = dict.fromkeys(name for result in results for name in chosen_names(result.config.get("metrics")))
    own = _any_has(results, [f"{prefix}{split}/{metric}" for metric in chosen for prefix in ("", "baseline/")])
    shown = list(dict.fromkeys([ranking.name, *figures, *(f"baseline/{name}" for name in figures[-1:]), *own]))
    counts = ["runs"] if any(result.count > 1 for result in results) else []
    statuses = ["status"] if any(result.status != "finished" for result in results) else []
    return [*telling, *counts, *statuses, *shown, "parameters", "seconds", *([] if keys else ["folder"])]


def _any_has(results: Sequence[Result], names: Sequence[str]) -> list[str]:
    """Return the columns that any of the results has a value in."""
    return [name for name in names if any(result.value(name) is not None for result in results)]


def differing(results: Sequence[Result]) -> list[str]:
    """Return choices that differ, and keys that differ between runs of the same choice."""
    names = list(dict.fromkeys(name for result in results for name in result.record.choices))
    chosen = [n for n in names if len({result.record.choices.get(n) for result in results}) > 1]
    keys = [name for name in chosen if name != "launcher" and name != "sweeper"]
    for key in dict.fromkeys(key for result in results for key in result.config):
        group = key.partition(".")[0]
        if key_of(key).changes != "bits" or group == "sweep" or key.endswith("_target_"):
            continue
        by_choice: dict[object, set[str]] = {}
        for result in results:
            if key in result.config:
                by_choice.setdefault(result.record.choices.get(group), set()).add(json.dumps(result.config[key]))
        if any(len(values) > 1 for values in by_choice.values()):
            keys.append(key)
    if "seed" in keys and "data.split_seed" in keys:
        same = all(result.config.get("seed") == result.config.get("data.split_seed") for result in results)
        keys = [key for key in keys if key != "data.split_seed" or not same]
    return keys


def cell(result: Result, column: str) -> str:
    """Return a value as a person reads it."""
    value, deviation = result.value(column), result.deviation(column)
    if column == "metrics":
        return ", ".join(chosen_names(value)) or "–"
    if deviation is not None:
        return f"{number(value)} ± {deviation:.4f}"
    if isinstance(value, float):
        return f"{value:.1f}" if column == "seconds" else number(value) if "/" in column else f"{value:.4g}"
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) and column == "parameters" else str(value)
