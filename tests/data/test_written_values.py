"""Values as people write them: gaps, numbers, flags and dates are what they mean, are said, and can be set."""

import json

import numpy as np
import pandas as pd
import pytest

from dlrun.data.reading.dates import find_date_format, parse_dates
from dlrun.data.reading.numbers import find_notation, parse
from dlrun.data.sources.tabular import csv
from dlrun.errors import Mistake

ROWS = 60
X = np.random.default_rng(0).normal(50, 10, ROWS).round(2)


@pytest.fixture
def source(tmp_path):
    """Returns the source of a table whose columns are given as texts, and `y` as the target."""

    def of(table: dict, separator: str = ",", **settings):
        pd.DataFrame({**table, "y": table.get("y", X * 3)}).to_csv(tmp_path / "t.csv", index=False, sep=separator)
        return csv(str(tmp_path / "t.csv"), "y", **settings)

    return of


def with_gaps(gap: str) -> list[str]:
    return [gap if i % 5 == 0 else f"{x}" for i, x in enumerate(X)]


@pytest.mark.parametrize(
    "gap", ["NULL", "n/a", "#N/A", "<NA>", ".", "Unknown", "?", "-", "na", "None", "#DIV/0!", "NaN"]
)
def test_what_programs_write_for_a_gap_is_one_among_numbers(source, gap):
    found = source({"x": with_gaps(gap)})
    assert found.preprocessing.kinds == {"x": "numeric"}
    assert (
        found.inputs["x"].isna().sum() == 12
        and found.inputs["x"].dropna().tolist() == X[np.arange(ROWS) % 5 > 0].tolist()
    )


def test_an_unlisted_word_for_a_gap_does_not_turn_numbers_into_categories_and_is_named(source):
    found = source({"x": with_gaps("lost")})
    assert found.preprocessing.kinds == {"x": "numeric"}
    assert "column 'x': 12 other texts ('lost') read as missing" in found.notes


def test_a_number_that_means_a_gap_can_be_named(source):
    found = source({"x": with_gaps("-999")}, missing_values=["-999"])
    assert found.inputs["x"].isna().sum() == 12 and found.inputs["x"].min() > 0


@pytest.mark.parametrize("word", ["None", "NA", "unknown"])
def test_a_word_for_nothing_is_a_category_among_texts_unless_it_is_named(source, word):
    texts = [word, "Paved", "Gravel"] * 20
    assert source({"x": X, "alley": texts}).inputs["alley"].notna().all()
    assert source({"x": X, "alley": texts}, missing_values=[word]).inputs["alley"].isna().sum() == 20


def test_gaps_of_a_target_are_rows_without_one_and_a_class_that_could_be_a_gap_is_said(source):
    found = source({"x": X, "y": with_gaps("NULL")})
    assert found.targets.dtype == float and len(found) == 48 and "12 rows without a target were dropped" in found.notes
    classes = source({"x": X, "y": ["None", "yes", "no"] * 20})
    assert len(classes) == 60 and any("'None' is the class of 20 rows" in note for note in classes.notes)
    assert len(source({"x": X, "y": ["None", "yes", "no"] * 20}, missing_values=["None"])) == 40


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["51,26", "-0,36", "3"], [51.26, -0.36, 3]),
        (["5,126.0", "864.5"], [5126, 864.5]),
        (["1.234.567", "1.000"], [1234567, 1000]),
        (["1.234,5", "12"], [1234.5, 12]),
        (["1 234,5", "2\u00a0000"], [1234.5, 2000]),
        (["1'234.50", "2"], [1234.5, 2]),
        (["51.3%", "48 %"], [51.3, 48]),
        (["$1,234.50", "($5.00)"], [1234.5, -5]),
        (["€110.5M", "€565K"], [110.5e6, 565e3]),
        (["CHF 12.50", "CHF 3"], [12.5, 3]),
        (["10 kg", "5.5 kg"], [10, 5.5]),
        (["36 months", "1 month"], [36, 1]),
        (["−5,3", "2"], [-5.3, 2]),
        (["1e5", "2"], [1e5, 2]),
    ],
)
def test_numbers_are_what_they_mean(texts, numbers):
    column = pd.Series(texts)
    notation, share = find_notation(column)
    assert share == 1 and parse(column, notation).tolist() == pytest.approx(numbers)


@pytest.mark.parametrize("texts", [["Q1", "Q2"], ["4x4", "4x2"], ["12:30", "13:45"], ["1-2", "3-4"], [">50", "<10"]])
def test_codes_are_no_numbers(texts):
    assert find_notation(pd.Series(texts))[1] < 0.95


def test_a_decimal_comma_is_read_in_inputs_and_target_and_said(source):
    comma = [f"{x:.3f}".replace(".", ",") for x in X]
    found = source({"x": comma, "y": comma}, separator=";")
    assert found.inputs["x"].tolist() == X.tolist() and found.targets.tolist() == X.tolist()
    assert any(note.startswith("numbers as written: x (decimal comma)") for note in found.notes)
    assert "target 'y': numbers as written (decimal comma)" in found.notes


def test_a_mark_that_could_be_either_is_set_by_the_person(source):
    texts = [f"{i},{i + 100}" for i in range(1, 1 + ROWS)]
    assert source({"x": texts}).inputs["x"].iloc[0] == 1101
    assert source({"x": texts}, decimal=",").inputs["x"].iloc[0] == 1.101
    assert source({"x": [t.replace(",", ".") for t in texts]}, thousands=".").inputs["x"].iloc[0] == 1101


def test_marks_that_cannot_be_are_mistakes(source):
    with pytest.raises(Mistake, match="data.decimal"):
        source({"x": X}, decimal=";")
    with pytest.raises(Mistake, match="must differ"):
        source({"x": X}, decimal=",", thousands=",")


@pytest.mark.parametrize("mark", ["X", "True", "1", "yes", "Paved"])
def test_a_value_or_blank_is_a_flag_with_two_states(source, mark):
    found = source({"x": X, "vip": [mark if i % 3 else "" for i in range(ROWS)]})
    assert found.preprocessing.kinds["vip"] == "boolean" and found.inputs["vip"].tolist() == [
        float(i % 3 > 0) for i in range(ROWS)
    ]
    assert f"column 'vip': 20 gaps beside '{mark}' mean false" in found.notes


def test_a_flag_may_be_written_in_either_case(source):
    found = source({"x": X, "vip": ["X", "", "x"] * 20})
    assert found.inputs["vip"].tolist() == [1.0, 0.0, 1.0] * 20


def test_infinite_and_huge_numbers_are_missing_and_counted(source):
    found = source({"x": ["inf", "1.7976931348623157e+308", "-1e300", *X[3:]], "y": ["1e39", *X[1:]]})
    assert found.inputs["x"].isna().sum() == 2 and len(found) == 59
    assert any("2 values infinite, or of 1e37 and more" in note for note in found.notes)


@pytest.mark.parametrize(
    ("texts", "written"),
    [
        (["31/01/19", "01/02/19"], "%d/%m/%y"),
        (["Jan 05, 2019", "Feb 28, 2019"], "%b %d, %Y"),
        (["05-Jan-2019", "28-Feb-2019"], "%d-%b-%Y"),
        (["2019-01-05T00:00:00+01:00", "2019-07-05T00:00:00+02:00"], "%Y-%m-%d %H:%M:%S"),
        (["2019-01-05T10:00:00.5Z", "2019-01-06T10:00:00Z"], "%Y-%m-%d %H:%M:%S"),
        (["1/31/2019 3:05 PM", "2/1/2019 12:00 am"], "%m/%d/%Y %I:%M %p"),
        (["Sat, 05 Jan 2019 10:00:00 GMT", "Sun, 06 Jan 2019 10:00:00 GMT"], "%d %b %Y %H:%M:%S"),
        (["20190131", "20190201"], "%Y%m%d"),
    ],
)
def test_dates_are_found_in_the_way_they_are_written(texts, written):
    column = pd.Series(texts)
    assert find_date_format(column)[:2] == (written, 1.0)
    assert parse_dates(column, written).dt.year.tolist() == [2019, 2019]


def test_one_date_that_is_none_is_missing_and_counted(source):
    days = pd.date_range("2019-01-01", periods=ROWS).strftime("%Y-%m-%d").tolist()
    found = source({"when": ["0000-00-00", *days[1:]]})
    assert found.preprocessing.kinds["when"] == "date" and found.inputs["when"].isna().sum() == 1
    assert "column 'when': 1 other text ('0000-00-00') read as missing dates" in found.notes


def test_the_order_of_day_and_month_is_said_and_can_be_set(source):
    days = [f"{1 + i % 12:02d}/{1 + i // 12:02d}/2019" for i in range(ROWS)]
    found = source({"when": days})
    assert any("month before day" in note or "day before month" in note for note in found.notes)
    assert any("could be exchanged in every row" in note for note in found.notes)
    assert source({"when": days}, dates={"when": "%d/%m/%Y"}).inputs["when"].iloc[1] == pd.Timestamp("2019-01-02")
    assert source({"when": days}, dates={"when": "%m/%d/%Y"}).inputs["when"].iloc[1] == pd.Timestamp("2019-02-01")


def test_months_that_follow_each_other_evenly_have_the_day_first(source):
    days = [f"01/{m:02d}/{y}" for y in range(2015, 2020) for m in range(1, 13)]
    assert source({"when": days}).inputs["when"].iloc[1] == pd.Timestamp("2015-02-01")


def test_a_column_told_to_hold_dates_that_holds_none_says_what_fits_best(source):
    with pytest.raises(Mistake, match="holds no dates of one format with a year"):
        source({"x": X, "when": ["soon", "late"] * 30}, columns={"when": "date"})
    with pytest.raises(Mistake, match=r"data.dates.when: no value of column 'when' is written as %Y"):
        source({"x": X, "when": ["soon", "late"] * 30}, dates={"when": "%Y"})


def test_predict_reads_new_rows_as_training_did(dlrun, tmp_path):
    rng = np.random.default_rng(1)
    x = rng.uniform(1000, 9000, 200).round(1)
    days = pd.date_range("2019-01-01", periods=200)
    table = pd.DataFrame(
        {
            "x": [f"{v:,.1f}".replace(",", "_").replace(".", ",").replace("_", ".") + " €" for v in x],
            "when": days.strftime("%d/%m/%y"),
            "vip": np.where(rng.random(200) > 0.5, "X", ""),
            "z": ["gap" if i % 4 == 0 else str(i) for i in range(200)],
        }
    )
    table["y"] = (x / 100 + 20 * (table["vip"] == "X")).round(3)
    table.to_csv(tmp_path / "t.csv", index=False, sep=";")
    ended = dlrun("data=csv", "data.path=t.csv", "data.target=y", "data.missing_values=[gap]", "model=linear",
                  "optimizer.lr=0.1", "trainer.epochs=60")  # fmt: skip
    assert ended.exit_code == 0, ended.err
    described = json.loads((ended.folder / "preprocessing.json").read_text())["inputs"]
    assert described["filled_in"]["z"] > 20 and described["numbers"]["x"]["decimal"] == ","
    few = table.iloc[[5, 31]].assign(z="gap").drop(columns="y")  # too few to find out how they are written
    few.to_csv(tmp_path / "new.csv", index=False, sep=";")
    said = dlrun("predict", "input=new.csv", "output=said.csv")
    assert said.exit_code == 0 and said.err == "", said.err
    found = pd.read_csv(tmp_path / "said.csv")["prediction"]
    assert np.allclose(found, table["y"].iloc[[5, 31]], atol=4), (found, table.iloc[[5, 31]])


def test_a_target_of_numbers_and_texts_is_told_what_to_do_and_that_does_it(dlrun, tmp_path):
    y = [f"{x}" if i % 3 else f"see note {i % 4}" for i, x in enumerate(X)]
    pd.DataFrame({"x": X, "y": y}).to_csv(tmp_path / "t.csv", index=False)
    settings = ("data=csv", "data.path=t.csv", "data.target=y", "model=linear", "dry_run=true")
    ended = dlrun(*settings, "data.task=regression")
    assert ended.exit_code == 2 and "'y': 20 of 60 values are no numbers ('see note 0', " in ended.err
    notes = "data.missing_values=[see note 0, see note 1, see note 2, see note 3]"
    ended = dlrun(*settings, notes)
    assert ended.exit_code == 0 and "20 rows without a target were dropped" in ended.out, ended.err
