"""Pictures of many runs: what a swept number does, learning curves, epochs with their bands, out-of-fold confusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from dlrun.plots import classification, sweeps, training
from dlrun.plots.draw import as_png
from dlrun.ranking.ranking import COUNTING, Ranking, front_of
from dlrun.store.folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dlrun.store.record import Record
    from dlrun.sweeps.results import Setting

LARGEST_MAP = 40  # values along an axis


def draw_setting(folder: RunFolder, record: Record, class_names: list[str]) -> None:
    """Draw the pictures of the parts of one setting, from the files in its folder."""
    history = folder.history()
    for metric in training.logged(history):
        _save(folder, f"{metric.replace('/', '_')}_by_epoch", training.draw_curves(history, metric))
    if (table := folder.learning_curve()) is not None:
        for metric in training.METRICS:
            if f"train_eval/{metric}" in table:
                baseline = record.figure(f"baseline/test/{metric}")
                _save(folder, f"{metric}_by_rows", sweeps.draw_learning_curve(table, metric, baseline))
    counts = record.out_of_fold.get("confusion_matrix")
    if counts:
        _save(folder, "confusion_matrix", classification.draw_confusion(counts, class_names, "out-of-fold predictions"))


def draw_sweep(folder: RunFolder, settings: list[Setting], rankings: Sequence[Ranking]) -> None:
    """Draw the settings by their first two objectives, with the Pareto front; or by the one figure, against the one
    swept number or for every pair of two swept values; else nothing.
    """
    if len(rankings) > 1:
        _draw_front(folder, settings, rankings)
        return
    name = rankings[0].name
    usable = [setting for setting in settings if setting.figure(name)[0] is not None]
    keys = list(dict.fromkeys(key for setting in usable for key in setting.varied))
    if not all(setting.varied.keys() == set(keys) for setting in usable):
        return  # settings of a list may set different keys: there is no axis that all of them lie on
    if len(keys) == 1 and len(usable) > 1:
        numbers = [_number(setting.varied[keys[0]]) for setting in usable]
        values = [number for number in numbers if number is not None]
        if len(values) == len(usable):
            means, deviations = zip(*(setting.figure(name) for setting in usable), strict=True)
            spread = [deviation or 0.0 for deviation in deviations]
            _save(folder, "sweep", sweeps.draw_swept_line(values, list(means), spread, keys[0], name))
    elif len(keys) == 2:
        frame = pd.DataFrame([{**setting.varied, name: setting.figure(name)[0]} for setting in usable])
        table = frame.pivot_table(index=keys[0], columns=keys[1], values=name)
        table = table.sort_index(key=_sorting).sort_index(axis=1, key=_sorting)
        if max(table.shape) <= LARGEST_MAP and min(table.shape) > 1:
            _save(folder, "sweep", sweeps.draw_swept_map(table, name))


def _draw_front(folder: RunFolder, settings: list[Setting], rankings: Sequence[Ranking]) -> None:
    """Draw the settings that have both of the first two objectives."""
    x, y = rankings[0].name, rankings[1].name
    front = {setting.path for setting in front_of(settings, rankings)}
    rows = [(s.path, s.value(x), s.value(y), s.path in front) for s in settings if s.status in COUNTING]
    frame = pd.DataFrame(rows, columns=["setting", x, y, "front"]).dropna()
    if len(frame):
        _save(folder, "pareto_front", sweeps.draw_front(frame, rankings))


def _save(folder: RunFolder, name: str, figure: Figure) -> None:
    folder.write_picture(name, as_png(figure))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _sorting(index: pd.Index) -> pd.Index:
    numbers = [_number(text) for text in index]
    return index if None in numbers else pd.Index(numbers)
