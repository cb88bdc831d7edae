"""The parts of one setting together: mean and deviation of every figure, of every epoch, out-of-fold predictions."""

from __future__ import annotations

import io
import statistics
from collections.abc import Iterable

import numpy as np
import pandas as pd

from dlrun.data.module import Spec
from dlrun.evaluation.metrics import compute
from dlrun.evaluation.predictions import Predictions
from dlrun.folder import RunFolder
from dlrun.trained import spec_of

SPLITS = ("train_eval", "valid", "test")


def average(found: list[dict]) -> dict:
    """Mean and sample standard deviation (n − 1) of every figure that all of these `metrics.json` have.

    Returns:
        The shape of metrics.json, with the means, and beside it `deviation.<split>.<metric>` and `parts`, their number.
    """
    result: dict = {"deviation": {}, "baseline": {}, "parts": len(found)}
    for split in SPLITS:
        means = _means(found, lambda metrics, split=split: metrics.get(split, {}))
        if means:
            result[split] = {name: mean for name, (mean, _) in means.items()}
            result["deviation"][split] = {name: deviation for name, (_, deviation) in means.items()}
            baseline = _means(found, lambda metrics, split=split: metrics.get("baseline", {}).get(split, {}))
            result["baseline"][split] = {name: mean for name, (mean, _) in baseline.items()}
    result["parameters"] = found[0].get("parameters")
    result["fit_seconds"] = round(sum(metrics.get("fit_seconds", 0) for metrics in found), 3)
    for name in ("best_epoch", "epochs"):
        result[name] = statistics.mean(metrics.get(name, 0) for metrics in found)
    return result


def _means(found: list[dict], figures_of) -> dict[str, tuple[float, float | None]]:
    """{metric: (mean, deviation)}; the deviation of a single value is None."""
    each = [figures_of(metrics) for metrics in found]
    names = [n for n in each[0] if all(isinstance(e.get(n), int | float) for e in each)] if each else []
    values = {name: [float(e[name]) for e in each] for name in names}
    return {n: (statistics.fmean(v), statistics.stdev(v) if len(v) > 1 else None) for n, v in values.items()}


def average_history(folders: Iterable[RunFolder]) -> pd.DataFrame:
    """By epoch: how many of the runs trained it, and mean and deviation of everything that they logged."""
    frames = [pd.read_csv(io.BytesIO(f.read_bytes("history.csv"))) for f in folders if f.has("history.csv")]
    if not frames:
        return pd.DataFrame()
    grouped = pd.concat(frames).groupby("epoch")
    means, deviations = grouped.mean(), grouped.std().add_suffix("_deviation")
    columns = [name for pair in zip(means.columns, deviations.columns, strict=True) for name in pair]
    table = pd.concat([means, deviations], axis=1)[columns]
    table.insert(0, "parts", grouped.size())
    return table.reset_index()


def test_predictions(folders: dict[str, RunFolder]) -> pd.DataFrame:
    """The test rows of all parts, with the name of each part; text as it stands in the files."""
    frames = []
    for part, folder in folders.items():
        content = io.BytesIO(folder.read_bytes("predictions.csv"))
        frame = pd.read_csv(content, dtype=str, keep_default_na=False)
        frames.append(frame[frame["split"] == "test"].assign(part=part))
    return pd.concat(frames, ignore_index=True)


def out_of_fold(folder: RunFolder, said: pd.DataFrame) -> dict[str, object]:
    """The figures of the test rows of all folds taken together.

    Args:
        folder: of any of the folds.
        said: from `test_predictions`.
    """
    spec = spec_of(folder)
    return compute(spec, _as_predictions(spec, said)).values


def _as_predictions(spec: Spec, said: pd.DataFrame) -> Predictions:
    probability = None
    if spec.class_names:
        probability = said[[f"probability_{name}" for name in spec.class_names]].to_numpy(dtype=np.float64)
    if spec.task in ("binary", "multiclass"):
        index = {name: i for i, name in enumerate(spec.class_names)}
        return Predictions(said["truth"].map(index).to_numpy(), said["prediction"].map(index).to_numpy(), probability)
    suffixes = [f"_{name}" for name in spec.target_names] if len(spec.target_names) > 1 else [""]
    truth, prediction = (
        said[[f"{column}{suffix}" for suffix in suffixes]].to_numpy(dtype=np.float64)
        for column in ("truth", "prediction")
    )
    if spec.task == "multilabel":
        truth, prediction = truth.astype(np.int64), prediction.astype(np.int64)
    return Predictions(truth, prediction, probability)
