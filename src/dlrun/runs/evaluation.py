"""The figures of a finished training: metrics of every split, with those of the baseline on the same rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dlrun.data.split import Split
from dlrun.tasks.base import Task
from dlrun.tasks.metric import Figures
from dlrun.tasks.predictions import Predictions
from dlrun.training.contracts import Learner


@dataclass
class Evaluation:
    """By split (train, valid, test): the predictions, their figures, and the baseline's."""

    predictions: dict[str, Predictions]
    figures: dict[str, Figures]
    baseline: dict[str, Figures]

    def as_json(self) -> dict[str, Any]:
        """Return the shape of metrics.json: `train_eval`, `valid`, `test`, `baseline.<split>`, `undefined.<split>`."""
        names = {split: reported_name(split) for split in self.figures}
        return {
            **{names[split]: figures.values for split, figures in self.figures.items()},
            "baseline": {names[split]: figures.values for split, figures in self.baseline.items()},
            "undefined": {names[split]: own.undefined for split, own in self.figures.items() if own.undefined}
            | {f"baseline.{names[split]}": own.undefined for split, own in self.baseline.items() if own.undefined},
        }

    def numbers(self) -> Iterator[tuple[str, float]]:
        """Yield (`<split>/<metric>`, value) of every defined metric that is one number."""
        for split, figures in self.figures.items():
            for name, value in figures.values.items():
                if isinstance(value, float):
                    yield f"{reported_name(split)}/{name}", value


def reported_name(split: str) -> str:
    """Return `train_eval` for a clean evaluation of the training rows; `train` alone is the running mean."""
    return "train_eval" if split == "train" else split


def evaluate(
    task: Task,
    splits: Mapping[str, Split],
    learner: Learner,
    scores: Mapping[str, Tensor],
    trained_on: Tensor,
    threshold: float = 0.5,
    brief: tuple[str, ...] = (),
) -> Evaluation:
    """Judge raw scores (n, width) by split, beside the baseline that the training targets `trained_on` give.

    Args:
        threshold: of two classes: the probability above which the second is predicted.
        brief: splits of which only loss and accuracy (R²) are computed, not all metrics.
    """
    evaluation = Evaluation({}, {}, {})
    constant = task.baseline(trained_on)
    for split, rows in splits.items():
        figures_of = task.brief_figures if split in brief else task.figures
        predictions = task.predictions(scores[split], rows.targets, rows.truth, threshold)
        evaluation.predictions[split] = predictions
        loss = learner.loss_of(scores[split], rows.targets).item()
        parts = task.loss_parts(scores[split], rows.targets)
        evaluation.figures[split] = _figures(loss, parts, predictions, figures_of)
        guessed = constant.expand(len(rows), -1) if rows.naive is None else rows.naive.cpu().double()
        targets = rows.targets.cpu()
        guessed_scores = guessed.to(scores[split].dtype)
        loss = learner.loss_of(guessed_scores, targets).item()
        baseline = task.predictions(guessed, targets, rows.truth)
        parts = task.loss_parts(guessed_scores, targets)
        evaluation.baseline[split] = _figures(loss, parts, baseline, figures_of)
    return evaluation


def _figures(
    loss: float, parts: Mapping[str, float], predictions: Predictions, figures_of: Callable[[Predictions], Figures]
) -> Figures:
    figures = Figures()
    for name, value in {"loss": loss, **parts}.items():
        figures.add(name, value, "" if math.isfinite(value) else f"not finite ({value})")
    others = figures_of(predictions)
    return Figures(figures.values | others.values, figures.undefined | others.undefined)
