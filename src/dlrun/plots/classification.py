"""Pictures of classes: confusion, ROC, precision and recall, thresholds, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlrun.plots import axes as draw
from dlrun.plots.finished_run import THRESHOLD, FinishedRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CLASSES = 12  # with curves of their own
FEWEST_ROWS = 30  # of which a calibration says something
BINS = 10  # of the calibration


def confusion_matrix(run: FinishedRun) -> Figure | None:
    """Draw how often each class (rows) was taken for each (columns); None of quantities and of several labels."""
    counts = run.figures.get("confusion_matrix")
    return draw_confusion(counts, run.class_names, f"Confusion matrix, {run.row_name}") if counts else None


def roc(run: FinishedRun) -> Figure | None:
    """Draw the share of each class that is found against the share of the others that is taken for it; with the AUC."""
    from sklearn.metrics import auc, roc_curve

    questions = yes_or_no(run)
    if not questions:
        return None
    figure, axes = draw.one(f"ROC, {run.row_name}", "false positive rate", "true positive rate")
    for name, (truth, probability) in questions.items():
        false, true, _ = roc_curve(truth, probability)
        axes.plot(false, true, linewidth=1.5, label=f"{draw.shortened(name, 24)}: AUC {auc(false, true):.4f}")
        if one_threshold(run):
            yes = probability > THRESHOLD
            axes.plot(yes[~truth].mean(), yes[truth].mean(), "o", color="black", label=f"threshold {THRESHOLD:g}")
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1, label="baseline: chance")
    axes.legend(fontsize=8, loc="lower right")
    return figure


def precision_recall(run: FinishedRun) -> Figure | None:
    """Draw precision against recall of each class; the precision of saying yes to every row is the baseline."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    questions = yes_or_no(run)
    if not questions:
        return None
    figure, axes = draw.one(f"Precision and recall, {run.row_name}", "recall", "precision")
    for name, (truth, probability) in questions.items():
        precision, recall, _ = precision_recall_curve(truth, probability)
        area = average_precision_score(truth, probability)
        axes.plot(recall, precision, linewidth=1.5, label=f"{draw.shortened(name, 24)}: AP {area:.4f}")
        if one_threshold(run):
            yes = probability > THRESHOLD
            if yes.any():
                point = yes[truth].mean(), truth[yes].mean()
                axes.plot(*point, "o", color="black", label=f"threshold {THRESHOLD:g}")
            draw.baseline(axes, float(np.mean(truth)), "baseline: all rows")
    axes.set_ylim(-0.02, 1.02)
    axes.legend(fontsize=8, loc="lower left")
    return figure


def thresholds(run: FinishedRun) -> Figure | None:
    """Draw precision, recall and F1 of the second of two classes against the probability from which it is predicted."""
    from sklearn.metrics import precision_recall_curve

    questions = yes_or_no(run)
    if not questions or not one_threshold(run):
        return None
    name, (truth, probability) = next(iter(questions.items()))
    precision, recall, from_on = precision_recall_curve(truth, probability)
    precision, recall = precision[:-1], recall[:-1]
    title = f"Precision and recall by threshold, {run.row_name}"
    figure, axes = draw.one(title, f"threshold of the probability of {name}", "")
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    for values, label in ((precision, "precision"), (recall, "recall"), (f1, "F1")):
        axes.plot(from_on, values, label=label)
    axes.axvline(THRESHOLD, color="black", linestyle=":", linewidth=1, label=f"threshold {THRESHOLD:g}")
    axes.set(xlim=(0, 1), ylim=(-0.02, 1.02))
    axes.legend(fontsize=8)
    return figure


def calibration(run: FinishedRun) -> Figure | None:
    """Draw how often something was so against how probable it was predicted to be, and how often that was predicted."""
    if not run.task.has_one_class or len(run.rows) < FEWEST_ROWS:
        return None
    predictions = run.predictions
    if run.task.has_threshold:
        probability, was_so, what = run.probability[:, 1], predictions.truth == 1, run.positive_class
    else:
        probability, was_so = run.probability.max(axis=1), predictions.truth == predictions.prediction
        what = "the class that was predicted"
    figure, grid = draw.several(
        f"Calibration, {run.row_name}", 2, 1, (draw.WIDTH, draw.HEIGHT + 1),
        sharex=True, gridspec_kw={"height_ratios": [3, 1]},
    )  # fmt: skip
    bins = np.clip((probability * BINS).astype(int), 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    members = [bins == number for number in np.flatnonzero(counts)]
    above, below = grid[0, 0], grid[1, 0]
    above.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1, label="well calibrated")
    above.axhline(was_so.mean(), color="grey", linestyle=":", linewidth=1, label="baseline: share of all rows")
    above.plot([probability[m].mean() for m in members], [was_so[m].mean() for m in members], marker="o",
               label="the run")  # fmt: skip
    above.set(ylabel="how often it was so", xlim=(0, 1), ylim=(-0.02, 1.02))
    above.legend(fontsize=8)
    below.bar((np.arange(BINS) + 0.5) / BINS, counts, width=0.9 / BINS)
    below.set(xlabel=f"probability of {what}", ylabel="rows")
    return figure


def draw_confusion(counts: Sequence[Sequence[int]], names: list[str], title: str) -> Figure:
    """Draw counts (classes, classes) of true (rows) and predicted classes, coloured by their share of the row."""
    matrix = np.array(counts, dtype=float)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    size = max(draw.HEIGHT, min(12.0, 0.45 * len(names) + 2))
    figure, axes = draw.one(title, "predicted", "true", (size + 1.5, size))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    draw.ticks(axes, names, names)
    if len(names) <= 30:
        for (i, j), count in np.ndenumerate(matrix):
            text = f"{count:.0f}" + (f"\n{shares[i, j]:.0%}" if len(names) <= 12 and count else "")
            color = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, text, ha="center", va="center", color=color, fontsize=9 if len(names) <= 12 else 6)
    figure.colorbar(image, label="share of the true class")
    return figure


def yes_or_no(run: FinishedRun) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return, by class, whether a row is of it and how probable that is predicted to be, (n,) each.

    Of two classes only the second is asked for. Classes that no row, or every row, is of are left out; empty for
    quantities and for many classes.
    """
    task, predictions = run.task, run.predictions
    if not task.has_classes or len(task.class_names) > MOST_CLASSES:
        return {}
    if not task.has_one_class:
        columns = {name: (predictions.truth[:, i] == 1, i) for i, name in enumerate(task.class_names)}
    elif len(task.class_names) == 2:
        columns = {run.positive_class: (predictions.truth == 1, 1)}
    else:
        columns = {name: (predictions.truth == i, i) for i, name in enumerate(task.class_names)}
    return {
        name: (truth, run.probability[:, i]) for name, (truth, i) in columns.items() if truth.any() and not truth.all()
    }


def one_threshold(run: FinishedRun) -> bool:
    """Return whether one probability divides the rows: that of the second of two classes, or of a single label."""
    return run.task.has_threshold and run.task.width == 1
