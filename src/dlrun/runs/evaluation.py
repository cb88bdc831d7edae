"""The figures of a finished training: metrics of every split, with those of the baseline on the same rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from dlrun.data.split import Split
from dlrun.tasks.baselines import baseline_scores
from dlrun.tasks.metrics import Figures, brief_suite, compute
from dlrun.tasks.predictions import Predictions, from_scores
from dlrun.tensors import Spec


@dataclass
class Evaluation:
    """By split (train, valid, test): the predictions, their figures, and the baseline's."""

    predictions: dict[str, Predictions]
    figures: dict[str, Figures]
    baseline: dict[str, Figures]

    def as_json(self) -> dict:
        """The shape of metrics.json: `train_eval`, `valid`, `test`, `baseline.<split>`, `undefined.<split>`."""
        names = {split: reported_name(split) for split in self.figures}
        return {
            **{names[split]: found.values for split, found in self.figures.items()},
            "baseline": {names[split]: found.values for split, found in self.baseline.items()},
            "undefined": {names[split]: found.undefined for split, found in self.figures.items() if found.undefined}
            | {f"baseline.{names[s]}": found.undefined for s, found in self.baseline.items() if found.undefined},
        }

    def numbers(self) -> Iterator[tuple[str, float]]:
        """(`<split>/<metric>`, value) of every defined metric that is one number."""
        for split, found in self.figures.items():
            for name, value in found.values.items():
                if isinstance(value, float):
                    yield f"{reported_name(split)}/{name}", value


def reported_name(split: str) -> str:
    """`train_eval` for a clean evaluation of the training rows; `train` alone is the running mean while training."""
    return "train_eval" if split == "train" else split


def evaluate(
    spec: Spec,
    splits: dict[str, Split],
    loss: nn.Module,
    scores: dict[str, Tensor],
    trained_on: Tensor,
    threshold: float = 0.5,
    brief: tuple[str, ...] = (),
) -> Evaluation:
    """Judge raw scores (n, outputs) by split, beside the baseline that the training targets `trained_on` give.

    Args:
        threshold: of two classes: the probability above which the second is predicted.
        brief: splits of which only loss and accuracy (R²) are computed, not the whole suite.
    """
    evaluation = Evaluation({}, {}, {})
    constant = baseline_scores(spec, trained_on)
    for split, rows in splits.items():
        found = from_scores(spec, scores[split], rows.targets, rows.truth, threshold)
        evaluation.predictions[split] = found
        suite = brief_suite if split in brief else compute
        evaluation.figures[split] = _figures(spec, found, loss, scores[split], rows.targets, suite)
        guessed = constant.expand(len(rows), -1) if rows.naive is None else rows.naive.cpu().double()
        targets = rows.targets.cpu()
        evaluation.baseline[split] = _figures(
            spec, from_scores(spec, guessed, targets, rows.truth), loss.cpu(), guessed.to(scores[split].dtype), targets,
            suite,
        )  # fmt: skip
        loss.to(rows.targets.device)
    return evaluation


def _figures(
    spec: Spec, found: Predictions, loss: nn.Module, scores: Tensor, targets: Tensor, suite_of: Callable
) -> Figures:
    figures = Figures()
    value = loss(scores, targets).item()
    figures.add("loss", lambda: value, "" if math.isfinite(value) else f"not finite ({value})")
    suite = suite_of(spec, found)
    return Figures(figures.values | suite.values, figures.undefined | suite.undefined)
