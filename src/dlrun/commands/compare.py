"""`dlrun compare <folders>`: one table over any runs and sweeps, the best first, and whether its lead is noise."""

from __future__ import annotations

import json
import operator
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from dlrun.errors import Mistake, choose, did_you_mean
from dlrun.ranking.entries import Entry, cell, columns_of, grouped, is_figure, judgement, rank, ranking_of, read_entries
from dlrun.store.files import writing

WIDTH_OF_FILES = 200
ROWS_SHOWN = 100
OPERATORS = {
    ">=": operator.ge, "<=": operator.le, "!=": operator.ne, ">": operator.gt, "<": operator.lt, "=": operator.eq,
}  # fmt: skip


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
    ranked = (sort or ranking_of(entries)).replace(".", "/", 1) if not sort or is_figure(sort) else sort
    _require(ranked, entries, "sort")
    ordered = sorted(entries, key=lambda entry: rank(entry, ranked))
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


def _as_table(entries: list[Entry], columns: list[str], ranked: str) -> str:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    common = os.path.commonpath([os.path.abspath(entry.folder) for entry in entries])
    for column in columns:
        table.add_column(column, justify="left" if column in ("folder", "status") else "right", overflow="fold",
                         no_wrap=column == "folder")  # fmt: skip
    for entry in entries[:ROWS_SHOWN]:
        cells = [
            os.path.relpath(os.path.abspath(entry.folder), common) if c == "folder" else cell(entry, c) for c in columns
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
    lines = [columns, ["---"] * len(columns)] + [[cell(entry, column) for column in columns] for entry in entries]
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
