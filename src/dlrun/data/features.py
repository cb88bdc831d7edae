"""From the columns of a table to features: fitted on the training rows only, applied again by predict."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dlrun.data.columns import numbers_of
from dlrun.data.module import as_float
from dlrun.errors import Mistake, did_you_mean


class TablePreprocessing:
    """Columns to features: numbers imputed by the median and standardised, categories one-hot, by a ColumnTransformer.

    Args:
        kinds: kind by column: numeric, boolean, date, category, plain (taken as it is) or ignore.
        max_categories: categories of a column that get an input of their own; rarer and unseen ones share one.
    """

    transform = staticmethod(as_float)

    def __init__(self, kinds: dict[str, str], max_categories: int = 30):
        self.kinds = kinds
        self.max_categories = max_categories
        self.transformer = None
        self.feature_names: list[str] = []

    def fit(self, inputs: pd.DataFrame) -> TablePreprocessing:
        """Learn medians, means, deviations and categories from the training rows `inputs`.

        Raises:
            Mistake: a column without a single value in the training rows.
        """
        from sklearn.compose import ColumnTransformer
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        clean = self._clean(inputs)
        empty = [str(c) for c in clean.columns if clean[c].isna().all()]
        if empty:
            raise Mistake(
                f"data: column '{empty[0]}' has no value in any training row; leave it out: "
                f"data.columns={{{empty[0]}: ignore}}"
            )
        numeric = [c for c in clean.columns if c not in self.kinds or self.kinds[c] in ("numeric", "boolean", "date")]
        onehot = OneHotEncoder(
            handle_unknown="infrequent_if_exist", max_categories=self.max_categories, sparse_output=False
        )
        parts = [
            ("numeric", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numeric),
            (
                "category",
                make_pipeline(SimpleImputer(strategy="constant", fill_value="missing"), onehot),
                self._columns("category"),
            ),
            ("plain", "passthrough", self._columns("plain")),
        ]
        self.transformer = ColumnTransformer([p for p in parts if p[2]], verbose_feature_names_out=False)
        self.transformer.fit(clean)
        self.feature_names = [str(name) for name in self.transformer.get_feature_names_out()]
        return self

    def apply(self, inputs: pd.DataFrame) -> Tensor:
        """(n, features) float32.

        Raises:
            Mistake: a column that the run was trained on is missing.
        """
        for column in self.kinds:
            if self.kinds[column] != "ignore" and column not in inputs.columns:
                raise Mistake(f"data: column '{column}' is missing{did_you_mean(column, inputs.columns)}")
        features = np.asarray(self.transformer.transform(self._clean(inputs)), dtype=np.float32)
        return torch.from_numpy(np.ascontiguousarray(features))

    def describe(self) -> dict:
        """What `preprocessing.json` records; the fitted transformer goes into `preprocessing.skops`."""
        return {
            "kind": "table",
            "columns": self.kinds,
            "max_categories": self.max_categories,
            "features": self.feature_names,
        }

    def fitted(self) -> bytes:
        """The fitted ColumnTransformer, as skops writes it (no pickle)."""
        import skops.io

        return skops.io.dumps(self.transformer)

    def _columns(self, kind: str) -> list[str]:
        return [column for column in self.kinds if self.kinds[column] == kind]

    def _clean(self, inputs: pd.DataFrame) -> pd.DataFrame:
        """One float column per number, object columns of text (None where missing) for categories."""
        columns = []
        for column, kind in self.kinds.items():
            if kind == "category":
                texts = inputs[column].astype(object)
                columns.append(texts.where(texts.isna(), texts.astype(str)).where(texts.notna(), None))
            elif kind == "plain":
                columns.append(inputs[column])
            elif kind != "ignore":
                columns.append(numbers_of(inputs[column], kind))
        return pd.concat(columns, axis=1)
