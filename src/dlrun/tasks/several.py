"""Several targets with a task each, learned by one network; and heads that only help it to learn.

Scores and targets of all of them stand side by side in one tensor, so that whoever trains, stores or carries them needs
to know nothing of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from dlrun.errors import Mistake, choose
from dlrun.tasks.base import Task
from dlrun.tasks.metric import Figures, Metric
from dlrun.tasks.predictions import Predictions
from dlrun.tasks.running_figures import Running, Sums, in_double

if TYPE_CHECKING:
    import pandas as pd

AUXILIARY = "auxiliary"


@dataclass(frozen=True)
class Part:
    """One of the tasks.

    Attributes:
        task: of one target.
        weight: of its loss in the sum.
        has_gaps: whether rows may lack this target: they count for the others.
    """

    task: Task
    weight: float = 1.0
    has_gaps: bool = False

    @property
    def name(self) -> str:
        """The target."""
        return self.task.target_names[0]


@dataclass(frozen=True)
class SeveralPredictions(Predictions):
    """Predictions for several targets: `truth` and `prediction` (n, targets), classes by index; NaN where a target is
    not there.

    Attributes:
        parts: by target, those of all rows; the truth of a row without one is class -1 or NaN.
    """

    parts: Mapping[str, Predictions] = None  # type: ignore[assignment]  # it is always given

    def known_rows(self, name: str) -> np.ndarray:
        """Return the indices of the rows that have a target."""
        whole = self.parts[name]
        truth = whole.truth.reshape(len(whole), -1)[:, 0]
        return np.flatnonzero(truth >= 0 if whole.probability is not None else np.isfinite(truth))

    def known(self, name: str) -> Predictions:
        """Return the predictions for a target, of the rows that have it."""
        whole, rows = self.parts[name], self.known_rows(name)
        probability = None if whole.probability is None else whole.probability[rows]
        return Predictions(whole.truth[rows], whole.prediction[rows], probability)


@dataclass(frozen=True)
class Several(Task):
    """Several targets, each with its own task; the loss is the weighted sum of theirs.

    Attributes:
        parts: in the order of the targets.
    """

    parts: tuple[Part, ...] = ()

    name: ClassVar[str] = "several"
    has_classes: ClassVar[bool] = False

    @property
    def width(self) -> int:
        """The scores of all targets together."""
        return sum(part.task.width for part in self.parts)

    @property
    def outputs(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each target's scores, in their order."""
        return {part.name: (part.task.width,) for part in self.parts}

    @property
    def summary(self) -> str:
        """What is learned of each target."""
        return " and ".join(f"{part.name} ({part.task.summary})" for part in self.parts)

    def by_part(self, scores: Tensor) -> Iterator[tuple[Part, Tensor]]:
        """Yield each part with its scores (n, width)."""
        yield from zip(self.parts, scores.split([part.task.width for part in self.parts], dim=1), strict=True)

    def fit(self, values: np.ndarray, scale_target: bool) -> Several:
        """Return the task with each part fitted to the training rows that have its target."""
        fitted = []
        for part, column in zip(self.parts, values.T, strict=True):
            known = column[np.isfinite(column)]
            if not len(known):
                raise Mistake(f"data.target: no training row has a value of '{part.name}'")
            fitted.append(replace(part, task=part.task.fit(_values(part.task, known), scale_target)))
        return replace(self, parts=tuple(fitted))

    def encode(self, values: np.ndarray, dtype: torch.dtype) -> Tensor:
        """Return (n, targets) as `dtype`: classes by index, quantities standardised, NaN where there is none."""
        columns = []
        for part, column in zip(self.parts, values.T, strict=True):
            known = np.isfinite(column)
            encoded = part.task.encode(_values(part.task, np.where(known, column, 0)), torch.float64)
            columns.append(encoded.reshape(len(values)).double().masked_fill(torch.from_numpy(~known), math.nan))
        return torch.stack(columns, dim=1).to(dtype)

    def truth(self, values: np.ndarray) -> np.ndarray:
        """Return (n, targets) in their own units, classes by index."""
        return values

    def placeholder(self, rows: int, dtype: torch.dtype) -> Tensor:
        """Return targets that mean nothing."""
        return torch.zeros(rows, len(self.parts), dtype=dtype)

    def loss(self, class_weights: Tensor | None = None) -> nn.Module:
        """Return the weighted sum of the parts' own losses, each the mean over the rows that have the target."""
        return WeightedLosses(self)

    def refusal(self, loss: nn.Module) -> str:
        """Return why no other loss is for several tasks."""
        return "is of one target, and there are several tasks"

    def class_weights(self, setting: Any, targets: Tensor) -> Tensor | None:
        """Return None: the classes of several targets have no weights."""
        if setting is not None:
            raise Mistake("class_weight: goes with one target; set it to null (loss.weights weighs the targets)")
        return None

    def running(self) -> Running:
        """Return empty running figures: the whole loss, and loss and accuracy or R² of each target."""
        return Running(lambda: SumsByTarget(self))

    @property
    def quick_metric(self) -> str:
        """The figure of the first target that is logged for every epoch."""
        return f"{self.parts[0].name}/{self.parts[0].task.quick_metric}"

    @property
    def quick_figures(self) -> tuple[str, ...]:
        """What is logged for every epoch besides the loss."""
        return tuple(f"{p.name}/{figure}" for p in self.parts for figure in ("loss", *p.task.quick_figures))

    def loss_parts(self, scores: Tensor, targets: Tensor) -> dict[str, float]:
        """Return the loss of each target, by `<target>/loss`."""
        losses = WeightedLosses(self).parts_of(scores.cpu(), targets.cpu())
        return {f"{part.name}/loss": loss.item() for part, loss in zip(self.parts, losses, strict=True)}

    def predictions(
        self, scores: Tensor, targets: Tensor, truth: np.ndarray | None = None, threshold: float = 0.5
    ) -> SeveralPredictions:
        """Return the predictions for each target; see Task.predictions."""
        parts: dict[str, Predictions] = {}
        for i, ((part, own), column) in enumerate(zip(self.by_part(scores), targets.cpu().unbind(dim=1), strict=True)):
            gaps = column.isnan()
            encoded = _targets(part.task, column.masked_fill(gaps, 0))
            own_truth = part.task.truth(truth[:, i : i + 1]) if truth is not None else None
            predicted = part.task.predictions(own, encoded, own_truth, threshold)
            parts[part.name] = _with_gaps(predicted, gaps.numpy())
        return _beside(parts)

    @property
    def own_metrics(self) -> tuple[Metric, ...]:
        """The metrics of each target, called `<target>/<metric>`."""
        return tuple(_of_part(metric, part.name) for part in self.parts for metric in part.task.own_metrics)

    def with_metrics(self, chosen: tuple[Metric, ...]) -> Several:
        """Return the task itself: further metrics go with one target.

        Raises:
            Mistake: there are any.
        """
        if chosen:
            raise Mistake("metrics: go with one target; set it to []")
        return self

    def figures(self, predictions: Predictions) -> Figures:
        """Return every metric of each target, over the rows that have it."""
        return self._figures_by_part(predictions, brief=False)

    def brief_figures(self, predictions: Predictions) -> Figures:
        """Return accuracy or R² of each target alone."""
        return self._figures_by_part(predictions, brief=True)

    def _figures_by_part(self, predictions: Predictions, brief: bool) -> Figures:
        assert isinstance(predictions, SeveralPredictions)
        figures = Figures()
        for part in self.parts:
            known = predictions.known(part.name)
            own = part.task.brief_figures(known) if brief else part.task.figures(known)
            figures.values |= {f"{part.name}/{name}": value for name, value in own.values.items()}
            figures.undefined |= {f"{part.name}/{name}": reason for name, reason in own.undefined.items()}
        return figures

    def baseline(self, targets: Tensor) -> Tensor:
        """Return the constant scores of each target that fit the training rows that have it."""
        known = (column[~column.isnan()] for column in targets.cpu().unbind(dim=1))
        return torch.cat(
            [part.task.baseline(_targets(part.task, own)) for part, own in zip(self.parts, known, strict=True)], dim=1
        )

    def check_threshold(self, threshold: float) -> None:
        """Refuse a threshold that is no probability, or where no target is divided by one."""
        divided = next((part.task for part in self.parts if part.task.has_threshold), self.parts[0].task)
        divided.check_threshold(threshold)

    @property
    def csv_columns(self) -> list[str]:
        """`truth_<target>`, `prediction_<target>` and, of classes, `probability_<target>_<class>`."""
        return [_named(column, part.name) for part in self.parts for column in part.task.csv_columns]

    def csv_cells(self, predictions: Predictions, rows: slice) -> list[list[str]]:
        """Return the text of these columns; a truth that is not there is empty."""
        assert isinstance(predictions, SeveralPredictions)
        pieces = []
        for part in self.parts:
            first, *others = part.task.csv_cells(predictions.parts[part.name], rows)
            pieces += [[text.removeprefix("nan") for text in first], *others]  # the truth comes first
        return pieces

    def read_csv(self, frame: pd.DataFrame) -> SeveralPredictions:
        """Return the predictions that these columns hold, from their text."""
        parts = {}
        for part in self.parts:
            own = frame[[_named(column, part.name) for column in part.task.csv_columns]]
            own = own.set_axis(part.task.csv_columns, axis=1)
            gaps = own["truth"].isin(["", "nan"]).to_numpy()
            filler = part.task.class_names[0] if part.task.has_one_class else "0"
            parts[part.name] = _with_gaps(part.task.read_csv(own.assign(truth=own["truth"].mask(gaps, filler))), gaps)
        return _beside(parts)

    def table(self, predictions: Predictions) -> dict[str, np.ndarray]:
        """Return `prediction_<target>` and, of classes, `probability_<target>_<class>`."""
        assert isinstance(predictions, SeveralPredictions)
        return {
            _named(column, part.name): values
            for part in self.parts
            for column, values in part.task.table(predictions.parts[part.name]).items()
        }

    def describe(self) -> dict[str, Any]:
        """Return what `preprocessing.json` records of the task."""
        parts = [{"task": p.task.describe(), "weight": p.weight, "has_gaps": p.has_gaps} for p in self.parts]
        return {"name": self.name, "parts": parts}


class WeightedLosses(nn.Module):
    """The weighted sum of the losses of several targets.

    Args:
        task: whose parts have the losses and weights.
    """

    def __init__(self, task: Several):
        super().__init__()
        self.task = task
        self.losses = nn.ModuleList(part.task.loss() for part in task.parts)
        for part, loss in zip(task.parts, self.losses, strict=True):
            if part.has_gaps:
                loss.reduction = "none"  # type: ignore[assignment]  # which the losses of all parts have

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the sum () of the weighted mean losses of scores (n, width) and targets (n, targets)."""
        losses = self.parts_of(scores, targets)
        weighted = (part.weight * loss for part, loss in zip(self.task.parts, losses, strict=True))
        return torch.stack(list(weighted)).sum()

    def parts_of(self, scores: Tensor, targets: Tensor) -> list[Tensor]:
        """Return the mean loss () of each target, over the rows that have it; 0 where none has."""
        losses = []
        for (part, own), column, loss in zip(
            self.task.by_part(scores), targets.unbind(dim=1), self.losses, strict=True
        ):
            if not part.has_gaps:
                losses.append(loss(own, _targets(part.task, column)))
                continue
            known = ~column.isnan()
            each = loss(own, _targets(part.task, column.nan_to_num())).reshape(len(column))
            losses.append((each * known).sum() / known.sum().clamp(min=1))
        return losses


class SumsByTarget:
    """What the running figures of several targets are computed from.

    Args:
        task: whose parts they are of.
    """

    def __init__(self, task: Several):
        self.task, self.losses = task, WeightedLosses(task)
        self.of_parts: list[Sums] = [part.task.running().sums for part in task.parts]
        self.loss_sums: list[Tensor | float] = [0.0] * len(task.parts)
        self.counts = [0] * len(task.parts)

    def add(self, scores: Tensor, targets: Tensor) -> None:
        """Take rows: their scores (n, width) and targets (n, targets)."""
        losses = self.losses.parts_of(scores, targets)
        for i, ((part, own), column) in enumerate(
            zip(self.task.by_part(scores), targets.unbind(dim=1), strict=True)
        ):  # fmt: skip
            if part.has_gaps:
                known = ~column.isnan()
                own, column = own[known], column[known]
            if not len(column):
                continue
            self.of_parts[i].add(own, _targets(part.task, column))
            self.loss_sums[i] = self.loss_sums[i] + in_double(losses[i].detach()) * len(column)
            self.counts[i] += len(column)

    def figures(self) -> dict[str, float]:
        """Return `<target>/loss` and `<target>/accuracy` or `r2`, of all rows so far that have the target."""
        figures = {}
        for part, sums, total, count in zip(self.task.parts, self.of_parts, self.loss_sums, self.counts, strict=True):
            figures[f"{part.name}/loss"] = float(total) / count if count else math.nan
            own = sums.figures() if count else dict.fromkeys(part.task.quick_figures, math.nan)
            figures |= {f"{part.name}/{name}": value for name, value in own.items()}
        return figures

    def state(self) -> dict[str, Any]:
        """Return the sums."""
        return {
            "parts": [sums.state() for sums in self.of_parts],
            "losses": [float(total) for total in self.loss_sums],
            "counts": list(self.counts),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take sums from `state`."""
        for sums, own, count in zip(self.of_parts, state["parts"], state["counts"], strict=True):
            if count:
                sums.restore(own)
        self.loss_sums, self.counts = list(state["losses"]), list(state["counts"])


def weighted(task: Several, weights: Mapping[str, float]) -> Several:
    """Return the task with these weights of its losses; a target that is not named weighs 1.

    Raises:
        Mistake: a weight of no target, or one that is no number of at least 0, or none above it.
    """
    names = {part.name: part for part in task.parts}
    for name, weight in weights.items():
        choose(name, names, "loss.weights")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise Mistake(f"loss.weights.{name} is {weight}: it must be a number of at least 0")
    parts = tuple(replace(part, weight=float(weights.get(part.name, 1.0))) for part in task.parts)
    if not any(part.weight for part in parts):
        raise Mistake("loss.weights: all are 0, so nothing can be learned")
    return replace(task, parts=parts)


def _of_part(metric: Metric, name: str) -> Metric:
    def known(predictions: Predictions) -> Predictions:
        assert isinstance(predictions, SeveralPredictions)
        return predictions.known(name)

    return Metric(
        f"{name}/{metric.name}",
        lambda predictions: metric.compute(known(predictions)),
        metric.higher_is_better,
        lambda predictions: metric.undefined(known(predictions)),
    )


def _values(task: Task, column: np.ndarray) -> np.ndarray:
    """Return a column of targets as its own task takes them: class indices (n,), or quantities (n, 1)."""
    return column.astype(np.int64) if task.has_one_class else column[:, None]


def _targets(task: Task, column: Tensor) -> Tensor:
    """Return a column of encoded targets as the loss of its own task takes them."""
    return column.long() if task.has_one_class and task.width > 1 else column[:, None]


def _with_gaps(predictions: Predictions, gaps: np.ndarray) -> Predictions:
    """Return predictions of which the rows of `gaps` have no truth: class -1, or NaN."""
    if not gaps.any():
        return predictions
    absent = math.nan if predictions.probability is None else -1
    truth = np.where(gaps.reshape(-1, *[1] * (predictions.truth.ndim - 1)), absent, predictions.truth)
    return replace(predictions, truth=truth)


def _beside(parts: Mapping[str, Predictions]) -> SeveralPredictions:
    """Return the predictions for several targets, side by side."""

    def column(values: np.ndarray, is_class: bool) -> np.ndarray:
        flat = values.reshape(len(values), -1)[:, 0].astype(np.float64)
        return np.where(flat < 0, math.nan, flat) if is_class else flat

    of_classes = {name: own.probability is not None for name, own in parts.items()}
    truth = [column(own.truth, of_classes[name]) for name, own in parts.items()]
    prediction = [column(own.prediction, of_classes[name]) for name, own in parts.items()]
    return SeveralPredictions(np.stack(truth, axis=1), np.stack(prediction, axis=1), parts=parts)


def _named(column: str, target: str) -> str:
    """Return `probability_<target>_<class>` of `probability_<class>`, and `truth_<target>` of `truth`."""
    kind, _, rest = column.partition("_")
    return "_".join(filter(None, (kind, target, rest)))
