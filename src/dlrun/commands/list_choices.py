"""`dlrun list <group>`: every choice of a group, a line on it, its settings; `dlrun list runs`: the latest runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dlrun.commands.compare import WIDTH_OF_FILES, warn
from dlrun.config.groups import GROUPS, choices_of, chosen_as, config_folder
from dlrun.errors import Mistake, did_you_mean
from dlrun.ranking.ranking import choose_ranking
from dlrun.ranking.runs_table import read_results
from dlrun.runs.printing import number

NOT_SETTINGS = ("_target_", "_partial_", "defaults", "licence", "file", "files", "class_names", "data_dir")


def list_choices(folders: list[str], output_dir: str = "outputs", count: int = 20) -> int:
    """Show the choices of groups, or the latest runs.

    Args:
        folders: groups (data, model, optimizer, …), or `runs`.
        output_dir: where runs are looked for.
        count: how many of them are shown.

    Raises:
        Mistake: no such group.
    """
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_FILES)
    if not folders:
        raise Mistake(f"list: name what: {', '.join((*GROUPS, 'runs'))}")
    for name in folders:
        if name == "runs":
            print_runs(console, Path(output_dir).expanduser(), count)
        elif name in GROUPS:
            print_choices(console, name)
        else:
            raise Mistake(f"list: there is no group '{name}'{did_you_mean(name, (*GROUPS, 'runs'))}")
    return 0


def print_choices(console: Console, group: str) -> None:
    """Print a line on every choice, and its settings with their defaults below."""
    folder = config_folder() / group
    for name, line in choices_of(folder).items():
        console.print(f"{chosen_as(group, name)}  {line}", markup=False, soft_wrap=True)
        settings = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8")) or {}
        shown = [f"{key}={_short(value)}" for key, value in settings.items() if key not in NOT_SETTINGS]
        if shown:
            console.print(f"    {'  '.join(shown)}", markup=False, style="dim", soft_wrap=True)


def print_runs(console: Console, output_dir: Path, count: int) -> None:
    """Print the latest runs, newest first, with what they are ranked by, and the person's own name and note."""
    results, unreadable = read_results([output_dir], averaged=True)
    warn(unreadable)
    newest = sorted(results, key=lambda result: result.folder.written(), reverse=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("data", "model", "status", "figure", "", "name", "note", "folder"):
        table.add_column(column, overflow="fold")
    for result in newest[:count]:
        figure = choose_ranking([result]).name
        value = result.value(figure)
        shown = [str(result.value(key) or "") for key in ("data", "model", "status")]
        own = [str(result.config.get(key) or "") for key in ("name", "note")]
        cells = [*shown, figure if value is not None else "", number(value), *own, str(result.folder)]
        table.add_row(*map(escape, cells))
    console.print(table)


def _short(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
