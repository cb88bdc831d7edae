"""A user's own table: what is inferred from it, and how its columns become features."""

import gzip

import numpy as np
import pandas as pd
import pytest

from dlrun.data.preprocessing.table import TablePreprocessing
from dlrun.data.reading.columns import describe_columns, infer_column
from dlrun.data.sources.tabular import csv
from dlrun.errors import Mistake


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    n = 120
    frame = pd.DataFrame(
        {
            "id": np.arange(1, n + 1),
            "area": rng.normal(100, 20, n).round(1),
            "rooms": rng.integers(1, 6, n),
            "city": rng.choice(["Paris", "Rome", "Oslo"], n),
            "garden": rng.choice(["yes", "no"], n),
            "built": pd.date_range("1990-01-01", periods=n, freq="31D").strftime("%Y-%m-%d"),
            "remark": [f"remark number {i} of the seller" for i in range(n)],
            "same": 7,
        }
    )
    frame["price"] = 3 * frame["area"] + 10 * (frame["city"] == "Paris") + rng.normal(0, 1, n)
    frame.loc[3, "area"] = np.nan
    path = tmp_path / "houses.csv"
    frame.to_csv(path, index=False)
    path.write_text(path.read_text().replace("Rome", "?", 3))
    return path


def test_column_kinds_are_inferred_and_printed_with_the_reason(dlrun, table):
    ended = dlrun("data=csv", "data.path=houses.csv", "data.target=price", "trainer.epochs=1")
    assert ended.exit_code == 0, ended.err
    assert "numeric columns: area, rooms" in ended.out
    assert "category columns: city" in ended.out
    assert "boolean columns: garden" in ended.out
    assert "date columns: built" in ended.out
    assert "id (numbers the rows)" in ended.out and "same (one value only)" in ended.out and "remark (" in ended.out
    assert "task: regression" in ended.out


def test_an_inferred_kind_can_be_overridden(dlrun, table):
    settings = ("data.columns={rooms: category, id: numeric}", "data.drop=[remark]", "trainer.epochs=1")
    ended = dlrun("data=csv", "data.path=houses.csv", "data.target=price", *settings)
    assert "category columns: rooms, city" in ended.out and "remark" not in ended.out
    assert "numeric columns: id, area" in ended.out


def test_a_linear_model_learns_the_table(dlrun, table):
    ended = dlrun("data=csv", "data.path=houses.csv", "data.target=price", "model=linear", "optimizer.lr=0.05",
                  "trainer.epochs=100")  # fmt: skip
    assert ended.metrics["test"]["r2"] > 0.95


@pytest.mark.parametrize("name", ["houses.tsv", "houses.csv.gz", "houses.csv.bz2", "houses.zip", "semicolons.csv"])
def test_formats_and_separators_give_the_same_table(tmp_path, table, name):
    frame = pd.read_csv(table)
    separator = {"houses.tsv": "\t", "semicolons.csv": ";"}.get(name, ",")
    frame.to_csv(tmp_path / name, index=False, sep=separator)
    expected = csv(str(table), "price")
    found = csv(str(tmp_path / name), "price")
    pd.testing.assert_frame_equal(found.inputs, expected.inputs)
    assert (found.targets == expected.targets).all()


def test_rows_without_a_target_are_dropped_with_a_count(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n" + "1.5,x\n2.5,y\n" * 10 + "3.5,\n4.5,?\n")
    source = csv(str(tmp_path / "t.csv"), "b")
    assert len(source) == 20 and "2 rows without a target were dropped" in source.notes


def test_separate_files_for_validation_and_test_keep_their_rows(dlrun, tmp_path):
    for name, n in (("train", 40), ("valid", 10), ("test", 12)):
        rows = "".join(f"{(i * 5 + n) % 11},{i % 4}.5,{'ab'[i % 2]}\n" for i in range(n))
        (tmp_path / f"{name}.csv").write_text("x,z,label\n" + rows)
    ended = dlrun("data=csv", "data.path=train.csv", "data.path_valid=valid.csv", "data.path_test=test.csv",
                  "data.target=label", "data.split.test=null", "data.split.valid=null", "trainer.epochs=1")  # fmt: skip
    assert ended.exit_code == 0, ended.err
    counts = ended.predictions["split"].value_counts().to_dict()
    assert counts == {"train": 40, "valid": 10, "test": 12}
    assert ended.predictions.query("split == 'test'")["row"].tolist() == list(range(12))


def test_missing_numbers_become_the_training_median_and_unseen_categories_share_a_column():
    train = pd.DataFrame({"x": [1.0, 2.0, 9.0, np.nan], "c": ["a", "b", "a", None]})
    fitted = TablePreprocessing({"x": "numeric", "c": "category"}).fit(train)
    values = fitted.apply(pd.DataFrame({"x": [np.nan], "c": ["never seen"]}))[0]
    filled = np.array([1.0, 2.0, 9.0, 2.0])
    assert values[0].item() == pytest.approx((2.0 - filled.mean()) / filled.std(), rel=1e-6)
    assert values[1:].tolist() == [0.0, 0.0, 0.0]


def test_the_rarer_categories_of_a_column_are_put_together():
    frame = pd.DataFrame({"c": [f"c{i % 50}" for i in range(500)] + ["often"] * 50})
    fitted = TablePreprocessing({"c": "category"}, max_categories=10).fit(frame)
    assert len(fitted.feature_names) == 10 and "c_infrequent_sklearn" in fitted.feature_names


def test_a_missing_column_is_named():
    fitted = TablePreprocessing({"area": "numeric"}).fit(pd.DataFrame({"area": [1.0, 2.0]}))
    with pytest.raises(Mistake, match="'area' is missing; did you mean 'aera'"):
        fitted.apply(pd.DataFrame({"aera": [1.0]}))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1.5, 2.5, np.nan], "numeric"),
        (["1", "2", "3", "4"] * 10 + ["n.a."], "numeric"),
        (["yes", "no", None], "boolean"),
        (["True", "False", "True"], "boolean"),
        (["red", "blue", "red"], "category"),
        (["2020-01-31", "2021-02-28"], "date"),
        ([None, None], "ignore"),
        (["a", "a"], "ignore"),
        ([f"name {i}" for i in range(30)], "ignore"),
    ],
)
def test_kinds(values, kind):
    assert infer_column(pd.Series(values)).kind == kind


def test_a_table_without_a_usable_column_says_so():
    with pytest.raises(Mistake, match="no column is left"):
        describe_columns(pd.DataFrame({"a": [1, 1, 1]}), {})


def test_a_cut_gz_is_a_mistake(tmp_path):
    packed = gzip.compress(b"a,b\n" + b"1,2\n" * 5000)
    (tmp_path / "t.csv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(Mistake, match="t.csv.gz"):
        csv(str(tmp_path / "t.csv.gz"), "b")
