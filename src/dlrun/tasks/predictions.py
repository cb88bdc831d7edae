"""What a model says of each row, in the reader's terms: class names and probabilities, or quantities in their units."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import orjson
import torch
from torch import Tensor

from dlrun.tensors import Spec

if TYPE_CHECKING:
    import pandas as pd

    from dlrun.store.folder import RunFolder

LINES_AT_ONCE = 10_000  # of predictions.csv, made in memory


@dataclass
class Predictions:
    """Truth and prediction of some rows; metrics are computed from exactly these, and predictions.csv holds them.

    Attributes:
        truth, prediction: (n,) class indices; (n, labels) 0/1 for multilabel; (n, targets) for regression, in the
            target's own units.
        probability: (n, classes) or (n, labels); None for regression.
    """

    truth: np.ndarray
    prediction: np.ndarray
    probability: np.ndarray | None


def from_scores(
    spec: Spec, scores: Tensor, targets: Tensor, truth: np.ndarray | None = None, threshold: float = 0.5
) -> Predictions:
    """Turn raw scores (n, outputs) into predictions, in float64.

    Args:
        targets: in the shape of a Split's.
        truth: regression: the targets in their own units; None: the targets, unscaled.
        threshold: of two classes or of a label: the probability above which it is predicted.
    """
    scores, targets = scores.detach().cpu().double(), targets.cpu()
    if spec.task == "regression":
        mean, scale = np.asarray(spec.target_mean), np.asarray(spec.target_scale)
        truth = targets.double().numpy() * scale + mean if truth is None else truth
        return Predictions(truth, scores.numpy() * scale + mean, None)
    if spec.task == "multilabel":
        probability = torch.sigmoid(scores).numpy()
        return Predictions(targets.long().numpy(), (probability > threshold).astype(np.int64), probability)
    if spec.task == "binary":
        positive = torch.sigmoid(scores[:, 0]).numpy()
        negative = torch.sigmoid(-scores[:, 0]).numpy()
        prediction = (positive > threshold).astype(np.int64)
        return Predictions(targets.long().numpy().ravel(), prediction, np.column_stack([negative, positive]))
    probability = torch.softmax(scores, dim=1).numpy()
    return Predictions(targets.numpy(), probability.argmax(axis=1), probability)


def columns_of(spec: Spec) -> list[str]:
    """The header of predictions.csv."""
    if spec.task == "regression" or spec.task == "multilabel":
        names = spec.target_names
        several = [f"_{name}" for name in names] if len(names) > 1 else [""]
        columns = [f"{column}{suffix}" for suffix in several for column in ("truth", "prediction")]
        probabilities = [f"probability_{n}" for n in spec.class_names] if spec.task == "multilabel" else []
        return ["row", "split", "part", *columns, *probabilities]
    return ["row", "split", "part", "truth", "prediction", *(f"probability_{name}" for name in spec.class_names)]


def read_csv(folder: RunFolder, spec: Spec, split: str) -> tuple[pd.DataFrame, Predictions]:
    """The rows of `split` in predictions.csv, as text, and what they hold.

    Raises:
        Mistake: it is not what a run of such data writes.
    """
    frame = folder.predictions()
    if lacking := [name for name in columns_of(spec) if name not in frame]:
        raise folder.damaged_predictions(f"it has no column {lacking[0]}")
    rows = frame[frame["split"] == split]
    try:
        return rows, from_frame(spec, rows)
    except ValueError as error:
        raise folder.damaged_predictions(error) from error


def from_frame(spec: Spec, frame: pd.DataFrame) -> Predictions:
    """What predictions.csv holds, from its text."""
    probability = None
    if spec.class_names:
        probability = frame[[f"probability_{name}" for name in spec.class_names]].to_numpy(dtype=np.float64)
    if spec.task in ("binary", "multiclass"):
        index = {name: i for i, name in enumerate(spec.class_names)}
        if unknown := {*frame["truth"], *frame["prediction"]} - set(index):
            raise ValueError(f"no class is called {min(unknown)}")
        return Predictions(frame["truth"].map(index).to_numpy(), frame["prediction"].map(index).to_numpy(), probability)
    columns = columns_of(spec)
    truth, prediction = (
        frame[[c for c in columns if c.split("_")[0] == name]].to_numpy(dtype=np.float64)
        for name in ("truth", "prediction")
    )
    if spec.task == "multilabel":
        truth, prediction = truth.astype(np.int64), prediction.astype(np.int64)
    return Predictions(truth, prediction, probability)


def to_csv(spec: Spec, predictions: dict[str, Predictions], row_numbers: dict[str, np.ndarray]) -> bytes:
    """predictions.csv: one line a row; floats written so that reading gives the same bits back.

    Args:
        predictions, row_numbers: by split.
    """
    text = io.BytesIO()
    text.write(f"{','.join(map(_cell, columns_of(spec)))}\n".encode())
    for split, found in predictions.items():
        for start in range(0, len(row_numbers[split]), LINES_AT_ONCE):
            rows = slice(start, start + LINES_AT_ONCE)
            text.write("".join(_lines(spec, found, row_numbers[split], rows, split)).encode())
    return text.getvalue()


def _lines(spec: Spec, found: Predictions, row_numbers: np.ndarray, rows: slice, split: str) -> list[str]:
    """The lines of `rows`: number, split, empty part, truth and prediction of each target, probabilities."""
    truth, prediction = found.truth[rows], found.prediction[rows]
    if spec.task in ("binary", "multiclass"):
        names = np.array([_cell(name) for name in spec.class_names], dtype=object)
        cells = [[f"{true},{said}" for true, said in zip(names[truth], names[prediction], strict=True)]]
    else:
        cells = [_texts(np.stack([truth, prediction], axis=2).reshape(len(truth), -1))]
    if found.probability is not None:
        cells.append(_texts(found.probability[rows]))
    numbers = row_numbers[rows].tolist()
    return [f"{number},{split},,{','.join(row)}\n" for number, *row in zip(numbers, *cells, strict=True)]


def _texts(values: np.ndarray) -> list[str]:
    """Each row of (n, k) numbers, with commas between them; orjson writes floats twenty times as fast as Python, but
    none that are infinite or undefined."""
    if not np.isfinite(values).all():
        return [",".join(map(repr, row)) for row in values.tolist()]
    written = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return written[2:-2].split("],[")


def _cell(text: str) -> str:
    """`text` as it stands in a CSV file, in quotes where it needs them."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(["", text])  # both of which Python then quotes
    return line.getvalue()[1:-2]
