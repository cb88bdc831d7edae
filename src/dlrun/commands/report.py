"""`dlrun report <folders>`: one page of runs, with nothing outside it: a table, their curves, their pictures."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from dlrun.commands.compare import warn
from dlrun.errors import Mistake
from dlrun.ranking.noise import judgement
from dlrun.ranking.ranking import Ranking, choose_ranking, position
from dlrun.ranking.runs_table import Result, cell, columns_of, differing, nothing_there, read_results
from dlrun.runs.printing import number
from dlrun.store.files import write_whole, writing
from dlrun.tasks.metric import higher_is_better

if TYPE_CHECKING:
    import pandas as pd

MOST_CURVES = 10
MOST_PICTURED = 20
SPLITS = {"train_eval": "training rows", "valid": "validation rows", "test": "test rows"}


@dataclass(frozen=True)
class Section:
    """A run on the page.

    Attributes:
        result: its figures and settings.
        history: what was logged, a row an epoch.
        pictures: by name, as PNG.
    """

    result: Result
    history: pd.DataFrame
    pictures: Mapping[str, bytes]


def report(folders: list[str], output: str = "report.html", title: str = "Experiments") -> int:
    """Write a page about some runs, the best first, that any browser shows without a network.

    A run folder that cannot be read is named, and the others are shown.

    Args:
        folders: run folders, sweeps, or folders that hold them; none: outputs/.
        output: the HTML file.
        title: of the page.

    Raises:
        Mistake: no run there that has ended, or the file cannot be written.
    """
    results, unreadable = read_results(folders, averaged=True)
    results = [result for result in results if result.record.figures]
    ranking = choose_ranking(results)
    sections: list[Section] = []
    for result in sorted(results, key=lambda result: position(result, ranking)):
        try:
            sections.append(read_section(result, pictured=len(sections) < MOST_PICTURED))
        except Mistake as mistake:
            unreadable.append(str(mistake))
    if not sections:
        raise nothing_there("report", folders, unreadable)
    warn(unreadable)
    path = Path(output).expanduser()
    with writing(path):
        write_whole(path, page(sections, ranking, title).encode())
    print(f"{count_of(len(sections))} in {output}")
    return 0


def count_of(runs: int) -> str:
    """Return `1 run`, `2 runs`, …"""
    return f"{runs:,} run" + ("s" if runs != 1 else "")


def read_section(result: Result, pictured: bool) -> Section:
    """Return what the page shows of a run.

    Args:
        pictured: whether its pictures are wanted.

    Raises:
        Mistake: its history or a picture cannot be read.
    """
    history = result.folder.history()
    if not all(kind.kind in "if" for kind in history.dtypes):
        raise Mistake(f"{result.folder}: its history is damaged (it holds something else than numbers)")
    names = result.folder.pictures() if pictured else []
    return Section(result, history, {name: result.folder.picture(name) for name in names})


def page(sections: list[Section], ranking: Ranking, title: str) -> str:
    """Return the whole page."""
    ordered = [section.result for section in sections]
    names = names_of(ordered)
    left = len(ordered) - MOST_PICTURED
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{count_of(len(ordered))}, {date.today():%d %B %Y}</p>",
        "<h2>Results</h2>" if len(ordered) > 1 else "",
        table_of(ordered, ranking) if len(ordered) > 1 else "",
        curves_of({name: section.history for name, section in zip(names, sections, strict=True)}),
        shared_settings(ordered),
        *(one_run(section, name) for section, name in zip(sections[:MOST_PICTURED], names, strict=False)),
        f"<p>Pictures of {left:,} more runs are left out; they are in the runs' folders.</p>" if left > 0 else "",
    ]
    return TEMPLATE.format(title=escape(title), body="\n".join(part for part in body if part))


def names_of(results: list[Result]) -> list[str]:
    """Return a name for each run: what tells it from the others, else the last part of its folder."""
    keys = differing(results)
    told = [", ".join(f"{key}={cell(result, key)}" for key in keys if result.value(key) is not None)
            for result in results]  # fmt: skip
    common = os.path.commonpath([os.path.abspath(result.folder.path.parent) for result in results])
    folders = [os.path.relpath(os.path.abspath(result.folder.path), common) for result in results]
    return [
        name if name and told.count(name) == 1 else f"{name} ({folder})".strip()
        for name, folder in zip(told, folders, strict=True)
    ]


def table_of(ordered: list[Result], ranking: Ranking) -> str:
    """Return the table of all runs, and what there is to say about the lead of the first."""
    columns = [column for column in columns_of(ordered, [], ranking) if column != "folder"]
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell(result, column))}</td>" for column in columns) + "</tr>"
        for result in ordered
    )
    lines = "".join(f"<li>{escape(line)}</li>" for line in judgement(ordered, ranking))
    return f'<div class="wide"><table><tr>{head}</tr>{rows}</table></div><ul>{lines}</ul>'


def curves_of(histories: Mapping[str, pd.DataFrame]) -> str:
    """Return the epochs of the first runs in one chart; nothing where none was trained by epochs."""
    trained = {name: history for name, history in histories.items() if len(history) > 1 and "epoch" in history}
    shown = dict(list(trained.items())[:MOST_CURVES])
    metrics = [m for m in ("loss", "accuracy", "r2") if any(f"train/{m}" in history for history in shown.values())]
    if not metrics:
        return ""
    from dlrun.plots.training import draw_runs_beside

    drawn = io.StringIO()
    draw_runs_beside(shown, metrics).savefig(drawn, format="svg")
    svg = drawn.getvalue()
    more = f" of the first {MOST_CURVES}" if len(histories) > MOST_CURVES else ""
    return f'<h2>Curves{more}</h2><div class="chart">{svg[svg.index("<svg") :]}</div>'


def shared_settings(ordered: list[Result]) -> str:
    """Return what all runs have in common, to unfold."""
    first = ordered[0].config
    same = {k: v for k, v in first.items() if v is not None and all(result.config.get(k) == v for result in ordered)}
    rows = "".join(
        f"<tr><td>{escape(key)}</td><td>{escape(str(value))}</td></tr>"
        for key, value in same.items()
        if not key.startswith(("data.file", "launcher", "sweeper"))
    )
    what = "Settings that all runs share" if len(ordered) > 1 else "Settings"
    return f"<details><summary>{what}</summary><div class='wide'><table>{rows}</table></div></details>"


def one_run(section: Section, name: str) -> str:
    """Return one run: its figures beside the baseline's, and its pictures."""
    result = section.result
    choices = result.record.choices
    heading = f"{choices.get('model')} on {choices.get('data')}" if name.startswith("(") else name
    own = [result.config.get("name"), result.config.get("note")]
    notes = "".join(f"<p>{escape(str(text))}</p>" for text in own if text)
    status = "" if result.status == "finished" else f"<p>This run {escape(result.status)}.</p>"
    folder = escape(str(result.folder))
    pictures = "".join(picture(name, png) for name, png in section.pictures.items())
    if not pictures:
        notes += f"<p>No pictures yet: <code>dlrun plot run={folder}</code> draws them.</p>"
    return (
        f"<section><h2>{escape(heading)}</h2>{notes}{status}<p class='folder'>{folder}</p>"
        f"{figures_of(result)}<div class='pictures'>{pictures}</div></section>"
    )


def figures_of(result: Result) -> str:
    """Return the figures of each split, each beside the baseline's on the same rows."""
    splits = [split for split in SPLITS if result.record.figures.get(split)]
    metrics = [
        metric
        for metric in dict.fromkeys(metric for split in splits for metric in result.record.figures[split])
        if any(result.value(f"{split}/{metric}") is not None for split in splits)
    ]
    head = "".join(f"<th>{SPLITS[split]}</th><th>baseline</th>" for split in splits)
    rows = ""
    for metric in metrics:
        cells = ""
        for split in splits:
            values = [result.value(f"{split}/{metric}"), result.value(f"baseline/{split}/{metric}")]
            if split == splits[-1] and None not in values and values[0] != values[1]:
                worse = (values[0] < values[1]) == higher_is_better(metric, result.config.get("metrics"))
                cells += f"<td class='{'worse' if worse else 'better'}'>{number(values[0])}</td>"
            else:
                cells += f"<td>{number(values[0])}</td>"
            cells += f"<td class='baseline'>{number(values[1])}</td>"
        rows += f"<tr><td>{escape(metric)}</td>{cells}</tr>"
    return f"<div class='wide'><table><tr><th></th>{head}</tr>{rows}</table></div>"


def picture(name: str, png: bytes) -> str:
    """Return a PNG, inside the page."""
    content = base64.b64encode(png).decode()
    return f'<figure><img alt="{escape(name.replace("_", " "))}" src="data:image/png;base64,{content}"></figure>'


TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 76rem; margin: 0 auto; padding: 1rem 1.2rem 4rem; }}
h1 {{ line-height: 1.2; margin-bottom: 0; }}
h2 {{ border-bottom: 1px solid #ccc; padding-bottom: .2rem; margin-top: 2.2rem; overflow-wrap: anywhere; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; margin: .6rem 0; }}
th, td {{ padding: .2rem .7rem .2rem 0; text-align: left; border-bottom: 1px solid #e4e4e4; white-space: nowrap; }}
th {{ color: #555; font-weight: 600; }}
.baseline, .folder {{ color: #777; }}
.folder {{ font-size: .8rem; overflow-wrap: anywhere; }}
.better {{ color: #17692e; font-weight: 600; }}
.worse {{ color: #a3231f; font-weight: 600; }}
.chart svg {{ width: 100%; height: auto; }}
.pictures {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 1rem; align-items: start; }}
figure {{ margin: 0; break-inside: avoid; }}
img {{ max-width: 100%; height: auto; display: block; }}
summary {{ cursor: pointer; color: #555; margin: 1rem 0; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""  # noqa: E501
