"""Tables as people have them: each either trains sensibly or says in a line what is wrong."""

import json

import numpy as np
import pandas as pd
import pytest

from dlrun.data.reading import tables as files

CSV = ("data=csv", "data.path=nasty.csv", "data.target=y", "trainer.epochs=40", "optimizer.lr=0.01")


@pytest.fixture
def frame():
    """1,000 rows whose class is decided by x."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=1000)
    return pd.DataFrame({"x": x.round(4).astype(object), "y": np.where(x > 0, "high", "low")})


def train(dlrun, tmp_path, frame, *settings):
    frame.to_csv(tmp_path / "nasty.csv", index=False)
    ended = dlrun(*CSV, *settings)
    assert ended.exit_code == 0, ended.err
    return ended


def columns(ended) -> dict:
    return json.loads((ended.folder / "preprocessing.json").read_text())["inputs"]["columns"]


@pytest.mark.parametrize("gap", ["", "?", "NA", "NaN", "null", " "])
def test_gaps_in_a_numeric_column_leave_it_numeric(dlrun, tmp_path, frame, gap):
    frame.loc[::10, "x"] = gap
    ended = train(dlrun, tmp_path, frame)
    assert columns(ended) == {"x": "numeric"} and ended.metrics["test"]["accuracy"] > 0.9


def test_stray_words_in_a_numeric_column_are_missing_and_counted(dlrun, tmp_path, frame):
    frame.loc[::50, "x"] = "broken"
    ended = train(dlrun, tmp_path, frame)
    assert columns(ended) == {"x": "numeric"} and "20 other texts ('broken') read as missing" in ended.out
    frame.loc[::4, "x"] = [f"broken {i}" for i in range(250)]
    ended = train(dlrun, tmp_path, frame, "data.columns={x: numeric}", "output_dir=forced")
    assert "column 'x': 260 other texts ('broken', 'broken 0'" in ended.out


def test_a_constant_column_and_an_identifier_are_ignored_with_the_reason(dlrun, tmp_path, frame):
    ended = train(dlrun, tmp_path, frame.assign(country="CH", id=range(1000), key=[f"k{i}" for i in range(1000)]))
    assert "country (one value only)" in ended.out and "id (numbers the rows)" in ended.out and "key (" in ended.out
    assert ended.metrics["test"]["accuracy"] > 0.95


def test_a_column_of_500_categories_gets_as_many_inputs_as_allowed(dlrun, tmp_path, frame):
    frame["street"] = [f"street {i % 500}" for i in range(1000)]
    ended = train(dlrun, tmp_path, frame, "data.max_categories=20")
    described = json.loads((ended.folder / "preprocessing.json").read_text())
    assert len(described["inputs"]["features"]) == 1 + 20 and ended.metrics["test"]["accuracy"] > 0.85


def test_dates_become_their_parts(dlrun, tmp_path, frame):
    frame["when"] = pd.date_range("2020-01-31", periods=1000, freq="D").strftime("%d.%m.%Y")
    assert columns(train(dlrun, tmp_path, frame)) == {"x": "numeric", "when": "date"}


def test_numbers_and_words_in_one_column_are_categories(dlrun, tmp_path, frame):
    frame["size"] = ["S", 38, "M", 40, "L", 42.5, True, None] * 125
    assert columns(train(dlrun, tmp_path, frame)) == {"x": "numeric", "size": "category"}


def test_line_breaks_and_quotes_inside_a_field_belong_to_it(dlrun, tmp_path, frame):
    frame["colour"] = ['dark\n"red"', "light, blue"] * 500
    ended = train(dlrun, tmp_path, frame)
    assert columns(ended)["colour"] == "category" and sum(ended.predictions["split"] == "test") == 200


def test_classes_that_look_like_numbers_are_classes(dlrun, tmp_path, frame):
    frame["y"] = np.where(frame["y"] == "high", 7, 3)
    ended = train(dlrun, tmp_path, frame)
    assert ended.metrics["test"]["accuracy"] > 0.95 and set(ended.predictions["truth"]) == {3, 7}


def test_a_class_called_none_is_a_class(dlrun, tmp_path, frame):
    frame["y"] = np.where(frame["y"] == "high", "None", "Apnea")
    assert set(train(dlrun, tmp_path, frame).predictions["truth"]) == {"None", "Apnea"}


def test_none_among_quantities_is_a_missing_one(dlrun, tmp_path, frame):
    frame["y"] = frame["x"].astype(float).round(3).astype(object)
    frame.loc[:4, "y"] = "None"
    ended = train(dlrun, tmp_path, frame, "model=linear")
    assert "5 rows without a target were dropped" in ended.out and "r2" in ended.metrics["test"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"x,y\n" + b"1,caf\xe9\n2,tea\n" * 20, ["not UTF-8", "UTF-8"]),
        (b"x,x,y\n" + b"1,2,a\n3,4,b\n" * 20, ["two columns are called 'x'"]),
        (b"x,y\n" + b"1,a\n2,b,c\n" * 20, ["cannot be read as a table"]),
        (b'x,y\n1,"a\n2,b\n', ["nasty.csv"]),
        (b"x,y\n" + b"1,a\n2,a\n" * 20, ["one class only"]),
        (b"x,y\n" + b",a\n,b\n" * 20, ["no column is left"]),
        (b"x,y\n1,a\n", ["no column is left"]),
    ],
)
def test_what_cannot_be_a_table_is_one_line(dlrun, tmp_path, content, words):
    (tmp_path / "nasty.csv").write_bytes(content)
    ended = dlrun(*CSV)
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and all(w in ended.err for w in words), ended.err
    assert not ended.outputs.exists()


def test_a_byte_order_mark_is_no_part_of_the_first_name(dlrun, tmp_path, frame):
    (tmp_path / "nasty.csv").write_text(frame.to_csv(index=False), encoding="utf-8-sig")
    ended = dlrun(*CSV)
    assert ended.exit_code == 0 and list(columns(ended)) == ["x"]


def test_the_same_file_to_train_and_test_on_is_a_mistake(dlrun, tmp_path, frame):
    frame.to_csv(tmp_path / "nasty.csv", index=False)
    frame.to_csv(tmp_path / "copy.csv", index=False)
    for same in ("nasty.csv", "copy.csv"):
        ended = dlrun(*CSV, f"data.path_test={same}")
        assert ended.exit_code == 2 and "data.path_test: has the same rows" in ended.err


def test_columns_that_are_dropped_are_not_read(dlrun, tmp_path, frame):
    frame.insert(0, "note", ["1,2", "x"] * 500)
    assert columns(train(dlrun, tmp_path, frame, "data.drop=[note]")) == {"x": "numeric"}
    ended = dlrun(*CSV, "data.drop=[nte]")
    assert ended.exit_code == 2 and "did you mean 'note'" in ended.err


def test_a_table_that_memory_cannot_hold_says_what_to_do(dlrun, tmp_path, frame, monkeypatch):
    frame.to_csv(tmp_path / "nasty.csv", index=False)
    monkeypatch.setattr(files, "free_memory", lambda: 10_000)
    ended = dlrun(*CSV)
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and "data.drop" in ended.err


def test_zip_codes_keep_their_zeros_and_are_known_again(dlrun, tmp_path, frame):
    frame["zip"] = ["01234", "1234", "00501", "8000"] * 250
    frame["y"] = np.where(frame["zip"].isin(["01234", "8000"]), "high", "low")
    ended = train(dlrun, tmp_path, frame, "data.columns={zip: category}")
    assert ended.metrics["test"]["accuracy"] == 1.0
    said = dlrun("predict", "input=nasty.csv", "output=said.csv")
    assert said.exit_code == 0 and said.err == ""
    found = pd.read_csv(tmp_path / "said.csv")
    assert (found["prediction"] == found["y"]).mean() > 0.99
