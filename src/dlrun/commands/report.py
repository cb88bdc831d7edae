"""`dlrun report <folders>`: one page of runs, with nothing outside it: a table, their curves, their pictures."""

from __future__ import annotations

import base64
import io
import os
from datetime import date
from html import escape
from pathlib import Path

import pandas as pd

from dlrun.errors import Mistake
from dlrun.plots.draw import PICTURES
from dlrun.ranking.entries import Entry, cell, columns_of, differing, judgement, rank, ranking_of, read_entries
from dlrun.runs.tables import number
from dlrun.store.files import write_whole, writing
from dlrun.store.folder import RunFolder
from dlrun.tasks.metrics import higher_is_better

MOST_CURVES = 10
MOST_PICTURED = 20
SPLITS = {"train_eval": "training rows", "valid": "validation rows", "test": "test rows"}


def report(folders: list[str], output: str = "report.html", title: str = "Experiments") -> int:
    """Write a page about some runs, the best first, that any browser shows without a network.

    Args:
        folders: run folders, sweeps, or folders that hold them; none: outputs/.
        output: the HTML file.
        title: of the page.

    Raises:
        Mistake: no run there that has ended, or the file cannot be written.
    """
    places = [Path(folder).expanduser() for folder in folders or ["outputs"]]
    entries = [entry for place in places for entry in read_entries(place, averaged=True)]
    entries = [entry for entry in entries if any(entry.metrics.get(split) for split in SPLITS)]
    if not entries:
        raise Mistake(f"report: there is no run that has ended below {', '.join(folders or ['outputs'])}")
    ranked = ranking_of(entries)
    ordered = sorted(entries, key=lambda entry: rank(entry, ranked))
    path = Path(output).expanduser()
    with writing(path):
        write_whole(path, page(ordered, ranked, title).encode())
    print(f"{len(ordered):,} runs in {output}")
    return 0


def page(ordered: list[Entry], ranked: str, title: str) -> str:
    """The whole page."""
    names = names_of(ordered)
    pictured = ordered[:MOST_PICTURED]
    left = len(ordered) - len(pictured)
    runs = f"{len(ordered):,} run" + ("s" if len(ordered) > 1 else "")
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{runs}, {date.today():%d %B %Y}</p>",
        "<h2>Results</h2>" if len(ordered) > 1 else "",
        table_of(ordered, ranked) if len(ordered) > 1 else "",
        curves_of(list(zip(names, ordered, strict=True))),
        shared_settings(ordered),
        *(section(entry, name) for entry, name in zip(pictured, names, strict=False)),
        f"<p>Pictures of {left:,} more runs are left out; they are in the runs' folders.</p>" if left else "",
    ]
    return TEMPLATE.format(title=escape(title), body="\n".join(part for part in body if part))


def names_of(entries: list[Entry]) -> list[str]:
    """A name for each run: what tells it from the others, else the last part of its folder."""
    keys = differing(entries)
    told = [", ".join(f"{key}={cell(entry, key)}" for key in keys if entry.value(key) is not None) for entry in entries]
    common = os.path.commonpath([os.path.abspath(Path(entry.folder).parent) for entry in entries])
    folders = [os.path.relpath(os.path.abspath(entry.folder), common) for entry in entries]
    return [
        name if name and told.count(name) == 1 else f"{name} ({folder})".strip()
        for name, folder in zip(told, folders, strict=True)
    ]


def table_of(ordered: list[Entry], ranked: str) -> str:
    """All runs, and what is to be said of the first two."""
    columns = [column for column in columns_of(ordered, None, ranked) if column != "folder"]
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell(entry, column))}</td>" for column in columns) + "</tr>" for entry in ordered
    )
    said = "".join(f"<li>{escape(line)}</li>" for line in judgement(ordered, ranked))
    return f'<div class="wide"><table><tr>{head}</tr>{rows}</table></div><ul>{said}</ul>'


def curves_of(named: list[tuple[str, Entry]]) -> str:
    """The epochs of all runs in one chart; nothing where none was trained by epochs."""
    histories = {}
    for name, entry in named:
        folder = RunFolder(Path(entry.folder))
        history = folder.read_table("history.csv") if folder.has("history.csv") else pd.DataFrame()
        if len(history) > 1 and len(histories) < MOST_CURVES:
            histories[name] = history
    metrics = [m for m in ("loss", "accuracy", "r2") if any(f"train/{m}" in h for h in histories.values())]
    if not metrics:
        return ""
    from dlrun.plots.training import runs_beside

    drawn = io.StringIO()
    runs_beside(histories, metrics).savefig(drawn, format="svg")
    svg = drawn.getvalue()
    more = f" of the first {MOST_CURVES}" if len(named) > MOST_CURVES else ""
    return f'<h2>Curves{more}</h2><div class="chart">{svg[svg.index("<svg") :]}</div>'


def shared_settings(ordered: list[Entry]) -> str:
    """What all runs have in common, to unfold."""
    first = ordered[0].config
    same = {k: v for k, v in first.items() if v is not None and all(e.config.get(k) == v for e in ordered)}
    rows = "".join(
        f"<tr><td>{escape(key)}</td><td>{escape(str(value))}</td></tr>"
        for key, value in same.items()
        if not key.startswith(("data.file", "launcher", "sweeper"))
    )
    what = "Settings that all runs share" if len(ordered) > 1 else "Settings"
    return f"<details><summary>{what}</summary><div class='wide'><table>{rows}</table></div></details>"


def section(entry: Entry, name: str) -> str:
    """One run: its figures beside the baseline's, and its pictures."""
    choices = entry.metrics.get("choices", {})
    heading = f"{choices.get('model')} on {choices.get('data')}" if name.startswith("(") else name
    told = [entry.config.get("name"), entry.config.get("note")]
    notes = "".join(f"<p>{escape(str(text))}</p>" for text in told if text)
    status = "" if entry.metrics.get("status") == "finished" else f"<p>This run {escape(entry.metrics['status'])}.</p>"
    files = sorted(Path(entry.folder).glob("plots/*.png"), key=_place_of)
    pictures = "".join(picture(file) for file in files)
    if not files:
        notes += f"<p>No pictures yet: <code>dlrun plot run={escape(entry.folder)}</code> draws them.</p>"
    return (
        f"<section><h2>{escape(heading)}</h2>{notes}{status}<p class='folder'>{escape(entry.folder)}</p>"
        f"{figures_of(entry)}<div class='pictures'>{pictures}</div></section>"
    )


def figures_of(entry: Entry) -> str:
    """The figures of each split, each beside the baseline's on the same rows."""
    splits = [split for split in SPLITS if entry.metrics.get(split)]
    metrics = [
        metric
        for metric in dict.fromkeys(metric for split in splits for metric in entry.metrics[split])
        if any(isinstance(entry.value(f"{split}/{metric}"), float) for split in splits)
    ]
    head = "".join(f"<th>{SPLITS[split]}</th><th>baseline</th>" for split in splits)
    rows = ""
    for metric in metrics:
        cells = ""
        for split in splits:
            values = [entry.value(f"{split}/{metric}"), entry.value(f"baseline/{split}/{metric}")]
            if split == splits[-1] and None not in values and values[0] != values[1]:
                worse = (values[0] < values[1]) == higher_is_better(metric)
                cells += f"<td class='{'worse' if worse else 'better'}'>{number(values[0])}</td>"
            else:
                cells += f"<td>{number(values[0])}</td>"
            cells += f"<td class='baseline'>{number(values[1])}</td>"
        rows += f"<tr><td>{escape(metric)}</td>{cells}</tr>"
    return f"<div class='wide'><table><tr><th></th>{head}</tr>{rows}</table></div>"


def picture(file: Path) -> str:
    """A PNG file, inside the page."""
    name = file.stem.replace("_", " ")
    content = base64.b64encode(file.read_bytes()).decode()
    return f'<figure><img alt="{escape(name)}" src="data:image/png;base64,{content}"></figure>'


def _place_of(file: Path) -> tuple[int, str]:
    """Pictures in the order in which they are drawn, others behind."""
    return (PICTURES.index(file.stem) if file.stem in PICTURES else len(PICTURES), file.stem)


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
