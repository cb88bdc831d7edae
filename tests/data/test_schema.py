"""Every preprocessing says what its inputs are, from the training rows, and says the same when it is loaded again."""

import json

import numpy as np
import pandas as pd
import pytest

from dlrun.data.preprocessing.base import Preprocessing
from dlrun.data.preprocessing.characters import CharacterPreprocessing
from dlrun.data.preprocessing.images import ImagePreprocessing
from dlrun.data.preprocessing.series import SeriesPreprocessing
from dlrun.data.preprocessing.table import TablePreprocessing
from dlrun.data.preprocessing.text import TextPreprocessing
from dlrun.data.schema import CharacterSchema, Column, ImageSchema, InputSchema, SeriesSchema
from dlrun.store import skops_objects

TABLE = pd.DataFrame({
    "area": [30.0, np.nan, 150.0, 60.0], "city": ["Chur", "Bern", None, "Bern"], "id": [1, 2, 3, 4],
    "when": ["2020-03-01 10:00", "1999-12-31 23:00", "2001-01-01 00:00", "2001-01-01 00:00"],
    "garden": ["yes", "no", "no", "yes"], "floor": [0.0, 3.0, 1.0, 1.0],
})  # fmt: skip
KINDS = {"area": "numeric", "city": "category", "id": "ignore", "when": "date", "garden": "boolean", "floor": "plain"}
WINDOWS = np.arange(12.0).reshape(2, 3, 2)
COLUMNS = (
    Column("area", "numeric", range=(30.0, 150.0)),
    Column("city", "category", ("Bern", "Chur", "missing")),
    Column("id", "ignore", required=False),
    Column("when", "date", range=("1999-12-31T23:00:00", "2020-03-01T10:00:00")),
    Column("garden", "boolean"),
    Column("floor", "plain", range=(0.0, 3.0)),
)
SCHEMAS = {
    "table": (TablePreprocessing(KINDS, scale={"area": 10}), TABLE, InputSchema("table", COLUMNS)),
    "images": (
        ImagePreprocessing(16.0), np.zeros((2, 3, 8, 6), np.uint8),
        InputSchema("images", image=ImageSchema(3, 8, 6, 16.0)),
    ),
    "series": (
        SeriesPreprocessing("standard", ["a", "b"], 3, 2), WINDOWS,
        InputSchema("series", (Column("a", "numeric", range=(0.0, 10.0)), Column("b", "numeric", range=(1.0, 11.0))),
                    series=SeriesSchema(3, 2, False)),
    ),
    "text": (
        TextPreprocessing("text", "tfidf", 10, None, None, "front"), np.array(["a word", "two words"], dtype=object),
        InputSchema("text", (Column("text", "text"),)),
    ),
    "characters": (
        CharacterPreprocessing(["end", "a"], {"aa": 2}), np.zeros((1, 2), np.int64),
        InputSchema("characters", characters=CharacterSchema(("end", "a"), {"aa": 2})),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_schema_is_learned_from_the_training_rows_and_kept_with_the_run(kind):
    preprocessing, inputs, expected = SCHEMAS[kind]
    fitted = preprocessing.fit(inputs)
    assert isinstance(fitted, Preprocessing) and fitted.schema() == expected
    learned = fitted.fitted()
    learned = None if learned is None else skops_objects.loads(skops_objects.dumps(learned), "preprocessing.skops")
    again = type(fitted).restore(json.loads(json.dumps(fitted.describe())), learned)
    assert again.schema() == expected
    assert np.asarray(again.apply(inputs)).tolist() == np.asarray(fitted.apply(inputs)).tolist()


def test_columns_that_are_used_and_whether_they_are_numbers_can_be_asked():
    schema = InputSchema("table", COLUMNS)
    assert [column.name for column in schema.used] == ["area", "city", "when", "garden", "floor"]
    assert not schema.numbers_only and InputSchema("table", (COLUMNS[0], COLUMNS[2], COLUMNS[5])).numbers_only
    assert not InputSchema("images").numbers_only


def test_what_an_own_preprocessing_learns_is_kept_whatever_arrays_it_has():
    import torch

    own = Preprocessing()
    own.mean, own.table, own.words = np.array([1.5, 2.0]), torch.eye(2, dtype=torch.float64), {"a": [1, "b"]}
    again = Preprocessing.restore({"_target_": "x.Y", **json.loads(json.dumps(own.describe()))}, None)
    assert again.mean.dtype == np.float64 and again.mean.tolist() == [1.5, 2.0] and again.words == own.words
    assert torch.equal(again.table, own.table) and not hasattr(again, "_target_")
