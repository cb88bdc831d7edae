"""Windows of a series: left as they are, or standardised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dlrun.data.preprocessing.base import Preprocessing
from dlrun.data.reading.arrays import load_array
from dlrun.data.reading.tables import read_rows
from dlrun.data.schema import Column, InputSchema, SeriesSchema
from dlrun.errors import Mistake, did_you_mean


class SeriesPreprocessing(Preprocessing):
    """Windows stay as they are, or are standardised feature by feature over the training windows."""

    ranges: list[list[float]] | None = None  # smallest and largest value of each feature in the training windows

    def __init__(self, scale: str, inputs: list[str], lags: int, horizon: int):
        if scale not in ("standard", "none"):
            raise Mistake(f"data.scale: '{scale}' is neither standard nor none")
        self.table = False  # whether the inputs are columns of a table as they stand there
        self.scale, self.lags, self.horizon = scale, lags, horizon
        self.feature_names = list(inputs)
        self.mean, self.deviation = np.zeros(len(inputs)), np.ones(len(inputs))

    def fit(self, inputs: np.ndarray) -> SeriesPreprocessing:
        """Learn mean and deviation of each feature from training windows (n, time, features)."""
        if self.scale == "standard":
            self.mean, self.deviation = inputs.mean(axis=(0, 1)), inputs.std(axis=(0, 1))
            self.deviation[self.deviation == 0] = 1.0
        self.ranges = np.stack([inputs.min(axis=(0, 1)), inputs.max(axis=(0, 1))], axis=1).tolist()
        return self

    def schema(self) -> InputSchema:
        """Return the features that a window has, their ranges, and how windows and targets lie."""
        ranges = [(low, high) for low, high in self.ranges] if self.ranges else [None] * len(self.feature_names)
        columns = [Column(name, "numeric", range=own) for name, own in zip(self.feature_names, ranges, strict=True)]
        return InputSchema("series", tuple(columns), series=SeriesSchema(self.lags, self.horizon, self.table))

    def apply(self, inputs: np.ndarray) -> Tensor:
        """(n, time, features) float64."""
        return torch.from_numpy((inputs - self.mean) / self.deviation)

    def inputs_of(self, given: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Windows (n, lags, features), oldest step first; or a table of which every run of `lags` rows is a window.

        Raises:
            Mistake: the table has too few rows, lacks a column or holds text, or the run was not trained on a table.
        """
        if not isinstance(given, pd.DataFrame):
            return np.asarray(given, dtype=np.float64)
        if not self.table:
            raise Mistake(f"input: this run read its data in a way of its own; give windows (n, {self.lags}, "
                          f"{len(self.feature_names)}) as an array, in a .npy file")  # fmt: skip
        for column in self.feature_names:
            if column not in given.columns:
                raise Mistake(f"input: there is no column '{column}'{did_you_mean(column, given.columns)}")
        values = given[self.feature_names].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
        if len(values) < self.lags or np.isnan(values).any():
            what = (
                f"{len(values)} rows are fewer than the {self.lags} lags"
                if len(values) < self.lags
                else "a value is missing or no number"
            )
            raise Mistake(f"input: {what}")
        return np.lib.stride_tricks.sliding_window_view(values, self.lags, axis=0).transpose(0, 2, 1)

    def read(self, path: Path, input_shape: tuple[int, ...]) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
        """The windows of a table, each shown by the row of its last step; or an array of windows in a .npy file."""
        if path.suffix == ".npy":
            windows = self.inputs_of(load_array(path))
            yield pd.DataFrame({"row": range(len(windows))}), windows
            return
        frame = pd.concat(read_rows(path), ignore_index=True)
        yield frame.iloc[self.lags - 1 :].reset_index(drop=True), self.inputs_of(frame)

    def describe(self) -> dict:
        """What `preprocessing.json` records: all there is."""
        return {
            "kind": "series",
            "inputs": self.feature_names,
            "table": self.table,
            "lags": self.lags,
            "horizon": self.horizon,
            "scale": self.scale,
            "mean": self.mean.tolist(),
            "deviation": self.deviation.tolist(),
            "ranges": self.ranges,
        }

    @classmethod
    def restore(cls, described: dict, _nothing: None) -> SeriesPreprocessing:
        """From what `describe` gave."""
        found = cls(described["scale"], described["inputs"], described["lags"], described["horizon"])
        found.table = described["table"]
        found.mean, found.deviation = np.array(described["mean"]), np.array(described["deviation"])
        found.ranges = described.get("ranges")
        return found
