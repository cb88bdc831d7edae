"""From the columns of a table to features: fitted on the training rows only, applied again by predict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dlrun.config.grammar import hint
from dlrun.data.preprocessing.base import Preprocessing
from dlrun.data.reading.columns import Column as TableColumn
from dlrun.data.reading.columns import Columns, category_texts, numbers_of, told_column
from dlrun.data.reading.missing_markers import without_markers
from dlrun.data.reading.numbers import Notation
from dlrun.data.reading.tables import Format, read_rows
from dlrun.data.schema import Column, InputSchema
from dlrun.errors import Mistake, choose, did_you_mean

if TYPE_CHECKING:
    from sklearn.compose import ColumnTransformer
    from typing_extensions import Self

SCALES = ("standard", "standard_all_rows", "none")
CATEGORIES = 30  # of a column, that get an input of their own, however few rows they have
ROWS_OF_A_CATEGORY = 5  # training rows: a category with as many gets an input of its own, up to
MOST_CATEGORIES = 1000
SHOWN = 12  # columns that a line names
_UNFILLED = ("plain", "ignore")
OLD_MARKERS = ("", "?", "NA", "N/A", "NaN", "nan", "null", "None", "-")  # missing values of runs that do not name them


class TablePreprocessing(Preprocessing):
    """Columns to features: numbers imputed by the median and scaled, categories one-hot, by a ColumnTransformer.

    Args:
        kinds: kind by column: numeric, boolean, date, category, plain (taken as it is) or ignore.
        max_categories: categories of a column that get an input of their own; rarer and unseen ones share one. None:
            30, or as many as any column has with five training rows or more each, up to 1,000.
        scale: `standard` (mean 0, deviation 1 over the training rows), `standard_all_rows` (over all rows, test rows
            included, as some courses do), `none`, or divisors by column: {sqft: 1000}; the others stay as they are.
        polynomial: the numeric columns are replaced by their polynomial features up to this degree, computed and
            scaled in float64; None: as they are.
        columns: how the columns are written, for new rows; None: as numbers, dates and text usually are.
        headless: whether the table had no header, and columns are called by their number.

    Attributes:
        filled: by column, how many values of the training rows were missing and filled in.
        merged: by column, how many categories were put together, and how many training rows these have.

    Raises:
        Mistake: fewer than two categories, an unknown scale, a divisor of 0 or of no numeric column, a degree below 1.
    """

    transformer: ColumnTransformer  # is there once it is fitted or restored

    def __init__(
        self,
        kinds: dict[str, str],
        max_categories: int | None = None,
        scale: str | dict[str, float] = "standard",
        polynomial: int | None = None,
        columns: Columns | None = None,
        headless: bool = False,
    ):
        if isinstance(scale, dict):
            for column, divisor in scale.items():
                if kinds.get(column) != "numeric":
                    near = did_you_mean(column, [c for c in kinds if kinds[c] == "numeric"])
                    remedy = hint("data.columns", {column: "numeric"})
                    why = f" (it is {kinds[column]}; {remedy}?)" if column in kinds else near
                    raise Mistake(f"data.scale: there is no numeric column '{column}'{why}")
                check_divisor(column, divisor)
        else:
            choose(scale, dict.fromkeys(SCALES), "data.scale")
        if max_categories is not None and max_categories < 2:
            raise Mistake(f"data.max_categories is {max_categories}: it must be at least 2, or null")
        if polynomial is not None and polynomial < 1:
            raise Mistake(f"data.polynomial is {polynomial}: it must be at least 1, or null")
        self.kinds = kinds
        self.max_categories = max_categories
        self.scale = scale
        self.fits_all_rows = scale == "standard_all_rows"  # the scaler is to see the test rows too
        self.polynomial = polynomial
        self.ranges: dict[str, list[Any]] = {}  # the smallest and the largest value
        self.columns = columns or Columns({column: TableColumn(kind, "as told") for column, kind in kinds.items()})
        self.headless = headless
        self.filled: dict[str, int] = {}
        self.merged: dict[str, tuple[int, int]] = {}
        self.notes: list[str] = []
        self.feature_names: list[str] = []

    @property
    def form(self) -> Format:  # type: ignore[override]  # it is that of the columns
        """How the table is written: of one without a header, new ones have none either."""
        return replace(self.columns.form, header="none") if self.headless else self.columns.form

    def fit(self, inputs: pd.DataFrame) -> Self:
        """Learn medians, means, deviations and categories from the training rows `inputs`.

        Raises:
            Mistake: a column without a single value in the training rows.
        """
        from sklearn.compose import ColumnTransformer
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler

        for column in self._columns("date"):  # a table that was not read from a file has no formats yet
            if self.columns.by_name[column].dates is None and not _is_datetime(inputs[column]):
                self.columns.by_name[column] = told_column(inputs[column], "date", self.columns.form)
        clean = self._clean(inputs)
        self.ranges = self._ranges_of(clean)
        empty = [str(c) for c in clean.columns if clean[c].isna().all()]
        if empty:
            raise Mistake(
                f"data: column '{empty[0]}' has no {self.kinds.get(empty[0], 'date')} value in any training row; leave "
                f"it out: {hint('data.columns', {self._name_of(empty[0]): 'ignore'})}"
            )
        numeric = [c for c in clean.columns if c not in [*self._columns("category"), *self._columns("plain")]]
        steps = [SimpleImputer(strategy="median")]
        if self.polynomial:
            steps.append(PolynomialFeatures(self.polynomial, include_bias=False))
        if self.scale in ("standard", "standard_all_rows"):
            steps.append(StandardScaler())
        onehot = OneHotEncoder(
            handle_unknown="infrequent_if_exist", max_categories=self._most_categories(clean), sparse_output=False
        )
        parts = [
            ("numeric", make_pipeline(*steps), numeric),
            (
                "category",
                make_pipeline(SimpleImputer(strategy="constant", fill_value="missing"), onehot),
                self._columns("category"),
            ),
            ("plain", "passthrough", self._columns("plain")),
        ]
        self.transformer = ColumnTransformer([p for p in parts if p[2]]).fit(clean)
        full = [str(name) for name in self.transformer.get_feature_names_out()]  # with the part: numeric__area
        short = [name.partition("__")[2] for name in full]
        self.feature_names = short if len(set(short)) == len(short) else full
        self._count(clean)
        return self

    def _most_categories(self, clean: pd.DataFrame) -> int:
        """Return how many categories of a column get an input of their own."""
        if self.max_categories is not None:
            return self.max_categories
        often = [int((clean[c].value_counts() >= ROWS_OF_A_CATEGORY).sum()) for c in self._columns("category")]
        return min(MOST_CATEGORIES, max([CATEGORIES, *(count + 1 for count in often)]))

    def _count(self, clean: pd.DataFrame) -> None:
        """Count what was filled in and put together in the training rows, and say so in `notes`."""
        parts = {c: f"{c} year" if kind == "date" else c for c, kind in self.kinds.items() if kind not in _UNFILLED}
        gaps = {column: int(clean[part].isna().sum()) for column, part in parts.items()}
        self.filled = {column: count for column, count in gaps.items() if count}
        self.merged = {}
        if self._columns("category"):
            rare = self.transformer.named_transformers_["category"][-1].infrequent_categories_
            for column, members in zip(self._columns("category"), rare, strict=True):
                if members is not None and len(members) > 1:
                    self.merged[column] = (len(members), int(clean[column].fillna("missing").isin(members).sum()))
        self.notes = []
        if self.filled:
            how = [f"{c} {n:,}" + (" (a category of their own)" if self.kinds[c] == "category" else "")
                   for c, n in self.filled.items()]  # fmt: skip
            self.notes.append(
                f"missing values in the {len(clean):,} training rows, filled in by the column's median: {_listed(how)}"
            )
        for column, (count, rows) in self.merged.items():
            there = clean[column].nunique()
            self.notes.append(
                f"column '{column}': the {count:,} rarest of {there:,} categories, in {rows:,} of {len(clean):,} "
                f"training rows, were put together; data.max_categories={there + 1} keeps all apart"
            )

    def schema(self) -> InputSchema:
        """Return the columns with their kinds and, once fitted, the categories and ranges of the training rows."""
        names = self._columns("category") if hasattr(self, "transformer") else []
        known = {name: tuple(map(str, own)) for name, own in zip(names, self._categories(), strict=True)}
        return InputSchema(
            "table",
            tuple(
                Column(name, kind, known.get(name, ()), tuple(self.ranges[name]) if name in self.ranges else None,
                       kind != "ignore")
                for name, kind in self.kinds.items()
            ),
        )  # fmt: skip

    def apply(self, inputs: pd.DataFrame) -> Tensor:
        """Return (n, features) float64.

        Raises:
            Mistake: a column that the run was trained on is missing.
        """
        for column in self.kinds:
            if self.kinds[column] != "ignore" and column not in inputs.columns:
                raise Mistake(f"data: column '{column}' is missing{did_you_mean(column, inputs.columns)}")
        features = np.asarray(self.transformer.transform(self._clean(inputs)), dtype=np.float64)
        return torch.from_numpy(np.ascontiguousarray(features))

    def inputs_of(self, given: pd.DataFrame | np.ndarray) -> pd.DataFrame:
        """Return the table that is given, or one of an array (n, columns) in the order of the run's columns.

        Raises:
            Mistake: an array with another number of columns.
        """
        if isinstance(given, pd.DataFrame):
            return given
        used = [column for column, kind in self.kinds.items() if kind != "ignore"]
        if np.ndim(given) != 2 or np.shape(given)[1] != len(used):
            raise Mistake(
                f"input: an array of {len(used)} columns is needed ({', '.join(used)}), not {np.shape(given)}"
            )
        return pd.DataFrame(np.asarray(given), columns=used)

    def read(self, path: Path, input_shape: tuple[int, ...]) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
        """Yield the rows of a table, or of an array in a .npy file, some thousands at a time."""
        for frame in read_rows(path, self.inputs_of, self.form):
            yield frame, self.columns.without_markers(frame)

    def surprises(self, inputs: pd.DataFrame) -> dict[str, int]:
        """Return, by column, how many values are of no use: no number, no date, or a category never trained on."""
        clean, unusable = self._clean(inputs), {}
        known = dict(zip(self._columns("category"), self._categories(), strict=True))
        for column, kind in self.kinds.items():
            if kind == "ignore" or column not in inputs:
                continue
            known_gaps = without_markers(inputs[column], kind, self.columns.form.missing_values)
            if kind == "category":
                odd = known_gaps.notna() & ~clean[column].isin(known[column])
            else:
                odd = known_gaps.notna() & clean[f"{column} year" if kind == "date" else column].isna()
            if odd.any():
                unusable[column] = int(odd.sum())
        return unusable

    def describe(self) -> dict[str, Any]:
        """Return what `preprocessing.json` records; the fitted transformer goes into `preprocessing.skops`."""
        return {
            "kind": "table",
            "columns": self.kinds,
            "max_categories": self.max_categories,
            "date_formats": {c: known.dates for c, known in self.columns.by_name.items() if known.dates is not None},
            "numbers": {c: asdict(k.notation) for c, k in self.columns.by_name.items() if not k.notation.plain},
            "flags": {c: known.flag for c, known in self.columns.by_name.items() if known.flag is not None},
            "format": asdict(self.columns.form),
            "headless": self.headless,
            "filled_in": self.filled,
            "merged_categories": {c: {"categories": n, "rows": rows} for c, (n, rows) in self.merged.items()},
            "scale": self.scale,
            "polynomial": self.polynomial,
            "features": self.feature_names,
            "ranges": self.ranges,
        }

    def only(self, columns: Sequence[str]) -> TablePreprocessing:
        """Return the same preprocessing, not fitted, of some of the columns alone."""
        scale = self.scale
        if isinstance(scale, dict):
            scale = {column: divisor for column, divisor in scale.items() if column in columns}
        known = {column: deepcopy(self.columns.by_name[column]) for column in columns}
        kinds = {column: self.kinds[column] for column in columns}
        own = Columns(known, self.columns.form)
        return TablePreprocessing(kinds, self.max_categories, scale, self.polynomial, own, self.headless)

    def fitted(self) -> ColumnTransformer:
        """Return the fitted ColumnTransformer."""
        return self.transformer

    @classmethod
    def restore(cls, described: Mapping[str, Any], fitted: object | None) -> Self:
        """Return the preprocessing as it was fitted: from what `describe` gave, and the fitted transformer."""
        kinds, dates = described["columns"], described["date_formats"]
        numbers, flags = described.get("numbers", {}), described.get("flags", {})
        known = {
            c: TableColumn(kind, "as trained", Notation(**numbers.get(c, {})), dates.get(c), flags.get(c))
            for c, kind in kinds.items()
        }
        form = Format(**described.get("format", {"missing_values": list(OLD_MARKERS)}))
        restored = cls(
            kinds,
            described["max_categories"],
            described["scale"],
            described["polynomial"],
            Columns(known, form),
            described.get("headless", False),
        )
        restored.feature_names, restored.filled = described["features"], described.get("filled_in", {})
        restored.transformer = cast("ColumnTransformer", fitted)
        restored.ranges = described.get("ranges", {})
        return restored

    def _categories(self) -> list[np.ndarray]:
        """Return the categories that were trained on, by category column."""
        if not self._columns("category") or not hasattr(self, "transformer"):
            return []
        return self.transformer.named_transformers_["category"][-1].categories_

    def _ranges_of(self, clean: pd.DataFrame) -> dict[str, list[Any]]:
        """Return the smallest and the largest value of each number and date, in its own units, dates as ISO text."""
        ranges: dict[str, list[Any]] = {}
        divisors = self.scale if isinstance(self.scale, dict) else {}
        for column, kind in self.kinds.items():
            if kind == "date":
                parts = {part: clean[f"{column} {part}"] for part in ("year", "month", "day", "hour")}
                times = pd.to_datetime(pd.DataFrame(parts).dropna())
                if len(times):
                    ranges[column] = [times.min().isoformat(), times.max().isoformat()]
            elif kind in ("numeric", "plain") and clean[column].notna().any():
                values = clean[column] * divisors.get(column, 1)
                ranges[column] = [float(values.min()), float(values.max())]
        return ranges

    def _columns(self, kind: str) -> list[str]:
        return [column for column in self.kinds if self.kinds[column] == kind]

    def _clean(self, inputs: pd.DataFrame) -> pd.DataFrame:
        """Return one float column per number, object columns of text (None where missing) for categories."""
        divisors = self.scale if isinstance(self.scale, dict) else {}
        columns = []
        for column, kind in self.kinds.items():
            told = self.columns.form.missing_values
            if kind == "category":
                columns.append(category_texts(without_markers(inputs[column], kind, told)))
            elif kind == "plain":
                columns.append(pd.to_numeric(inputs[column], errors="coerce"))
            elif kind != "ignore":
                numbers = numbers_of(inputs[column], self.columns.by_name[column], told)
                columns.append(numbers / divisors.get(column, 1))
        return pd.concat(columns, axis=1)

    def _name_of(self, part: str) -> str:
        """Return the column that a column of `_clean` comes from: of `when year`, `when`."""
        return part if part in self.kinds else part.rpartition(" ")[0]


def _listed(shown: list[str]) -> str:
    more = f", and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return ", ".join(shown[:SHOWN]) + more


def check_divisor(column: str, divisor: object) -> None:
    """Refuse, by a Mistake, to divide a column by what is no number, or 0."""
    if isinstance(divisor, bool) or not isinstance(divisor, int | float) or not divisor:
        raise Mistake(f"data.scale.{column} is {divisor}: it must be a number other than 0")


def _is_datetime(column: pd.Series) -> bool:
    return pd.api.types.is_datetime64_any_dtype(column)
