"""Classes: confusion, ROC, precision and recall, thresholds, calibration."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

from dlrun.plots import axes as draw

BINS = 10  # of the calibration


def confusion_matrix(counts: list[list[int]], names: list[str], title: str) -> Figure:
    """How often each class (rows) was taken for each (columns): counts, coloured by their share of the row."""
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


def roc(
    truths: dict[str, np.ndarray], probabilities: dict[str, np.ndarray], threshold: float | None, of: str
) -> Figure:
    """ROC curves: the share of each class that is found against the share of the others that is taken for it.

    Args:
        truths, probabilities: by class, (n,) whether a row is of it, and how probable that is said to be.
        threshold: marked on the curve, where there is one class only.
        of: which rows these are.
    """
    figure, axes = draw.one(f"ROC, {of}", "false positive rate", "true positive rate")
    for name, truth in truths.items():
        false, true, _ = roc_curve(truth, probabilities[name])
        axes.plot(false, true, linewidth=1.5, label=f"{draw.shortened(name, 24)}: AUC {auc(false, true):.4f}")
        if threshold is not None:
            said = probabilities[name] > threshold
            axes.plot(said[~truth].mean(), said[truth].mean(), "o", color="black", label=f"threshold {threshold:g}")
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1, label="baseline: chance")
    axes.legend(fontsize=8, loc="lower right")
    return figure


def precision_recall(
    truths: dict[str, np.ndarray], probabilities: dict[str, np.ndarray], threshold: float | None, of: str
) -> Figure:
    """Precision against recall, with the precision of saying yes to every row as the baseline; arguments as `roc`."""
    figure, axes = draw.one(f"Precision and recall, {of}", "recall", "precision")
    for name, truth in truths.items():
        precision, recall, _ = precision_recall_curve(truth, probabilities[name])
        area = average_precision_score(truth, probabilities[name])
        axes.plot(recall, precision, linewidth=1.5, label=f"{draw.shortened(name, 24)}: AP {area:.4f}")
        if threshold is not None:
            said = probabilities[name] > threshold
            if said.any():
                point = said[truth].mean(), truth[said].mean()
                axes.plot(*point, "o", color="black", label=f"threshold {threshold:g}")
            draw.baseline(axes, float(np.mean(truth)), "baseline: all rows")
    axes.set_ylim(-0.02, 1.02)
    axes.legend(fontsize=8, loc="lower left")
    return figure


def thresholds(truth: np.ndarray, probability: np.ndarray, threshold: float, name: str, of: str) -> Figure:
    """Precision, recall and F1 of the class `name` against the probability from which on it is predicted."""
    precision, recall, found = precision_recall_curve(truth, probability)
    precision, recall = precision[:-1], recall[:-1]
    figure, axes = draw.one(f"Precision and recall by threshold, {of}", f"threshold of the probability of {name}", "")
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    for values, label in ((precision, "precision"), (recall, "recall"), (f1, "F1")):
        axes.plot(found, values, label=label)
    axes.axvline(threshold, color="black", linestyle=":", linewidth=1, label=f"threshold {threshold:g}")
    axes.set(xlim=(0, 1), ylim=(-0.02, 1.02))
    axes.legend(fontsize=8)
    return figure


def calibration(probability: np.ndarray, happened: np.ndarray, what: str, of: str) -> Figure:
    """How often something happened against how probable it was said to be, and how often that was said.

    Args:
        probability, happened: (n,).
        what: whose probability it is.
        of: which rows these are.
    """
    figure, grid = draw.several(
        f"Calibration, {of}", 2, 1, (draw.WIDTH, draw.HEIGHT + 1), sharex=True, gridspec_kw={"height_ratios": [3, 1]}
    )
    bins = np.clip((probability * BINS).astype(int), 0, BINS - 1)
    said, was, counts = [], [], np.bincount(bins, minlength=BINS)
    for number in np.flatnonzero(counts):
        said.append(probability[bins == number].mean())
        was.append(happened[bins == number].mean())
    above, below = grid[0, 0], grid[1, 0]
    above.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1, label="well calibrated")
    above.axhline(happened.mean(), color="grey", linestyle=":", linewidth=1, label="baseline: share of all rows")
    above.plot(said, was, marker="o", label="the run")
    above.set(ylabel="how often it was so", xlim=(0, 1), ylim=(-0.02, 1.02))
    above.legend(fontsize=8)
    below.bar((np.arange(BINS) + 0.5) / BINS, counts, width=0.9 / BINS)
    below.set(xlabel=f"probability of {what}", ylabel="rows")
    return figure
