"""The columns of a Parquet table in the few types that the rest of dlrun reads."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pandas as pd


def plain_types(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose columns are float, int, bool, dates, or objects.

    Nullable numbers are float with NaN, decimals float, durations seconds, dictionaries their values; dates keep their
    time zone. Lists, maps and bytes stay objects.
    """
    return pd.DataFrame({column: _plain(frame[column]) for column in frame}, index=frame.index)


def _plain(column: pd.Series) -> pd.Series:
    kind = column.dtype
    if isinstance(kind, pd.CategoricalDtype):
        return _plain(column.astype(kind.categories.dtype))
    if pd.api.types.is_datetime64_any_dtype(kind):
        return column
    if pd.api.types.is_timedelta64_dtype(kind):
        return column.dt.total_seconds()
    if pd.api.types.is_bool_dtype(kind) and column.isna().any():
        return column.map({True: "True", False: "False"})
    if pd.api.types.is_extension_array_dtype(kind) and pd.api.types.is_numeric_dtype(kind):
        if column.isna().any():
            return column.astype(float)
        return column.astype(kind.numpy_dtype)  # type: ignore[union-attr]  # all dtypes of nullable numbers have one
    if pd.api.types.is_float_dtype(kind) and kind != np.float64:
        return column.astype(float)
    if column.dtype == object:
        first = next((value for value in column if value is not None and value is not pd.NA), None)
        if isinstance(first, decimal.Decimal):
            return pd.to_numeric(column.map(float, na_action="ignore")).astype(float)
        if isinstance(first, datetime.date):
            return pd.to_datetime(column, errors="coerce")
        if isinstance(first, bool):
            return column.map(str, na_action="ignore")
    return column


def holds_objects(column: pd.Series) -> str | None:
    """Return what a column holds where that is neither numbers, dates nor text: `lists`, `bytes`; else None."""
    if column.dtype != object:
        return None
    first = next((value for value in column if value is not None), None)
    if isinstance(first, list | tuple | np.ndarray):
        return "lists"
    if isinstance(first, dict):
        return "records"
    return "bytes" if isinstance(first, bytes) else None
