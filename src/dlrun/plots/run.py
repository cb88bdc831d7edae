"""The pictures of one run, each by the name of its file; None where there is nothing of the kind to draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from sklearn.svm import SVC, NuSVC
from torch import nn

from dlrun.data.split import Data, Split
from dlrun.models.linear import Linear
from dlrun.plots import axes as draw
from dlrun.plots import classes, quantities, regions, training
from dlrun.plots import mistakes as worst
from dlrun.plots import weights as learned
from dlrun.tasks.base import Task
from dlrun.tasks.predictions import Predictions
from dlrun.tasks.regression import Regression

if TYPE_CHECKING:
    from dlrun.fitted import Fitted

THRESHOLD = 0.5
MOST_CLASSES = 12  # with curves of their own
MOST_FEATURES = 40  # with a weight each for several classes
FEWEST_ROWS = 30  # of which a calibration says something
IMAGES, ROWS, FILTERS, BARS = 25, 12, 32, 20


@dataclass
class Finished:
    """A run that has ended, with all that its pictures need.

    Attributes:
        fitted: the model with its preprocessing.
        data: that it was trained and judged on.
        predictions: by split.
        metrics: what metrics.json holds.
        history: by epoch; empty where nothing was trained by epochs.
    """

    fitted: Fitted
    data: Data
    predictions: dict[str, Predictions]
    metrics: dict
    history: pd.DataFrame

    @property
    def split(self) -> str:
        """The split that the run is judged by: test, else valid, else train."""
        return next(name for name in ("test", "valid", "train") if name in self.predictions)

    @property
    def of(self) -> str:
        """What its rows are called."""
        return draw.ROWS[self.split]

    @property
    def rows(self) -> Split:
        """The rows that the run is judged by."""
        return self.data.splits()[self.split]

    @property
    def said(self) -> Predictions:
        """The predictions of these rows."""
        return self.predictions[self.split]

    @property
    def figures(self) -> dict:
        """The figures of these rows."""
        return self.metrics["train_eval" if self.split == "train" else self.split]

    @property
    def task(self) -> Task:
        """What was learned."""
        return self.data.task


def learning_curves(run: Finished) -> Figure | None:
    """Loss and accuracy (R²) by epoch, with the best epoch and the baseline."""
    if len(run.history) < 2:
        return None
    shown = [metric for metric in ("loss", "accuracy", "r2") if f"train/{metric}" in run.history]
    baselines = run.metrics["baseline"].get("valid") or run.metrics["baseline"]["train_eval"]
    best = run.metrics["best_epoch"] if run.metrics["best_epoch"] != run.metrics["epochs"] else None
    return training.learning_curves(run.history, shown, best, baselines)


def learning_rate(run: Finished) -> Figure | None:
    """The learning rate by epoch, where a schedule changed it."""
    if len(run.history) < 2 or run.history["lr"].nunique() < 2:
        return None
    return training.learning_rate(run.history)


def confusion_matrix(run: Finished) -> Figure | None:
    """Counts and row shares of true and predicted classes."""
    if "confusion_matrix" not in run.figures:
        return None
    title = f"Confusion matrix, {run.of}"
    return classes.confusion_matrix(run.figures["confusion_matrix"], list(run.task.class_names), title)


def roc(run: Finished) -> Figure | None:
    """ROC curves: of the second of two classes, or of each class or label against the rest."""
    truths, probabilities, threshold = _against_the_rest(run)
    return classes.roc(truths, probabilities, threshold, run.of) if truths else None


def precision_recall(run: Finished) -> Figure | None:
    """Precision against recall, as for `roc`."""
    truths, probabilities, threshold = _against_the_rest(run)
    return classes.precision_recall(truths, probabilities, threshold, run.of) if truths else None


def thresholds(run: Finished) -> Figure | None:
    """Precision, recall and F1 against the threshold, of two classes."""
    truths, probabilities, threshold = _against_the_rest(run)
    if not truths or threshold is None:
        return None
    name = next(iter(truths))
    return classes.thresholds(truths[name], probabilities[name], threshold, name, run.of)


def calibration(run: Finished) -> Figure | None:
    """How often something came true against how probable it was said to be."""
    if not run.task.has_one_class or len(run.rows) < FEWEST_ROWS:
        return None
    if run.task.has_threshold:
        happened = run.said.truth == 1
        return classes.calibration(run.said.probability[:, 1], happened, _class_of(run.task), run.of)
    right = run.said.truth == run.said.prediction
    return classes.calibration(run.said.probability.max(axis=1), right, "the class that was predicted", run.of)


def residuals(run: Finished) -> Figure | None:
    """Predicted against true quantities, and what is left over."""
    if run.task.has_classes:
        return None
    names = list(run.task.target_names)[:3]
    means = run.predictions["train"].truth.mean(axis=0)
    return quantities.residuals(run.said.truth, run.said.prediction, names, means, run.of)


def fitted_curve(run: Finished) -> Figure | None:
    """What is predicted over the one input there is: a quantity, or the probability of the second class."""
    name = _columns(run, 1)
    if name is None or run.task.width != 1:
        return None
    seen, judged = (_numbers(run, split, name) for split in ("train", run.split))
    if seen is None or judged is None:
        return None
    seen, judged = (
        (inputs[:, 0], truth.reshape(len(truth), -1)[:, 0].astype(float)) for inputs, truth in (seen, judged)
    )
    low, high = seen[0].min(), seen[0].max()
    grid = np.linspace(low - 0.02 * (high - low), high + 0.02 * (high - low), 400)
    found = run.fitted.predictions(pd.DataFrame({name[0]: grid}))
    if not run.task.has_classes:
        curve, what, threshold = found.prediction[:, 0], list(run.task.target_names)[0], None
    else:
        curve, threshold = found.probability[:, 1], THRESHOLD
        what = f"probability of {_class_of(run.task)}"
    others = judged if run.split != "train" else None
    baseline = float(seen[1].mean())
    return quantities.fitted_curve(seen, others, run.of, grid, curve, baseline, (name[0], what), threshold)


def forecast(run: Finished) -> Figure | None:
    """The last steps of a series: forecast, true, and the last value that was known."""
    rows, task = run.rows, run.task
    if not isinstance(task, Regression) or rows.naive is None:
        return None
    naive = task.in_own_units(rows.naive)
    times = rows.row_numbers if rows.times is None else rows.times
    truth, said = run.said.truth[:, 0], run.said.prediction[:, 0]
    return quantities.forecast(times, truth, said, naive[:, 0], task.target_names[0], run.of)


def decision_boundary(run: Finished) -> Figure | None:
    """The plane of two inputs, coloured by what is predicted there."""
    names = _columns(run, 2)
    if names is None or not run.task.has_one_class:
        return None
    points = {split: _numbers(run, split, names) for split in dict.fromkeys(("train", run.split))}
    if any(rows is None for rows in points.values()):
        return None

    def probability_of(inputs: np.ndarray) -> np.ndarray:
        return run.fitted.predictions(pd.DataFrame(inputs, columns=names)).probability

    threshold = THRESHOLD if run.task.has_threshold else None
    return regions.decision_boundary(points, probability_of, list(run.task.class_names), names, threshold)


def hidden_features(run: Finished) -> Figure | None:
    """What the last hidden layer says of each row, where it has two neurons."""
    if not run.task.has_one_class or not isinstance(run.fitted.model, nn.Module):
        return None
    linear = [module for module in run.fitted.model.modules() if isinstance(module, nn.Linear)]
    if len(linear) < 2 or linear[-1].in_features != 2:
        return None
    found: list[torch.Tensor] = []
    hook = linear[-1].register_forward_pre_hook(lambda _module, inputs: found.append(inputs[0].detach().cpu()))
    run.fitted.scores({run.split: run.rows})
    hook.remove()
    values = torch.cat(found).double().numpy()
    return regions.hidden_features(values, run.said.truth, list(run.task.class_names), run.of)


def mistakes(run: Finished) -> Figure | None:
    """The worst mistakes: the images, or the rows of the table, that the model was most wrong about."""
    if not run.task.has_one_class and run.task.width > 1:
        return None
    images = len(run.data.inputs.shape) == 3
    if not images and run.rows.raw is None:
        return None
    order, told = _worst(run, IMAGES if images else ROWS)
    if not len(order):
        return None
    title = f"The worst mistakes, {run.of}"
    if images:
        pictures = _images(run, next(run.rows.read([torch.as_tensor(order, device=run.rows.targets.device)])))
        titles = [f"{true}, said {said}" + (f"\n{sure}" if sure else "") for true, said, sure in told]
        return worst.image_grid(pictures, titles, title)
    shown = _raw_cells(run.rows.raw, order)
    names = ["row", *(name for name, _ in shown), "true", "predicted", *(["probability"] if told[0][2] else [])]
    lines = [
        [str(run.rows.row_numbers[row]), *(cells[i] for _, cells in shown), *(cell for cell in told[i] if cell)]
        for i, row in enumerate(order)
    ]
    longest = [max(len(name), *(len(line[i]) for line in lines)) + 2 for i, name in enumerate(names)]
    return worst.row_table(names, lines, [length / sum(longest) for length in longest], title)


def filters(run: Finished) -> Figure | None:
    """The first layer's weights on images: filters of a convolution, or what each neuron looks at."""
    shape, model = run.data.inputs.shape, run.fitted.model
    if len(shape) != 3:
        return None
    if not isinstance(model, nn.Module):
        kernels, alone = _linear_weights(model), True
        if kernels is None or kernels.shape[1] != np.prod(shape):
            return None
    else:
        first = next((m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.RNNBase)), None)
        image = isinstance(first, nn.Linear) and first.in_features == np.prod(shape)
        if not image and not isinstance(first, nn.Conv2d):
            return None
        kernels = first.weight.detach().cpu().double().numpy()
        alone = isinstance(first, nn.Linear) and len(kernels) == run.task.width
        if isinstance(first, nn.Conv2d):
            return learned.filters(kernels[:FILTERS], [""] * FILTERS, _title("Filters of the first layer", kernels))
    kernels = kernels.reshape(len(kernels), *shape)
    names = list(run.task.class_names) if alone and len(kernels) == len(list(run.task.class_names)) else [""] * FILTERS
    title = "Weights by class" if alone else _title("What the neurons of the first layer look at", kernels)
    return learned.filters(kernels[:FILTERS], names, title)


def weights(run: Finished) -> Figure | None:
    """The weights of a linear model by the names of its features: the largest and the smallest."""
    found = _linear_weights(run.fitted.model)
    names = _feature_names(run)
    if found is None or found.shape[1] != len(names) or len(names) < 2:
        return None
    if len(found) == 1:
        speaks = f" (to the right: speaks for {_class_of(run.task)})" if run.task.has_classes else ""
        return learned.weights_by_name(names, found[0], f"weight{speaks}", BARS)
    if len(names) > MOST_FEATURES or len(found) != len(run.task.column_names):
        return None
    return learned.weight_map(names, found, run.task.column_names)


def _title(text: str, kernels: np.ndarray) -> str:
    return text if len(kernels) <= FILTERS else f"{text} ({FILTERS} of {len(kernels)})"


def _against_the_rest(run: Finished) -> tuple[dict, dict, float | None]:
    """By class: truth and probability (n,); the threshold of two classes. Classes without rows of both kinds are left
    out; empty for quantities and for many classes.
    """
    task, said = run.task, run.said
    if not task.has_classes or len(task.class_names) > MOST_CLASSES:
        return {}, {}, None
    if not task.has_one_class:
        columns = {name: (said.truth[:, i] == 1, i) for i, name in enumerate(task.class_names)}
    elif len(task.class_names) == 2:
        columns = {_class_of(task): (said.truth == 1, 1)}
    else:
        columns = {name: (said.truth == i, i) for i, name in enumerate(task.class_names)}
    usable = {name: (truth, i) for name, (truth, i) in columns.items() if truth.any() and not truth.all()}
    truths = {name: truth for name, (truth, _) in usable.items()}
    probabilities = {name: said.probability[:, i] for name, (_, i) in usable.items()}
    return truths, probabilities, THRESHOLD if len(columns) == 1 else None


def _class_of(task: Task) -> str:
    """The second of two classes; one that is called by a number, with the name of the target."""
    name = task.class_names[1]
    return f"{task.target_names[0]} = {name}" if task.target_names and not name.isalpha() else name


def _columns(run: Finished, number: int) -> list[str] | None:
    """The names of the raw columns, where there are so many and all are numbers."""
    kinds = getattr(run.data.preprocessing, "kinds", None)
    used = [name for name, kind in (kinds or {}).items() if kind != "ignore"]
    return used if len(used) == number and all(kinds[name] in ("numeric", "plain") for name in used) else None


def _numbers(run: Finished, split: str, names: list[str]) -> tuple[np.ndarray, np.ndarray] | None:
    """Inputs (n, columns) and truth of the rows of a split whose columns `names` hold numbers; None without any."""
    raw = run.data.splits()[split].raw
    if raw is None:
        return None
    inputs = raw[names].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    whole = np.isfinite(inputs).all(axis=1)
    return (inputs[whole], run.predictions[split].truth[whole]) if whole.any() else None


def _worst(run: Finished, most: int) -> tuple[np.ndarray, list[tuple[str, str, str]]]:
    """The rows that were most wrong, and of each (true, predicted, probability of the prediction)."""
    said = run.said
    if not run.task.has_classes:
        order = np.argsort(-np.abs(said.truth[:, 0] - said.prediction[:, 0]), kind="stable")[:most]
        return order, [(f"{said.truth[i, 0]:.4g}", f"{said.prediction[i, 0]:.4g}", "") for i in order]
    wrong = np.flatnonzero(said.truth != said.prediction)
    surest = np.argsort(said.probability[wrong, said.truth[wrong]], kind="stable")[:most]
    order, names = wrong[surest], list(run.task.class_names)
    told = [
        (names[said.truth[i]], names[said.prediction[i]], f"{said.probability[i, said.prediction[i]]:.1%}")
        for i in order
    ]
    return order, [(draw.shortened(a, 16), draw.shortened(b, 16), c) for a, b, c in told]


def _images(run: Finished, stored: torch.Tensor) -> np.ndarray:
    """Stored bytes as pictures with values in [0, 1]."""
    largest = getattr(run.data.preprocessing, "largest", 255.0)
    pixels = stored.cpu().double().numpy() / largest
    return pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1)[..., :3]


def _raw_cells(raw: pd.DataFrame | np.ndarray, order: np.ndarray) -> list[tuple[str, list[str]]]:
    """What to show of some raw rows, by column: a text, or the first columns of a table."""
    if isinstance(raw, np.ndarray):
        return [("text", [draw.shortened(raw[i], 72) for i in order])]
    return [
        (
            draw.shortened(name, 16),
            [f"{v:.5g}" if isinstance(v, float) else draw.shortened(v, 16) for v in raw[name].iloc[order]],
        )
        for name in list(raw.columns)[:6]
    ]


def _linear_weights(model: object) -> np.ndarray | None:
    """(outputs, features) of a linear model; None of any other."""
    if isinstance(model, Linear):
        return model.output.weight.detach().cpu().double().numpy()
    if isinstance(model, nn.Module) or getattr(model, "coef_", None) is None:
        return None
    if isinstance(model, SVC | NuSVC) and len(model.classes_) > 2:
        return None  # those are of pairs of classes
    return np.atleast_2d(np.asarray(model.coef_, dtype=float))


def _feature_names(run: Finished) -> list[str]:
    """A name for each input of a table, of a text, or of each step of a series."""
    names, shape = list(run.data.inputs.feature_names), run.data.inputs.shape
    if len(shape) != 2 or len(names) != shape[1]:
        return names
    return [f"{name}, {shape[0] - step} back" for step in range(shape[0]) for name in names]
