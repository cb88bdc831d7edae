"""`dlrun compare <folders>`: one table over any runs and sweeps, the best first, and whether its lead is noise."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from dlrun.errors import choose
from dlrun.ranking.noise import judgement
from dlrun.ranking.runs_table import RunsTable, cell, runs_table
from dlrun.store.files import writing

WIDTH_OF_FILES = 200
LINES_SHOWN = 100


def compare(
    folders: list[str],
    sort: str | None = None,
    filter: str | None = None,  # noqa: A002 (the name on the command line)
    group_by: list[str] | str | None = None,
    format: str = "table",  # noqa: A002
    output: str | None = None,
) -> int:
    """Print one table of runs, ranked. A run folder that cannot be read is named, and the others are shown.

    Args:
        folders: run folders, sweeps, or folders that hold them; none: outputs/.
        sort: what to rank by, such as `test.accuracy`, `parameters` or `seconds`; None: the validation value of what
            early stopping monitors, else the validation loss, else the mean loss of held-out folds, else the training
            loss.
        filter: only runs for which this holds, such as `test.accuracy>0.9`; several with `and` between them.
        group_by: choices or config keys, such as `[model, optimizer.lr]`: runs that agree in them are averaged.
        format: table, csv, markdown or json.
        output: a file to write to instead.

    Raises:
        Mistake: no run there, or an argument that makes no sense.
    """
    choose(format, dict.fromkeys(("table", "csv", "markdown", "json")), "format")
    table = runs_table(folders, sort, filter, group_by)
    warn(table.unreadable)
    text = FORMATS[format](table)
    if output:
        with writing(Path(output)):
            Path(output).expanduser().write_text(text, encoding="utf-8")
        print(f"{len(table.results):,} rows written to {output}")
    else:
        print(text, end="")
    if format == "table" and not output:
        print("\n".join(judgement(table.results, table.ranking)))
    return 0


def warn(unreadable: list[str]) -> None:
    """Name, on standard error, the run folders that cannot be read."""
    for line in unreadable:
        print(f"dlrun: left out: {line}", file=sys.stderr)


def _as_table(table: RunsTable) -> str:
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    common = os.path.commonpath([os.path.abspath(result.folder.path) for result in table.results])
    for column in table.columns:
        drawn.add_column(column, justify="left" if column in ("folder", "status") else "right", overflow="fold",
                         no_wrap=column == "folder")  # fmt: skip
    for result in table.results[:LINES_SHOWN]:
        folder = os.path.relpath(os.path.abspath(result.folder.path), common)
        drawn.add_row(*(folder if column == "folder" else cell(result, column) for column in table.columns))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_FILES, markup=False)
    with console.capture() as captured:
        console.print(drawn)
    under = f"folders are below {os.path.relpath(common)}\n" if "folder" in table.columns else ""
    left = len(table.results) - LINES_SHOWN
    more = f"and {left:,} more (format=csv has them all)\n" if left > 0 else ""
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n" + more + under


def _as_csv(table: RunsTable) -> str:
    return table.frame().to_csv(index=False, lineterminator="\n")


def _as_json(table: RunsTable) -> str:
    return json.dumps({"ranked_by": table.ranking.name, "runs": table.records()}, indent=1) + "\n"


def _as_markdown(table: RunsTable) -> str:
    rule = ["---"] * len(table.columns)
    lines = [table.columns, rule, *([cell(result, column) for column in table.columns] for result in table.results)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


FORMATS: dict[str, Callable[[RunsTable], str]] = {
    "table": _as_table, "csv": _as_csv, "markdown": _as_markdown, "json": _as_json,
}  # fmt: skip
